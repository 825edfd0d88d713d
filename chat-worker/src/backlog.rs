//! How far the worker is behind a stream, and what the stream dropped before it was stored.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use async_nats::jetstream::{self, stream::DirectGetErrorKind};
use ops::clock::Clock;
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
    lost: AtomicU64,
    /// What the stream has dropped since, out of a worker's hands.
    dropped: AtomicU64,
    /// Below this every loss was counted.
    counted_below: AtomicU64,
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

/// Above this the backlog is worth a warning; the gateways refuse new messages only much later.
pub const OLDEST_WARNING: Duration = Duration::from_mins(5);

impl Backlog {
    /// Will look at `stream`.
    pub const fn new(stream: &'static str, subjects: &'static str) -> Self {
        Self {
            stream,
            subjects,
            counts_losses: true,
            lost: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            counted_below: AtomicU64::new(0),
        }
    }

    /// Which.
    pub const fn stream(&self) -> &'static str {
        self.stream
    }

    /// Will look at a stream whose messages take the place of one another.
    pub const fn of_newest(stream: &'static str, subjects: &'static str) -> Self {
        Self { counts_losses: false, ..Self::new(stream, subjects) }
    }

    /// Looks, measures and warns.
    pub async fn look(&self, js: &jetstream::Context, clock: Clock) -> anyhow::Result<Found> {
        let stream = js.get_stream(self.stream).await?;
        let worker = stream::ask_worker(js, self.stream).await?;
        let state = &stream.cached_info().state;
        let floor = worker.ack_floor.stream_sequence;
        let unseen = if self.counts_losses { lost(state.first_sequence, floor) } else { 0 };
        let lost = unseen + self.dropped.swap(0, Ordering::AcqRel);
        let pending = worker.num_pending.saturating_add(u64::try_from(worker.num_ack_pending).unwrap_or(u64::MAX));
        let oldest = if pending == 0 { Duration::ZERO } else { self.oldest(&stream, floor + 1, clock).await? };
        if self.lost.swap(lost, Ordering::AcqRel) == 0 && lost > 0 {
            tracing::error!(stream = self.stream, lost, "messages aged out of the log before they were stored");
        }
        if oldest > OLDEST_WARNING {
            tracing::warn!(stream = self.stream, pending, oldest_s = oldest.as_secs(), "the worker is far behind");
        }
        if unseen > 0 {
            let counted_below = self.counted_below.fetch_max(state.first_sequence, Ordering::AcqRel);
            measure::newly_lost(self.stream, unseen.min(state.first_sequence.saturating_sub(counted_below)));
        }
        measure::lost(self.stream, lost);
        measure::backlog(self.stream, pending, oldest);
        Ok(Found { lost, pending, oldest })
    }

    /// Takes note that a message left the stream while a worker had it.
    pub fn dropped(&self, seq: u64) {
        if seq < self.counted_below.load(Ordering::Acquire) {
            return;
        }
        if self.dropped.fetch_add(1, Ordering::AcqRel) == 0 {
            tracing::error!(stream = self.stream, seq, "a message aged out of the log before it was stored");
        }
        measure::newly_lost(self.stream, 1);
    }

    /// What was found lost when last looked, and since.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Acquire) + self.dropped.load(Ordering::Acquire)
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
