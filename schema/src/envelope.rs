//! What travels on JetStream for a room: the server frame without `seq`, `prev` and `created_at`,
//! which only the log can know, as one JSON object with `type` first.
//!
//! Version, true sender, gateway and resend mark are headers, so a gateway turns a stored envelope
//! into a frame by cutting one byte and appending the three ([`splice`]).

mod headers;

use std::fmt;

use async_nats::HeaderMap;
use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    change::ChangeKind,
    clock::Timestamp,
    id::{MessageId, RoomId, UserId},
    subject::ChatSubject,
};

pub use headers::Headers;

/// The most bytes an envelope's body may have; the stream refuses larger messages.
pub const BODY_BYTES_MAX: usize = 120 * 1024;

/// What kind of log frame an envelope is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Somebody said something.
    Message,
    /// A message's content was replaced.
    MessageUpdated,
    /// A message was taken back.
    MessageDeleted,
    /// A reaction was added or removed.
    Reaction,
    /// Something happened to the event or the room.
    System,
}

impl Kind {
    /// Every kind there is.
    pub const ALL: [Self; 5] =
        [Self::Message, Self::MessageUpdated, Self::MessageDeleted, Self::Reaction, Self::System];

    /// The name in `type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::MessageUpdated => "message_updated",
            Self::MessageDeleted => "message_deleted",
            Self::Reaction => "reaction",
            Self::System => "system",
        }
    }

    /// The inverse of [`Self::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// The type of the client frame that asks for it: what [`MessageId::of`] hashes. A reaction is
    /// added by `react` and removed by `unreact`; the action is not part of the kind, so `react`
    /// stands for both and their `temp_id`s share one space.
    pub const fn client_type(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::MessageUpdated => "edit",
            Self::MessageDeleted => "delete",
            Self::Reaction => "react",
            Self::System => "system",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a client shows a message's content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageType {
    /// Words.
    #[default]
    Text,
    /// A picture.
    Image,
    /// Any other file.
    File,
}

impl MessageType {
    /// The name on every wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Image => "image",
            Self::File => "file",
        }
    }

    /// The inverse of [`Self::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Text, Self::Image, Self::File].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// Whether a reaction came or went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReactionAction {
    /// It is there now.
    Added,
    /// It is gone.
    Removed,
}

/// The body of an envelope. The order of the fields is the order on the wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Body {
    /// Somebody said something.
    Message {
        /// Where.
        room_id: RoomId,
        /// Which message.
        id: MessageId,
        /// Who, as the room sees them.
        sender_id: UserId,
        /// Their name at the time.
        sender_name: String,
        /// Their own name for the message.
        temp_id: String,
        /// What they said.
        content: String,
        /// How to show it.
        message_type: MessageType,
        /// What they answer.
        reply_to_id: Option<MessageId>,
    },
    /// A message's content was replaced.
    MessageUpdated {
        /// Where.
        room_id: RoomId,
        /// Which change.
        id: MessageId,
        /// Of which message.
        message_id: MessageId,
        /// What it says now.
        content: String,
        /// Who changed it.
        sender_id: UserId,
        /// Their own name for the change.
        temp_id: String,
    },
    /// A message was taken back.
    MessageDeleted {
        /// Where.
        room_id: RoomId,
        /// Which change.
        id: MessageId,
        /// Of which message.
        message_id: MessageId,
        /// Who deleted it.
        sender_id: UserId,
        /// Their own name for the change.
        temp_id: String,
    },
    /// A reaction was added or removed.
    Reaction {
        /// Where.
        room_id: RoomId,
        /// Which change.
        id: MessageId,
        /// Of which message.
        message_id: MessageId,
        /// Which emoji.
        emoji: String,
        /// Whether it came or went.
        action: ReactionAction,
        /// Whose it is.
        sender_id: UserId,
        /// Their own name for the change.
        temp_id: String,
    },
    /// Something happened to the event or the room.
    System {
        /// Where.
        room_id: RoomId,
        /// Which frame.
        id: MessageId,
        /// What happened.
        change: ChangeKind,
        /// Who did it; none = the system.
        actor_id: Option<UserId>,
        /// What is worth showing of it.
        data: Value,
    },
}

