//! What this worker holds without having answered, and since when.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use async_nats::Subject;
use parking_lot::Mutex;

/// The messages that wait for their answer.
#[derive(Debug, Default)]
pub struct HeldSet {
    since: Mutex<HashMap<u64, (Subject, Instant)>>,
    entered: AtomicU64,
}

/// Says that a message is held; dropping it says that it no longer is.
#[derive(Debug)]
pub struct Ticket {
    number: u64,
    reply: Subject,
    set: Arc<HeldSet>,
}

impl HeldSet {
    /// Takes a message in, known by the subject of its answer.
    pub fn enter(self: &Arc<Self>, reply: Subject) -> Ticket {
        let number = self.entered.fetch_add(1, Ordering::Relaxed);
        self.since.lock().insert(number, (reply.clone(), Instant::now()));
        Ticket { number, reply, set: Arc::clone(self) }
    }

    /// What has been held for `at_least` since it came, or since it was last named here.
    pub fn overdue(&self, at_least: Duration) -> Vec<Subject> {
        let now = Instant::now();
        let mut held = self.since.lock();
        let overdue = held.values_mut().filter(|(_, since)| now.duration_since(*since) >= at_least);
        overdue
            .map(|(reply, since)| {
                *since = now;
                reply.clone()
            })
            .collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.since.lock().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Ticket {
    /// Where the answer goes.
    pub const fn reply(&self) -> &Subject {
        &self.reply
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.set.since.lock().remove(&self.number);
    }
}
