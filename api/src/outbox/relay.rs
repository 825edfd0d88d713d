//! Brings committed changes to the broker, in order, for as long as it takes.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use async_nats::{
    HeaderMap,
    jetstream::{self, ErrorCode, context::PublishErrorKind},
};
use futures_util::future::join_all;
use ops::{
    broker::{Broker, code_of},
    clock::Clock,
    database::Pool,
    log_health::LogHealth,
    mutant::{self, Mutant},
};
use parking_lot::Mutex;
use schema::{clock::Timestamp, postgres::OUTBOX_CHANNEL};
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use uuid::Uuid;

use super::{
    repository::{self, LockedLane, Row},
    round::{Publish, round},
};
use crate::state::AppState;

/// Publishes outbox rows. Any number of processes may run one.
#[derive(Debug)]
pub(crate) struct Relay {
    pg: Pool,
    broker: Broker,
    log: Arc<LogHealth>,
    clock: Clock,
    /// None where a pooler is between.
    listen_options: Option<PgConnectOptions>,
    wake: watch::Sender<()>,
    /// Lanes whose row was refused, and until when they are left alone: the others go on.
    deferred: Mutex<HashMap<Uuid, Instant>>,
    /// The lane that was taken last: the next one's turn comes after it, so that none waits behind others that get on
    /// badly.
    last: Mutex<Uuid>,
}

/// Why a row is not published.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// A new number in the log might be one that was given before.
    #[error("the log takes nothing now")]
    Closed,
    /// The broker's word, or that it said none.
    #[error(transparent)]
    Publish(#[from] jetstream::context::PublishError),
}

/// What became of one try to take a lane.
enum Taken {
    /// Nothing is pending.
    Nothing,
    /// One lane went on.
    Published,
    /// All lanes had their turn: the first ones are next.
    Round,
    /// The broker or the database is away: trying again at once is of no use.
    Away,
}

/// Lanes published at the same time by one process.
const LANES_AT_ONCE: usize = 3;
/// Backs the wake-ups up, and shows the backlog.
const POLL_EVERY: Duration = Duration::from_secs(1);
/// How long one publish may wait for its answer. The lane's writers wait as long.
const ACK_WITHIN: Duration = Duration::from_secs(2);
/// How long a row of a room waits for its log to be open: after a reconnect that takes a moment.
const OPEN_WITHIN: Duration = Duration::from_millis(200);
/// How long a lane is left alone whose row nobody took: what waits in it may be that somebody was taken out of a room.
const AWAY_FOR: Duration = Duration::from_millis(250);
/// How long a lane is left alone whose row was refused.
const DEFERRED_FOR: Duration = Duration::from_secs(5);
/// How long to wait before listening again.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);

impl Relay {
    pub(crate) fn new(state: &AppState, listen_options: Option<PgConnectOptions>) -> Self {
        Self {
            pg: state.pg.clone(),
            broker: state.broker.clone(),
            log: Arc::clone(&state.log),
            clock: state.clock,
            listen_options,
            wake: watch::Sender::new(()),
            deferred: Mutex::default(),
            last: Mutex::default(),
        }
    }

    /// Publishes until `stopping`.
    pub(crate) async fn run(self, stopping: tokio_util::sync::CancellationToken) {
        tokio::select! {
            () = stopping.cancelled() => {}
            () = self.listen() => {}
            _ = join_all((0..LANES_AT_ONCE).map(|_| self.publish())) => {}
            () = self.show_backlog() => {}
        }
    }

    async fn publish(&self) {
        let mut wake = self.wake.subscribe();
        loop {
            // Seen before it drains: a wake-up meanwhile is not missed.
            wake.mark_unchanged();
            let again = if self.drain().await { POLL_EVERY } else { AWAY_FOR };
            drop(timeout(again, wake.changed()).await);
        }
    }

    /// Takes lanes until none is left; says whether none will be there again in a moment.
    async fn drain(&self) -> bool {
        // Without a connection a publish only waits: no lane is locked for that.
        while self.broker.is_connected() || mutant::is(Mutant::OutboxMarkFirst) {
            match self.take_lane().await {
                Ok(Taken::Published | Taken::Round) => {}
                Ok(Taken::Nothing) => return !self.is_one_due_soon(),
                Ok(Taken::Away) => return false,
                Err(error) => {
                    tracing::warn!(%error, "outbox: the database is away");
                    return true;
                }
            }
        }
        true
    }

    async fn take_lane(&self) -> sqlx::Result<Taken> {
        let deferred = self.deferred_lanes();
        let after = *self.last.lock();
        let Some(mut lane) = LockedLane::take(&self.pg, &deferred, after, self.clock).await? else {
            *self.last.lock() = Uuid::nil();
            return Ok(if after.is_nil() { Taken::Nothing } else { Taken::Round });
        };
        *self.last.lock() = lane.id;
        let round = round(&mut lane, self).await?;
        let id = lane.id;
        lane.commit().await?;
        self.measure(&round.published);
        let Some((row, error)) = round.refusal else { return Ok(Taken::Published) };
        if Self::is_of_log(&error) {
            // Of every lane that has a line for it, again and again: what is wrong with the log is said once, elsewhere.
            tracing::debug!(change.id = %row, %error, "outbox: not published");
        } else {
            tracing::warn!(change.id = %row, %error, "outbox: not published");
        }
        metrics::counter!("outbox_failures_total").increment(1);
        self.deferred.lock().insert(id, Instant::now() + deferral(&error));
        // A log that takes nothing says nothing of the lanes that have no line for it.
        Ok(if is_away(&error) && !Self::is_of_log(&error) { Taken::Away } else { Taken::Published })
    }

