//! Who hears which room on this gateway.
//!
//! A room is a list of slices of at most 128 sockets. A frame is put into each slice's inbox under the
//! room's lock, so every slice has the room's order; a slice's one drainer joins what waits and writes
//! it to its sockets. No lock is held across a room, and nobody waits for a client.

mod deleted;
mod ring;
mod room;
mod slice;

use std::{hash::BuildHasher, sync::Arc, sync::atomic::Ordering, time::Duration};

use foldhash::{HashMap, fast::RandomState};
use ops::lifecycle::Lifecycle;
use parking_lot::Mutex;
use schema::id::RoomId;

use crate::{measure::Measure, soon::Soon};
pub(crate) use room::{GoLive, Joining, Room, Seat, concat};
pub(crate) use slice::Slice;

/// Rooms are spread over so many locks.
const SHARDS: usize = 64;

/// The rooms that have a socket on this gateway.
#[derive(Debug)]
pub struct Hub {
    shards: Vec<Mutex<HashMap<RoomId, Arc<Room>>>>,
    hasher: RandomState,
    delivery: Delivery,
}

/// How frames leave.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// After a first frame that goes at once, frames leave together within this time.
    pub window: Duration,
    /// Where drainers run.
    pub lifecycle: Lifecycle,
    /// What is counted.
    pub measure: Arc<Measure>,
    /// What is written soon.
    pub(crate) soon: Arc<Soon>,
}

impl Hub {
    /// A hub without rooms.
    pub fn new(delivery: Delivery) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { shards, hasher: RandomState::default(), delivery }
    }

    /// Takes a place in a room; the caller of a new room must start its feed.
    pub fn enter(&self, id: RoomId) -> (Arc<Room>, bool) {
        let mut shard = self.shard(id).lock();
        let is_new = !shard.contains_key(&id);
        let room = shard.entry(id).or_insert_with(|| Arc::new(Room::new(id, self.delivery.clone())));
        room.occupants.fetch_add(1, Ordering::Relaxed);
        if is_new {
            self.delivery.measure.rooms.increment(1.0);
        }
        (Arc::clone(room), is_new)
    }

    /// Gives a place up; the last one closes the room.
    pub fn exit(&self, room: &Room) {
        let mut shard = self.shard(room.id).lock();
        if room.occupants.fetch_sub(1, Ordering::Relaxed) == 1 {
            room.stop();
            shard.remove(&room.id);
            self.delivery.measure.rooms.decrement(1.0);
        }
    }

    /// How frames leave.
    pub(crate) const fn delivery(&self) -> &Delivery {
        &self.delivery
    }

    /// The room, if anybody here is in it.
    pub fn find(&self, id: RoomId) -> Option<Arc<Room>> {
        self.shard(id).lock().get(&id).map(Arc::clone)
    }

    /// Every room that is here.
    pub fn rooms(&self) -> Vec<Arc<Room>> {
        self.shards.iter().flat_map(|shard| shard.lock().values().map(Arc::clone).collect::<Vec<_>>()).collect()
    }

    fn shard(&self, id: RoomId) -> &Mutex<HashMap<RoomId, Arc<Room>>> {
        let hash = usize::try_from(self.hasher.hash_one(id) % 64).unwrap_or_default();
        self.shards.get(hash).expect("there are 64 shards")
    }
}
