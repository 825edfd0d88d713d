-- Why: an appointment. Its id is its room's id. The instant is stored beside the local time and zone
-- it was agreed in, because a zone's rules may change between the agreement and the day.
CREATE TABLE events (
    id              uuid PRIMARY KEY REFERENCES rooms (id),
    owner_id        uuid        NOT NULL REFERENCES users (id),
    title           text        NOT NULL,
    description     text,
    location        text,
    starts_at       timestamptz NOT NULL,
    ends_at         timestamptz NOT NULL,
    local_starts_at timestamp   NOT NULL,
    local_ends_at   timestamp   NOT NULL,
    time_zone       text        NOT NULL,
    status          text        NOT NULL DEFAULT 'proposed',
    slot_id         uuid,
    version         bigint      NOT NULL DEFAULT 1,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    deleted_at      timestamptz,
    CONSTRAINT events_status_check CHECK (status IN ('proposed', 'confirmed', 'cancelled', 'completed')),
    CONSTRAINT events_order_check CHECK (ends_at > starts_at)
);
CREATE INDEX events_starts_at_idx ON events (starts_at, id) WHERE deleted_at IS NULL;
