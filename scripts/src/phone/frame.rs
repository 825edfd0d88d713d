//! What a phone reads of the server's frames. A field the protocol promises is required here: a frame without it does not
//! parse, and the phone notes that.

use serde::Deserialize;
use uuid::Uuid;

/// A frame of a room's log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct LogFrame {
    /// Where.
    pub room_id: Uuid,
    /// Which message or change.
    pub id: Uuid,
    /// Where it stands.
    pub seq: u64,
    /// Where the frame before it stands.
    pub prev: u64,
    /// When the log stored it.
    pub created_at: String,
    /// Who said it; a `system` frame has nobody.
    pub sender_id: Option<Uuid>,
    /// The sender's own name for it.
    pub temp_id: Option<String>,
    /// What it says.
    pub content: Option<String>,
    /// Which message it changes.
    pub message_id: Option<Uuid>,
    /// Of a reaction: which.
    pub emoji: Option<Box<str>>,
    /// Of a reaction: what became of it.
    pub action: Option<Action>,
}

/// What became of a reaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It stands under the message.
    Added,
    /// It no longer does.
    Removed,
}

/// A frame that tells of a room and has no place in its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Signal {
    /// Which room.
    pub room_id: Uuid,
}

/// What became of something this phone sent.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Word {
    /// It is in the log.
    Sent {
        /// Which message.
        id: Uuid,
        /// Where it stands.
        seq: u64,
    },
    /// It is in the message store.
    Saved {
        /// Which message.
        id: Uuid,
        /// Where it stands.
        seq: u64,
    },
    /// Nobody knows: it has to be sent again.
    Unknown {
        /// Always true.
        retry: bool,
    },
    /// It was refused.
    Failed {
        /// Why.
        code: String,
        /// Whether the same frame may succeed later.
        retry: bool,
        /// When to try.
        retry_after_ms: Option<u64>,
    },
}

/// A frame from the server.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Incoming {
    /// The first frame of every socket.
    Hello {
        /// The protocol's version.
        protocol: u8,
        /// Whose socket it is; null until `auth`.
        user_id: Option<Uuid>,
    },
    /// The token was accepted.
    Authenticated {
        /// Whose it is.
        user_id: Uuid,
    },
    /// The room is live from here on.
    Joined {
        /// Which room.
        room_id: Uuid,
        /// The room's last seq.
        seq: u64,
        /// Whether everything after `since` was replayed.
        recovered: bool,
        /// How many frames were.
        replayed: u64,
    },
    /// The room is no longer heard.
    Left {
        /// Which room.
        room_id: Uuid,
    },
    /// Somebody said something.
    Message(LogFrame),
    /// A message's content was replaced.
    MessageUpdated(LogFrame),
    /// A message was taken back.
    MessageDeleted(LogFrame),
    /// A reaction was added or removed.
    Reaction(LogFrame),
    /// Something happened to the event or the room.
    System(LogFrame),
    /// A seq that can not be shown.
    Skip {
        /// Where.
        room_id: Uuid,
        /// Which seq.
        seq: u64,
        /// The room's seq before it.
        prev: u64,
    },
    /// Somebody types.
    Typing(Signal),
    /// Somebody came or went.
    Presence(Signal),
    /// Somebody has read so far.
    Read(Signal),
    /// There is something new in a room, also in one that is not on the screen.
    RoomUpdated(Signal),
    /// What became of something this phone sent.
    Status {
        /// Where.
        room_id: Option<Uuid>,
        /// The phone's own name for it.
        temp_id: String,
        /// What became of it.
        #[serde(flatten)]
        word: Word,
    },
    /// The user is no longer in the room.
    Removed {
        /// Which room.
        room_id: Uuid,
        /// Why.
        reason: String,
    },
    /// A frame was refused that named no `temp_id`.
    Error {
        /// Why.
        code: String,
        /// What was wrong.
        detail: String,
    },
    /// The answer to a `ping`.
    Pong {
        /// What the ping carried.
        nonce: Option<String>,
    },
    /// The process goes away.
    Reconnect {
        /// How long to wait before coming back.
        after_ms: u64,
    },
    /// Whatever a later server says: a phone ignores what it does not know.
    #[serde(other)]
    Other,
}

