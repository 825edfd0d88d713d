//! The greatest number the log has ever given, and what follows when it goes back.
//!
//! A power loss or a restored copy makes the broker give the same numbers a second time; they would
//! overwrite rows, and phones would ignore them. So the greatest number is kept in the store, before its row, and a
//! stream whose last number is below it is a reason to stop sending until an operator has decided.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_nats::jetstream;
use chat_store::{MessageStore, StoreError};
use schema::stream::CHAT_MESSAGES;
use tokio::sync::Mutex;

use crate::measure;

/// What this process knows of the log's numbers.
pub struct HighWater {
    store: Arc<dyn MessageStore>,
    /// The greatest seq this process was about to store.
    wanted: AtomicU64,
    /// Up to which the store's mark is known to stand; see [`Self::under`].
    raised: AtomicU64,
    /// One raise at a time.
    raising: Mutex<()>,
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
        let [wanted, raised, behind] = [0; 3].map(AtomicU64::new);
        Arc::new(Self { store, wanted, raised, raising: Mutex::new(()), behind })
    }

    /// Sees to it that the store's mark covers `seq`, before anything is stored there: so it is never below a row, also
    /// when the power fails between the two. Who asks while it is being raised is covered by the next raise together.
    pub async fn cover(&self, seq: u64) -> Result<(), StoreError> {
        self.wanted.fetch_max(seq, Ordering::AcqRel);
        if self.covers(seq) {
            return Ok(());
        }
        let _turn = self.raising.lock().await;
        if self.covers(seq) {
            return Ok(());
        }
        let wanted = self.wanted.load(Ordering::Acquire);
        self.store.raise_high_water(wanted).await?;
        self.raised.fetch_max(wanted, Ordering::AcqRel);
        Ok(())
    }

    /// Does a write that is covered. Unless it goes well, nobody knows whether the mark still stands, and what comes next
    /// raises it again: a PostgreSQL that crashed comes back without a raise that no row has followed.
    pub async fn under<T>(&self, writing: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let mut doubt = Doubt { raised: Some(&self.raised) };
        let written = writing.await?;
        doubt.raised = None;
        Ok(written)
    }

    fn covers(&self, seq: u64) -> bool {
        self.raised.load(Ordering::Acquire) >= seq
    }

    /// Compares the stream's last number with the mark and with what this process saw. Answers the mark if
    /// the log is behind it.
    pub async fn compare(&self, js: &jetstream::Context) -> Result<Option<u64>, CompareError> {
        // The mark first: the stream only grows, so what is read later can not be lower by chance.
        let mark = self.store.high_water().await?.max(self.wanted.load(Ordering::Acquire));
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

/// Forgets that the mark was raised, when a write ends without an answer too.
struct Doubt<'a> {
    raised: Option<&'a AtomicU64>,
}

impl Drop for Doubt<'_> {
    fn drop(&mut self) {
        if let Some(raised) = self.raised {
            raised.store(0, Ordering::Release);
        }
    }
}

impl std::fmt::Debug for HighWater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HighWater").field("raised", &self.raised).field("behind", &self.behind).finish_non_exhaustive()
    }
}
