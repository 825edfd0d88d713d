//! A broker, a store, and workers that can be killed; what tests say, publish and wait for.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_nats::{HeaderMap, jetstream};
use bytes::Bytes;
use chat_store::{LogRow, MessageStore, postgres::PostgresStore};
use chat_worker::{
    config::WorkSettings,
    worker::{Parts, Worker},
};
use futures_util::StreamExt as _;
use ops::{
    broker::{Broker, BrokerSettings},
    clock::Clock,
    lifecycle::Lifecycle,
    probe::{Readiness, Report},
};
use schema::{
    envelope::{Body, Headers, Kind, MessageType},
    header,
    id::{MessageId, RoomId, UserId},
    saved::{Refused, Saved, SavedReport},
    stream::{self, Sizes},
    subject::{ChatSubject, GatewayId, SavedSubject},
    text::TempId,
};
use scripts::stack::NatsServer;
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::unreliable::{Faults, UnreliableStore};

/// Far above what anything here takes, the broker's wait of 10 s for an ack and a busy machine included.
const DEADLINE: Duration = Duration::from_mins(1);
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Waits until `look` answers something.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "still not so: {what}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Where a test's messages rest.
#[derive(Clone)]
pub(crate) enum Backend {
    Postgres(Box<PgConnectOptions>),
    Scylla { nodes: Vec<String>, keyspace: String },
}

impl Backend {
    /// Connections of the runtime that asks: they die with it, as a process's would.
    async fn connect(&self) -> Arc<dyn MessageStore> {
        match self {
            Self::Postgres(options) => {
                let pool = PgPoolOptions::new().max_connections(8).connect_lazy_with(PgConnectOptions::clone(options));
                Arc::new(PostgresStore::new(pool))
            }
            Self::Scylla { nodes, keyspace } => {
                let store = chat_store::scylla::ScyllaStore::connect(nodes, keyspace, DEADLINE).await;
                Arc::new(store.expect("the CQL server answers"))
            }
        }
    }
}

impl Backend {
    /// Where people and rooms are.
    fn people(&self) -> PgPool {
        let options = match self {
            Self::Postgres(options) => PgConnectOptions::clone(options),
            Self::Scylla { .. } => scripts::stack::test_env("DATABASE_URL").parse().unwrap(),
        };
        PgPoolOptions::new().max_connections(2).connect_lazy_with(options)
    }
}

/// One test's broker and store.
pub(crate) struct Scene {
    pub(crate) nats: NatsServer,
    /// Publishes as a gateway does.
    pub(crate) gateway: Broker,
    /// May do everything.
    pub(crate) operator: Broker,
    pub(crate) store: Arc<dyn MessageStore>,
    pub(crate) faults: Arc<Faults>,
    pub(crate) sizes: Sizes,
    backend: Backend,
}

impl Scene {
    pub(crate) async fn new(pool: PgPool) -> Self {
        Self::on(Backend::Postgres(Box::new(PgConnectOptions::clone(&pool.connect_options())))).await
    }

    pub(crate) async fn on(backend: Backend) -> Self {
        let nats = NatsServer::start().await;
        let (gateway, operator) = (connect(&nats, "gateway").await, connect(&nats, "operator").await);
        let store = backend.connect().await;
        Self { nats, gateway, operator, store, faults: Arc::default(), sizes: Sizes::default(), backend }
    }

    /// Makes streams and consumers, as `migrate` does.
    pub(crate) async fn migrate(&self) {
        let high_water = self.store.high_water().await.unwrap();
        stream::ensure_all(&self.operator.js, self.sizes, high_water).await.unwrap();
    }

    /// Starts a worker and returns when it is ready.
    pub(crate) async fn worker(&self) -> RunningWorker {
        let worker = self.worker_unready().await;
        eventually("the worker is ready", async || worker.report().await.is_ready.then_some(())).await;
        worker
    }

    pub(crate) async fn worker_unready(&self) -> RunningWorker {
        self.worker_with(WorkSettings { writes_in_flight: 128, reopen_log: false }, "worker").await
    }

