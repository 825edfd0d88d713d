//! What a message says after everything that was done to it: a pure function of the set of changes, so
//! that both stores end in the same state whatever the order of arrival.

use schema::{
    clock::Timestamp,
    envelope::Kind,
    id::{RoomId, UserId},
};

/// Where the changed message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) room_id: RoomId,
    pub(crate) seq: u64,
    pub(crate) kind: Kind,
    pub(crate) sender: Option<UserId>,
}

/// One edit or deletion of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) room_id: RoomId,
    pub(crate) seq: u64,
    pub(crate) kind: Kind,
    pub(crate) sender: Option<UserId>,
    pub(crate) is_moderator: bool,
    pub(crate) created_at: Timestamp,
    /// What an edit says; none once it was blanked.
    pub(crate) content: Option<String>,
}

/// What counts of a message's changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing<'a> {
    /// The edit that says what the message says.
    pub(crate) edit: Option<&'a Change>,
    /// The seq that deleted it.
    pub(crate) deleted_seq: Option<u64>,
}

impl Target {
    /// Whether a change of this kind by `sender` in `room` may touch it: messages alone are changed, in their own
    /// room, and but for reactions by their author. Who runs the room may delete, and puts words in nobody's mouth.
    pub(crate) fn admits(&self, kind: Kind, room: RoomId, sender: Option<UserId>, is_moderator: bool) -> bool {
        let is_own = sender.is_some() && sender == self.sender;
        let may = match kind {
            Kind::Reaction => true,
            Kind::MessageDeleted => is_own || is_moderator,
            Kind::Message | Kind::MessageUpdated | Kind::System => is_own,
        };
        self.kind == Kind::Message && self.room_id == room && may
    }

    /// As [`Self::admits`], of an edit or deletion.
    pub(crate) fn admits_change(&self, change: &Change) -> bool {
        self.admits(change.kind, change.room_id, change.sender, change.is_moderator)
    }
}

impl<'a> Standing<'a> {
    /// Applies `changes`, in any order, to `target`. One that stands below its message in the log changed nothing
    /// on any phone, so it changes nothing here; the first deletion is final; below it the last edit counts.
    pub(crate) fn of(target: &Target, changes: &'a [Change]) -> Self {
        let effective = |change: &&'a Change| change.seq > target.seq && target.admits_change(change);
        let of_kind = |kind| changes.iter().filter(effective).filter(move |change| change.kind == kind);
        let deleted_seq = of_kind(Kind::MessageDeleted).map(|change| change.seq).min();
        let edit = of_kind(Kind::MessageUpdated)
            .filter(|change| deleted_seq.is_none_or(|deleted| change.seq < deleted))
            .max_by_key(|change| change.seq);
        Self { edit, deleted_seq }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(room_id: RoomId, sender: UserId) -> Target {
        Target { room_id, seq: 10, kind: Kind::Message, sender: Some(sender) }
    }

    fn change(target: &Target, kind: Kind, seq: u64) -> Change {
        let created_at = Timestamp::from_unix_millis(0).unwrap();
        let (room_id, sender, content) = (target.room_id, target.sender, Some(seq.to_string()));
        Change { room_id, seq, kind, sender, is_moderator: false, created_at, content }
    }

    fn check(target: &Target, changes: &[Change], edit: Option<u64>, deleted_seq: Option<u64>) {
        let standing = Standing::of(target, changes);
        assert_eq!((standing.edit.map(|edit| edit.seq), standing.deleted_seq), (edit, deleted_seq));
    }

    #[test]
    fn the_last_edit_counts_and_a_deletion_is_final() {
        let target = target(RoomId::random(), UserId::random());
        let edit = |seq| change(&target, Kind::MessageUpdated, seq);
        let delete = |seq| change(&target, Kind::MessageDeleted, seq);
        check(&target, &[], None, None);
        check(&target, &[edit(12), edit(11)], Some(12), None);
        check(&target, &[edit(14), delete(13), edit(12), delete(15)], Some(12), Some(13));
        check(&target, &[edit(9), delete(8)], None, None);
    }

    #[test]
    fn only_the_author_changes_a_message_and_only_in_its_room() {
        let target = target(RoomId::random(), UserId::random());
        let edit = change(&target, Kind::MessageUpdated, 11);
        let by_another = Change { sender: Some(UserId::random()), ..edit.clone() };
        let by_nobody = Change { sender: None, ..edit.clone() };
        let elsewhere = Change { room_id: RoomId::random(), ..edit };
        check(&target, &[by_another, by_nobody, elsewhere], None, None);
        assert!(target.admits(Kind::Reaction, target.room_id, Some(UserId::random()), false));
        assert!(!target.admits(Kind::Reaction, RoomId::random(), target.sender, false));
        let system = Target { kind: Kind::System, sender: None, ..target };
        assert!(!system.admits(Kind::Reaction, target.room_id, target.sender, false));
        assert!(!system.admits(Kind::MessageDeleted, target.room_id, None, true));
    }

    #[test]
    fn who_runs_the_room_deletes_but_does_not_edit() {
        let target = target(RoomId::random(), UserId::random());
        let by_role =
            |kind, seq| Change { sender: Some(UserId::random()), is_moderator: true, ..change(&target, kind, seq) };
        check(&target, &[by_role(Kind::MessageUpdated, 11), by_role(Kind::MessageDeleted, 12)], None, Some(12));
        let elsewhere = Change { room_id: RoomId::random(), ..by_role(Kind::MessageDeleted, 12) };
        check(&target, &[elsewhere], None, None);
    }
}
