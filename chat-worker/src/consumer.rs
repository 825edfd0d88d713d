//! The durable pull loop of one stream: fetch, dispatch to lanes, answer. The only file that acknowledges.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use async_nats::{
    Client, Subject,
    jetstream::{
        self, AckKind,
        consumer::{Consumer as Handle, pull},
    },
};
use futures_util::{FutureExt as _, StreamExt as _};
use ops::{
    broker::{Broker, LinkChange},
    clock::Clock,
    lifecycle::Lifecycle,
    mutant::{self, Mutant},
};
use rand::RngExt as _;
use schema::stream::{ACK_WAIT, WORKER};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};

use crate::{
    backlog::Backlog,
    breaker::Breaker,
    delivery::Delivery,
    held::{HeldSet, Ticket},
    job::Job,
    lane::{Item, Lanes, Work},
    measure,
    settle::{Answer, Settler},
    streams::Streams,
    verdict::ALONE_FROM,
};

/// The most messages this worker holds without an answer, of one stream.
pub const HELD_MAX: u32 = 1_024;
/// The most messages of one pull; while they are worked on, the next as many can be fetched.
const PULL_MAX: u32 = HELD_MAX / 2;
/// How long the broker keeps a pull open. Short: a pull of a worker that died swallows what it is given.
const PULL_OPEN_FOR: Duration = Duration::from_secs(10);
/// Nothing received for so long although there is something: the pull is begun anew.
const STALLED_AFTER: Duration = Duration::from_secs(30);
/// A message held for so long is said to be in progress; half of what the broker waits.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);
const _: () = assert!(PROGRESS_EVERY.as_secs() * 2 <= ACK_WAIT.as_secs(), "a late Progress must not be too late");
/// How often it is looked whether anything is held for so long.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The same while the process stops and waits for nothing else.
const LOOK_EVERY_STOPPING: Duration = Duration::from_millis(10);

/// Consumes one stream.
#[derive(Debug)]
pub struct Consumer<J: Job> {
    broker: Broker,
    backlog: Arc<Backlog>,
    streams: Arc<Streams>,
    breaker: Arc<Breaker>,
    clock: Clock,
    lifecycle: Lifecycle,
    lanes: Lanes<Desk<J>>,
    places: Arc<Semaphore>,
    is_pulling: Arc<AtomicBool>,
}

/// Why a pull ended without anything being wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// It was full, or its time was over.
    Regularly,
    /// The connection was lost and is there again: the broker has forgotten the pull.
    Reconnected,
}

impl<J: Job> Consumer<J> {
    /// Will consume `J::STREAM`, settling what it gets with `settler`.
    pub fn new(broker: Broker, backlog: Arc<Backlog>, settler: Settler<J>, lifecycle: Lifecycle) -> Self {
        let (streams, clock) = (Arc::clone(&settler.keeper.streams), settler.clock);
        let (breaker, writes) = (Arc::clone(&settler.breaker), Arc::clone(&settler.writes));
        let desk = Desk { settler, client: broker.client.clone(), held: Arc::default() };
        let lanes = Lanes::new(desk, writes, lifecycle.clone());
        let places = Arc::new(Semaphore::new(usize::try_from(HELD_MAX).unwrap_or(usize::MAX)));
        Self { broker, backlog, streams, breaker, clock, lifecycle, lanes, places, is_pulling: Arc::default() }
    }

