-- Why: nobody may rewrite what happened to an appointment without it being seen. Each change holds a hash over itself and
-- the hash before it; the event's own row holds the last one. Values are hashed with a salt of their own, so that an
-- erased person's values can go, salts and all, while the chain stays whole.
ALTER TABLE event_history ADD COLUMN hash text;
ALTER TABLE events ADD COLUMN history_hash text;
