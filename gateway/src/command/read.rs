//! `read`: how far the user has read. It may be replaced by the next one, and has no answer of its own: the room hears it.

use std::sync::Arc;

use schema::{id::RoomId, problem::Code};

use super::refuse;
use crate::{connection::Connection, marks};

/// Raises the user's mark to `seq`, or to the room's top; never above it, and never down.
pub(crate) fn read(connection: &Connection, room: RoomId, seq: Option<u64>) {
    let Some(identity) = connection.socket.identity() else { return };
    match connection.socket.with_seat(room, |seat| Arc::clone(&seat.room)) {
        Some(room) => {
            let top = room.last();
            marks::raise(&connection.gateway, &room, identity.user_id, seq.unwrap_or(top).min(top));
        }
        None => refuse(connection, Code::NotJoined, Code::NotJoined.title(), Some(room), None),
    }
}
