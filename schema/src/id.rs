//! Ids are types: a room can not be passed where a user is meant.
//!
//! All of them are UUIDs, written as text on every wire. The registry below is append-only.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{envelope::Kind, text::TempId};

/// The text was not a UUID in its usual hyphenated form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a UUID")]
pub struct NotAnId;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, sqlx::Type)]
        #[serde(transparent)]
        #[sqlx(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A new one, ordered by time of making (`UUIDv7`).
            pub fn random() -> Self {
                Self(Uuid::now_v7())
            }

            /// Takes a UUID for this kind of id.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID itself, for a driver that wants one.
            pub const fn as_uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0.as_hyphenated())
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;

            /// Accepts the hyphenated form alone: the same id must have one spelling in a subject.
            fn from_str(text: &str) -> Result<Self, NotAnId> {
                if text.len() != uuid::fmt::Hyphenated::LENGTH {
                    return Err(NotAnId);
                }
                Uuid::try_parse(text).map(Self).map_err(|_malformed| NotAnId)
            }
        }
    )*};
}

ids! {
    /// A person with an account.
    UserId;
    /// An appointment, and so the chat room that belongs to it.
    EventId;
    /// Where messages go; an event's room has the event's own id.
    RoomId;
    /// One message, or one change of one; see [`MessageId::of`].
    MessageId;
    /// A bookable stretch of somebody's time.
    SlotId;
    /// What somebody pays for a slot.
    PaymentId;
    /// A signed-in device: one family of refresh tokens, `sid` in the access token.
    SessionId;
    /// One row of the outbox, and the `Nats-Msg-Id` it is published under.
    ChangeId;
    /// One socket, as the client and the logs name it.
    ConnectionId;
}

impl From<EventId> for RoomId {
    fn from(event: EventId) -> Self {
        Self(event.0)
    }
}

impl From<ChangeId> for MessageId {
    /// A `system` frame's id is the id of the outbox row that carries it.
    fn from(change: ChangeId) -> Self {
        Self(change.0)
    }
}

impl MessageId {
    /// The id of what `sender` names `temp_id` in `room`: whoever computes it, whenever, on any
    /// gateway, gets the same one, so a retry is the same message for ever.
    ///
    /// `UUIDv8` out of the first 16 bytes of SHA-256 over a versioned prefix, the frame's type, a
    /// zero byte, the visible sender, the room and the `temp_id`.
    pub fn of(kind: Kind, sender: UserId, room: RoomId, temp_id: &TempId) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"timingle.id.1");
        hash.update(kind.client_type().as_bytes());
        hash.update([0]);
        hash.update(sender.0.as_bytes());
        hash.update(room.0.as_bytes());
        hash.update(temp_id.as_str().as_bytes());
        let mut bytes = [0; 16];
        for (to, from) in bytes.iter_mut().zip(hash.finalize()) {
            *to = from;
        }
        Self(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }
}
