//! What a client says on the socket, parsed once into types that can not hold nonsense.

use std::borrow::Cow;

use serde::{Deserialize, de::IgnoredAny};

use crate::{
    envelope::MessageType,
    frame::limit,
    id::{MessageId, RoomId},
    problem::Code,
    text::{Emoji, MessageText, TempId, TextError},
};

/// A frame from the client. A `room_id` may be left out on a socket whose address named the room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientFrame {
    /// Says who the socket is, or renews that.
    Auth {
        /// An access token.
        token: String,
    },
    /// Asks for a room's frames.
    Join {
        /// Which room.
        room_id: Option<RoomId>,
        /// The greatest seq the client was told of in it.
        since: Option<u64>,
    },
    /// Gives a room's frames up.
    Leave {
        /// Which room.
        room_id: Option<RoomId>,
    },
    /// Says something.
    Message {
        /// Where.
        room_id: Option<RoomId>,
        /// The client's own name for it.
        temp_id: TempId,
        /// What.
        content: MessageText,
        /// How to show it.
        message_type: MessageType,
        /// What it answers.
        reply_to_id: Option<MessageId>,
        /// Whether it was sent before.
        is_resend: bool,
    },
    /// Replaces a message's content.
    Edit {
        /// Where.
        room_id: Option<RoomId>,
        /// The client's own name for the change.
        temp_id: TempId,
        /// Which message.
        message_id: MessageId,
        /// The message's own `temp_id`: proves who wrote it.
        message_temp_id: Option<TempId>,
        /// What it says from now on.
        content: MessageText,
        /// Whether it was sent before.
        is_resend: bool,
    },
    /// Takes a message back.
    Delete {
        /// Where.
        room_id: Option<RoomId>,
        /// The client's own name for the change.
        temp_id: TempId,
        /// Which message.
        message_id: MessageId,
        /// The message's own `temp_id`: proves who wrote it.
        message_temp_id: Option<TempId>,
        /// Whether it was sent before.
        is_resend: bool,
    },
    /// Puts an emoji under a message, or takes it away.
    React {
        /// Where.
        room_id: Option<RoomId>,
        /// The client's own name for the change.
        temp_id: TempId,
        /// Which message.
        message_id: MessageId,
        /// Which emoji.
        emoji: Emoji,
        /// False for `unreact`.
        is_added: bool,
        /// Whether it was sent before.
        is_resend: bool,
    },
    /// Says how far the user has read.
    Read {
        /// Where.
        room_id: Option<RoomId>,
        /// Up to which seq; none = to the top.
        seq: Option<u64>,
    },
    /// Says whether the user types.
    Typing {
        /// Where.
        room_id: Option<RoomId>,
        /// Whether they do.
        is_active: bool,
    },
    /// Asks for a `pong`.
    Ping {
        /// Comes back in the `pong`.
        nonce: Option<String>,
    },
}

/// Why a frame does not fit the protocol, and what of it could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadFrame {
    /// The reason.
    pub code: Code,
    /// What was wrong this time.
    pub detail: String,
    /// What the frame called itself.
    pub temp_id: Option<String>,
    /// Which room it was for.
    pub room_id: Option<RoomId>,
}

#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    r#type: Cow<'a, str>,
    token: Option<String>,
    #[serde(borrow)]
    room_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    temp_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    content: Option<Cow<'a, str>>,
    message_type: Option<MessageType>,
    #[serde(borrow)]
    reply_to_id: Option<Cow<'a, str>>,
    resend: Option<bool>,
    #[serde(borrow)]
    message_id: Option<Cow<'a, str>>,
    message_temp_id: Option<Cow<'a, str>>,
    emoji: Option<String>,
    seq: Option<u64>,
    since: Option<u64>,
    active: Option<bool>,
    nonce: Option<String>,
    thread_id: Option<IgnoredAny>,
    attachments: Option<IgnoredAny>,
}

/// What a refused frame is answered with. Other fields are skipped without being built, however deep.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Names {
    temp_id: serde_json::Value,
    room_id: serde_json::Value,
}

impl ClientFrame {
    /// Reads one text frame.
    pub fn parse(text: &str) -> Result<Self, BadFrame> {
        if !text.trim_ascii_start().starts_with('{') {
            // The parser would take an array, too, with a frame's fields in the order of this file.
            return Err(BadFrame::nameless("not a JSON object".into()));
        }
        let fields: Fields<'_> = match serde_json::from_str(text) {
            Ok(fields) => fields,
            Err(error) => return Err(BadFrame::unreadable(text, &error)),
        };
        fields.frame().map_err(|(code, detail)| BadFrame {
            code,
            detail,
            temp_id: fields.temp_id.as_deref().and_then(|text| TempId::parse(text).ok()).map(String::from),
            room_id: fields.room_id.as_deref().and_then(|text| text.parse().ok()),
        })
    }
}

impl BadFrame {
    fn nameless(detail: String) -> Self {
        Self { code: Code::InvalidFrame, detail, temp_id: None, room_id: None }
    }

    /// The frame is not of the form at all; its `temp_id` may still be readable.
    fn unreadable(text: &str, error: &serde_json::Error) -> Self {
        // The category and place, never the text itself: it may hold a token.
        let refused = Self::nameless(format!("{:?} error at column {}", error.classify(), error.column()));
        let names: Names = serde_json::from_str(text).unwrap_or_default();
        Self {
            temp_id: names.temp_id.as_str().and_then(|text| TempId::parse(text).ok()).map(String::from),
            room_id: names.room_id.as_str().and_then(|text| text.parse().ok()),
            ..refused
        }
    }
}

