//! The worker's tasks, put together: three consumers, and a watch over the log.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use chat_store::MessageStore;
use ops::{
    broker::Broker,
    clock::Clock,
    database::Pool,
    lifecycle::Lifecycle,
    probe::{Importance, Readiness},
};
use schema::{
    stream::{CHAT_MARKS, CHAT_MESSAGES, EVENTS, Sizes},
    subject::{ChatSubject, MarkSubject},
};
use tokio::sync::Semaphore;

use crate::{
    backlog::Backlog,
    breaker::Breaker,
    config::WorkSettings,
    consumer::Consumer,
    dead_letter::DeadLetters,
    dropped,
    high_water::HighWater,
    job::{Job, event_change::EventChangeJob, message::MessageJob, read_mark::ReadMarkJob},
    moderators::Moderators,
    moved::Hints,
    reopen,
    report::Reporter,
    settle::{OnBroker, Settler},
    streams::Streams,
    together::Together,
    trying::Marks,
};

/// What a worker is made of.
pub struct Parts {
    /// The broker.
    pub broker: Broker,
    /// Where messages rest.
    pub store: Arc<dyn MessageStore>,
    /// Where people and rooms are.
    pub pg: Pool,
    /// How large and how safe the streams are.
    pub sizes: Sizes,
    /// How it works.
    pub work: WorkSettings,
    /// What time it is.
    pub clock: Clock,
}

/// A running worker.
#[derive(Debug)]
pub struct Worker {
    broker: Broker,
    breaker: Arc<Breaker>,
    high_water: Arc<HighWater>,
    backlogs: [Arc<Backlog>; 3],
    pulling: [Arc<AtomicBool>; 3],
}

/// How often a log that is behind is looked at.
const BEHIND_EVERY: Duration = Duration::from_secs(1);
/// How often backlog and loss are computed.
const LOOK_EVERY: Duration = Duration::from_mins(1);
/// How long the last answers may take.
const FINISH_WITHIN: Duration = Duration::from_secs(5);

impl Worker {
    /// Starts all tasks on `lifecycle`. They wait for the broker and the store as long as it takes.
    pub fn start(parts: &Parts, lifecycle: &Lifecycle) -> Self {
        let Parts { broker, store, pg, sizes, work, clock } = parts;
        let breaker = Breaker::new(Arc::clone(store), lifecycle.clone());
        let high_water = HighWater::new(Arc::clone(store));
        let streams = Arc::new(Streams::new(broker.js.clone(), Arc::clone(store), *sizes));
        let writes = Arc::new(Semaphore::new(usize::from(work.writes_in_flight)));
        let start =
            Start { parts, breaker: &breaker, streams: &streams, writes: &writes, alone: Arc::default(), lifecycle };
        let reporter = Reporter::new(broker.client.clone(), lifecycle.clone());
        let hints = Hints::new(broker.client.clone(), lifecycle.clone());
        let backlogs = [
            Backlog::new(CHAT_MESSAGES, ChatSubject::ALL),
            Backlog::new(EVENTS, ">"),
            Backlog::of_newest(CHAT_MARKS, MarkSubject::ALL),
        ]
        .map(Arc::new);
        let [messages, changes, marks] = &backlogs;
        let message_job = MessageJob {
            store: Arc::clone(store),
            reporter,
            hints: hints.clone(),
            high_water: Arc::clone(&high_water),
            together: Together::new(Arc::clone(store), Arc::clone(&high_water)),
            moderators: Moderators::new(pg.clone()),
        };
        let pulling = [
            start.consumer("messages", messages, message_job),
            start.consumer("event changes", changes, EventChangeJob::new(Arc::clone(store))),
            start.consumer("read marks", marks, ReadMarkJob::new(Arc::clone(store), hints)),
        ];
        let watch = Watch {
            broker: broker.clone(),
            high_water: Arc::clone(&high_water),
            backlogs: backlogs.clone(),
            clock: *clock,
            may_reopen: work.reopen_log,
        };
        for backlog in [messages, changes] {
            lifecycle.spawn(dropped::watch(broker.client.clone(), Arc::clone(backlog), lifecycle.clone()));
        }
        let stopping = lifecycle.stopping().clone();
        lifecycle.spawn_vital("watch", async move {
            tokio::select! {
                () = watch.run(&streams) => {}
                () = stopping.cancelled() => {}
            }
        });
        Self { broker: broker.clone(), breaker, high_water, backlogs, pulling }
    }

