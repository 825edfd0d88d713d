//! Who is online in which room: counted here, told to the room's sockets and to the other gateways, and
//! heard from them.
//!
//! Each room has its picture; one task goes from room to room when something is due there. So a room that
//! is quiet costs an announcement now and then, and nothing of this is on a message's way.

mod last_seen;
mod picture;
mod rounds;

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant},
};

use async_nats::Subject;
use ops::clock::Clock;
use parking_lot::Mutex;
use schema::{
    clock::Timestamp,
    id::{RoomId, UserId},
    signal::{PresenceAnswer, Signal},
    subject::GatewayId,
};
use tokio::sync::Notify;

pub(crate) use last_seen::{LastSeen, write as write_last_seen};
pub(crate) use picture::Picture;
pub(crate) use rounds::{finish, run};

use crate::{
    config::Config,
    hub::Room,
    presence::picture::{Moves, OPENING},
    state::Gateway,
};

/// What every room's presence shares.
#[derive(Debug)]
pub struct Presence {
    is_on: bool,
    /// For how long another gateway's word counts.
    lapses: Duration,
    clock: Clock,
    /// Which room is to be looked after when; one entry of a room counts, the one its picture names.
    due: Mutex<BTreeSet<(Instant, RoomId)>>,
    wake: Notify,
    /// Whether the last words are said.
    is_over: AtomicBool,
    last_seen: LastSeen,
}

impl Presence {
    /// Nobody is anywhere yet.
    pub fn new(config: &Config, clock: Clock, redis: deadpool_redis::Pool) -> Self {
        Self {
            is_on: config.presence.is_on(),
            lapses: config.presence_lapses,
            clock,
            due: Mutex::default(),
            wake: Notify::new(),
            is_over: AtomicBool::new(false),
            last_seen: LastSeen::new(redis, config.redis_prefix.clone()),
        }
    }

    /// How often everything is told again: twice before it would lapse, and a little more.
    fn every(&self) -> Duration {
        self.lapses * 5 / 12
    }

    /// A socket has taken a seat in a room.
    pub(crate) fn arrive(&self, room: &Room, user: UserId) {
        if self.is_on {
            let mut picture = room.picture();
            picture.arrive(user, self.clock.now());
            self.plan(room.id, &mut picture);
        }
    }

    /// A socket that had arrived has given its seat up.
    pub(crate) fn leave(&self, room: &Room, user: UserId) {
        let now = self.clock.now();
        let mut picture = room.picture();
        if picture.leave(user, now) {
            self.last_seen.note(room.id, user, now);
            self.plan(room.id, &mut picture);
        }
    }

    /// A room's feed listens from here on.
    pub(crate) fn listen(&self, room: &Room) {
        if self.is_on {
            let mut picture = room.picture();
            picture.listen(Instant::now());
            self.plan(room.id, &mut picture);
        }
    }

    /// Another gateway says something, or asks.
    pub(crate) fn hear(&self, gateway: &Arc<Gateway>, room: &Arc<Room>, signal: Signal, reply: Option<Subject>) {
        let is_mine = |id: &GatewayId| *id == gateway.id;
        if !self.is_on {
            return;
        }
        let (now, at) = (Instant::now(), self.clock.now());
        let mut picture = room.picture();
        match signal {
            Signal::PresenceChanged { gateway, came, gone } if !is_mine(&gateway) => {
                picture.hear_moves(&gateway, Moves { came, gone }, now, at);
            }
            Signal::PresenceAll { gateway, part, parts, users } if !is_mine(&gateway) => {
                picture.hear_all(&gateway, (part, parts), users, now, at);
            }
            Signal::PresenceAsked { gateway: Some(asks) } if !is_mine(&asks) => picture.want_all(now),
            Signal::PresenceAsked { gateway: None } => {
                let is_settled = picture.is_settled(now);
                drop(picture);
                if let Some(reply) = reply {
                    gateway.lifecycle.spawn(answer(Arc::clone(gateway), Arc::clone(room), reply, is_settled));
                }
                return;
            }
            Signal::Typing { .. }
            | Signal::PresenceChanged { .. }
            | Signal::PresenceAll { .. }
            | Signal::PresenceAsked { .. } => return,
        }
        self.plan(room.id, &mut picture);
    }

    /// Puts the room into the queue for when something is next to be done there.
    fn plan(&self, room: RoomId, picture: &mut Picture) {
        let Some(next) = picture.next(self.lapses) else { return };
        if picture.due_at.is_some_and(|at| at <= next) {
            return;
        }
        picture.due_at = Some(next);
        let mut due = self.due.lock();
        due.insert((next, room));
        let is_first = due.first() == Some(&(next, room));
        drop(due);
        if is_first {
            self.wake.notify_one();
        }
    }

    /// The time of day at a moment that is over.
    fn time_of(&self, moment: Instant) -> Timestamp {
        let now = self.clock.now();
        now.minus(moment.elapsed()).unwrap_or(now)
    }
}

/// Answers an API. Who has just opened the room lets others speak first: the API takes the first answer,
/// and they know more.
async fn answer(gateway: Arc<Gateway>, room: Arc<Room>, reply: Subject, is_settled: bool) {
    if !is_settled {
        tokio::time::sleep(OPENING).await;
    }
    let answer = PresenceAnswer { online: room.picture().online(PresenceAnswer::USERS_MAX) };
    let body = serde_json::to_vec(&answer).expect("ids serialise");
    if let Err(error) = gateway.broker.client.publish(reply, body.into()).await {
        tracing::debug!(room.id = %room.id, %error, "an answer was not sent");
    }
}
