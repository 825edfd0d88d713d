//! What moves on the stream EVENTS: that an appointment, a room or a person's sessions changed.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    clock::Timestamp,
    id::{ChangeId, EventId, RoomId, SessionId, UserId},
};

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $subject:literal;)*) => {
        /// What happened; its name is also the NATS subject it is published on.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum ChangeKind {
            $($(#[$doc])* #[serde(rename = $subject)] $name,)*
        }

        impl ChangeKind {
            /// Every kind there is.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The subject, and the name in `change`.
            pub const fn subject(self) -> &'static str {
                match self { $(Self::$name => $subject,)* }
            }

            /// The inverse of [`Self::subject`]; `None` for any other subject.
            pub fn parse(subject: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|kind| kind.subject() == subject)
            }
        }
    };
}

kinds! {
    /// An event was made.
    EventCreated = "event.created";
    /// An event's fields were changed.
    EventUpdated = "event.updated";
    /// An event was confirmed.
    EventConfirmed = "event.confirmed";
    /// An event was called off.
    EventCancelled = "event.cancelled";
    /// An event has taken place.
    EventCompleted = "event.completed";
    /// An event was deleted; its room is archived.
    EventDeleted = "event.deleted";
    /// People were added to an event, left it or answered.
    EventParticipantsChanged = "event.participants_changed";
    /// People were added to a room that is no event's, or left it.
    RoomMembersChanged = "room.members_changed";
    /// A session, or every session of a person, was signed out.
    UserSessionsRevoked = "user.sessions_revoked";
}

/// One field of an event, before and after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldChange {
    /// The field's name in REST.
    pub field: String,
    /// What it held; `null` at creation.
    pub old: Value,
    /// What it holds now.
    pub new: Value,
    /// Makes the digest of a short value impossible to guess, in hex; erased with the values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<String>,
    /// Over salt and values, in hex; stays when they are erased. See [`crate::history`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// The body of a message on EVENTS. `Nats-Msg-Id` is `id`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The outbox row.
    pub id: ChangeId,
    /// What happened; equals the subject.
    pub change: ChangeKind,
    /// Which event, of the `event.*` kinds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_id: Option<EventId>,
    /// Which room, of the kinds that change who may hear it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room_id: Option<RoomId>,
    /// Whose sessions, of the `user.*` kinds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// Which session; none = all of the user's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<SessionId>,
    /// The changed thing's version after the change.
    pub version: i64,
    /// Who did it; none = the system.
    pub actor_id: Option<UserId>,
    /// When it was committed, by the API's clock.
    pub changed_at: Timestamp,
    /// What it held before and holds now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldChange>,
    /// Who came in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<UserId>,
    /// Who left, or was removed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<UserId>,
    /// Of an event's changes: over this one and the one before it, in hex. See [`crate::history`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
}
