//! One task for all rooms: tells what is due, here and to other gateways.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;
use ops::broker::LinkChange;
use rand::RngExt as _;
use schema::{
    frame::server::ServerFrame,
    id::{RoomId, UserId},
    signal::Signal,
    subject::LiveSignalSubject,
};
use tokio::sync::broadcast::error::RecvError;

use super::{Picture, Presence, picture::Moves};
use crate::{
    codec::{Opcode, encode},
    hub::concat,
    state::Gateway,
};

/// How long NATS may take to accept a signal; then it is lost, and the next announcement makes up for it.
const PUBLISH_WITHIN: Duration = Duration::from_millis(500);
/// After a reconnect every room is announced within so long, not all of them at once,
const AGAIN_WITHIN: Duration = Duration::from_secs(2);
/// and no faster than this: what was missed of the log goes first.
const AGAIN_PER_ROOM: Duration = Duration::from_millis(2);

/// Runs until [`finish`]: who leaves while the process drains is told to be gone.
pub(crate) async fn run(gateway: Arc<Gateway>) {
    let presence = &gateway.presence;
    let mut link = gateway.broker.link_changes();
    while !presence.is_over.load(Ordering::Acquire) {
        let first = presence.due.lock().first().map(|(at, _)| *at);
        tokio::select! {
            () = until(first) => {}
            () = presence.wake.notified() => {}
            change = link.recv() => match change {
                Ok(LinkChange::Reconnected | LinkChange::Overflowed) | Err(RecvError::Lagged(_)) => again(&gateway),
                Ok(LinkChange::Lost) => {}
                Err(RecvError::Closed) => return,
            },
        }
        while let Some((at, room)) = presence.take_due(Instant::now()) {
            look_after(&gateway, at, room).await;
            // When many rooms are due messages do not wait for all of them.
            tokio::task::yield_now().await;
        }
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// The last words of a gateway whose sockets are gone, or soon will be: it has nobody anywhere.
pub(crate) async fn finish(gateway: &Arc<Gateway>) {
    gateway.presence.is_over.store(true, Ordering::Release);
    gateway.presence.wake.notify_one();
    if !gateway.presence.is_on {
        return;
    }
    let mut rooms: Vec<RoomId> =
        std::mem::take(&mut *gateway.presence.due.lock()).into_iter().map(|(_, room)| room).collect();
    for room in gateway.hub.rooms() {
        let now = gateway.presence.clock.now();
        let here = room.picture().here();
        for user in here {
            gateway.presence.last_seen.note(room.id, user, now);
        }
        rooms.push(room.id);
    }
    rooms.sort_unstable();
    rooms.dedup();
    for room in rooms {
        say(gateway, room, whole(gateway, &[])).await;
    }
    gateway.presence.last_seen.write_all().await;
}

/// What was said while the link was down was heard by nobody: everybody says and asks again.
fn again(gateway: &Gateway) {
    let now = Instant::now();
    let rooms = gateway.hub.rooms();
    let slowest = AGAIN_PER_ROOM.saturating_mul(u32::try_from(rooms.len()).unwrap_or(u32::MAX));
    let within = slowest.min(gateway.presence.every()).max(AGAIN_WITHIN);
    for room in rooms {
        let mut picture = room.picture();
        picture.excuse(now);
        if picture.say_all_at.is_some() {
            picture.is_to_ask = true;
            picture.say_all_at = Some(now + within.mul_f64(rand::rng().random()));
            gateway.presence.plan(room.id, &mut picture);
        }
    }
}

impl Presence {
    fn take_due(&self, now: Instant) -> Option<(Instant, RoomId)> {
        let mut due = self.due.lock();
        if due.first().is_some_and(|(at, _)| *at <= now) { due.pop_first() } else { None }
    }

    /// Does what is due in a room: what its sockets are to hear, and what other gateways are.
    fn turn(&self, gateway: &Gateway, room: RoomId, picture: &mut Picture) -> (Option<Bytes>, Vec<Signal>) {
        let now = Instant::now();
        picture.due_at = None;
        if gateway.broker.is_connected() {
            let offline = picture.lapse(now, self.lapses, |moment| self.time_of(moment));
            for (user, at) in offline {
                self.last_seen.note(room, user, at);
            }
        } else {
            picture.excuse(now);
        }
        let may_tell = picture.may_tell(now);
        let frames = if may_tell { picture.tell(room, now) } else { Vec::new() };
        let mut signals = Vec::new();
        if picture.say_all_at.is_some_and(|at| at <= now) {
            let next = now + self.every().mul_f64(rand::rng().random_range(0.75..1.0));
            signals = whole(gateway, &picture.say_all(now, next));
            if std::mem::take(&mut picture.is_to_ask) {
                signals.push(Signal::PresenceAsked { gateway: Some(gateway.id.clone()) });
            }
        } else if may_tell {
            signals = moves(gateway, &picture.say_moves(now));
        }
        gateway.measure.presence_told.increment(u64::try_from(frames.len()).unwrap_or(0));
        self.plan(room, picture);
        (encoded(&frames), signals)
    }
}

/// Tells the room and the other gateways what is due.
async fn look_after(gateway: &Arc<Gateway>, at: Instant, room_id: RoomId) {
    let Some(room) = gateway.hub.find(room_id) else {
        return say(gateway, room_id, whole(gateway, &[])).await;
    };
    let mut signals = Vec::new();
    room.tell(|picture| {
        if picture.due_at != Some(at) {
            // The room was planned for another time since.
            return None;
        }
        let (frames, said) = gateway.presence.turn(gateway, room_id, picture);
        signals = said;
        frames
    });
    say(gateway, room_id, signals).await;
}

/// The frames as one buffer, the same for everybody: who must not know of whom would be left out here.
fn encoded(frames: &[ServerFrame]) -> Option<Bytes> {
    if frames.is_empty() {
        return None;
    }
    let frames: Vec<Bytes> = frames.iter().map(|frame| encode(Opcode::Text, &frame.to_json())).collect();
    Some(concat(&frames))
}

/// Everybody who is here, in as many signals as it takes; at least one.
fn whole(gateway: &Gateway, users: &[UserId]) -> Vec<Signal> {
    let parts = users.len().div_ceil(Signal::USERS_MAX).max(1);
    let part = |n: usize| {
        let users = users.iter().skip(n * Signal::USERS_MAX).take(Signal::USERS_MAX).copied().collect();
        Signal::PresenceAll { gateway: gateway.id.clone(), part: count(n + 1), parts: count(parts), users }
    };
    (0..parts).map(part).collect()
}

/// Who came and who is gone, in as many signals as it takes; none when nobody did.
fn moves(gateway: &Gateway, moves: &Moves) -> Vec<Signal> {
    let came = moves.came.chunks(Signal::USERS_MAX).map(|came| (came.to_vec(), Vec::new()));
    let gone = moves.gone.chunks(Signal::USERS_MAX).map(|gone| (Vec::new(), gone.to_vec()));
    came.chain(gone).map(|(came, gone)| Signal::PresenceChanged { gateway: gateway.id.clone(), came, gone }).collect()
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

async fn say(gateway: &Gateway, room: RoomId, signals: Vec<Signal>) {
    // A client that is cut off takes what it is given until its queue is full; after the reconnect all is
    // said again anyway.
    if !gateway.broker.is_connected() {
        return;
    }
    for signal in signals {
        let body = serde_json::to_vec(&signal).expect("ids and numbers serialise");
        let published = gateway.broker.client.publish(LiveSignalSubject(room).to_string(), body.into());
        match tokio::time::timeout(PUBLISH_WITHIN, published).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(room.id = %room, %error, "a presence signal was not sent"),
            Err(_elapsed) => tracing::debug!(room.id = %room, "NATS does not take a presence signal"),
        }
    }
}
