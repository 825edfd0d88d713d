//! Tells all gateways which rooms and marks have changed in the store: at once when it is quiet, and then no more
//! often than a few times a second, however much is stored.
//!
//! It is a hint that may be lost; what a phone missed of it, it reads when it looks at its rooms again.

use std::{collections::HashSet, sync::Arc, time::Duration};

use async_nats::Client;
use ops::lifecycle::Lifecycle;
use parking_lot::Mutex;
use schema::{
    id::{RoomId, UserId},
    moved::{Marked, Moved},
    subject::MOVED,
};

/// Between two hints passes at least this long; what comes meanwhile goes together.
const GATHERED_FOR: Duration = Duration::from_millis(200);
/// Names that may wait; above them they are dropped.
const WAITING_MAX: usize = 65_536;

/// A handle on the hints. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Hints(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    client: Client,
    lifecycle: Lifecycle,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    rooms: HashSet<RoomId>,
    marks: HashSet<(RoomId, UserId)>,
    /// Whether a task is on its way to send what waits.
    is_sending: bool,
}

impl Hints {
    /// Hints through `client`.
    pub fn new(client: Client, lifecycle: Lifecycle) -> Self {
        Self(Arc::new(Inner { client, lifecycle, waiting: Mutex::default() }))
    }

    /// A room's history has changed.
    pub fn room(&self, room: RoomId) {
        self.add(|waiting| waiting.rooms.insert(room));
    }

    /// Somebody's mark was raised.
    pub fn mark(&self, room: RoomId, user: UserId) {
        self.add(|waiting| waiting.marks.insert((room, user)));
    }

    fn add(&self, add: impl FnOnce(&mut Waiting) -> bool) {
        {
            let mut waiting = self.0.waiting.lock();
            if waiting.rooms.len() + waiting.marks.len() >= WAITING_MAX {
                return;
            }
            add(&mut waiting);
            if std::mem::replace(&mut waiting.is_sending, true) {
                return;
            }
        }
        let hints = self.clone();
        self.0.lifecycle.spawn(async move { hints.send_until_quiet().await });
    }

    async fn send_until_quiet(&self) {
        let stopping = self.0.lifecycle.stopping().clone();
        while let Some((rooms, marks)) = self.take() {
            for part in parts(&rooms, &marks) {
                let body = serde_json::to_vec(&part).expect("ids serialise");
                if let Err(error) = self.0.client.publish(MOVED, body.into()).await {
                    // The connection's task is gone: the process is ending.
                    tracing::debug!(%error, "a hint was not sent");
                }
            }
            tokio::select! {
                () = tokio::time::sleep(GATHERED_FOR) => {}
                () = stopping.cancelled() => tokio::task::yield_now().await,
            }
        }
    }

    fn take(&self) -> Option<(Vec<RoomId>, Vec<Marked>)> {
        let mut waiting = self.0.waiting.lock();
        if waiting.rooms.is_empty() && waiting.marks.is_empty() {
            waiting.is_sending = false;
            return None;
        }
        let marks = waiting.marks.drain().map(|(room_id, user_id)| Marked { room_id, user_id }).collect();
        Some((waiting.rooms.drain().collect(), marks))
    }
}

/// Cuts what has changed into messages of at most [`Moved::NAMES_MAX`] names.
fn parts(rooms: &[RoomId], marks: &[Marked]) -> impl Iterator<Item = Moved> {
    let rooms = rooms.chunks(Moved::NAMES_MAX).map(|rooms| Moved { rooms: rooms.to_vec(), marks: Vec::new() });
    rooms.chain(marks.chunks(Moved::NAMES_MAX).map(|marks| Moved { rooms: Vec::new(), marks: marks.to_vec() }))
}
