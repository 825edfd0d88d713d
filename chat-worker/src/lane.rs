//! One room in order, rooms in parallel, all of it bounded.
//!
//! A lane is a room that has something to write. It is made when the first message comes and gone when
//! the last is done, so two rooms never wait for each other, as they would in a fixed number of lanes.
//! What comes while a lane writes is gathered into its next write: a busy room has large writes, a quiet
//! one waits for nothing.
//!
//! Bounds: the caller holds a place for everything it pushes; a semaphore caps the writes at once.

use std::{
    collections::{HashMap, VecDeque},
    future::Future,
    sync::Arc,
};

use ops::lifecycle::Lifecycle;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

/// What a lane carries.
pub trait Item: std::fmt::Debug + Send + 'static {
    /// Whether it must not be written together with others.
    fn runs_alone(&self) -> bool;
    /// Its bytes.
    fn size(&self) -> usize;
}

/// What is done with a group of one lane; the next group of the lane waits until it is.
pub trait Work: std::fmt::Debug + Send + Sync + 'static {
    /// What it is done with.
    type Item: Item;
    /// The most items of a group.
    const ITEMS_MAX: usize;

    /// Does it. `place` is one of the writes in flight: it is given back when it is dropped.
    fn work(&self, group: Vec<Self::Item>, place: OwnedSemaphorePermit) -> impl Future<Output = ()> + Send;
}

/// The most bytes of a group, unless its first item is larger: both databases get slower per byte above it.
pub const BYTES_MAX: usize = 32 * 1024;

/// All lanes of one stream. Cheap to clone.
#[derive(Debug)]
pub struct Lanes<W: Work>(Arc<Inner<W>>);

impl<W: Work> Clone for Lanes<W> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

#[derive(Debug)]
struct Inner<W: Work> {
    work: W,
    /// A lane is here from its first item until its task has found nothing more.
    waiting: Mutex<HashMap<Uuid, VecDeque<W::Item>>>,
    writes: Arc<Semaphore>,
    lifecycle: Lifecycle,
}

impl<W: Work> Lanes<W> {
    /// Lanes that do `work`, as many at once as `writes` has places.
    pub fn new(work: W, writes: Arc<Semaphore>, lifecycle: Lifecycle) -> Self {
        Self(Arc::new(Inner { work, waiting: Mutex::default(), writes, lifecycle }))
    }

    /// Puts `item` at the end of `lane`.
    pub fn push(&self, lane: Uuid, item: W::Item) {
        {
            let mut waiting = self.0.waiting.lock();
            if let Some(queue) = waiting.get_mut(&lane) {
                queue.push_back(item);
                return;
            }
            waiting.insert(lane, VecDeque::from([item]));
        }
        let lanes = self.clone();
        // The lifecycle counts it: a shutdown waits for what is in flight.
        self.0.lifecycle.spawn(async move { lanes.drive(lane).await });
    }

    /// What is done with groups.
    pub fn work(&self) -> &W {
        &self.0.work
    }

    async fn drive(&self, lane: Uuid) {
        let _guard = LaneGuard { lanes: self, lane };
        loop {
            let place = Arc::clone(&self.0.writes).acquire_owned().await;
            let place = place.expect("nobody closes the semaphore");
            // Taken after the wait for a place, so that what came meanwhile is in it.
            let Some(group) = self.take(lane) else { return };
            self.0.work.work(group, place).await;
        }
    }

    /// The next group of `lane`; `None` ends the lane, in the same breath as it finds nothing.
    fn take(&self, lane: Uuid) -> Option<Vec<W::Item>> {
        let mut waiting = self.0.waiting.lock();
        let queue = waiting.get_mut(&lane)?;
        let Some(first) = queue.pop_front() else {
            waiting.remove(&lane);
            return None;
        };
        let (mut bytes, runs_alone) = (first.size(), first.runs_alone());
        let mut group = vec![first];
        while !runs_alone && group.len() < W::ITEMS_MAX {
            let fits = |item: &mut W::Item| !item.runs_alone() && bytes + item.size() <= BYTES_MAX;
            let Some(item) = queue.pop_front_if(fits) else { break };
            bytes += item.size();
            group.push(item);
        }
        Some(group)
    }
}

/// Removes a lane whose task panicked: what waits in it is dropped and so delivered again, and the room's
/// next message makes a new lane.
struct LaneGuard<'a, W: Work> {
    lanes: &'a Lanes<W>,
    lane: Uuid,
}

impl<W: Work> Drop for LaneGuard<'_, W> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            drop(self.lanes.0.waiting.lock().remove(&self.lane));
        }
    }
}
