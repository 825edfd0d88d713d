//! One test's broker, database and gateways; the worker, the API and the operator are played here.

use std::{
    net::SocketAddr,
    str::FromStr as _,
    sync::Arc,
    time::{Duration, Instant},
};

use async_nats::{HeaderMap, jetstream};
use bytes::Bytes;
use chat_store::{Entry, MessageStore, postgres::PostgresStore};
use clap::Parser as _;
use futures_util::StreamExt as _;
use gateway::{Gateway, Server, config::Config};
use ops::{
    broker::{Broker, BrokerSettings},
    lifecycle::Lifecycle,
    telemetry::Metrics,
};
use schema::{
    change::{Change, ChangeKind},
    clock::Timestamp,
    envelope::{self, Body, Headers, Kind, MessageType},
    header,
    id::{ChangeId, MessageId, RoomId, SessionId, UserId},
    saved::{Saved, SavedReport},
    signal::{PresenceAnswer, Signal},
    stream::{self, Sizes},
    subject::{ChatSubject, GatewayId, LiveSignalSubject, SavedSubject},
    text::TempId,
    token::Claims,
};
use scripts::stack::NatsServer;
use sqlx::{ConnectOptions as _, PgPool};
use tokio::runtime::Runtime;

use crate::{keys, phone::Phone, raw::Door};

/// Far above what anything here takes on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(25);
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

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn unix_now() -> i64 {
    ops::clock::Clock::default().unix_seconds()
}

/// One test's world.
pub(crate) struct Scene {
    pub(crate) nats: NatsServer,
    pub(crate) pool: PgPool,
    pub(crate) store: Arc<dyn MessageStore>,
    pub(crate) worker: Broker,
    pub(crate) operator: Broker,
    api: Broker,
    redis_prefix: String,
    /// Gateways live here, on threads of their own.
    runtime: Option<Runtime>,
}

/// Somebody with an account and a signed-in device.
#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) id: UserId,
    pub(crate) sid: SessionId,
    pub(crate) name: String,
}

/// A gateway that runs.
pub(crate) struct TestGateway {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) address: SocketAddr,
    pub(crate) ops_address: SocketAddr,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) ended: Option<tokio::task::JoinHandle<bool>>,
}

impl Drop for TestGateway {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(!self.lifecycle.has_failed(), "a vital task of the gateway has died");
        }
        self.lifecycle.stop();
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let runtime = self.runtime.take();
        // A runtime may not be waited for on a thread of another one.
        let ended =
            std::thread::spawn(move || runtime.into_iter().for_each(|runtime| runtime.shutdown_timeout(ms(2_000))))
                .join();
        drop(ended);
    }
}

async fn connect(url: String, service: &str) -> Broker {
    let settings = BrokerSettings { nats_url: url.into(), nats_ping: Duration::from_secs(2) };
    settings.connect(service).await.unwrap()
}

impl Scene {
    pub(crate) async fn new(pool: PgPool) -> Self {
        Self::sized(pool, Sizes::default()).await
    }

    /// A world whose log has these sizes.
    pub(crate) async fn sized(pool: PgPool, sizes: Sizes) -> Self {
        let nats = NatsServer::start().await;
        let worker = connect(nats.url("worker"), "worker").await;
        stream::ensure_all(&worker.js, sizes, 0).await.unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        Self {
            store: Arc::new(PostgresStore::new(pool.clone())),
            operator: connect(nats.url("operator"), "operator").await,
            api: connect(nats.url("api"), "api").await,
            redis_prefix: format!("test-{}", UserId::random()),
            runtime: Some(runtime),
            nats,
            pool,
            worker,
        }
    }

    pub(crate) async fn gateway(&self) -> TestGateway {
        self.gateway_with(|_| {}).await
    }

    /// A gateway without limits on rates and numbers.
    pub(crate) async fn unlimited(&self) -> TestGateway {
        self.gateway_with(|config| config.common.limits = ops::settings::Limits::Off).await
    }

    /// Starts a gateway whose settings are adjusted, and returns when it is of use.
    pub(crate) async fn gateway_with(&self, adjust: impl FnOnce(&mut Config)) -> TestGateway {
        let started = self.start(adjust).await;
        eventually("the gateway knows how the log is", async || started.gateway.health.verdict().ok()).await;
        started
    }

    /// Starts a gateway that need not be ready.
    pub(crate) async fn gateway_that_is_red(&self) -> TestGateway {
        self.start(|_| {}).await
    }

