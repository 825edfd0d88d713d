-- Why: one table says who is in a room. An event's participants are exactly its room's members, so
-- the two can not drift apart; who declines stays a member.
CREATE TABLE rooms (
    id           uuid PRIMARY KEY,
    room_type    text        NOT NULL,
    name         text        NOT NULL,
    description  text,
    display_mode text        NOT NULL DEFAULT 'open',
    -- Keys the aliases of a blind room; NULL in an open one.
    alias_secret bytea,
    is_archived  boolean     NOT NULL DEFAULT false,
    notice       text,
    created_by   uuid        NOT NULL REFERENCES users (id),
    version      bigint      NOT NULL DEFAULT 1,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    CONSTRAINT rooms_room_type_check CHECK (room_type IN ('event', 'direct', 'team', 'matching')),
    CONSTRAINT rooms_display_mode_check CHECK (display_mode IN ('open', 'blind')),
    CONSTRAINT rooms_alias_secret_check CHECK ((display_mode = 'blind') = (alias_secret IS NOT NULL))
);

CREATE TABLE room_members (
    room_id        uuid        NOT NULL REFERENCES rooms (id),
    user_id        uuid        NOT NULL REFERENCES users (id),
    role           text        NOT NULL DEFAULT 'member',
    -- A participant's answer; NULL in a room that is no event's.
    answer         text,
    anonymous_name text,
    group_label    text,
    is_muted       boolean     NOT NULL DEFAULT false,
    joined_at      timestamptz NOT NULL,
    PRIMARY KEY (room_id, user_id),
    CONSTRAINT room_members_role_check CHECK (role IN ('owner', 'admin', 'member')),
    CONSTRAINT room_members_answer_check CHECK (answer IN ('pending', 'accepted', 'declined', 'tentative'))
);
CREATE INDEX room_members_user_id_idx ON room_members (user_id, room_id);
