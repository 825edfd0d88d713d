-- Why: the answer to a POST can be lost. Who sends it again under the same key is told what it made the
-- first time; the body's hash tells a repeat from another request that took the key by mistake.
CREATE TABLE idempotency_keys (
    user_id    uuid        NOT NULL REFERENCES users (id),
    key        text        NOT NULL,
    body_hash  bytea       NOT NULL,
    -- What the request made.
    made_id    uuid        NOT NULL,
    -- A key older than a day is free again.
    created_at timestamptz NOT NULL,
    PRIMARY KEY (user_id, key)
);