impl Body {
    /// What kind of log frame it is.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Message { .. } => Kind::Message,
            Self::MessageUpdated { .. } => Kind::MessageUpdated,
            Self::MessageDeleted { .. } => Kind::MessageDeleted,
            Self::Reaction { .. } => Kind::Reaction,
            Self::System { .. } => Kind::System,
        }
    }

    /// Where it belongs.
    pub const fn room_id(&self) -> RoomId {
        match self {
            Self::Message { room_id, .. }
            | Self::MessageUpdated { room_id, .. }
            | Self::MessageDeleted { room_id, .. }
            | Self::Reaction { room_id, .. }
            | Self::System { room_id, .. } => *room_id,
        }
    }

    /// Its own id; also its `Nats-Msg-Id`.
    pub const fn id(&self) -> MessageId {
        match self {
            Self::Message { id, .. }
            | Self::MessageUpdated { id, .. }
            | Self::MessageDeleted { id, .. }
            | Self::Reaction { id, .. }
            | Self::System { id, .. } => *id,
        }
    }

    /// The message that it changes; none if it is one itself.
    pub const fn target(&self) -> Option<MessageId> {
        match self {
            Self::MessageUpdated { message_id, .. }
            | Self::MessageDeleted { message_id, .. }
            | Self::Reaction { message_id, .. } => Some(*message_id),
            Self::Message { .. } | Self::System { .. } => None,
        }
    }

    /// Whether `other` says the same under the same id: everything but the snapshot of the sender's
    /// name, which may differ between a message and its retry.
    pub fn says_the_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Message { sender_name: name, .. }, Self::Message { .. }) => {
                let mut renamed = other.clone();
                if let Self::Message { sender_name, .. } = &mut renamed {
                    sender_name.clone_from(name);
                }
                *self == renamed
            }
            _ => self == other,
        }
    }

    /// The JSON that is published.
    pub fn to_bytes(&self) -> Bytes {
        serde_json::to_vec(self).expect("strings, ids and JSON values serialise").into()
    }
}

/// Why a message on a chat subject is no envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// `Timingle-V` is missing or of another version.
    #[error("unknown envelope version")]
    Version,
    /// One of our headers does not hold what it must.
    #[error("malformed header")]
    Headers,
    /// More than [`BODY_BYTES_MAX`].
    #[error("body too large")]
    TooLarge,
    /// Not UTF-8.
    #[error("body is not UTF-8")]
    NotUtf8,
    /// Not one JSON object with `type` first, or without the fields of its type.
    #[error("body is not an envelope")]
    NotAnEnvelope,
    /// The body names another room than the subject.
    #[error("body names another room than its subject")]
    OtherRoom,
}

/// What a gateway needs to know of an envelope to show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// What kind of log frame it is.
    pub kind: Kind,
    /// Its own id.
    pub id: MessageId,
    /// The message that it changes, if it changes one.
    pub target: Option<MessageId>,
    /// Who really sent it; none = the system.
    pub sender: Option<UserId>,
    /// Whether they act by their role in the room.
    pub is_moderator: bool,
}

/// Checks, once and for all sockets, that `body` can be shown in `room`: UTF-8, one JSON object, `type`
/// first and of a known kind, the subject's room, last byte `}`.
pub fn check(room: RoomId, headers: Option<&HeaderMap>, body: &[u8]) -> Result<Head, Malformed> {
    #[derive(Deserialize)]
    struct Fields {
        r#type: Kind,
        room_id: RoomId,
        id: MessageId,
        message_id: Option<MessageId>,
    }
    let (Headers { sender, is_moderator, .. }, text) = check_frame(headers, body)?;
    let is_plain = |word: &[u8]| !word.contains(&b'\\');
    if !first_type(body).is_some_and(is_plain) || !text.ends_with('}') {
        return Err(Malformed::NotAnEnvelope);
    }
    let fields: Fields = serde_json::from_str(text).map_err(|_not_one_object| Malformed::NotAnEnvelope)?;
    if fields.room_id != room {
        return Err(Malformed::OtherRoom);
    }
    Ok(Head { kind: fields.r#type, id: fields.id, target: fields.message_id, sender, is_moderator })
}

/// The word at the key `type`, if that is the object's first, however it is spaced; nothing else is looked at. In an
/// envelope that was checked it has no escapes, so that it can be compared as it stands.
pub fn first_type(body: &[u8]) -> Option<&[u8]> {
    let key = body.strip_prefix(b"{")?.trim_ascii_start().strip_prefix(br#""type""#)?;
    let word = key.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start().strip_prefix(b"\"")?;
    word.split(|byte| *byte == b'"').next()
}

/// Reads a whole envelope from the log, as the worker does before it stores one.
pub fn read(subject: ChatSubject, headers: Option<&HeaderMap>, body: &[u8]) -> Result<(Headers, Body), Malformed> {
    check(subject.0, headers, body)?;
    let body = serde_json::from_slice(body).map_err(|_fields_missing| Malformed::NotAnEnvelope)?;
    Ok((Headers::parse(headers)?, body))
}

fn check_frame<'a>(headers: Option<&HeaderMap>, body: &'a [u8]) -> Result<(Headers, &'a str), Malformed> {
    let headers = Headers::parse(headers)?;
    if body.len() > BODY_BYTES_MAX {
        return Err(Malformed::TooLarge);
    }
    Ok((headers, std::str::from_utf8(body).map_err(|_invalid| Malformed::NotUtf8)?))
}

/// Turns a checked body into the frame that phones get: its last byte is cut and `seq`, `prev` and
/// `created_at` are appended.
pub fn splice(body: &[u8], seq: u64, prev: u64, created_at: Timestamp) -> Bytes {
    let open = body.strip_suffix(b"}").unwrap_or(body);
    let tail = format!(r#","seq":{seq},"prev":{prev},"created_at":"{created_at}"}}"#);
    let mut frame = BytesMut::with_capacity(open.len() + tail.len());
    frame.put_slice(open);
    frame.put_slice(tail.as_bytes());
    frame.freeze()
}

#[cfg(test)]
mod tests;