    /// Whether it has what it needs to pull, now and later.
    pub fn is_pulling(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_pulling)
    }

    /// Consumes until the process stops. What is in flight then is settled by the lanes, whose tasks the
    /// lifecycle waits for.
    pub async fn run(self) {
        let (lanes, lifecycle) = (self.lanes.clone(), self.lifecycle.clone());
        self.lifecycle.spawn(async move { lanes.work().say_progress(lifecycle).await });
        self.pull_for_ever().await;
    }

    async fn pull_for_ever(&self) {
        let stopping = self.lifecycle.stopping().clone();
        let mut failures = 0;
        while !stopping.is_cancelled() {
            if let Err(error) = self.pull_until_broken(&mut failures).await {
                let error = format!("{error:#}");
                tracing::warn!(stream = J::STREAM, error, "the pull broke: stream and consumer are checked");
                measure::pull_restarted(J::STREAM);
                self.is_pulling.store(false, Ordering::Release);
                failures += 1;
                tokio::select! {
                    () = tokio::time::sleep(restart_delay(failures)) => {}
                    () = stopping.cancelled() => {}
                }
            }
        }
    }

    /// Pulls until something is wrong; a deleted stream or consumer is made again by the next call.
    async fn pull_until_broken(&self, failures: &mut u32) -> anyhow::Result<()> {
        let mut link = self.broker.link_changes();
        self.streams.ensure().await?;
        // Before the first pull: the consumer's floor then jumps over what the stream has dropped.
        self.backlog.look(&self.broker.js, self.clock).await?;
        let mut handle: Handle<pull::Config> = self.broker.js.get_consumer_from_stream(WORKER, J::STREAM).await?;
        self.is_pulling.store(true, Ordering::Release);
        let mut received_at = Instant::now();
        let mut outages = self.breaker.outages();
        loop {
            let Some(places) = self.ready_to_pull().await else { return Ok(()) };
            if outages.has_changed()? {
                outages.mark_unchanged();
                // As before the first pull.
                self.backlog.look(&self.broker.js, self.clock).await?;
            }
            let (received, ended) = self.pull(&handle, places, &mut link).await?;
            *failures = 0;
            if ended == Ended::Reconnected {
                return Ok(());
            }
            if received > 0 {
                received_at = Instant::now();
            } else if received_at.elapsed() >= STALLED_AFTER {
                anyhow::ensure!(handle.info().await?.num_pending == 0, "nothing received for {STALLED_AFTER:?}");
                received_at = Instant::now();
            }
        }
    }

    /// Waits until the store is there and half of all places are free; `None` when the process stops.
    async fn ready_to_pull(&self) -> Option<OwnedSemaphorePermit> {
        let ready = async {
            self.breaker.closed().await;
            Arc::clone(&self.places).acquire_many_owned(PULL_MAX).await.expect("nobody closes the semaphore")
        };
        tokio::select! {
            biased;
            () = self.lifecycle.stopping().cancelled() => None,
            places = ready => Some(places),
        }
    }

    /// One pull: whatever comes goes to its lane at once, so the client's own queue never fills.
    async fn pull(
        &self,
        handle: &Handle<pull::Config>,
        mut places: OwnedSemaphorePermit,
        link: &mut broadcast::Receiver<LinkChange>,
    ) -> anyhow::Result<(usize, Ended)> {
        // No idle heartbeat: async-nats' batch goes to sleep for good when it hears one.
        let pull = handle.batch().max_messages(places.num_permits()).expires(PULL_OPEN_FOR);
        let mut batch = pull.messages().await?;
        let mut received = 0;
        let ended = loop {
            let message = tokio::select! {
                message = batch.next() => message,
                () = self.lifecycle.stopping().cancelled() => break Ended::Regularly,
                () = self.breaker.opened() => break Ended::Regularly,
                change = link.recv() => match change {
                    Ok(LinkChange::Lost) => continue,
                    // Also when this listener lagged: it may have missed just that.
                    _ => break Ended::Reconnected,
                },
            };
            let Some(message) = message else { return Ok((received, Ended::Regularly)) };
            let message = message.map_err(|error| anyhow::anyhow!(error))?;
            self.dispatch(message, places.split(1));
            received += 1;
        };
        // What has arrived already would otherwise wait for its ack to be overdue.
        while let Some(Some(Ok(message))) = batch.next().now_or_never() {
            self.dispatch(message, places.split(1));
            received += 1;
        }
        Ok((received, ended))
    }

    fn dispatch(&self, message: jetstream::Message, place: Option<OwnedSemaphorePermit>) {
        let desk = self.lanes.work();
        let (Some(delivery), Some(reply)) = (Delivery::read(J::STREAM, &message), message.message.reply) else {
            tracing::error!(stream = J::STREAM, subject = %message.message.subject, "not out of a stream");
            return;
        };
        let lane = desk.settler.job.lane(&delivery);
        let open = Open { ticket: desk.held.enter(reply), _place: place };
        self.lanes.push(lane, Unsettled { delivery, open });
    }
}