    fn deferred_lanes(&self) -> Vec<Uuid> {
        let mut deferred = self.deferred.lock();
        let now = Instant::now();
        deferred.retain(|_, until| *until > now);
        deferred.keys().copied().collect()
    }

    /// Whether a lane is left alone for a moment only.
    fn is_one_due_soon(&self) -> bool {
        let soon = Instant::now() + AWAY_FOR;
        self.deferred.lock().values().any(|until| *until <= soon)
    }

    fn measure(&self, published: &[Row]) {
        for row in published {
            let waited = self.clock.now().unix_millis() - Timestamp::new(row.created_at).unix_millis();
            let waited = Duration::from_millis(u64::try_from(waited).unwrap_or(0));
            metrics::histogram!("outbox_delay_seconds").record(waited.as_secs_f64());
        }
    }

    /// Wakes the publisher at each commit.
    async fn listen(&self) {
        let Some(options) = &self.listen_options else { return std::future::pending().await };
        loop {
            if let Err(error) = self.listen_once(options).await {
                tracing::warn!(%error, "outbox: listening was interrupted");
            }
            sleep(LISTEN_AGAIN).await;
        }
    }

    async fn listen_once(&self, options: &PgConnectOptions) -> sqlx::Result<()> {
        let pool = PgPoolOptions::new().max_connections(1).connect_lazy_with(options.clone());
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.listen(OUTBOX_CHANNEL).await?;
        loop {
            // None: the connection was lost and is there again; something may have been missed.
            let _notification = listener.try_recv().await?;
            self.wake.send_replace(());
        }
    }

    async fn show_backlog(&self) {
        loop {
            if let Ok((pending, oldest)) = repository::backlog(&self.pg).await {
                let now = self.clock.now().unix_millis();
                let age = oldest.map_or(0, |at| now - Timestamp::new(at).unix_millis());
                let age = Duration::from_millis(u64::try_from(age).unwrap_or(0));
                metrics::gauge!("outbox_pending").set(f64::from(u32::try_from(pending).unwrap_or(u32::MAX)));
                metrics::gauge!("outbox_oldest_seconds").set(age.as_secs_f64());
            }
            sleep(POLL_EVERY * 5).await;
        }
    }
}

impl Publish for Relay {
    type Refusal = Refusal;

    fn is_of_log(refusal: &Refusal) -> bool {
        match refusal {
            Refusal::Closed => true,
            Refusal::Publish(error) => is_full(error),
        }
    }

    fn fault(refusal: &Refusal) -> Option<String> {
        (!is_away(refusal)).then(|| refusal.to_string())
    }

    async fn publish(&self, row: &Row) -> Result<(), Self::Refusal> {
        if mutant::is(Mutant::OutboxMarkFirst) && !self.broker.is_connected() {
            return Ok(());
        }
        if row.is_for_log() {
            // Numbers that went back stay so until an operator comes.
            let is_open = !self.log.is_behind() && timeout(OPEN_WITHIN, self.log.open()).await.is_ok();
            if !is_open {
                return Err(Refusal::Closed);
            }
        }
        let mut headers = HeaderMap::new();
        for (name, value) in row.headers.as_object().into_iter().flatten() {
            headers.insert(name.as_str(), value.as_str().unwrap_or_default());
        }
        let published = async {
            let body = row.body.clone().into();
            self.broker.js.publish_with_headers(row.subject.clone(), headers, body).await?.await
        };
        match timeout(ACK_WITHIN, published).await {
            Ok(Ok(ack)) => {
                if row.is_for_log() {
                    self.log.saw(ack.sequence);
                }
                Ok(())
            }
            Ok(Err(error)) => Err(error.into()),
            Err(_elapsed) => Err(jetstream::context::PublishError::from(PublishErrorKind::TimedOut).into()),
        }
    }
}

/// A row that was refused waits longer than one that nobody answered for.
fn deferral(error: &Refusal) -> Duration {
    if is_away(error) { AWAY_FOR } else { DEFERRED_FOR }
}

/// Whether it says nothing against the row.
fn is_away(error: &Refusal) -> bool {
    use PublishErrorKind as Kind;
    let Refusal::Publish(error) = error else { return true };
    match error.kind() {
        Kind::StreamNotFound | Kind::TimedOut | Kind::BrokenPipe | Kind::MaxAckPending => true,
        Kind::WrongLastMessageId | Kind::WrongLastSequence | Kind::MaxPayloadExceeded => false,
        Kind::Other => is_full(error),
    }
}

/// Whether the stream has no room for it now.
fn is_full(error: &jetstream::context::PublishError) -> bool {
    code_of(error) == Some(ErrorCode::STREAM_STORE_FAILED)
}
