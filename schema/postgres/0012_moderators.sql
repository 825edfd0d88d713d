-- Why: who runs a room may delete in it what others said. Whether they did run it then is looked up once, by the worker,
-- and kept with the deletion: it must not depend on when the deletion is applied.
ALTER TABLE chat_message_changes ADD COLUMN is_moderator boolean NOT NULL DEFAULT false;
