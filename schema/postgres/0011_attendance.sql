-- Why: who came, and who did not. The mark stands here; every change of it stands in the event's history.
ALTER TABLE room_members
    ADD COLUMN attendance        text,
    ADD COLUMN attendance_reason text,
    ADD COLUMN attendance_at     timestamptz,
    ADD CONSTRAINT room_members_attendance_check CHECK (attendance IN ('checked_in', 'no_show'));
