//! `message`: checked, given its id and handed to the publisher. Waits for no database.

use std::sync::Arc;

use ops::mutant::{self, Mutant};
use schema::{
    envelope::{Body, Kind, MessageType},
    id::{MessageId, RoomId, UserId},
    problem::Code,
    text::{MessageText, TempId},
};

use super::{refuse, refuse_until};
use tokio::{sync::OwnedSemaphorePermit, time::Instant};

use crate::{
    admission::STALE_MAX,
    connection::Connection,
    hub::Seat,
    publisher::{Outgoing, Question},
};

/// What a client wants to say.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) temp_id: TempId,
    pub(crate) content: MessageText,
    pub(crate) message_type: MessageType,
    pub(crate) reply_to_id: Option<MessageId>,
    pub(crate) is_resend: bool,
}

/// As [`send`], once the socket may have another publish without an answer: until then it is not read.
pub(crate) async fn send_in_turn(connection: &Connection, room: RoomId, said: Said) {
    let Ok(permit) = Arc::clone(&connection.unanswered).acquire_owned().await else { return };
    send(connection, room, said, permit);
}

/// Hands a message to the publisher, or says why not.
pub(crate) fn send(connection: &Connection, room: RoomId, said: Said, permit: OwnedSemaphorePermit) {
    let temp_id: String = said.temp_id.clone().into();
    let is_resend = said.is_resend;
    let Some(Place { user_id, seat, hindrance }) = take_place(connection, room, &temp_id, is_resend) else { return };
    let id = MessageId::of(Kind::Message, seat.me, room, &said.temp_id);
    let body = Body::Message {
        room_id: room,
        id: if mutant::is(Mutant::NoMessageId) { MessageId::random() } else { id },
        sender_id: seat.me,
        sender_name: seat.name.into(),
        temp_id: temp_id.clone(),
        content: said.content.into(),
        message_type: said.message_type,
        reply_to_id: said.reply_to_id,
    };
    submit(connection, user_id, Draft { body, temp_id, is_resend, hindrance, question: None }, permit);
}

/// Something that is ready for the log, or nearly so.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) body: Body,
    pub(super) temp_id: String,
    pub(super) is_resend: bool,
    pub(super) hindrance: Option<Code>,
    pub(super) question: Option<Question>,
}

/// Where somebody sends from.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) user_id: UserId,
    pub(super) seat: Seat,
    /// Why nothing may be published now.
    pub(super) hindrance: Option<Code>,
}

/// Takes the sender's place in both rates; or says why there is none, or why nothing is sent now: but what is sent again
/// may be stored already, and is looked up before anything is said of it.
pub(super) fn take_place(connection: &Connection, room: RoomId, temp_id: &str, is_resend: bool) -> Option<Place> {
    let identity = connection.socket.identity()?;
    let seat = connection.socket.seat(room);
    let refuse = |code: Code| refuse(connection, code, code.title(), Some(room), Some(temp_id.to_owned()));
    let Some(seat) = seat else {
        refuse(Code::NotJoined);
        return None;
    };
    let hindrance = may_send(connection, &seat).err();
    if let Some(code) = hindrance
        && !is_resend
    {
        refuse(code);
        return None;
    }
    if connection.gateway.common_limits_are_on() {
        let of_user = connection.gateway.sockets.take_rate(identity.user_id);
        if let Err(wait) = of_user.and_then(|()| seat.room.take_rate()) {
            let (socket, code) = (&connection.socket, Code::RateLimited);
            refuse_until(socket, code, "too many messages a second", room, temp_id.to_owned(), wait);
            return None;
        }
    }
    Some(Place { user_id: identity.user_id, seat, hindrance })
}

/// Hands something to the publisher.
pub(super) fn submit(connection: &Connection, user_id: UserId, draft: Draft, permit: OwnedSemaphorePermit) {
    let Draft { body, temp_id, is_resend, hindrance, question } = draft;
    let (socket, begun_at) = (Arc::clone(&connection.socket), Instant::now());
    let outgoing = Outgoing {
        socket,
        user_id,
        body,
        temp_id,
        is_resend,
        hindrance,
        question,
        is_moderator: false,
        accepted_at: connection.gateway.clock.now(),
        begun_at,
        permit,
    };
    connection.gateway.publisher.submit(&connection.gateway, outgoing);
}

/// Whether this gateway may take a message for the log now.
fn may_send(connection: &Connection, seat: &Seat) -> Result<(), Code> {
    if seat.is_silent {
        return Err(Code::Forbidden);
    }
    if connection.gateway.lifecycle.is_stopping() {
        return Err(Code::Unavailable);
    }
    // Checked again every 25 s: so old only when PostgreSQL has been away for long.
    if seat.checked_at.elapsed() > STALE_MAX {
        return Err(Code::Unavailable);
    }
    connection.gateway.health.may_send()
}
