//! `edit`, `delete`, `react` and `unreact`: what is done to a message that is there. It takes the way of a message;
//! whoever names their own message by its `temp_id` proves that it is theirs, and nothing has to be looked up.

use std::sync::Arc;

use chat_store::{Deed, Permit};
use schema::{
    envelope::{Body, Kind, ReactionAction},
    id::{MessageId, RoomId, UserId},
    problem::Code,
    text::{Emoji, MessageText, TempId},
};

use super::{
    refuse,
    send::{Draft, Place, submit, take_place},
};
use crate::{connection::Connection, hub::Seat, publisher::Question};

/// What a client wants to do to a message.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) temp_id: TempId,
    pub(crate) message_id: MessageId,
    /// The message's own `temp_id`.
    pub(crate) message_temp_id: Option<TempId>,
    pub(crate) how: How,
    pub(crate) is_resend: bool,
}

/// What is to be done.
#[derive(Debug)]
pub(crate) enum How {
    Edit(MessageText),
    Delete,
    React(Emoji),
    Unreact(Emoji),
}

/// Hands a change to the publisher, once the socket may have another publish without an answer; or says why not.
pub(crate) async fn change_in_turn(connection: &Connection, room: RoomId, change: Change) {
    let Ok(permit) = Arc::clone(&connection.unanswered).acquire_owned().await else { return };
    let temp_id: String = change.temp_id.clone().into();
    let is_resend = change.is_resend;
    let Some(Place { user_id, seat, hindrance }) = take_place(connection, room, &temp_id, is_resend) else { return };
    let question = match question(&seat, user_id, &change) {
        Ok(question) => question,
        Err((code, detail)) => return refuse(connection, code, detail, Some(room), Some(temp_id)),
    };
    let draft = Draft { body: body(&seat, room, change), temp_id, is_resend, hindrance, question };
    submit(connection, user_id, draft, permit);
}

/// What is left to be looked up before the change may be published.
fn question(seat: &Seat, user_id: UserId, change: &Change) -> Result<Option<Question>, (Code, &'static str)> {
    let deed = change.how.deed();
    let (message_id, room) = (change.message_id, seat.room.id);
    if let Some(temp_id) = &change.message_temp_id
        && MessageId::of(Kind::Message, seat.me, room, temp_id) != message_id
    {
        return Err((Code::Forbidden, "message_temp_id is not what you called this message"));
    }
    match seat.room.recent(message_id).map(|found| found.permits(deed, room, user_id)) {
        Some(Permit::Granted) => Ok(None),
        // Its first try may be stored, from before the message was deleted: that is looked up first.
        Some(Permit::Refused(code, detail)) if !change.is_resend => Err((code, detail)),
        None if change.message_temp_id.is_some() => Ok(None),
        Some(Permit::ByRole | Permit::Refused(..)) | None => Ok(Some(Question { message_id, deed })),
    }
}

fn body(seat: &Seat, room_id: RoomId, change: Change) -> Body {
    let Change { temp_id, message_id, how, .. } = change;
    let id = |kind| MessageId::of(kind, seat.me, room_id, &temp_id);
    let (sender_id, name) = (seat.me, temp_id.clone().into());
    let react = |emoji: Emoji, action| Body::Reaction {
        room_id,
        id: id(Kind::Reaction),
        message_id,
        emoji: emoji.into(),
        action,
        sender_id,
        temp_id: temp_id.clone().into(),
    };
    match how {
        How::Edit(content) => Body::MessageUpdated {
            room_id,
            id: id(Kind::MessageUpdated),
            message_id,
            content: content.into(),
            sender_id,
            temp_id: name,
        },
        How::Delete => {
            Body::MessageDeleted { room_id, id: id(Kind::MessageDeleted), message_id, sender_id, temp_id: name }
        }
        How::React(emoji) => react(emoji, ReactionAction::Added),
        How::Unreact(emoji) => react(emoji, ReactionAction::Removed),
    }
}

impl How {
    const fn deed(&self) -> Deed {
        match self {
            Self::Edit(_) => Deed::Edit,
            Self::Delete => Deed::Delete,
            Self::React(_) => Deed::React,
            Self::Unreact(_) => Deed::Unreact,
        }
    }
}