    /// Starts a worker in a runtime of its own, which can be killed like a process.
    pub(crate) async fn worker_with(&self, work: WorkSettings, user: &'static str) -> RunningWorker {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (nats, backend, faults, sizes) =
            (self.nats.clone(), self.backend.clone(), Arc::clone(&self.faults), self.sizes);
        let started = runtime.spawn(async move {
            let broker = connect_as(&nats, user, "worker").await;
            let store = Arc::new(UnreliableStore { inner: backend.connect().await, faults });
            let lifecycle = Lifecycle::new();
            let pg = backend.people();
            let parts = Parts { broker, store, pg: pg.into(), sizes, work, clock: Clock::default() };
            let worker = Arc::new(Worker::start(&parts, &lifecycle));
            (worker, lifecycle)
        });
        let (worker, lifecycle) = started.await.unwrap();
        RunningWorker { worker, lifecycle, runtime: Some(runtime) }
    }

    /// Publishes a message as the gateway `gw-1` would, and answers its seq.
    pub(crate) async fn say(&self, room: RoomId, content: &str) -> Said {
        let said = Message::new(room, content);
        self.publish(&said).await
    }

    pub(crate) async fn publish(&self, message: &Message) -> Said {
        let seq = self.publish_raw(message.body.room_id(), message.headers(), message.body.to_bytes()).await;
        Said { id: message.body.id(), room: message.body.room_id(), seq }
    }

    pub(crate) async fn publish_raw(&self, room: RoomId, headers: HeaderMap, body: Bytes) -> u64 {
        let subject = ChatSubject(room).to_string();
        self.gateway.js.publish_with_headers(subject, headers, body).await.unwrap().await.unwrap().sequence
    }

    pub(crate) async fn log(&self, room: RoomId) -> Vec<LogRow> {
        self.store.log(room, 0, 1_000).await.unwrap()
    }

    /// Waits until `seqs` are exactly the log of `room`, skips included.
    pub(crate) async fn stored(&self, room: RoomId, seqs: &[u64]) {
        eventually(&format!("{seqs:?} is the log of {room}"), async || {
            let rows: Vec<u64> = self.log(room).await.iter().map(|row| row.seq).collect();
            (rows == seqs).then_some(())
        })
        .await;
    }

    pub(crate) async fn consumer(&self, stream: &str) -> jetstream::consumer::Info {
        let stream = self.operator.js.get_stream(stream).await.unwrap();
        let consumer = stream.get_consumer::<jetstream::consumer::pull::Config>(stream::WORKER).await.unwrap();
        consumer.cached_info().clone()
    }

    /// Waits until everything in `stream` is acknowledged.
    pub(crate) async fn settled(&self, stream: &str) {
        eventually(&format!("{stream} is settled"), async || {
            let info = self.consumer(stream).await;
            (info.num_pending == 0 && info.num_ack_pending == 0).then_some(())
        })
        .await;
    }

    /// Everything in `CHAT_DEAD`.
    pub(crate) async fn dead(&self) -> Vec<jetstream::message::StreamMessage> {
        let stream = self.operator.js.get_stream(stream::CHAT_DEAD).await.unwrap();
        let state = stream.cached_info().state.clone();
        let mut found = Vec::new();
        for seq in state.first_sequence.max(1)..=state.last_sequence {
            found.push(stream.direct_get(seq).await.unwrap());
        }
        found
    }

    /// Listens to what the gateway `gw-1` is told.
    pub(crate) async fn reports(&self) -> Reports {
        let subscriber = self.gateway.client.subscribe(SavedSubject(gateway_id()).to_string()).await.unwrap();
        self.gateway.client.flush().await.unwrap();
        Reports { subscriber, saved: Vec::new(), refused: Vec::new(), messages: 0 }
    }
}

pub(crate) fn gateway_id() -> GatewayId {
    GatewayId::parse("gw-1").unwrap()
}

async fn connect(nats: &NatsServer, user: &str) -> Broker {
    connect_as(nats, user, user).await
}

