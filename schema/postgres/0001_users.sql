-- Why: people sign in, and a signed-in device (a session) can be signed out everywhere at once.
-- Refresh tokens live in Redis; their hashes are kept here so that a token Redis no longer knows can
-- still be recognised and its family revoked. It is never accepted from here.
CREATE TABLE users (
    id            uuid PRIMARY KEY,
    -- Lower case; NULL for people who sign in by other means.
    email         text,
    password_hash text,
    display_name  text        NOT NULL,
    role          text        NOT NULL DEFAULT 'user',
    status_text   text,
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL,
    deleted_at    timestamptz,
    CONSTRAINT users_email_key UNIQUE (email),
    CONSTRAINT users_role_check CHECK (role IN ('user', 'business', 'admin'))
);

CREATE TABLE sessions (
    id           uuid PRIMARY KEY,
    user_id      uuid        NOT NULL REFERENCES users (id),
    created_at   timestamptz NOT NULL,
    last_used_at timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    revoked_at   timestamptz,
    -- logout, logout_all, reuse
    revoked_for  text
);
CREATE INDEX sessions_user_id_idx ON sessions (user_id) WHERE revoked_at IS NULL;

CREATE TABLE refresh_tokens (
    -- SHA-256 of the token.
    hash       bytea PRIMARY KEY,
    session_id uuid        NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL
);
CREATE INDEX refresh_tokens_session_id_idx ON refresh_tokens (session_id);
