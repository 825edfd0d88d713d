//! What a client's frame does, once it is parsed: one file for each kind.

pub(crate) mod auth;
mod change;
mod join;
mod read;
mod send;
mod typing;

use std::{sync::Arc, time::Duration};

use schema::{
    frame::{
        client::ClientFrame,
        close::CloseReason,
        server::{ServerFrame, Status},
    },
    id::RoomId,
    problem::Code,
};

use self::change::{Change, How};
use crate::{connection::Connection, socket::Socket};

/// Does what `frame` asks for if that is a matter of a moment, as it is for almost every frame; gives back any other.
pub(crate) fn obey_at_once(connection: &Connection, frame: ClientFrame) -> Option<ClientFrame> {
    match frame {
        ClientFrame::Message { room_id: named, temp_id, content, message_type, reply_to_id, is_resend }
            if connection.socket.identity().is_some() =>
        {
            let permit = Arc::clone(&connection.unanswered).try_acquire_owned();
            let (Some(room), Ok(permit)) = (room(connection, named), permit) else {
                let room_id = named;
                return Some(ClientFrame::Message { room_id, temp_id, content, message_type, reply_to_id, is_resend });
            };
            send::send(connection, room, send::Said { temp_id, content, message_type, reply_to_id, is_resend }, permit);
            None
        }
        other => Some(other),
    }
}

/// Does what `frame` asks for and answers it.
pub(crate) async fn obey(connection: &mut Connection, frame: ClientFrame) {
    if let ClientFrame::Auth { token } = frame {
        return auth::authenticate(connection, &token).await;
    }
    if connection.socket.identity().is_none() {
        refuse(connection, Code::InvalidToken, "the first frame must be auth", None, None);
        return connection.socket.close(CloseReason::InvalidToken);
    }
    match frame {
        ClientFrame::Auth { .. } => {}
        ClientFrame::Join { room_id, since } => match room(connection, room_id) {
            Some(room) => join::join(connection, room, since).await,
            None => unnamed(connection, None),
        },
        ClientFrame::Leave { room_id } => match room(connection, room_id) {
            Some(room) => join::leave(connection, room),
            None => unnamed(connection, None),
        },
        ClientFrame::Message { room_id, temp_id, content, message_type, reply_to_id, is_resend } => {
            match room(connection, room_id) {
                Some(room) => {
                    let said = send::Said { temp_id, content, message_type, reply_to_id, is_resend };
                    send::send_in_turn(connection, room, said).await;
                }
                None => unnamed(connection, Some(temp_id.into())),
            }
        }
        ClientFrame::Typing { room_id, is_active } => match room(connection, room_id) {
            Some(room) => typing::typing(connection, room, is_active).await,
            None => unnamed(connection, None),
        },
        ClientFrame::Ping { nonce } => connection.socket.say(&ServerFrame::Pong { nonce }),
        ClientFrame::Edit { room_id, temp_id, message_id, message_temp_id, content, is_resend } => {
            let how = How::Edit(content);
            change(connection, room_id, Change { temp_id, message_id, message_temp_id, how, is_resend }).await;
        }
        ClientFrame::Delete { room_id, temp_id, message_id, message_temp_id, is_resend } => {
            let how = How::Delete;
            change(connection, room_id, Change { temp_id, message_id, message_temp_id, how, is_resend }).await;
        }
        ClientFrame::React { room_id, temp_id, message_id, emoji, is_added, is_resend } => {
            let how = if is_added { How::React(emoji) } else { How::Unreact(emoji) };
            change(connection, room_id, Change { temp_id, message_id, message_temp_id: None, how, is_resend }).await;
        }
        ClientFrame::Read { room_id, seq } => match room(connection, room_id) {
            Some(room) => read::read(connection, room, seq),
            None => unnamed(connection, None),
        },
    }
}

async fn change(connection: &Connection, named: Option<RoomId>, change: Change) {
    match room(connection, named) {
        Some(room) => change::change_in_turn(connection, room, change).await,
        None => unnamed(connection, Some(change.temp_id.into())),
    }
}

/// The room a frame is for: the one it names, or the one the socket's address named.
fn room(connection: &Connection, named: Option<RoomId>) -> Option<RoomId> {
    named.or(connection.socket.default_room)
}

fn unnamed(connection: &Connection, temp_id: Option<String>) {
    refuse(connection, Code::InvalidFrame, "room_id is required on this socket", None, temp_id);
}

fn refuse(connection: &Connection, code: Code, detail: &str, room_id: Option<RoomId>, temp_id: Option<String>) {
    connection.socket.say(&ServerFrame::refusal(code, detail.into(), room_id, temp_id));
}

/// Refuses for now: the client is told when to try again.
fn refuse_until(socket: &Arc<Socket>, code: Code, detail: &str, room: RoomId, temp_id: String, wait: Duration) {
    let retry_after_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
    let status =
        Status::Failed { code, detail: detail.into(), retry: code.may_retry(), retry_after_ms: Some(retry_after_ms) };
    socket.say(&ServerFrame::Status { room_id: Some(room), temp_id, status });
}