    /// What must be well for the worker to be of use.
    pub fn readiness(&self, readiness: Readiness) -> Readiness {
        let broker = self.broker.clone();
        let breaker = Arc::clone(&self.breaker);
        let high_water = Arc::clone(&self.high_water);
        let (backlogs, pulling) = (self.backlogs.clone(), self.pulling.clone());
        readiness
            .with("nats", Importance::Needed, move || {
                let is_connected = broker.is_connected();
                async move { if is_connected { Ok(()) } else { Err("not connected".into()) } }
            })
            .with("streams", Importance::Needed, move || {
                let are_there = pulling.iter().all(|is_pulling| is_pulling.load(Ordering::Acquire));
                async move { if are_there { Ok(()) } else { Err("not as they must be; the log says why".into()) } }
            })
            .with("store", Importance::Needed, move || {
                let breaker = Arc::clone(&breaker);
                async move { breaker.ask().await }
            })
            .with("log", Importance::Needed, move || {
                let behind = high_water.behind();
                async move { if behind == 0 { Ok(()) } else { Err(format!("{behind} numbers behind the mark")) } }
            })
            .with("loss", Importance::Needed, move || {
                let lost: u64 = backlogs.iter().map(|backlog| backlog.lost_of_late()).sum();
                async move {
                    if lost == 0 {
                        Ok(())
                    } else {
                        Err(format!("{lost} messages left the log unstored since this worker began"))
                    }
                }
            })
    }

    /// Waits until the process is told to stop, then until all tasks have ended, but no longer than `at_most`.
    pub async fn drained(&self, lifecycle: &Lifecycle, at_most: Duration) {
        lifecycle.stopping().cancelled().await;
        if !lifecycle.drain(at_most).await {
            tracing::warn!("what is still in flight will be delivered again");
        }
        self.finish().await;
    }

    /// After all tasks have ended: what was answered leaves the process.
    async fn finish(&self) {
        match tokio::time::timeout(FINISH_WITHIN, self.broker.client.flush()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the last answers may not have left"),
            Err(_elapsed) => tracing::warn!("the last answers did not leave in time"),
        }
    }
}

struct Start<'a> {
    parts: &'a Parts,
    breaker: &'a Arc<Breaker>,
    streams: &'a Arc<Streams>,
    writes: &'a Arc<Semaphore>,
    alone: Arc<tokio::sync::Mutex<()>>,
    lifecycle: &'a Lifecycle,
}

impl Start<'_> {
    fn consumer<J: Job>(&self, name: &'static str, backlog: &Arc<Backlog>, job: J) -> Arc<AtomicBool> {
        let broker = &self.parts.broker;
        let settler = Settler {
            job,
            keeper: OnBroker {
                streams: Arc::clone(self.streams),
                dead_letters: DeadLetters::new(broker.js.clone()),
                marks: Marks::new(broker.js.clone()),
            },
            breaker: Arc::clone(self.breaker),
            writes: Arc::clone(self.writes),
            alone: Arc::clone(&self.alone),
            clock: self.parts.clock,
        };
        let consumer = Consumer::new(broker.clone(), Arc::clone(backlog), settler, self.lifecycle.clone());
        let is_pulling = consumer.is_pulling();
        self.lifecycle.spawn_vital(name, consumer.run());
        is_pulling
    }
}

/// Looks after the log: its numbers and its backlog.
struct Watch {
    broker: Broker,
    high_water: Arc<HighWater>,
    backlogs: [Arc<Backlog>; 3],
    clock: Clock,
    may_reopen: bool,
}

impl Watch {
    async fn run(&self, streams: &Streams) {
        while let Err(error) = streams.ensure().await {
            // The consumers say why.
            tracing::debug!(%error, "the watch waits for the streams");
            tokio::time::sleep(BEHIND_EVERY).await;
        }
        let mut link = self.broker.link_changes();
        let mut tick = tokio::time::interval(BEHIND_EVERY);
        let mut looked_at: Option<Instant> = None;
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                // Back from wherever it was, the broker may have another log.
                _ = link.recv() => {
                    looked_at = None;
                    continue;
                }
            }
            if looked_at.is_some_and(|at| at.elapsed() < LOOK_EVERY) && self.high_water.behind() == 0 {
                continue;
            }
            match self.look().await {
                Ok(()) => looked_at = Some(Instant::now()),
                Err(error) => tracing::warn!(error = format!("{error:#}"), "the log can not be looked at: again soon"),
            }
        }
    }

    async fn look(&self) -> anyhow::Result<()> {
        // The mark stands in the store, which may be away; how long that has been, and what it costs, is said nevertheless.
        let behind = self.high_water.compare(&self.broker.js).await;
        for backlog in &self.backlogs {
            backlog.look(&self.broker.js, self.clock).await?;
        }
        if let (Some(mark), true) = (behind?, self.may_reopen) {
            self.reopen_when_stored(mark).await?;
        }
        Ok(())
    }

    async fn reopen_when_stored(&self, mark: u64) -> anyhow::Result<()> {
        let [messages, _, _] = &self.backlogs;
        let held = reopen::held(&self.broker.js).await?;
        if messages.look(&self.broker.js, self.clock).await?.pending == 0 {
            reopen::reopen(&self.broker.js, mark, held).await?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").field("sizes", &self.sizes).field("work", &self.work).finish_non_exhaustive()
    }
}
