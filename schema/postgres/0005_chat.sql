-- Why: what the log has said rests here, beside users and events, for everybody who does not need
-- more than one machine. The names are those of the CQL tables (schema/scylla/). Three of these need no
-- table in PostgreSQL: buckets only keep CQL's partitions small, and a room's head and a person's
-- messages are one step into an index of chat_messages_by_event.
-- Every write is idempotent and commutes; a row of chat_message_ids is the lock that makes it so.

-- Every seq of a room. A skip has neither kind, id nor body. Append-only, but for two things: the second
-- seq of an id turns into a skip, and a deleted message's text is blanked (erased_seq: by whom).
CREATE TABLE room_log_by_event (
    event_id   uuid        NOT NULL,
    seq        bigint      NOT NULL,
    kind       text,
    id         uuid,
    created_at timestamptz NOT NULL,
    body       text,
    erased_seq bigint,
    PRIMARY KEY (event_id, seq)
);

-- One row per message or system frame, in its present state: history and unread read only this.
CREATE TABLE chat_messages_by_event (
    event_id      uuid        NOT NULL,
    seq           bigint      NOT NULL,
    kind          text        NOT NULL,
    id            uuid        NOT NULL,
    created_at    timestamptz NOT NULL,
    -- Who really sent it; sender_id is who the room sees. NULL: the system.
    sender        uuid,
    sender_id     uuid,
    sender_name   text,
    temp_id       text,
    content       text,
    message_type  text,
    reply_to_id   uuid,
    change        text,
    actor_id      uuid,
    data          text,
    edited_seq    bigint,
    edited_at     timestamptz,
    deleted_seq   bigint,
    has_reactions boolean     NOT NULL DEFAULT false,
    PRIMARY KEY (event_id, seq)
);
-- chat_messages_by_user: what a person wrote, newest first.
CREATE INDEX chat_messages_by_user_idx ON chat_messages_by_event (sender, seq DESC) WHERE kind = 'message';

-- Where an id stands; the lower seq wins. A row without a seq is a stub: something changes a message that
-- is not here yet.
CREATE TABLE chat_message_ids (
    message_id uuid PRIMARY KEY,
    event_id   uuid,
    seq        bigint,
    kind       text,
    sender     uuid,
    created_at timestamptz,
    -- The message that this id changes.
    target_id  uuid
);

-- Edits and deletions by the message they change, so that any order of arrival ends in the same state.
CREATE TABLE chat_message_changes (
    message_id uuid        NOT NULL,
    seq        bigint      NOT NULL,
    event_id   uuid        NOT NULL,
    kind       text        NOT NULL,
    sender     uuid,
    created_at timestamptz NOT NULL,
    content    text,
    is_refused boolean     NOT NULL DEFAULT false,
    PRIMARY KEY (message_id, seq)
);

-- Who reacted with what; of one person's rows with one emoji the highest seq says whether it stands. Older
-- ones are kept because the highest may turn out to be the second seq of its id.
CREATE TABLE message_reactions (
    message_id uuid    NOT NULL,
    emoji      text    NOT NULL,
    user_id    uuid    NOT NULL,
    seq        bigint  NOT NULL,
    event_id   uuid    NOT NULL,
    is_added   boolean NOT NULL,
    PRIMARY KEY (message_id, emoji, user_id, seq)
);

-- Every change of an event, kept for ever.
CREATE TABLE event_history (
    event_id   uuid        NOT NULL,
    changed_at timestamptz NOT NULL,
    change_id  uuid        NOT NULL,
    change     text        NOT NULL,
    version    bigint      NOT NULL,
    actor_id   uuid,
    fields     text        NOT NULL,
    added      uuid[]      NOT NULL,
    removed    uuid[]      NOT NULL,
    PRIMARY KEY (event_id, changed_at, change_id)
);

-- How far a person has read; never moves back.
CREATE TABLE read_marks_by_event (
    event_id uuid        NOT NULL,
    user_id  uuid        NOT NULL,
    seq      bigint      NOT NULL,
    read_at  timestamptz NOT NULL,
    PRIMARY KEY (event_id, user_id)
);

-- The greatest seq ever stored, in one row: a log whose numbers go back is noticed by it.
CREATE TABLE log_high_water (
    name text PRIMARY KEY,
    seq  bigint NOT NULL
);
