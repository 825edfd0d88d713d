//! A row of history, as REST answers it: the log frame without `prev`, in its present state.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    change::ChangeKind,
    clock::Timestamp,
    envelope::MessageType,
    id::{MessageId, RoomId, UserId},
};

/// How often an emoji stands under a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReactionCount {
    /// Which emoji.
    pub emoji: String,
    /// From how many people.
    pub count: u64,
    /// Whether the reader is one of them.
    pub me: bool,
}

/// One item of a history page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum HistoryItem {
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
        /// What it says now; null once deleted.
        content: Option<String>,
        /// How to show it.
        message_type: MessageType,
        /// What it answers.
        reply_to_id: Option<MessageId>,
        /// Where it stands.
        seq: u64,
        /// When the log stored it.
        created_at: Timestamp,
        /// When it was last edited.
        edited_at: Option<Timestamp>,
        /// Whether it was taken back.
        deleted: bool,
        /// What stands under it.
        reactions: Vec<ReactionCount>,
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
        /// Where it stands.
        seq: u64,
        /// When the log stored it.
        created_at: Timestamp,
        /// Always null.
        edited_at: Option<Timestamp>,
        /// Always false.
        deleted: bool,
        /// Always empty.
        reactions: Vec<ReactionCount>,
    },
}

impl HistoryItem {
    /// Where it stands.
    pub const fn seq(&self) -> u64 {
        match self {
            Self::Message { seq, .. } | Self::System { seq, .. } => *seq,
        }
    }

    /// Which message or frame it is.
    pub const fn id(&self) -> MessageId {
        match self {
            Self::Message { id, .. } | Self::System { id, .. } => *id,
        }
    }

    /// When the log stored it.
    pub const fn created_at(&self) -> Timestamp {
        match self {
            Self::Message { created_at, .. } | Self::System { created_at, .. } => *created_at,
        }
    }
}
