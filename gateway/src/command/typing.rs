//! `typing`: a signal that is never stored.

use std::time::Instant;

use schema::{frame::limit, id::RoomId, problem::Code};

use super::refuse;
use crate::connection::Connection;

/// Tells the room that the user types, at most once a second; more is dropped without a word.
pub(crate) async fn typing(connection: &Connection, room: RoomId, is_active: bool) {
    let seated = connection.socket.with_seat(room, |seat| {
        let is_due = !is_active || seat.typed_at.is_none_or(|at| at.elapsed() >= limit::TYPING_EVERY);
        if is_active && is_due {
            seat.typed_at = Some(Instant::now());
        }
        (seat.me, is_due)
    });
    match seated {
        Some((me, true)) => connection.gateway.typing.say(&connection.gateway, room, me, is_active).await,
        Some((_, false)) => {}
        None => refuse(connection, Code::NotJoined, Code::NotJoined.title(), Some(room), None),
    }
}