/// 100 ms, doubled up to about 3 s.
fn restart_delay(failures: u32) -> Duration {
    Duration::from_millis(100) * 2_u32.pow(failures.min(5))
}

/// A message that waits to be settled.
#[derive(Debug)]
pub struct Unsettled {
    delivery: Delivery,
    open: Open,
}

/// What is needed to answer. Dropped without an answer (its task panicked), the message is delivered again.
#[derive(Debug)]
struct Open {
    ticket: Ticket,
    _place: Option<OwnedSemaphorePermit>,
}

impl Item for Unsettled {
    fn runs_alone(&self) -> bool {
        // A role may have to be waited for, by nothing else of the room.
        self.delivery.deliveries >= ALONE_FROM || self.delivery.is_by_role()
    }

    fn size(&self) -> usize {
        self.delivery.payload.len()
    }
}

/// Where messages are settled and answered.
#[derive(Debug)]
struct Desk<J> {
    settler: Settler<J>,
    client: Client,
    held: Arc<HeldSet>,
}

impl<J: Job> Work for Desk<J> {
    type Item = Unsettled;
    const ITEMS_MAX: usize = J::ROWS_MAX;

    async fn work(&self, mut group: Vec<Unsettled>, place: OwnedSemaphorePermit) {
        if mutant::is(Mutant::SkipOnRedelivery) {
            for again in group.extract_if(.., |item| item.delivery.deliveries > 1).collect::<Vec<_>>() {
                self.answer(&again.open, Answer::Ack).await;
            }
        }
        let (deliveries, open): (Vec<_>, Vec<_>) = group.into_iter().map(|item| (item.delivery, item.open)).unzip();
        if mutant::is(Mutant::AckBeforeWrite) {
            for open in &open {
                self.answer(open, Answer::Ack).await;
            }
        }
        let answers = self.settler.settle(&deliveries, place).await;
        for (open, answer) in open.into_iter().zip(answers) {
            self.answer(&open, answer).await;
        }
    }
}

impl<J: Job> Desk<J> {
    /// A plain answer is enough: one that is lost brings the message back, and writing it again changes nothing.
    async fn answer(&self, open: &Open, answer: Answer) {
        let kind = match answer {
            Answer::Ack => AckKind::Ack,
            Answer::Nak(after) => AckKind::Nak(Some(jittered(after))),
            Answer::Term => AckKind::Term,
        };
        self.send(open.ticket.reply(), kind).await;
    }

    /// Tells the broker of everything that is held for long that it is not forgotten, until the process
    /// stops and holds nothing any more.
    async fn say_progress(&self, lifecycle: Lifecycle) {
        loop {
            let is_stopping = lifecycle.is_stopping();
            if is_stopping && self.held.is_empty() {
                return;
            }
            for reply in self.held.overdue(PROGRESS_EVERY) {
                self.send(&reply, AckKind::Progress).await;
            }
            measure::held(J::STREAM, self.held.len());
            tokio::select! {
                () = tokio::time::sleep(if is_stopping { LOOK_EVERY_STOPPING } else { LOOK_EVERY }) => {}
                () = lifecycle.stopping().cancelled(), if !is_stopping => {}
            }
        }
    }

    async fn send(&self, reply: &Subject, kind: AckKind) {
        if let Err(error) = self.client.publish(reply.clone(), kind.into()).await {
            // The connection's task is gone: the process is ending, and the message will come again.
            tracing::debug!(%error, "an answer was not sent");
        }
    }
}

/// Up to a quarter more, so that what failed together does not come back together. Never less: the waits
/// are also what makes a fourth delivery late enough to prove something.
fn jittered(after: Duration) -> Duration {
    after.mul_f64(rand::rng().random_range(1.0..1.25))
}
