//! Tells all gateways which rooms and marks have changed in the store: at once when it is quiet, and then no more
//! often than a few times a second, however much is stored.
//!
//! It is a hint that may be lost; what a phone missed of it, it reads when it looks at its rooms again.

use std::{collections::HashSet, time::Duration};

use async_nats::Client;
use bytes::Bytes;
use ops::lifecycle::Lifecycle;
use schema::{
    id::{RoomId, UserId},
    moved::{Marked, Moved},
    subject::MOVED,
};

use crate::gathering::{Gathered, Gathering};

/// A handle on the hints. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Hints(Gathering<Names>);

#[derive(Debug, Default)]
struct Names {
    rooms: HashSet<RoomId>,
    marks: HashSet<(RoomId, UserId)>,
}

impl Hints {
    /// Hints through `client`.
    pub fn new(client: Client, lifecycle: Lifecycle) -> Self {
        Self(Gathering::new(client, lifecycle))
    }

    /// A room's history has changed.
    pub fn room(&self, room: RoomId) {
        self.0.add(|names| {
            names.rooms.insert(room);
        });
    }

    /// Somebody's mark was raised.
    pub fn mark(&self, room: RoomId, user: UserId) {
        self.0.add(|names| {
            names.marks.insert((room, user));
        });
    }
}

impl Gathered for Names {
    const GATHERED_FOR: Duration = Duration::from_millis(200);

    fn count(&self) -> usize {
        self.rooms.len() + self.marks.len()
    }

    fn into_messages(self) -> Vec<(String, Bytes)> {
        let rooms: Vec<RoomId> = self.rooms.into_iter().collect();
        let marks: Vec<Marked> = self.marks.into_iter().map(|(room_id, user_id)| Marked { room_id, user_id }).collect();
        let message = |part| (MOVED.to_owned(), serde_json::to_vec(&part).expect("ids serialise").into());
        parts(&rooms, &marks).map(message).collect()
    }
}

/// Cuts what has changed into messages of at most [`Moved::NAMES_MAX`] names.
fn parts(rooms: &[RoomId], marks: &[Marked]) -> impl Iterator<Item = Moved> {
    let rooms = rooms.chunks(Moved::NAMES_MAX).map(|rooms| Moved { rooms: rooms.to_vec(), marks: Vec::new() });
    rooms.chain(marks.chunks(Moved::NAMES_MAX).map(|marks| Moved { rooms: Vec::new(), marks: marks.to_vec() }))
}