async fn connect_as(nats: &NatsServer, user: &str, service: &str) -> Broker {
    let settings = BrokerSettings { nats_url: nats.url(user).into(), nats_ping: Duration::from_secs(10) };
    settings.connect(service).await.unwrap()
}

/// What was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) id: MessageId,
    pub(crate) room: RoomId,
    pub(crate) seq: u64,
}

impl Said {
    pub(crate) fn saved_at(self, seq: u64) -> Saved {
        Saved { id: self.id, room_id: self.room, seq }
    }

    pub(crate) fn saved(self) -> Saved {
        self.saved_at(self.seq)
    }
}

/// A message before it is published.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) body: Body,
    pub(crate) sender: UserId,
    /// None: the id, as gateways do. A test that wants the broker to store the id twice gives another.
    pub(crate) msg_id: Option<String>,
    pub(crate) is_resend: bool,
    pub(crate) is_moderator: bool,
}

impl Message {
    pub(crate) fn new(room: RoomId, content: &str) -> Self {
        Self::named(room, UserId::random(), &UserId::random().to_string(), content)
    }

    pub(crate) fn named(room: RoomId, sender: UserId, temp_id: &str, content: &str) -> Self {
        let temp_id = TempId::parse(temp_id).unwrap();
        let body = Body::Message {
            room_id: room,
            id: MessageId::of(Kind::Message, sender, room, &temp_id),
            sender_id: sender,
            sender_name: "Ann".into(),
            temp_id: temp_id.into(),
            content: content.into(),
            message_type: MessageType::Text,
            reply_to_id: None,
        };
        Self { body, sender, msg_id: None, is_resend: false, is_moderator: false }
    }

    pub(crate) fn headers(&self) -> HeaderMap {
        let headers = Headers {
            sender: Some(self.sender),
            gateway: Some(gateway_id()),
            is_resend: self.is_resend,
            is_moderator: self.is_moderator,
        };
        let mut map = headers.to_map(self.body.id());
        if let Some(msg_id) = &self.msg_id {
            map.insert(header::NATS_MSG_ID, msg_id.as_str());
        }
        map
    }
}

/// What a gateway hears.
pub(crate) struct Reports {
    subscriber: async_nats::Subscriber,
    pub(crate) saved: Vec<Saved>,
    pub(crate) refused: Vec<Refused>,
    pub(crate) messages: usize,
}

impl Reports {
    /// Waits for reports until `is_enough`.
    pub(crate) async fn until(&mut self, what: &str, is_enough: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + DEADLINE;
        while !is_enough(self) {
            let left = deadline.saturating_duration_since(Instant::now());
            let message = tokio::time::timeout(left, self.subscriber.next()).await;
            let message = message.unwrap_or_else(|_| panic!("no report: {what}")).unwrap();
            let report: SavedReport = serde_json::from_slice(&message.payload).unwrap();
            self.saved.extend(report.saved);
            self.refused.extend(report.refused);
            self.messages += 1;
        }
    }
}

/// A worker that can be killed.
pub(crate) struct RunningWorker {
    worker: Arc<Worker>,
    pub(crate) lifecycle: Lifecycle,
    runtime: Option<tokio::runtime::Runtime>,
}

impl RunningWorker {
    /// What its `/readyz` says; not cached.
    pub(crate) async fn report(&self) -> Report {
        self.worker.readiness(Readiness::new(Lifecycle::new())).report().await
    }

    /// Ends it at once: nothing that is in flight is finished, nothing more leaves it.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    /// Stops it as SIGTERM does, and waits.
    pub(crate) async fn stop(mut self) {
        self.lifecycle.stop();
        let (worker, lifecycle) = (Arc::clone(&self.worker), self.lifecycle.clone());
        let runtime = self.runtime.as_ref().unwrap();
        runtime.spawn(async move { worker.drained(&lifecycle, DEADLINE).await }).await.unwrap();
        assert!(!self.lifecycle.has_failed());
        self.end();
    }

    fn end(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for RunningWorker {
    fn drop(&mut self) {
        self.end();
    }
}