type Refused = (Code, String);

fn missing(field: &str) -> Refused {
    (Code::InvalidFrame, format!("{field} is required"))
}

impl Fields<'_> {
    fn frame(&self) -> Result<ClientFrame, Refused> {
        match &*self.r#type {
            "auth" => Ok(ClientFrame::Auth { token: self.token.clone().ok_or_else(|| missing("token"))? }),
            "join" => Ok(ClientFrame::Join { room_id: self.room_id()?, since: self.since }),
            "leave" => Ok(ClientFrame::Leave { room_id: self.room_id()? }),
            "message" | "send" => self.message(),
            "edit" => Ok(ClientFrame::Edit {
                room_id: self.room_id()?,
                temp_id: self.temp_id()?,
                message_id: self.message_id()?,
                message_temp_id: self.message_temp_id()?,
                content: self.content()?,
                is_resend: self.is_resend(),
            }),
            "delete" => Ok(ClientFrame::Delete {
                room_id: self.room_id()?,
                temp_id: self.temp_id()?,
                message_id: self.message_id()?,
                message_temp_id: self.message_temp_id()?,
                is_resend: self.is_resend(),
            }),
            "react" | "unreact" => Ok(ClientFrame::React {
                room_id: self.room_id()?,
                temp_id: self.temp_id()?,
                message_id: self.message_id()?,
                emoji: self.emoji()?,
                is_added: self.r#type == "react",
                is_resend: self.is_resend(),
            }),
            "read" => Ok(ClientFrame::Read { room_id: self.room_id()?, seq: self.seq }),
            "typing" => Ok(ClientFrame::Typing {
                room_id: self.room_id()?,
                is_active: self.active.ok_or_else(|| missing("active"))?,
            }),
            "ping" => self.ping(),
            _ => Err((Code::UnknownType, "no frame has this type".into())),
        }
    }

    fn message(&self) -> Result<ClientFrame, Refused> {
        if self.thread_id.is_some() {
            return Err((Code::UnsupportedField, "thread_id is not taken yet".into()));
        }
        if self.attachments.is_some() {
            return Err((Code::UnsupportedField, "attachments is not taken yet".into()));
        }
        let reply_to_id = match &self.reply_to_id {
            Some(text) => {
                let id = text.parse().map_err(|_not_an_id| (Code::InvalidFrame, "reply_to_id is not an id".into()))?;
                Some(id)
            }
            None => None,
        };
        Ok(ClientFrame::Message {
            room_id: self.room_id()?,
            temp_id: self.temp_id()?,
            content: self.content()?,
            message_type: self.message_type.unwrap_or_default(),
            reply_to_id,
            is_resend: self.is_resend(),
        })
    }

    fn ping(&self) -> Result<ClientFrame, Refused> {
        match &self.nonce {
            Some(nonce) if nonce.chars().count() > limit::NONCE_CHARS_MAX => {
                Err((Code::InvalidFrame, format!("nonce may have at most {} characters", limit::NONCE_CHARS_MAX)))
            }
            nonce => Ok(ClientFrame::Ping { nonce: nonce.clone() }),
        }
    }

    fn room_id(&self) -> Result<Option<RoomId>, Refused> {
        match &self.room_id {
            Some(text) => {
                let id = text.parse().map_err(|_not_an_id| (Code::InvalidFrame, "room_id is not an id".into()))?;
                Ok(Some(id))
            }
            None => Ok(None),
        }
    }

    fn temp_id(&self) -> Result<TempId, Refused> {
        let text = self.temp_id.as_deref().ok_or_else(|| (Code::InvalidTempId, "temp_id is required".into()))?;
        TempId::parse(text).map_err(|error| (Code::InvalidTempId, format!("temp_id {error}")))
    }

    fn message_temp_id(&self) -> Result<Option<TempId>, Refused> {
        match self.message_temp_id.as_deref().map(TempId::parse) {
            Some(Ok(temp_id)) => Ok(Some(temp_id)),
            Some(Err(error)) => Err((Code::InvalidTempId, format!("message_temp_id {error}"))),
            None => Ok(None),
        }
    }

    fn message_id(&self) -> Result<MessageId, Refused> {
        let text = self.message_id.as_deref().ok_or_else(|| missing("message_id"))?;
        text.parse().map_err(|_not_an_id| (Code::InvalidFrame, "message_id is not an id".into()))
    }

    fn content(&self) -> Result<MessageText, Refused> {
        let text = self.content.as_deref().ok_or_else(|| missing("content"))?;
        MessageText::parse(text).map_err(|error| match error {
            TextError::TooLong(_) => (Code::ContentTooLong, format!("content {error}")),
            TextError::Empty | TextError::Control => (Code::InvalidContent, format!("content {error}")),
        })
    }

    fn emoji(&self) -> Result<Emoji, Refused> {
        let emoji = self.emoji.as_deref().ok_or_else(|| missing("emoji"))?;
        Emoji::parse(emoji).map_err(|error| (Code::InvalidFrame, error.to_string()))
    }

    fn is_resend(&self) -> bool {
        self.resend.unwrap_or(false)
    }
}

#[cfg(test)]
mod tests;
