-- Why: time that somebody offers, to be taken by one other. A slot is sold once: among those who ask at the same moment
-- its own row decides, and no two sold slots of one owner overlap, in whatever order they were offered.
CREATE EXTENSION IF NOT EXISTS btree_gist;

CREATE TABLE open_slots (
    id               uuid PRIMARY KEY,
    owner_id         uuid        NOT NULL REFERENCES users (id),
    -- The slots that one rule made.
    series_id        uuid,
    service          text        NOT NULL,
    starts_at        timestamptz NOT NULL,
    ends_at          timestamptz NOT NULL,
    local_starts_at  timestamp   NOT NULL,
    local_ends_at    timestamp   NOT NULL,
    time_zone        text        NOT NULL,
    -- In the currency's minor unit; NULL: it costs nothing.
    price_amount     bigint,
    price_currency   text,
    -- A booking that is called off so many hours before it begins frees the slot; NULL: none does.
    free_until_hours integer,
    is_available     boolean     NOT NULL DEFAULT true,
    -- Who has it. Written before the event is, in one transaction.
    event_id         uuid REFERENCES events (id) DEFERRABLE INITIALLY DEFERRED,
    version          bigint      NOT NULL DEFAULT 1,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    deleted_at       timestamptz,
    CONSTRAINT open_slots_order_check CHECK (ends_at > starts_at),
    CONSTRAINT open_slots_price_check CHECK ((price_amount IS NULL) = (price_currency IS NULL) AND price_amount >= 0),
    CONSTRAINT open_slots_sold_check CHECK (event_id IS NULL OR NOT is_available),
    CONSTRAINT open_slots_overlap_excl EXCLUDE USING gist
        (owner_id WITH =, tstzrange(starts_at, ends_at) WITH &&) WHERE (event_id IS NOT NULL)
);
CREATE INDEX open_slots_starts_at_idx ON open_slots (starts_at, id) WHERE deleted_at IS NULL;
CREATE INDEX open_slots_owner_id_idx ON open_slots (owner_id, starts_at, id) WHERE deleted_at IS NULL;
CREATE INDEX open_slots_series_id_idx ON open_slots (series_id) WHERE series_id IS NOT NULL;

ALTER TABLE events ADD CONSTRAINT events_slot_id_fkey FOREIGN KEY (slot_id) REFERENCES open_slots (id);
CREATE INDEX events_slot_id_idx ON events (slot_id) WHERE slot_id IS NOT NULL;
