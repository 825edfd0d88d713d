//! Every NATS subject is printed and parsed here, and nowhere else.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::id::{RoomId, UserId};

/// Reads an id as subjects are printed: a second spelling would be a second subject for the same room.
fn id_token<T: FromStr>(token: &str) -> Option<T> {
    if token.contains(|c: char| c.is_ascii_uppercase()) {
        return None;
    }
    token.parse().ok()
}

macro_rules! room_subjects {
    ($($(#[$doc:meta])* $name:ident, $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct $name(pub RoomId);

        impl $name {
            /// Matches every room.
            pub const ALL: &'static str = concat!($prefix, "*");

            /// The inverse of [`fmt::Display`]; `None` for any other subject.
            pub fn parse(subject: &str) -> Option<Self> {
                id_token(subject.strip_prefix($prefix)?).map(Self)
            }

            /// Whether a subject begins as these do, even if what follows names no room.
            pub fn begins(subject: &str) -> bool {
                subject.starts_with($prefix)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }
    )*};
}

room_subjects! {
    /// Where a room's log frames are published; the stream `CHAT_MESSAGES` holds them.
    ChatSubject, "chat.message.";
    /// Where the server republishes what it has stored; every gateway that holds the room listens.
    LiveChatSubject, "live.chat.message.";
    /// Typing and presence between gateways; never stored.
    LiveSignalSubject, "live.chat.signal.";
    /// What could not be stored, by the room it was meant for; a message without one goes to the nil room.
    DeadSubject, "chat.dead.";
}

/// Matches both kinds of live traffic of one room (messages and signals) with one subscription, so
/// that their order on the connection is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LiveRoomSubjects(pub RoomId);

impl LiveRoomSubjects {
    /// Matches the live traffic of every room.
    pub const ALL: &'static str = "live.chat.*.*";
}

impl fmt::Display for LiveRoomSubjects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "live.chat.*.{}", self.0)
    }
}

macro_rules! mark_subjects {
    ($($(#[$doc:meta])* $name:ident, $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct $name(pub RoomId, pub UserId);

        impl $name {
            /// Matches every member of every room.
            pub const ALL: &'static str = concat!($prefix, "*.*");

            /// The inverse of [`fmt::Display`]; `None` for any other subject.
            pub fn parse(subject: &str) -> Option<Self> {
                let (room, user) = subject.strip_prefix($prefix)?.split_once('.')?;
                Some(Self(id_token(room)?, id_token(user)?))
            }

            /// Whether a subject begins as these do, even if what follows names no member.
            pub fn begins(subject: &str) -> bool {
                subject.starts_with($prefix)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}.{}"), self.0, self.1)
            }
        }
    )*};
}

mark_subjects! {
    /// How far a member has read; the stream `CHAT_MARKS` keeps the newest.
    MarkSubject, "chat.mark.";
    /// The same, republished.
    LiveMarkSubject, "live.chat.mark.";
}

/// Where all gateways hear what is new in the message store.
pub const MOVED: &str = "chat.moved";

/// Where nats-server says that a consumer of a stream will not be given a message again.
pub fn terminated(stream: &str, consumer: &str) -> String {
    format!("$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.{stream}.{consumer}")
}

/// A gateway's name on NATS: one subject token.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GatewayId(String);

/// The text can not be a subject token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 64 of a-z, A-Z, 0-9, - and _")]
pub struct NotAGatewayId;

impl GatewayId {
    /// Takes 1 to 64 letters, digits, `-` and `_`.
    pub fn parse(text: &str) -> Result<Self, NotAGatewayId> {
        let may_be = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if (1..=64).contains(&text.len()) && text.chars().all(may_be) {
            Ok(Self(text.into()))
        } else {
            Err(NotAGatewayId)
        }
    }

    /// The token.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for GatewayId {
    type Error = NotAGatewayId;

    fn try_from(text: String) -> Result<Self, NotAGatewayId> {
        Self::parse(&text)
    }
}

impl From<GatewayId> for String {
    fn from(id: GatewayId) -> Self {
        id.0
    }
}

impl FromStr for GatewayId {
    type Err = NotAGatewayId;

    fn from_str(text: &str) -> Result<Self, NotAGatewayId> {
        Self::parse(text)
    }
}

/// Where a gateway hears what the worker has saved.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SavedSubject(pub GatewayId);

impl SavedSubject {
    /// Matches every gateway.
    pub const ALL: &'static str = "chat.saved.*";

    /// The inverse of [`fmt::Display`]; `None` for any other subject.
    pub fn parse(subject: &str) -> Option<Self> {
        GatewayId::parse(subject.strip_prefix("chat.saved.")?).ok().map(Self)
    }
}

impl fmt::Display for SavedSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "chat.saved.{}", self.0.as_str())
    }
}