    async fn start(&self, adjust: impl FnOnce(&mut Config)) -> TestGateway {
        let arguments = [
            "gateway".to_owned(),
            "--environment=development".to_owned(),
            "--listen=127.0.0.1:0".to_owned(),
            "--ops-listen=127.0.0.1:0".to_owned(),
            format!("--nats-url={}", self.nats.url("gateway")),
            format!("--database-url={}", self.pool.connect_options().to_url_lossy()),
            "--database-pool-max=4".to_owned(),
            format!("--redis-prefix={}", self.redis_prefix),
            format!("--jwt-public-key={}", keys::known().public_pem),
        ];
        let mut config = Config::try_parse_from(arguments).expect("REDIS_URL names a Redis that runs");
        adjust(&mut config);
        config.check().unwrap();
        let lifecycle = Lifecycle::new();
        let runtime = self.runtime.as_ref().unwrap();
        let starting = runtime.spawn(Server::start(config, Metrics::detached(), lifecycle.clone()));
        let server = starting.await.unwrap().unwrap();
        let (gateway, address, ops_address) = (Arc::clone(&server.gateway), server.address, server.ops_address);
        let ended = Some(runtime.spawn(server.run()));
        TestGateway { gateway, address, ops_address, lifecycle, ended }
    }

    pub(crate) async fn user(&self, name: &str) -> User {
        let user = User { id: UserId::random(), sid: SessionId::random(), name: name.into() };
        sqlx::query("INSERT INTO users (id, display_name, created_at, updated_at) VALUES ($1, $2, now(), now())")
            .bind(user.id)
            .bind(name)
            .execute(&self.pool)
            .await
            .unwrap();
        sqlx::query(
            "INSERT INTO sessions (id, user_id, created_at, last_used_at, expires_at)
             VALUES ($1, $2, now(), now(), now() + interval '7 days')",
        )
        .bind(user.sid)
        .bind(user.id)
        .execute(&self.pool)
        .await
        .unwrap();
        user
    }

    /// Ann and Ben, and a room of theirs.
    pub(crate) async fn pair(&self) -> (User, User, RoomId) {
        let (ann, ben) = (self.user("Ann").await, self.user("Ben").await);
        let room = self.room(&[&ann, &ben]).await;
        (ann, ben, room)
    }

    pub(crate) async fn room(&self, members: &[&User]) -> RoomId {
        let room = RoomId::random();
        sqlx::query(
            "INSERT INTO rooms (id, room_type, name, created_by, created_at, updated_at)
             VALUES ($1, 'team', 'room', $2, now(), now())",
        )
        .bind(room)
        .bind(members[0].id)
        .execute(&self.pool)
        .await
        .unwrap();
        for member in members {
            self.add(room, member).await;
        }
        room
    }

    pub(crate) async fn add(&self, room: RoomId, user: &User) {
        sqlx::query("INSERT INTO room_members (room_id, user_id, joined_at) VALUES ($1, $2, now())")
            .bind(room)
            .bind(user.id)
            .execute(&self.pool)
            .await
            .unwrap();
    }

    /// Commits a removal, and says nothing of it.
    pub(crate) async fn remove_quietly(&self, room: RoomId, user: &User) {
        sqlx::query("DELETE FROM room_members WHERE room_id = $1 AND user_id = $2")
            .bind(room)
            .bind(user.id)
            .execute(&self.pool)
            .await
            .unwrap();
    }

    /// Signs a session out, and says nothing of it.
    pub(crate) async fn revoke_quietly(&self, user: &User) {
        sqlx::query("UPDATE sessions SET revoked_at = now() WHERE id = $1")
            .bind(user.sid)
            .execute(&self.pool)
            .await
            .unwrap();
    }

    /// Publishes a change as the API does.
    pub(crate) async fn announce(&self, change: &Change) {
        let body = serde_json::to_vec(change).unwrap();
        self.api.js.publish(change.change.subject(), body.into()).await.unwrap().await.unwrap();
    }

    /// Publishes a message as another gateway would; answers its seq.
    pub(crate) async fn publish(&self, room: RoomId, sender: &User, temp_id: &str, content: &str) -> u64 {
        let body = message(room, sender, temp_id, content);
        let headers =
            Headers { sender: Some(sender.id), gateway: None, is_resend: false, is_moderator: false }.to_map(body.id());
        self.publish_raw(room, headers, body.to_bytes()).await
    }

    pub(crate) async fn publish_raw(&self, room: RoomId, headers: HeaderMap, body: Bytes) -> u64 {
        let subject = ChatSubject(room).to_string();
        self.operator.js.publish_with_headers(subject, headers, body).await.unwrap().await.unwrap().sequence
    }

    /// Publishes `count` messages `0`, `1`, `2` … without waiting for each; answers the last one's seq.
    pub(crate) async fn publish_many(&self, room: RoomId, sender: &User, count: usize) -> u64 {
        let mut acks = Vec::new();
        let mut last = 0;
        for n in 0..count {
            let body = message(room, sender, &format!("many-{n}"), &n.to_string());
            let headers = Headers { sender: Some(sender.id), gateway: None, is_resend: false, is_moderator: false }
                .to_map(body.id());
            let subject = ChatSubject(room).to_string();
            acks.push(self.operator.js.publish_with_headers(subject, headers, body.to_bytes()).await.unwrap());
            if acks.len() == 128 || n + 1 == count {
                for ack in acks.drain(..) {
                    last = ack.await.unwrap().sequence;
                }
            }
        }
        last
    }

