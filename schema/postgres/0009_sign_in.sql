-- Why: a person may sign in in several ways. Who they are elsewhere is that place's lasting name for them (Google's
-- `sub`, a phone number), never an e-mail: an address does not say who has it. Codes for phones live in Redis alone.
CREATE TABLE user_identities (
    provider   text        NOT NULL,
    subject    text        NOT NULL,
    -- Written before the account is, in one transaction: of two who come at once, the second waits here.
    user_id    uuid        NOT NULL REFERENCES users (id) DEFERRABLE INITIALLY DEFERRED,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (provider, subject),
    CONSTRAINT user_identities_provider_check CHECK (provider IN ('google', 'phone'))
);
CREATE INDEX user_identities_user_id_idx ON user_identities (user_id);
