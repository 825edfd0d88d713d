//! One row of `chat_messages_by_event`, which both stores hold in the same columns.

use schema::{
    change::ChangeKind,
    clock::Timestamp,
    envelope::{Body, Kind, MessageType},
    frame::history::{HistoryItem, ReactionCount},
    id::{MessageId, RoomId, UserId},
};
use uuid::Uuid;

use crate::{Entry, Head, StoreError, column};

const TABLE: &str = "chat_messages_by_event";

/// A message or system frame, as its row holds it.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) room_id: RoomId,
    pub(crate) seq: u64,
    pub(crate) kind: Kind,
    pub(crate) id: MessageId,
    pub(crate) created_at: Timestamp,
    pub(crate) sender: Option<Uuid>,
    pub(crate) sender_id: Option<Uuid>,
    pub(crate) sender_name: Option<String>,
    pub(crate) temp_id: Option<String>,
    pub(crate) content: Option<String>,
    pub(crate) message_type: Option<String>,
    pub(crate) reply_to_id: Option<Uuid>,
    pub(crate) change: Option<String>,
    pub(crate) actor_id: Option<Uuid>,
    pub(crate) data: Option<String>,
    pub(crate) edited_at: Option<Timestamp>,
    pub(crate) is_deleted: bool,
    pub(crate) has_reactions: bool,
}

impl Item {
    /// The row of an entry that nothing has changed yet; `None` for an entry that is no item itself.
    pub(crate) fn of(entry: &Entry) -> Option<Self> {
        let bare = Self {
            room_id: entry.room_id,
            seq: entry.seq,
            kind: entry.body.kind(),
            id: entry.body.id(),
            created_at: entry.logged_at,
            sender: column::of_user(entry.sender),
            sender_id: None,
            sender_name: None,
            temp_id: None,
            content: None,
            message_type: None,
            reply_to_id: None,
            change: None,
            actor_id: None,
            data: None,
            edited_at: None,
            is_deleted: false,
            has_reactions: false,
        };
        match &entry.body {
            Body::Message { sender_id, sender_name, temp_id, content, message_type, reply_to_id, .. } => Some(Self {
                sender_id: Some(sender_id.as_uuid()),
                sender_name: Some(sender_name.clone()),
                temp_id: Some(temp_id.clone()),
                content: Some(content.clone()),
                message_type: Some(message_type.as_str().to_owned()),
                reply_to_id: reply_to_id.map(MessageId::as_uuid),
                ..bare
            }),
            Body::System { change, actor_id, data, .. } => Some(Self {
                change: Some(change.subject().to_owned()),
                actor_id: column::of_user(*actor_id),
                data: Some(data.to_string()),
                ..bare
            }),
            Body::MessageUpdated { .. } | Body::MessageDeleted { .. } | Body::Reaction { .. } => None,
        }
    }

    /// The row as the top of its room: for nobody in particular, so without reactions.
    pub(crate) fn into_head(self) -> Result<Head, StoreError> {
        let (room_id, seq, created_at) = (self.room_id, self.seq, self.created_at);
        Ok(Head { room_id, seq, created_at, last_message: Some(self.into_history(Vec::new())?) })
    }

    /// What the row says to a reader.
    pub(crate) fn into_history(self, reactions: Vec<ReactionCount>) -> Result<HistoryItem, StoreError> {
        let id = self.id;
        let absent = |column| move || column::corrupt(TABLE, column, id);
        match self.kind {
            Kind::Message => {
                let message_type = self.message_type.as_deref().and_then(MessageType::parse);
                Ok(HistoryItem::Message {
                    room_id: self.room_id,
                    id,
                    sender_id: self.sender_id.map(UserId::from_uuid).ok_or_else(absent("sender_id"))?,
                    sender_name: self.sender_name.ok_or_else(absent("sender_name"))?,
                    temp_id: self.temp_id.ok_or_else(absent("temp_id"))?,
                    content: self.content.filter(|_| !self.is_deleted),
                    message_type: message_type.ok_or_else(absent("message_type"))?,
                    reply_to_id: self.reply_to_id.map(MessageId::from_uuid),
                    seq: self.seq,
                    created_at: self.created_at,
                    edited_at: self.edited_at,
                    deleted: self.is_deleted,
                    reactions,
                })
            }
            Kind::System => {
                let change = self.change.as_deref().and_then(ChangeKind::parse).ok_or_else(absent("change"))?;
                let data = self.data.as_deref().and_then(|data| serde_json::from_str(data).ok());
                Ok(HistoryItem::System {
                    room_id: self.room_id,
                    id,
                    change,
                    actor_id: self.actor_id.map(UserId::from_uuid),
                    data: data.ok_or_else(absent("data"))?,
                    seq: self.seq,
                    created_at: self.created_at,
                    edited_at: None,
                    deleted: false,
                    reactions: Vec::new(),
                })
            }
            Kind::MessageUpdated | Kind::MessageDeleted | Kind::Reaction => Err(absent("kind")()),
        }
    }
}