    /// Does the worker's work: stores what it has not stored yet and acknowledges it. Answers what was
    /// saved, and for which gateway.
    pub(crate) async fn work(&self) -> Vec<(Option<GatewayId>, Saved)> {
        let stream = self.worker.js.get_stream(stream::CHAT_MESSAGES).await.unwrap();
        let mut consumer: jetstream::consumer::PullConsumer = stream.get_consumer(stream::WORKER).await.unwrap();
        let mut saved = Vec::new();
        while consumer.info().await.unwrap().num_pending > 0 {
            let mut batch = consumer.fetch().max_messages(500).messages().await.unwrap();
            while let Some(message) = batch.next().await {
                let message = message.unwrap();
                saved.extend(self.store_one(&message).await);
                message.double_ack().await.unwrap();
            }
        }
        saved
    }

    async fn store_one(&self, message: &jetstream::Message) -> Option<(Option<GatewayId>, Saved)> {
        let subject = ChatSubject::parse(&message.subject).unwrap();
        let info = message.info().unwrap();
        let (seq, logged_at) = (info.stream_sequence, Timestamp::new(info.published));
        match envelope::read(subject, message.headers.as_ref(), &message.payload) {
            Ok((headers, body)) => {
                let saved = Saved { id: body.id(), room_id: subject.0, seq };
                let raw = message.payload.clone();
                let entry = Entry {
                    room_id: subject.0,
                    seq,
                    logged_at,
                    sender: headers.sender,
                    is_moderator: headers.is_moderator,
                    raw,
                    body,
                };
                self.store.write(&[entry]).await.unwrap();
                Some((headers.gateway, saved))
            }
            Err(_refused) => {
                self.store.write_skip(subject.0, seq, logged_at).await.unwrap();
                None
            }
        }
    }

    /// Tells a gateway what was saved.
    pub(crate) async fn report(&self, gateway: &TestGateway, saved: Vec<Saved>) {
        let subject = SavedSubject(gateway.gateway.id.clone()).to_string();
        let report = serde_json::to_vec(&SavedReport { saved, refused: Vec::new() }).unwrap();
        self.worker.client.publish(subject, report.into()).await.unwrap();
        self.worker.client.flush().await.unwrap();
    }

    pub(crate) async fn log(&self) -> jetstream::stream::Stream {
        self.operator.js.get_stream(stream::CHAT_MESSAGES).await.unwrap()
    }

    /// Puts a log in the log's place that has given no number yet.
    pub(crate) async fn forget_the_log(&self) {
        self.operator.js.delete_stream(stream::CHAT_MESSAGES).await.unwrap();
        stream::ensure_all(&self.worker.js, Sizes::default(), 0).await.unwrap();
    }

    /// How many messages the log holds.
    pub(crate) async fn log_len(&self) -> u64 {
        self.log().await.cached_info().state.messages
    }

    /// Takes everything below `seq` out of the log.
    pub(crate) async fn purge_below(&self, seq: u64) {
        self.log().await.purge().sequence(seq).await.unwrap();
    }

    /// Asks the gateways who is online in a room, as the API does; `None` when nobody answers in time.
    pub(crate) async fn who_is_online(&self, room: RoomId) -> Option<Vec<UserId>> {
        let question = serde_json::to_vec(&Signal::PresenceAsked { gateway: None }).unwrap();
        let request = async_nats::Request::new().payload(question.into()).timeout(Some(ms(1_000)));
        let answer = self.api.client.send_request(LiveSignalSubject(room).to_string(), request).await.ok()?;
        let mut online = serde_json::from_slice::<PresenceAnswer>(&answer.payload).unwrap().online;
        online.sort_unstable();
        Some(online)
    }

    /// Says something to the room's gateways as another gateway would.
    pub(crate) async fn signal(&self, room: RoomId, signal: &Signal) {
        let body = serde_json::to_vec(signal).unwrap();
        self.operator.client.publish(LiveSignalSubject(room).to_string(), body.into()).await.unwrap();
        self.operator.client.flush().await.unwrap();
    }

    /// Hears what gateways tell each other of a room.
    pub(crate) async fn signals(&self, room: RoomId) -> async_nats::Subscriber {
        self.subscribe(LiveSignalSubject(room).to_string()).await
    }

