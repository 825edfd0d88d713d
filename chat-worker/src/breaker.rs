//! While the store is away nothing is fetched, nothing is tried, and so nothing is given up.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chat_store::{MessageStore, StoreError};
use futures_util::{FutureExt as _, future::BoxFuture};
use ops::lifecycle::Lifecycle;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::measure;

/// Asks the store whether it is there.
type Ping = Box<dyn Fn() -> BoxFuture<'static, Result<(), StoreError>> + Send + Sync>;

/// Opens at the first sign that the store is away; closes when the store answers again.
pub struct Breaker {
    ping: Ping,
    lifecycle: Lifecycle,
    is_open: watch::Sender<bool>,
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    /// How often it has opened since a write went well.
    strikes: u32,
    stored_at: Option<Instant>,
}

/// The first wait before the store is asked.
const ASK_AFTER_MIN: Duration = Duration::from_millis(100);
/// The longest: so soon after the store's return work goes on.
const ASK_AFTER_MAX: Duration = Duration::from_secs(2);
/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// A refusal proves something about a message only if the store took another one so recently. A message
/// is tried alone at its fourth delivery, 7 s after its first: in an outage no try alone is that close to
/// the last write that went well.
const PROOF_WITHIN: Duration = Duration::from_secs(5);

impl Breaker {
    /// A closed one, for this store.
    pub fn new(store: Arc<dyn MessageStore>, lifecycle: Lifecycle) -> Arc<Self> {
        let ping = move || {
            let store = Arc::clone(&store);
            async move { store.ping().await }.boxed()
        };
        Self::asking(ping, lifecycle)
    }

    /// A closed one; `ping` asks the store whether it is there.
    pub fn asking(
        ping: impl Fn() -> BoxFuture<'static, Result<(), StoreError>> + Send + Sync + 'static,
        lifecycle: Lifecycle,
    ) -> Arc<Self> {
        let (is_open, _nobody_yet) = watch::channel(false);
        Arc::new(Self { ping: Box::new(ping), lifecycle, is_open, memory: Mutex::default() })
    }

    /// Whether the store was away when last heard of.
    pub fn is_open(&self) -> bool {
        *self.is_open.borrow()
    }

    /// Asks the store how it is, for an operator.
    pub async fn ask(&self) -> Result<(), String> {
        if self.is_open() {
            return Err("away".into());
        }
        (self.ping)().await.map_err(|error| error.to_string())
    }

    /// Answers when the store is not known to be away.
    pub async fn closed(&self) {
        self.wait_for(false).await;
    }

    /// Waits for [`Self::closed`], but neither longer than `at_most` nor once the process stops; says whether it is.
    pub async fn closed_within(&self, at_most: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.closed() => true,
            () = self.lifecycle.stopping().cancelled() => false,
            () = tokio::time::sleep(at_most) => false,
        }
    }

    /// Answers when the store is known to be away.
    pub async fn opened(&self) {
        self.wait_for(true).await;
    }

    /// Sees each time that the store goes away or comes back.
    pub fn outages(&self) -> watch::Receiver<bool> {
        self.is_open.subscribe()
    }

    async fn wait_for(&self, wanted: bool) {
        let mut changes = self.is_open.subscribe();
        let found = changes.wait_for(|is_open| *is_open == wanted).await;
        drop(found.expect("the breaker holds the sender"));
    }

    /// A write went well.
    pub fn succeeded(&self) {
        *self.memory.lock() = Memory { strikes: 0, stored_at: Some(Instant::now()) };
    }

    /// Whether the store took something just now.
    pub fn stored_lately(&self) -> bool {
        self.memory.lock().stored_at.is_some_and(|at| at.elapsed() < PROOF_WITHIN)
    }

    /// A write found the store away: from now on it is asked until it answers.
    pub fn trip(self: &Arc<Self>) {
        if self.is_open.send_replace(true) {
            return;
        }
        let strikes = {
            let mut memory = self.memory.lock();
            memory.strikes = memory.strikes.saturating_add(1);
            memory.strikes
        };
        tracing::warn!("the message store is away: nothing is fetched until it answers");
        measure::store_is_away(true);
        let breaker = Arc::clone(self);
        self.lifecycle.spawn(async move { breaker.ask_until_it_answers(strikes).await });
    }

    /// A store that answers and then fails again is asked less and less often.
    async fn ask_until_it_answers(&self, strikes: u32) {
        let mut wait = ASK_AFTER_MIN.saturating_mul(2_u32.pow(strikes.min(6) - 1)).min(ASK_AFTER_MAX);
        loop {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.lifecycle.stopping().cancelled() => return,
            }
            match tokio::time::timeout(ANSWER_WITHIN, (self.ping)()).await {
                Ok(Ok(())) => break,
                Ok(Err(error)) => tracing::debug!(%error, "the message store is still away"),
                Err(_elapsed) => tracing::debug!("the message store does not answer"),
            }
            wait = (wait * 2).min(ASK_AFTER_MAX);
        }
        tracing::info!("the message store answers again");
        measure::store_is_away(false);
        self.is_open.send_replace(false);
    }
}

impl std::fmt::Debug for Breaker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Breaker").field("is_open", &self.is_open()).finish_non_exhaustive()
    }
}
