//! How far the worker is behind a stream, and what the stream dropped before it was stored.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use async_nats::jetstream::{self, stream::DirectGetErrorKind};
use ops::clock::Clock;
use parking_lot::Mutex;
use schema::{
    clock::Timestamp,
    stream::{self, lost},
};

use crate::measure;

/// What is known of one stream's backlog.
#[derive(Debug)]
pub struct Backlog {
    stream: &'static str,
    /// The filter of all its messages.
    subjects: &'static str,
    /// Whether a message that was dropped is a message that is missed: where the newest takes the place of the others
    /// it is not.
    counts_losses: bool,
    losses: Mutex<Losses>,
}

/// What the stream dropped before it was stored, since this process began. A worker that goes on takes the consumer's
/// floor past it, so it is remembered here.
#[derive(Debug, Default)]
struct Losses {
    count: u64,
    /// When the last of them was found.
    found_at: Option<Instant>,
    /// The gap below the stream's first message when it was last found: all in it are counted.
    gap: (u64, u64),
    /// Those that were dropped out of a worker's hands.
    in_hand: BTreeSet<u64>,
}

/// A stream as it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Messages that aged out unseen.
    pub lost: u64,
    /// Messages that are not acknowledged yet.
    pub pending: u64,
    /// How long ago the oldest of them was stored.
    pub oldest: Duration,
}

/// A stream and its consumer, asked one after the other.
struct Seen {
    stream: jetstream::stream::Stream,
    worker: jetstream::consumer::Info,
    floor: u64,
    lost: u64,
}

/// A purge reaches the consumer a moment after the stream, in a cluster on another server: only a gap that is still there
/// so much later is one.
const AGAIN_AFTER: Duration = Duration::from_millis(250);
/// Above this the backlog is worth a warning; the gateways refuse new messages only much later.
pub const OLDEST_WARNING: Duration = Duration::from_mins(5);
/// So long a loss is shown: long enough for who looks in turns, and not for ever, which would have a new worker never be
/// ready that has found what an old one lost.
const OF_LATE: Duration = Duration::from_mins(5);
/// Far more than the broker lets all workers have in hand; beyond it the oldest are not told apart any more.
const IN_HAND_MAX: usize = 65_536;

impl Backlog {
    /// Will look at `stream`.
    pub fn new(stream: &'static str, subjects: &'static str) -> Self {
        Self { stream, subjects, counts_losses: true, losses: Mutex::default() }
    }

    /// Will look at a stream whose messages take the place of one another.
    pub fn of_newest(stream: &'static str, subjects: &'static str) -> Self {
        Self { counts_losses: false, ..Self::new(stream, subjects) }
    }

    /// Which.
    pub const fn stream(&self) -> &'static str {
        self.stream
    }

    /// Looks, measures and warns.
    pub async fn look(&self, js: &jetstream::Context, clock: Clock) -> anyhow::Result<Found> {
        let mut seen = self.see(js).await?;
        if seen.lost > 0 {
            tokio::time::sleep(AGAIN_AFTER).await;
            seen = self.see(js).await?;
        }
        let Seen { stream, worker, floor, lost } = seen;
        if lost > 0 {
            let newly_lost = self.losses.lock().find(floor + 1, floor + 1 + lost);
            self.tell(newly_lost);
        }
        let pending = worker.num_pending.saturating_add(u64::try_from(worker.num_ack_pending).unwrap_or(u64::MAX));
        let oldest = if pending == 0 { Duration::ZERO } else { self.oldest(&stream, floor + 1, clock).await? };
        if oldest > OLDEST_WARNING {
            tracing::warn!(stream = self.stream, pending, oldest_s = oldest.as_secs(), "the worker is far behind");
        }
        measure::lost(self.stream, lost);
        measure::backlog(self.stream, pending, oldest);
        Ok(Found { lost, pending, oldest })
    }

    /// Takes note that a message left the stream while a worker had it.
    pub fn note_dropped(&self, seq: u64) {
        let newly_lost = self.losses.lock().drop_in_hand(seq);
        self.tell(newly_lost);
    }

    /// How many were found lost since this process began, if the last of them was found of late.
    pub fn lost_of_late(&self) -> u64 {
        let losses = self.losses.lock();
        if losses.found_at.is_some_and(|at| at.elapsed() < OF_LATE) { losses.count } else { 0 }
    }

    fn tell(&self, newly_lost: u64) {
        if newly_lost > 0 {
            tracing::error!(stream = self.stream, newly_lost, "messages left the log before they were stored");
            measure::newly_lost(self.stream, newly_lost);
        }
    }

    async fn see(&self, js: &jetstream::Context) -> anyhow::Result<Seen> {
        let stream = js.get_stream(self.stream).await?;
        let worker = stream::ask_worker(js, self.stream).await?;
        let floor = worker.ack_floor.stream_sequence;
        let lost = if self.counts_losses { lost(stream.cached_info().state.first_sequence, floor) } else { 0 };
        Ok(Seen { stream, worker, floor, lost })
    }

    async fn oldest(&self, stream: &jetstream::stream::Stream, from: u64, clock: Clock) -> anyhow::Result<Duration> {
        match stream.direct_get_next_for_subject(self.subjects, Some(from)).await {
            Ok(message) => {
                let stored_at = Timestamp::new(message.time).unix_millis();
                let millis = clock.now().unix_millis().saturating_sub(stored_at);
                Ok(Duration::from_millis(u64::try_from(millis).unwrap_or(0)))
            }
            Err(error) if error.kind() == DirectGetErrorKind::NotFound => Ok(Duration::ZERO),
            Err(error) => Err(error.into()),
        }
    }
}

impl Losses {
    /// A gap from `from` up to, and without, `to`; answers how many in it are new.
    fn find(&mut self, from: u64, to: u64) -> u64 {
        let new = from.max(self.gap.1)..to.max(from).max(self.gap.1);
        let known = u64::try_from(self.in_hand.range(new.clone()).count()).unwrap_or(u64::MAX);
        let found = (new.end - new.start).saturating_sub(known);
        self.gap = (from, new.end);
        self.add(found)
    }

    /// One that a worker had; answers 1 if it is new.
    fn drop_in_hand(&mut self, seq: u64) -> u64 {
        let (from, to) = self.gap;
        if (from..to).contains(&seq) || !self.in_hand.insert(seq) {
            return 0;
        }
        if self.in_hand.len() > IN_HAND_MAX {
            self.in_hand.pop_first();
        }
        self.add(1)
    }

    fn add(&mut self, newly_lost: u64) -> u64 {
        if newly_lost > 0 {
            self.count += newly_lost;
            self.found_at = Some(Instant::now());
        }
        newly_lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_counted_once_whoever_tells_of_it_first() {
        let mut losses = Losses::default();
        assert_eq!(losses.drop_in_hand(1), 1);
        assert_eq!(losses.drop_in_hand(1), 0, "the broker may say it twice");
        // 2 was in hand too, and its word is still on the way; 1 is counted.
        assert_eq!(losses.find(1, 7), 5);
        assert_eq!(losses.drop_in_hand(2), 0);
        // The gap grows, and the floor goes on.
        assert_eq!(losses.find(1, 7), 0);
        assert_eq!(losses.find(3, 9), 2);
        assert_eq!(losses.drop_in_hand(20), 1);
        assert_eq!(losses.count, 9);
        // The broker ended 30 before this look, and the floor went past it: it is not in the gap.
        assert_eq!(losses.find(31, 33), 2);
        assert_eq!(losses.drop_in_hand(30), 1);
    }
}
