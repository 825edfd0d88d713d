//! `typing`: a signal that is never stored.

use std::time::Instant;

use schema::{frame::limit, id::RoomId, problem::Code};

use super::refuse;
use crate::connection::Connection;

/// Tells the room that the user types, at most once a second; more is dropped without a word.
pub(crate) async fn typing(connection: &Connection, room: RoomId, is_active: bool) {
    let mut me = None;
    let mut is_due = true;
    if let Some(seat) = connection.socket.seats().iter_mut().find(|seat| seat.room.id == room) {
        me = Some(seat.me);
        if is_active {
            is_due = seat.typed_at.is_none_or(|at| at.elapsed() >= limit::TYPING_EVERY);
            seat.typed_at = if is_due { Some(Instant::now()) } else { seat.typed_at };
        }
    }
    match me {
        Some(me) if is_due => connection.gateway.typing.say(&connection.gateway, room, me, is_active).await,
        Some(_) => {}
        None => refuse(connection, Code::NotJoined, Code::NotJoined.title(), Some(room), None),
    }
}
