//! A message that is to be said, and a page of what was.

use chat_store::Page;
use schema::{
    clock::Timestamp,
    envelope::{Body, Kind, MessageType, ReactionAction},
    frame::history::{HistoryItem, ReactionCount},
    id::{MessageId, RoomId, UserId},
    problem::Code,
    text::{Emoji, MessageText, TempId, TextError},
};
use serde::Serialize;
use serde_json::Value;

use crate::{
    error::ApiError,
    http::{Form, any_text, flag, id},
};

/// A page of history.
#[derive(Debug, Serialize)]
pub(super) struct History {
    items: Vec<HistoryItem>,
    has_more_before: bool,
    has_more_after: bool,
    /// Every seq up to it is in the store, and so in this page if it belongs here.
    settled_seq: u64,
}

impl History {
    pub(super) fn new(page: Page, settled_seq: u64) -> Self {
        Self {
            items: page.items,
            has_more_before: page.has_more_before,
            has_more_after: page.has_more_after,
            settled_seq,
        }
    }
}

/// What somebody wants to say.
#[derive(Debug)]
pub(super) struct NewMessage {
    temp_id: TempId,
    content: MessageText,
    message_type: MessageType,
    reply_to_id: Option<MessageId>,
    /// Whether it was sent before.
    pub(super) is_resend: bool,
}

impl NewMessage {
    /// Reads a request's fields.
    pub(super) fn read(mut form: Form) -> Result<Self, ApiError> {
        for field in ["thread_id", "attachments"] {
            if form.has(field) {
                return Err(ApiError::refused(Code::UnsupportedField, format!("{field} is not taken yet")));
            }
        }
        let temp_id = form.required("temp_id", any_text);
        let content = form.required("content", any_text);
        let message_type = form.optional("message_type", message_type).unwrap_or_default();
        let reply_to_id = form.optional("reply_to_id", id);
        let is_resend = form.optional("resend", flag).unwrap_or(false);
        form.finish()?;
        Ok(Self {
            temp_id: parse_temp_id(&temp_id.unwrap_or_default())?,
            content: parse_content(&content.unwrap_or_default())?,
            message_type,
            reply_to_id,
            is_resend,
        })
    }

    /// All that makes it another message.
    pub(super) fn fingerprint(&self) -> Vec<u8> {
        let said = (self.temp_id.as_str(), self.content.as_str(), self.message_type, self.reply_to_id);
        serde_json::to_vec(&said).expect("texts and ids serialise")
    }

    /// The envelope's body.
    pub(super) fn into_body(self, room_id: RoomId, sender_id: UserId, sender_name: String) -> Body {
        Body::Message {
            room_id,
            id: MessageId::of(Kind::Message, sender_id, room_id, &self.temp_id),
            sender_id,
            sender_name,
            temp_id: self.temp_id.into(),
            content: self.content.into(),
            message_type: self.message_type,
            reply_to_id: self.reply_to_id,
        }
    }
}

/// What a message is to say from now on.
#[derive(Debug)]
pub(super) struct NewContent {
    /// The caller's own name for the change, if they gave one.
    pub(super) temp_id: Option<TempId>,
    pub(super) content: MessageText,
}

impl NewContent {
    /// Reads a request's fields.
    pub(super) fn read(mut form: Form) -> Result<Self, ApiError> {
        let temp_id = form.optional("temp_id", any_text);
        let content = form.required("content", any_text);
        form.finish()?;
        let temp_id = temp_id.as_deref().map(parse_temp_id).transpose()?;
        Ok(Self { temp_id, content: parse_content(&content.unwrap_or_default())? })
    }
}

/// Refused with the socket's own codes: a client has one table for both.
fn parse_temp_id(text: &str) -> Result<TempId, ApiError> {
    TempId::parse(text).map_err(|error| ApiError::refused(Code::InvalidTempId, format!("temp_id {error}")))
}

fn parse_content(text: &str) -> Result<MessageText, ApiError> {
    MessageText::parse(text).map_err(|error| {
        let code = match error {
            TextError::TooLong(_) => Code::ContentTooLong,
            TextError::Empty | TextError::Control => Code::InvalidContent,
        };
        ApiError::refused(code, format!("content {error}"))
    })
}

/// A message after an edit that the store may not have yet.
pub(super) fn edited(mut item: HistoryItem, edit: Body, at: Timestamp) -> HistoryItem {
    if let (HistoryItem::Message { content, edited_at, deleted: false, .. }, Body::MessageUpdated { content: new, .. }) =
        (&mut item, edit)
        && edited_at.is_none_or(|edited_at| edited_at < at)
    {
        (*content, *edited_at) = (Some(new), Some(at));
    }
    item
}

/// A message after a reaction that the store may not have yet.
pub(super) fn reacted(mut item: HistoryItem, emoji: &Emoji, action: ReactionAction) -> HistoryItem {
    let HistoryItem::Message { reactions, .. } = &mut item else { return item };
    let at = reactions.iter().position(|reaction| reaction.emoji == emoji.as_str());
    match (at.and_then(|at| reactions.get_mut(at)), action) {
        (Some(reaction), ReactionAction::Added) if !reaction.me => {
            (reaction.count, reaction.me) = (reaction.count + 1, true);
        }
        (Some(reaction), ReactionAction::Removed) if reaction.me => {
            (reaction.count, reaction.me) = (reaction.count.saturating_sub(1), false);
        }
        (None, ReactionAction::Added) => {
            reactions.push(ReactionCount { emoji: emoji.clone().into(), count: 1, me: true });
            reactions.sort_unstable_by(|a, b| a.emoji.cmp(&b.emoji));
        }
        (Some(_) | None, _) => {}
    }
    reactions.retain(|reaction| reaction.count > 0);
    item
}

/// A message as history will show it, straight from the log; `None` for any other envelope.
pub(super) fn item(body: Body, seq: u64, created_at: Timestamp) -> Option<HistoryItem> {
    match body {
        Body::Message { room_id, id, sender_id, sender_name, temp_id, content, message_type, reply_to_id } => {
            Some(HistoryItem::Message {
                room_id,
                id,
                sender_id,
                sender_name,
                temp_id,
                content: Some(content),
                message_type,
                reply_to_id,
                seq,
                created_at,
                edited_at: None,
                deleted: false,
                reactions: Vec::new(),
            })
        }
        Body::MessageUpdated { .. } | Body::MessageDeleted { .. } | Body::Reaction { .. } | Body::System { .. } => None,
    }
}

fn message_type(value: &Value) -> Result<MessageType, &'static str> {
    value.as_str().and_then(MessageType::parse).ok_or("invalid")
}
