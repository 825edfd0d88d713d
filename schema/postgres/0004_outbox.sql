-- Why: a change and the word of it commit together. One lane per changed thing (event, room, user)
-- keeps its rows in order: the lane row is locked by the writer, so positions are commit order, and by
-- the relay, so two relays never publish one lane at once. A row is published under its id, so a
-- second publish of it is the same message.
CREATE TABLE outbox_lane (
    id            uuid PRIMARY KEY,
    last_position bigint  NOT NULL DEFAULT 0,
    pending       boolean NOT NULL DEFAULT true
);
CREATE INDEX outbox_lane_pending_idx ON outbox_lane (id) WHERE pending;

CREATE TABLE outbox (
    id           uuid PRIMARY KEY,
    lane_id      uuid        NOT NULL REFERENCES outbox_lane (id),
    position     bigint      NOT NULL,
    subject      text        NOT NULL,
    headers      jsonb       NOT NULL DEFAULT '{}',
    body         text        NOT NULL,
    created_at   timestamptz NOT NULL,
    processed    boolean     NOT NULL DEFAULT false,
    processed_at timestamptz,
    retry_count  integer     NOT NULL DEFAULT 0,
    error        text,
    CONSTRAINT outbox_lane_id_position_key UNIQUE (lane_id, position)
);
CREATE INDEX outbox_unprocessed_idx ON outbox (lane_id, position) WHERE NOT processed;
