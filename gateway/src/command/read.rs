//! `read`: how far the user has read. It may be replaced by the next one, and has no answer of its own: the room hears it.

use std::sync::Arc;

use schema::{
    id::{RoomId, UserId},
    problem::Code,
};
use tokio::time::timeout;

use super::refuse;
use crate::{connection::Connection, hub::Room, marks, state::Gateway};

/// Raises the user's mark to `seq`, or to the room's top; never above it, and never down.
pub(crate) fn read(connection: &Connection, room: RoomId, seq: Option<u64>) {
    let Some(identity) = connection.socket.identity() else { return };
    match connection.socket.with_seat(room, |seat| Arc::clone(&seat.room)) {
        Some(room) if room.is_ready() => raise(&connection.gateway, &room, identity.user_id, seq),
        Some(room) => {
            // Nobody was here before: its top is still asked for.
            let gateway = Arc::clone(&connection.gateway);
            gateway.lifecycle.clone().spawn(async move {
                if timeout(gateway.config.publish_within, room.ready()).await.is_ok() {
                    raise(&gateway, &room, identity.user_id, seq);
                }
            });
        }
        None => refuse(connection, Code::NotJoined, Code::NotJoined.title(), Some(room), None),
    }
}

fn raise(gateway: &Arc<Gateway>, room: &Arc<Room>, user: UserId, seq: Option<u64>) {
    let top = room.last();
    marks::raise(gateway, room, user, seq.unwrap_or(top).min(top));
}
