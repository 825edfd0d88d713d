//! Membership and sessions of everybody who is connected, checked again: now and then, and after every
//! time in which an invalidation may have gone unheard.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use ops::mutant::{self, Mutant};
use schema::{
    frame::{close::CloseReason, server::ServerFrame},
    id::{RoomId, SessionId, UserId},
};

use crate::{socket::Socket, state::Gateway};

/// How often. Less than half of what a membership may be stale: one failed round closes nobody out.
const EVERY: Duration = Duration::from_secs(25);
/// Pairs asked for in one query.
const PAIRS_PER_QUERY: usize = 1_000;

/// Runs until the process stops.
pub(crate) async fn run(gateway: Arc<Gateway>) {
    let stopping = gateway.lifecycle.stopping().clone();
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(EVERY) => all(&gateway).await,
        }
        gateway.sockets.sweep();
    }
}

/// Checks everybody once. What can not be checked stays as it is, and grows stale.
pub(crate) async fn all(gateway: &Gateway) {
    check(gateway, gateway.sockets.all(), |_| true).await;
}

/// Checks those who are in these rooms, in these rooms.
pub(crate) async fn in_rooms(gateway: &Gateway, rooms: &HashMap<RoomId, u64>) {
    let is_asked = |room| rooms.contains_key(&room);
    let mut sockets = gateway.sockets.all();
    sockets.retain(|socket| socket.seats().iter().any(|seat| is_asked(seat.room.id)));
    check(gateway, sockets, is_asked).await;
}

async fn check(gateway: &Gateway, sockets: Vec<Arc<Socket>>, is_asked: impl Fn(RoomId) -> bool) {
    if let Err(error) = memberships(gateway, &sockets, is_asked).await {
        tracing::warn!(%error, "memberships can not be checked");
    }
    if let Err(error) = sessions(gateway, &sockets).await {
        tracing::warn!(%error, "sessions can not be checked");
    }
}

async fn memberships(
    gateway: &Gateway,
    sockets: &[Arc<Socket>],
    is_asked: impl Fn(RoomId) -> bool,
) -> Result<(), sqlx::Error> {
    let mut pairs: HashSet<(UserId, RoomId)> = HashSet::new();
    for socket in sockets {
        if let Some(identity) = socket.identity() {
            let seats = socket.seats();
            let rooms = seats.iter().map(|seat| seat.room.id).filter(|room| is_asked(*room));
            pairs.extend(rooms.map(|room| (identity.user_id, room)));
        }
    }
    let pairs: Vec<_> = pairs.into_iter().collect();
    for chunk in pairs.chunks(PAIRS_PER_QUERY) {
        let asked_at = Instant::now();
        let members = gateway.admission.members(chunk).await?;
        let found: HashSet<_> = members.iter().map(|member| (member.user_id, member.room_id)).collect();
        for (user_id, room_id) in chunk.iter().filter(|pair| !found.contains(*pair)) {
            remove(gateway, *user_id, *room_id, "participant_removed");
        }
        for member in members {
            for socket in gateway.sockets.of(member.user_id) {
                socket.with_seat(member.room_id, |seat| {
                    seat.checked_at = asked_at;
                    seat.is_silent = member.is_silent;
                    seat.name = member.display_name.clone();
                });
            }
        }
    }
    Ok(())
}

async fn sessions(gateway: &Gateway, sockets: &[Arc<Socket>]) -> Result<(), sqlx::Error> {
    let sids: HashSet<SessionId> = sockets.iter().filter_map(|socket| socket.identity()?.sid).collect();
    let sids: Vec<_> = sids.into_iter().collect();
    for chunk in sids.chunks(PAIRS_PER_QUERY) {
        let revoked: HashSet<SessionId> = gateway.admission.revoked(chunk).await?.into_iter().collect();
        for socket in sockets {
            if socket.identity().and_then(|identity| identity.sid).is_some_and(|sid| revoked.contains(&sid)) {
                socket.close(CloseReason::SessionRevoked);
            }
        }
    }
    Ok(())
}

/// Takes a user's sockets out of a room, and says so to them.
pub(crate) fn remove(gateway: &Gateway, user_id: UserId, room_id: RoomId, reason: &str) {
    gateway.admission.forget(room_id);
    if mutant::is(Mutant::NoRemoval) {
        return;
    }
    for socket in gateway.sockets.of(user_id) {
        if !gateway.unseat(&socket, room_id) {
            continue;
        }
        socket.say(&ServerFrame::Removed { room_id, reason: reason.into() });
        if socket.default_room == Some(room_id) {
            socket.close(CloseReason::RemovedFromRoom);
        }
    }
}
