//! Who may do what to a message: asked before anything is published, by everybody who publishes. The stores ask again,
//! of what the log says (`standing`).

use schema::{
    envelope::Kind,
    id::{RoomId, UserId},
    problem::Code,
};

use crate::Found;

/// What somebody wants to do to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Say something else in its place.
    Edit,
    /// Take it back.
    Delete,
    /// Put an emoji under it.
    React,
    /// Take an emoji away.
    Unreact,
}

/// Whether they may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permit {
    /// They may, whoever they are in the room.
    Granted,
    /// They may if they run the room.
    ByRole,
    /// They may not, and why.
    Refused(Code, &'static str),
}

impl Found {
    /// Whether `sender` may do this to the message, as a member of `room`.
    pub fn permits(&self, deed: Deed, room: RoomId, sender: UserId) -> Permit {
        let is_own = self.sender == Some(sender);
        if self.room_id != room {
            return Permit::Refused(Code::NotFound, "the room has no such message");
        }
        if self.kind != Kind::Message {
            return Permit::Refused(Code::Forbidden, "only messages can be changed");
        }
        match deed {
            Deed::Edit if !is_own => Permit::Refused(Code::Forbidden, "only its author edits a message"),
            Deed::Edit | Deed::React if self.is_deleted => Permit::Refused(Code::Conflict, "the message was deleted"),
            Deed::Delete if !is_own => Permit::ByRole,
            Deed::Edit | Deed::Delete | Deed::React | Deed::Unreact => Permit::Granted,
        }
    }
}

#[cfg(test)]
mod tests {
    use schema::{clock::Timestamp, id::MessageId};

    use super::*;

    #[test]
    fn everybody_may_do_what_is_theirs_to_a_message() {
        let (room, ann, ben) = (RoomId::random(), UserId::random(), UserId::random());
        let message = Found {
            id: MessageId::random(),
            room_id: room,
            seq: 1,
            kind: Kind::Message,
            sender: Some(ann),
            created_at: Timestamp::from_unix_millis(0).unwrap(),
            is_deleted: false,
        };
        let check = |found: Found, deed, sender, expected: Result<Permit, Code>| {
            let permit = found.permits(deed, room, sender);
            let found = if let Permit::Refused(code, _) = permit { Err(code) } else { Ok(permit) };
            assert_eq!(found, expected, "{deed:?}");
        };
        for deed in [Deed::Edit, Deed::Delete, Deed::React, Deed::Unreact] {
            check(message, deed, ann, Ok(Permit::Granted));
            check(Found { kind: Kind::System, sender: None, ..message }, deed, ann, Err(Code::Forbidden));
            check(Found { kind: Kind::MessageUpdated, ..message }, deed, ann, Err(Code::Forbidden));
            check(Found { room_id: RoomId::random(), ..message }, deed, ann, Err(Code::NotFound));
        }
        check(message, Deed::Edit, ben, Err(Code::Forbidden));
        check(message, Deed::Delete, ben, Ok(Permit::ByRole));
        check(message, Deed::React, ben, Ok(Permit::Granted));
        let deleted = Found { is_deleted: true, ..message };
        check(deleted, Deed::Edit, ann, Err(Code::Conflict));
        check(deleted, Deed::React, ben, Err(Code::Conflict));
        check(deleted, Deed::Delete, ann, Ok(Permit::Granted));
        check(deleted, Deed::Unreact, ben, Ok(Permit::Granted));
    }
}
