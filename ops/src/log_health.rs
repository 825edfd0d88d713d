//! How the log and its worker are doing, asked once a second: what may still be promised of a new message.
//!
//! Numbers that went back ([`LogHealth::is_behind`]) are the worst that can happen to the log: what is published then
//! gets a number that was given before. So nothing is published over a link before the numbers were compared on it, nor
//! before the store has said once what it knows of them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use async_nats::jetstream::{
    ErrorCode,
    context::GetStreamErrorKind,
    stream::{DirectGetErrorKind, Stream},
};
use parking_lot::Mutex;
use schema::{
    clock::Timestamp,
    problem::Code,
    stream::{self, CHAT_MESSAGES},
    subject::ChatSubject,
};
use tokio::sync::{Notify, broadcast};
use tokio_util::sync::CancellationToken;

use crate::{
    broker::{Broker, LinkChange},
    clock::Clock,
};

/// How often it is asked.
const EVERY: Duration = Duration::from_secs(1);
/// How soon it is asked again while nothing may be published.
const AGAIN_SOON: Duration = Duration::from_millis(100);
/// How long the store may take to say its mark: once it was said, the log is compared with what this process saw.
const MARK_WITHIN: Duration = Duration::from_secs(1);
/// How long the stream may take to say its last number, before it is asked again.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// How old an answer may be to be relied on.
const FRESH: Duration = Duration::from_secs(5);
/// A resend that is not in the store may be published while the worker has nothing older than this
/// unacknowledged: then the stream's duplicate window (2 min) still covers what the store does not.
const SETTLED_WITHIN: Duration = Duration::from_secs(90);
/// This near the stream's first seq the first seq is asked for afresh.
const NEAR: u64 = 50_000;

/// The newest answers.
#[derive(Debug)]
pub struct LogHealth {
    broker: Broker,
    clock: Clock,
    seen: Mutex<Option<Seen>>,
    /// The greatest seq that the store or this process ever saw.
    greatest: AtomicU64,
    /// Whether the store has said its mark, at least once.
    has_mark: AtomicBool,
    is_behind: AtomicBool,
    /// The link over which the numbers were last compared.
    compared_on: AtomicU64,
    /// The log may have been opened.
    opened: Notify,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    at: Instant,
    first_seq: u64,
    oldest_unacked: Duration,
    age_max: Duration,
}

/// No link has this number.
const NO_LINK: u64 = u64::MAX;

impl LogHealth {
    /// Nothing is known yet.
    pub fn new(broker: Broker, clock: Clock) -> Self {
        Self {
            broker,
            clock,
            seen: Mutex::new(None),
            greatest: AtomicU64::new(0),
            has_mark: AtomicBool::new(false),
            is_behind: AtomicBool::new(false),
            compared_on: AtomicU64::new(NO_LINK),
            opened: Notify::new(),
        }
    }

    /// Takes note that the log has given `seq`.
    pub fn saw(&self, seq: u64) {
        self.greatest.fetch_max(seq, Ordering::Relaxed);
    }

    /// The greatest number that the log is known to have given.
    pub fn greatest(&self) -> u64 {
        self.greatest.load(Ordering::Relaxed)
    }

    /// Whether a new message may be taken in; else why not.
    pub fn may_send(&self) -> Result<(), Code> {
        if self.is_behind() {
            return Err(Code::LogBehind);
        }
        match *self.seen.lock() {
            Some(seen) if !seen.age_max.is_zero() && seen.oldest_unacked > seen.age_max / 2 => Err(Code::Backlog),
            _ => Ok(()),
        }
    }

    /// Whether what is published now gets a number that was never given before.
    pub fn is_open(&self) -> bool {
        // In this order: a comparison says what it found before it says that it compared.
        let is_compared = self.compared_on.load(Ordering::Acquire) == self.broker.link();
        is_compared && self.has_mark.load(Ordering::Acquire) && !self.is_behind()
    }

    /// Returns when the log is open.
    pub async fn open(&self) {
        loop {
            let opened = self.opened.notified();
            tokio::pin!(opened);
            // From here on it is heard of: what opens between the look and the wait is not missed.
            opened.as_mut().enable();
            if self.is_open() {
                return;
            }
            opened.await;
        }
    }

    /// Whether a message that is not in the store is provably in the duplicate window, if it was ever
    /// stored at all.
    pub fn is_settled(&self) -> bool {
        let seen = *self.seen.lock();
        seen.is_some_and(|seen| seen.at.elapsed() < FRESH && seen.oldest_unacked + seen.at.elapsed() < SETTLED_WITHIN)
    }

    /// What `/readyz` says of the log.
    pub fn verdict(&self) -> Result<(), String> {
        if self.is_behind() {
            return Err("its numbers went back: an operator must look".into());
        }
        if !self.has_mark.load(Ordering::Acquire) {
            return Err("the message store has not said yet which numbers it knows".into());
        }
        match *self.seen.lock() {
            Some(seen) if seen.at.elapsed() < FRESH => Ok(()),
            _ => Err("the stream or the worker's consumer does not answer".into()),
        }
    }

    /// Whether the log's numbers went back.
    pub fn is_behind(&self) -> bool {
        self.is_behind.load(Ordering::Acquire)
    }

