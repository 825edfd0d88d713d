//! The greatest number the log has ever given, and what follows when it goes back.
//!
//! A power loss or a restored copy makes the broker give the same numbers a second time; they would
//! overwrite rows, and phones would ignore them. So the greatest number stored is kept in the store, and
//! a stream whose last number is below it is a reason to stop sending until an operator has decided.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_nats::jetstream;
use chat_store::{MessageStore, StoreError};
use schema::stream::CHAT_MESSAGES;

use crate::measure;

/// What this process knows of the log's numbers.
pub struct HighWater {
    store: Arc<dyn MessageStore>,
    /// The greatest seq this process has stored.
    stored: AtomicU64,
    /// What of it the store's mark is known to cover.
    raised: AtomicU64,
    /// By how much the log is behind; 0 = it is not.
    behind: AtomicU64,
}

/// Why the log's numbers could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// The mark is not known.
    #[error("the high-water mark is not known")]
    Store(#[from] StoreError),
    /// The stream's last number is not known.
    #[error("the stream {CHAT_MESSAGES} can not be asked")]
    Stream(#[from] jetstream::context::GetStreamError),
}

impl HighWater {
    /// Knows nothing yet.
    pub fn new(store: Arc<dyn MessageStore>) -> Arc<Self> {
        Arc::new(Self { store, stored: AtomicU64::new(0), raised: AtomicU64::new(0), behind: AtomicU64::new(0) })
    }

    /// Takes note that `seq` stands in the store.
    pub fn stored(&self, seq: u64) {
        self.stored.fetch_max(seq, Ordering::AcqRel);
    }

    /// Raises the store's mark to what this process has stored.
    pub async fn raise(&self) -> Result<(), StoreError> {
        let stored = self.stored.load(Ordering::Acquire);
        if stored > self.raised.load(Ordering::Acquire) {
            self.store.raise_high_water(stored).await?;
            self.raised.fetch_max(stored, Ordering::AcqRel);
        }
        Ok(())
    }

    /// Compares the stream's last number with the mark and with what this process saw. Answers the mark if
    /// the log is behind it.
    pub async fn compare(&self, js: &jetstream::Context) -> Result<Option<u64>, CompareError> {
        // The mark first: the stream only grows, so what is read later can not be lower by chance.
        let mark = self.store.high_water().await?.max(self.stored.load(Ordering::Acquire));
        let last = js.get_stream(CHAT_MESSAGES).await?.cached_info().state.last_sequence;
        let behind = mark.saturating_sub(last);
        let was_behind = self.behind.swap(behind, Ordering::AcqRel);
        measure::log_behind(behind);
        match (was_behind, behind) {
            (0, 0) => {}
            (0, _) => tracing::error!(
                mark,
                last,
                "the log's numbers went back: nothing new may be sent until `chat-worker reopen-log` was run"
            ),
            (_, 0) => tracing::info!(mark, last, "the log's numbers go on above the mark again"),
            (_, _) => {}
        }
        Ok((behind > 0).then_some(mark))
    }

    /// By how many numbers the log is behind; 0 = it is not.
    pub fn behind(&self) -> u64 {
        self.behind.load(Ordering::Acquire)
    }
}

impl std::fmt::Debug for HighWater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HighWater").field("stored", &self.stored).field("behind", &self.behind).finish_non_exhaustive()
    }
}