    /// When somebody was last seen in a room, as the API reads it.
    pub(crate) async fn last_seen(&self, gateway: &TestGateway, room: RoomId, user: &User) -> Option<String> {
        let key = schema::last_seen::redis_key(&self.redis_prefix, room, user.id);
        let mut redis = redis_of(gateway).await;
        deadpool_redis::redis::cmd("GET").arg(key).query_async(&mut redis).await.unwrap()
    }

    /// Hears what is published for rooms, stored or not.
    pub(crate) async fn tap(&self) -> async_nats::Subscriber {
        self.subscribe(ChatSubject::ALL.to_owned()).await
    }

    async fn subscribe(&self, subject: String) -> async_nats::Subscriber {
        let subscriber = self.operator.client.subscribe(subject).await.unwrap();
        // A flush ends in this process: the server has the subscription once it answers what it is asked after it.
        self.operator.js.query_account().await.unwrap();
        subscriber
    }

    /// Gives out a ticket as the API does, got with a token that ends so many seconds from now.
    pub(crate) async fn write_ticket(&self, gateway: &TestGateway, ticket: &str, user: &User, seconds: i64) {
        let value = schema::ticket::Ticket { user_id: user.id, sid: user.sid, exp: unix_now() + seconds };
        deadpool_redis::redis::cmd("SET")
            .arg(schema::ticket::Ticket::redis_key(&self.redis_prefix, ticket))
            .arg(serde_json::to_string(&value).unwrap())
            .arg("EX")
            .arg(30)
            .query_async::<()>(&mut redis_of(gateway).await)
            .await
            .unwrap();
    }
}

async fn redis_of(gateway: &TestGateway) -> deadpool_redis::Connection {
    use secrecy::ExposeSecret as _;
    let pool = deadpool_redis::Config::from_url(gateway.gateway.config.redis_url.expose_secret());
    let pool = pool.create_pool(Some(deadpool_redis::Runtime::Tokio1)).unwrap();
    pool.get().await.unwrap()
}

/// What `sender` says in `room`.
pub(crate) fn message(room: RoomId, sender: &User, temp_id: &str, content: &str) -> Body {
    Body::Message {
        room_id: room,
        id: message_id(room, sender, temp_id),
        sender_id: sender.id,
        sender_name: sender.name.clone(),
        temp_id: temp_id.into(),
        content: content.into(),
        message_type: MessageType::Text,
        reply_to_id: None,
    }
}

/// The id of what `sender` names `temp_id`.
pub(crate) fn message_id(room: RoomId, sender: &User, temp_id: &str) -> MessageId {
    MessageId::of(Kind::Message, sender.id, room, &TempId::parse(temp_id).unwrap())
}

/// Headers of an envelope without a sender, as the operator may forge them.
pub(crate) fn headers(version: &str) -> HeaderMap {
    let mut map = HeaderMap::new();
    map.insert(header::TIMINGLE_V, version);
    map
}

/// A change that says nothing yet.
pub(crate) fn change(kind: ChangeKind) -> Change {
    Change {
        id: ChangeId::random(),
        change: kind,
        event_id: None,
        room_id: None,
        user_id: None,
        sid: None,
        version: 1,
        actor_id: None,
        changed_at: ops::clock::Clock::default().now(),
        fields: Vec::new(),
        added: Vec::new(),
        removed: Vec::new(),
        hash: None,
    }
}

/// That `user` was taken out of `room`.
pub(crate) fn removal(room: RoomId, user: &User) -> Change {
    let event_id = schema::id::EventId::from_str(&room.to_string()).unwrap();
    Change { event_id: Some(event_id), removed: vec![user.id], ..change(ChangeKind::EventParticipantsChanged) }
}

impl User {
    pub(crate) fn claims(&self) -> Claims {
        let now = unix_now();
        Claims { iss: "timingle".into(), aud: "timingle".into(), sub: self.id, sid: self.sid, iat: now, exp: now + 900 }
    }

    pub(crate) fn token(&self) -> String {
        keys::known().sign(&self.claims())
    }

    /// A token that ends so many seconds from now.
    pub(crate) fn token_for(&self, seconds: i64) -> String {
        keys::known().sign(&Claims { exp: unix_now() + seconds, ..self.claims() })
    }
}

impl TestGateway {
    pub(crate) fn door(&self) -> Door {
        Door::new(self.address)
    }

    /// A phone of this user, in no room yet.
    pub(crate) async fn phone(&self, user: &User) -> Phone {
        self.door().token(&user.token()).open().await.unwrap()
    }

    /// A phone of this user, live in the room.
    pub(crate) async fn phone_in(&self, user: &User, room: RoomId) -> Phone {
        let mut phone = self.phone(user).await;
        phone.join(room).await;
        phone
    }

    /// Whether no socket is left.
    pub(crate) async fn is_left_alone(&self) {
        eventually("no socket is left", async || self.gateway.sockets.is_empty().then_some(())).await;
    }
}
