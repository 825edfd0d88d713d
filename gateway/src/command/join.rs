//! `join` and `leave`: a seat in a room, and the way to its top.

use std::{sync::Arc, time::Instant};

use schema::{
    frame::{limit, server::ServerFrame},
    id::RoomId,
    problem::Code,
};

use super::refuse;
use crate::{admission::Membership, connection::Connection, hub::Seat, replay};

/// Takes a seat in a room, or takes up a room again whose frames have a hole.
pub(crate) async fn join(connection: &mut Connection, room: RoomId, since: Option<u64>) {
    let Some(identity) = connection.socket.identity() else { return };
    if !connection.socket.has_seat(room) && connection.socket.seats().len() >= limit::ROOMS_PER_SOCKET_MAX {
        return refuse(connection, Code::TooManyRooms, Code::TooManyRooms.title(), Some(room), None);
    }
    match connection.gateway.admission.check(identity.user_id, room).await {
        Ok(Some(membership)) => seat(connection, room, since, membership).await,
        Ok(None) => refuse(connection, Code::NotAMember, Code::NotAMember.title(), Some(room), None),
        Err(error) => refuse(connection, Code::Unavailable, &error.to_string(), Some(room), None),
    }
}

/// Seats a member and starts catching up.
pub(crate) async fn seat(connection: &Connection, room: RoomId, since: Option<u64>, membership: Membership) {
    let Some(identity) = connection.socket.identity() else { return };
    let (gateway, socket) = (&connection.gateway, &connection.socket);
    let generation = gateway.admission.generation();
    let known = socket.with_seat(room, |seat| {
        seat.checked_at = Instant::now();
        seat.is_silent = membership.is_silent;
        Arc::clone(&seat.room)
    });
    let entered = if let Some(room) = known {
        room
    } else {
        let entered = gateway.enter(room);
        let Membership { me, name, is_silent, .. } = membership.clone();
        let seat = Seat {
            room: Arc::clone(&entered),
            me,
            name,
            is_silent,
            checked_at: Instant::now(),
            typed_at: None,
            is_present: false,
        };
        let mut seats = socket.seats();
        // Most sockets are in one room for good.
        seats.reserve_exact(1);
        seats.push(seat);
        drop(seats);
        entered
    };
    // Whoever was removed between the check and the seat was not found by the removal.
    if gateway.admission.generation() != generation {
        if let Ok(Some(_)) = gateway.admission.check(identity.user_id, room).await {
        } else {
            gateway.unseat(socket, room);
            return refuse(connection, Code::NotAMember, Code::NotAMember.title(), Some(room), None);
        }
    }
    gateway.arrive(socket, &entered);
    let catching_up = replay::join(Arc::clone(gateway), Arc::clone(socket), entered, membership.me, since);
    gateway.lifecycle.spawn(catching_up);
}

/// Gives a room up.
pub(crate) fn leave(connection: &Connection, room: RoomId) {
    if connection.gateway.unseat(&connection.socket, room) {
        connection.socket.say(&ServerFrame::Left { room_id: room });
    } else {
        refuse(connection, Code::NotJoined, Code::NotJoined.title(), Some(room), None);
    }
}