    /// The stream's first seq, asked for afresh when `cursor` is so near it that it matters.
    pub async fn first_seq_near(&self, cursor: u64) -> Result<u64, String> {
        match *self.seen.lock() {
            Some(seen) if seen.at.elapsed() < FRESH && cursor > seen.first_seq + NEAR => return Ok(seen.first_seq),
            _ => {}
        }
        let stream = self.broker.js.get_stream(CHAT_MESSAGES).await.map_err(|error| error.to_string())?;
        Ok(stream.cached_info().state.first_sequence)
    }

    async fn look(&self) -> Result<(), String> {
        let link = self.broker.link();
        // Before the stream is asked: what it has given meanwhile is no sign that it went back.
        let greatest = self.greatest.load(Ordering::Relaxed);
        // A cluster between two leaders may never answer.
        let asked = tokio::time::timeout(ANSWER_WITHIN, self.broker.js.get_stream(CHAT_MESSAGES)).await;
        let stream = match asked.map_err(|_elapsed| "no answer in time".to_owned())? {
            Ok(stream) => stream,
            Err(error) => {
                if is_absent(error.kind()) {
                    // It takes nothing, so it gives no number twice; a new one begins far above the mark.
                    self.compared(link);
                }
                return Err(error.to_string());
            }
        };
        let state = &stream.cached_info().state;
        self.compare(state.last_sequence, greatest);
        self.compared(link);
        let worker = stream::ask_worker(&self.broker.js, CHAT_MESSAGES).await.map_err(|error| error.to_string())?;
        let floor = worker.ack_floor.stream_sequence;
        let is_done = floor >= state.last_sequence;
        let oldest_unacked = if is_done { Duration::ZERO } else { self.age(&stream, floor + 1).await? };
        let age_max = stream.cached_info().config.max_age;
        *self.seen.lock() = Some(Seen { at: Instant::now(), first_seq: state.first_sequence, oldest_unacked, age_max });
        Ok(())
    }

    fn compare(&self, last: u64, greatest: u64) {
        self.saw(last);
        let is_behind = last < greatest;
        if self.is_behind.swap(is_behind, Ordering::AcqRel) == is_behind {
            return;
        }
        if is_behind {
            tracing::error!(last, greatest, "the log's numbers went back: nothing is published");
        } else {
            tracing::info!(last, greatest, "the log's numbers go on above all that were given");
        }
    }

    fn compared(&self, link: u64) {
        self.compared_on.store(link, Ordering::Release);
        self.opened.notify_waiters();
    }

    /// How long ago the first message at or above `seq` was stored.
    async fn age(&self, stream: &Stream, seq: u64) -> Result<Duration, String> {
        match stream.direct_get_next_for_subject(ChatSubject::ALL, Some(seq)).await {
            Ok(oldest) => {
                let millis = self.clock.now().unix_millis() - Timestamp::new(oldest.time).unix_millis();
                Ok(Duration::from_millis(u64::try_from(millis).unwrap_or(0)))
            }
            Err(error) if error.kind() == DirectGetErrorKind::NotFound => Ok(Duration::ZERO),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// Looks once a second until `stopping`, and at once when the link comes back. `mark` answers the greatest seq that the
/// store knows, if it can be asked.
pub async fn watch<F>(health: Arc<LogHealth>, mark: impl Fn() -> F + Send + Sync, stopping: CancellationToken)
where
    F: Future<Output = Option<u64>> + Send,
{
    let mut link = health.broker.link_changes();
    let mut must_ask_store = true;
    loop {
        let look = async {
            if must_ask_store && let Ok(Some(mark)) = tokio::time::timeout(MARK_WITHIN, mark()).await {
                health.saw(mark);
                health.has_mark.store(true, Ordering::Release);
                must_ask_store = false;
            }
            if let Err(error) = health.look().await {
                tracing::debug!(error, "the log's health is not known");
            }
            tokio::time::sleep(if health.is_open() { EVERY } else { AGAIN_SOON }).await;
        };
        tokio::select! {
            () = stopping.cancelled() => return,
            () = look => {}
            // What was asked over the old link may never be answered.
            is_back = relinked(&mut link) => must_ask_store |= is_back,
        }
    }
}

/// Returns when the connection was lost, or is there again; says whether it may be there again.
async fn relinked(link: &mut broadcast::Receiver<LinkChange>) -> bool {
    loop {
        match link.recv().await {
            // The connection stands.
            Ok(LinkChange::Overflowed) => {}
            Ok(LinkChange::Lost) => return false,
            Ok(LinkChange::Reconnected) | Err(_) => return true,
        }
    }
}

/// Whether the log can have given a new message `seq`, when it was known to have given all numbers up to `above` before.
/// If not, its numbers went back under whoever published: what has this number already is kept, and not the message.
pub fn is_new(seq: u64, above: u64) -> bool {
    let is_new = seq > above;
    if !is_new {
        tracing::error!(seq, above, "the log gave a number a second time");
    }
    is_new
}

fn is_absent(kind: GetStreamErrorKind) -> bool {
    matches!(kind, GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND)
}
