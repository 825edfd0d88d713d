//! Who types where: a word that is not renewed lapses after 10 s. The gateway of whoever types tells all
//! others; if that one is gone they see to it themselves, a little later.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use schema::{
    frame::{limit, server::ServerFrame},
    id::{RoomId, UserId},
    signal::Signal,
    subject::LiveSignalSubject,
};
use tokio::time::Instant;

use crate::{hub::Room, state::Gateway};

/// How often lapsed ones are looked for.
const EVERY: Duration = Duration::from_millis(500);

/// How much longer than its own gateway others believe that somebody types.
const GRACE: Duration = Duration::from_secs(2);
/// People whose typing is watched at most, here and elsewhere each; of more nobody hears.
const TYPISTS_MAX: usize = 100_000;

/// Who types until when.
type Typists = Mutex<HashMap<(RoomId, UserId), Instant>>;

/// Who types.
#[derive(Debug, Default)]
pub struct TypingWatch {
    /// On this gateway's sockets.
    here: Typists,
    /// On any gateway, as the rooms here were told.
    told: Typists,
}

impl TypingWatch {
    /// Notes and tells every gateway that `user` types, or has stopped.
    pub async fn say(&self, gateway: &Gateway, room: RoomId, user_id: UserId, active: bool) {
        // If they are not watched, nobody was told that they type.
        if !watch(&self.here, (room, user_id), active, limit::TYPING_LAPSES) {
            return;
        }
        let signal = serde_json::to_vec(&Signal::Typing { user_id, active }).expect("an id and a bool serialise");
        let subject = LiveSignalSubject(room).to_string();
        // Not stored and soon outdated: if NATS is away it is lost, and nobody misses it.
        if let Err(error) = gateway.broker.client.publish(subject, signal.into()).await {
            tracing::debug!(%error, "a typing signal was not sent");
        }
    }

    /// A gateway says that somebody types, or has stopped: the room hears it.
    pub(crate) fn hear(&self, room: &Room, user_id: UserId, active: bool) {
        if watch(&self.told, (room.id, user_id), active, limit::TYPING_LAPSES + GRACE) {
            room.signal(&ServerFrame::Typing { room_id: room.id, user_id, active }, user_id);
        }
    }
}

/// Notes that somebody types, or no longer; says whether that is news, or a renewal.
fn watch(typists: &Typists, key: (RoomId, UserId), active: bool, lapses: Duration) -> bool {
    let mut typists = typists.lock();
    if !active {
        return typists.remove(&key).is_some();
    }
    let may_add = typists.len() < TYPISTS_MAX || typists.contains_key(&key);
    if may_add {
        typists.insert(key, Instant::now() + lapses);
    }
    may_add
}

fn lapsed(typists: &Typists) -> Vec<(RoomId, UserId)> {
    let now = Instant::now();
    typists.lock().iter().filter(|(_, until)| **until <= now).map(|(key, _)| *key).collect()
}

/// Ends what has lapsed, until the process stops.
pub(crate) async fn run(gateway: Arc<Gateway>) {
    let stopping = gateway.lifecycle.stopping().clone();
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        for (room, user_id) in lapsed(&gateway.typing.here) {
            gateway.typing.say(&gateway, room, user_id, false).await;
        }
        for (room, user_id) in lapsed(&gateway.typing.told) {
            match gateway.hub.find(room) {
                Some(room) => gateway.typing.hear(&room, user_id, false),
                None => drop(watch(&gateway.typing.told, (room, user_id), false, GRACE)),
            }
        }
    }
}