impl Incoming {
    /// Reads one text frame.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// The frame and its type's name, if it is one of a room's log (a `skip` has no more than its place).
    pub fn log_frame(&self) -> Option<(&'static str, &LogFrame)> {
        match self {
            Self::Message(frame) => Some(("message", frame)),
            Self::MessageUpdated(frame) => Some(("message_updated", frame)),
            Self::MessageDeleted(frame) => Some(("message_deleted", frame)),
            Self::Reaction(frame) => Some(("reaction", frame)),
            Self::System(frame) => Some(("system", frame)),
            Self::Hello { .. }
            | Self::Authenticated { .. }
            | Self::Joined { .. }
            | Self::Left { .. }
            | Self::Skip { .. }
            | Self::Typing(_)
            | Self::Presence(_)
            | Self::Read(_)
            | Self::RoomUpdated(_)
            | Self::Status { .. }
            | Self::Removed { .. }
            | Self::Error { .. }
            | Self::Pong { .. }
            | Self::Reconnect { .. }
            | Self::Other => None,
        }
    }

    /// The room it is about, if it is about one.
    pub fn room(&self) -> Option<Uuid> {
        match self {
            Self::Joined { room_id, .. }
            | Self::Left { room_id }
            | Self::Skip { room_id, .. }
            | Self::Removed { room_id, .. } => Some(*room_id),
            Self::Typing(signal) | Self::Presence(signal) | Self::Read(signal) | Self::RoomUpdated(signal) => {
                Some(signal.room_id)
            }
            Self::Status { room_id, .. } => *room_id,
            Self::Hello { .. }
            | Self::Authenticated { .. }
            | Self::Message(_)
            | Self::MessageUpdated(_)
            | Self::MessageDeleted(_)
            | Self::Reaction(_)
            | Self::System(_)
            | Self::Error { .. }
            | Self::Pong { .. }
            | Self::Reconnect { .. }
            | Self::Other => self.log_frame().map(|(_, frame)| frame.room_id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: &str = "019aa0e3-6d01-7000-8000-000000000001";

    fn message(place: &str) -> Result<Incoming, serde_json::Error> {
        Incoming::parse(&format!(
            r#"{{"type":"message","room_id":"{ROOM}","id":"{ROOM}","sender_id":"{ROOM}","sender_name":"Ann","temp_id":"a-1",
            "content":"hi","message_type":"text","reply_to_id":null,{place}"created_at":"2026-11-21T05:58:48.927Z"}}"#
        ))
    }

    #[test]
    fn a_log_frame_without_its_place_does_not_parse() {
        assert!(message(r#""seq":4712,"prev":4709,"#).is_ok());
        assert!(message(r#""prev":4709,"#).is_err());
        assert!(message(r#""seq":4712,"#).is_err());
    }

    #[test]
    fn a_status_says_what_became_of_it() {
        let status =
            |rest: &str| Incoming::parse(&format!(r#"{{"type":"status","room_id":"{ROOM}","temp_id":"a-1",{rest}}}"#));
        let word = |rest: &str| match status(rest).unwrap() {
            Incoming::Status { word, .. } => word,
            other => panic!("{other:?}"),
        };
        assert_eq!(word(r#""status":"unknown","retry":true"#), Word::Unknown { retry: true });
        let failed = word(r#""status":"failed","code":"rate_limited","detail":"…","retry":true,"retry_after_ms":800"#);
        assert_eq!(failed, Word::Failed { code: "rate_limited".into(), retry: true, retry_after_ms: Some(800) });
        assert!(status(r#""status":"sent","seq":4712"#).is_err());
    }

    #[test]
    fn what_a_phone_does_not_know_it_ignores() {
        assert_eq!(Incoming::parse(r#"{"type":"from_the_future","a":1}"#).unwrap(), Incoming::Other);
    }
}
