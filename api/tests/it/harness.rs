//! An API of the test's own: its database, its nats-server, its part of Redis; and people who use it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use api::{Api, config::Config};
use async_nats::jetstream;
use aws_lc_rs::{
    encoding::{AsDer as _, Pkcs8V1Der},
    rsa::{KeyPair, KeySize},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use chat_store::{MessageStore, postgres::PostgresStore};
use clap::Parser as _;
use ops::{lifecycle::Lifecycle, telemetry::Metrics};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use schema::{
    id::{RoomId, UserId},
    stream::{self, Sizes},
};
use scripts::stack::{NatsServer, test_env, test_pooler_port};
use serde_json::{Value, json};
use sqlx::{ConnectOptions as _, PgPool};

use crate::{gate::Gate, worker};

/// Far above what anything here takes, a busy machine included.
const DEADLINE: Duration = Duration::from_secs(30);
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

/// A running API.
pub(crate) struct TestApi {
    pub(crate) pg: PgPool,
    pub(crate) nats: NatsServer,
    pub(crate) postgres_gate: Gate,
    /// Past the pooler, where there is one.
    direct_gate: Option<Gate>,
    pub(crate) redis_gate: Gate,
    pub(crate) nats_gate: Gate,
    /// The key that signs its tokens, in PEM.
    pub(crate) signing_key: String,
    pub(crate) redis_prefix: String,
    base: String,
    ops_base: String,
    http: reqwest::Client,
    lifecycle: Lifecycle,
    arguments: Vec<String>,
}

/// Somebody with an account, signed in.
#[derive(Clone)]
pub(crate) struct Person<'a> {
    pub(crate) id: UserId,
    pub(crate) email: String,
    pub(crate) access_token: String,
    pub(crate) refresh_token: String,
    api: &'a TestApi,
}

impl TestApi {
    /// One with the usual settings.
    pub(crate) async fn start(pool: PgPool) -> Self {
        Self::with(pool, &[]).await
    }

    /// One with `extra` settings, as on the command line.
    pub(crate) async fn with(pool: PgPool, extra: &[&str]) -> Self {
        let nats = NatsServer::start().await;
        let js = connect(&nats, "worker").await;
        stream::ensure_all(&js, Sizes::default(), 0).await.expect("the streams");
        let options = pool.connect_options();
        let pooler_port = test_pooler_port();
        let postgres_port = pooler_port.unwrap_or(options.get_port());
        let postgres_gate = Gate::to(format!("{}:{postgres_port}", options.get_host())).await;
        let redis_url = test_env("REDIS_URL");
        let redis_gate = Gate::to(redis_url.trim_start_matches("redis://").trim_end_matches('/').to_owned()).await;
        let nats_gate = Gate::to(format!("127.0.0.1:{}", nats.port())).await;
        let nats_url = format!("nats://api:{}@{}", nats.password("api"), nats_gate.address);
        let database = (*options).clone().port(postgres_gate.address.port()).to_url_lossy();
        let redis_prefix = format!("test-{}", UserId::random());
        let signing_key = new_key();
        let mut arguments: Vec<String> = [
            "api",
            "--environment=development",
            "--listen=127.0.0.1:0",
            "--ops-listen=127.0.0.1:0",
            "--database-pool-max=8",
            "--store=postgres",
            &format!("--database-url={database}"),
            &format!("--nats-url={nats_url}"),
            &format!("--redis-url=redis://{}", redis_gate.address),
            &format!("--redis-prefix={redis_prefix}"),
            &format!("--jwt-private-key={signing_key}"),
        ]
        .map(str::to_owned)
        .to_vec();
        let mut direct_gate = None;
        if pooler_port.is_some() {
            let gate = Gate::to(format!("{}:{}", options.get_host(), options.get_port())).await;
            let direct = (*options).clone().port(gate.address.port()).to_url_lossy();
            arguments.push("--database-statement-cache=0".to_owned());
            arguments.push(format!("--database-direct-url={direct}"));
            direct_gate = Some(gate);
        }
        arguments.extend(extra.iter().map(|&argument| argument.to_owned()));
        let (lifecycle, base, ops_base) = run(&arguments).await;
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let api = Self {
            pg: pool,
            nats,
            postgres_gate,
            direct_gate,
            redis_gate,
            nats_gate,
            signing_key,
            redis_prefix,
            base,
            ops_base,
            http,
            lifecycle,
            arguments,
        };
        eventually("it is ready", async || (api.ops("/readyz").send().await.unwrap().status() == 200).then_some(()))
            .await;
        api
    }

    /// A second process of the same API, for as long as the first; answers where it is.
    pub(crate) async fn second(&self) -> String {
        let (lifecycle, base, _ops) = run(&self.arguments).await;
        let first = self.lifecycle.stopping().clone();
        self.lifecycle.spawn(async move {
            first.cancelled().await;
            lifecycle.stop();
        });
        base
    }

    /// Lets a worker store what the log says.
    pub(crate) async fn runs_a_worker(&self) -> Arc<dyn MessageStore> {
        let store = self.store();
        let js = self.jetstream("worker").await;
        self.lifecycle.spawn(worker::run(js, Arc::clone(&store), self.lifecycle.stopping().clone()));
        store
    }

    /// Where messages rest.
    pub(crate) fn store(&self) -> Arc<dyn MessageStore> {
        Arc::new(PostgresStore::new(self.pg.clone()))
    }

    /// Runs something beside the test, for as long as the API.
    pub(crate) fn runs(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stopping = self.lifecycle.stopping().clone();
        self.lifecycle.spawn(async move {
            tokio::select! {
                () = task => {}
                () = stopping.cancelled() => {}
            }
        });
    }

    /// Writes down when somebody was last seen in a room, as a gateway does.
    pub(crate) async fn was_last_seen(&self, room: RoomId, user: UserId, at: &str) {
        let client = deadpool_redis::redis::Client::open(test_env("REDIS_URL")).unwrap();
        let mut redis = client.get_multiplexed_async_connection().await.unwrap();
        let key = schema::last_seen::redis_key(&self.redis_prefix, room, user);
        let _: () =
            deadpool_redis::redis::cmd("SET").arg(key).arg(at).arg("EX").arg(60).query_async(&mut redis).await.unwrap();
    }

    /// JetStream as one of the server's users.
    pub(crate) async fn jetstream(&self, user: &str) -> jetstream::Context {
        connect(&self.nats, user).await
    }

    /// A request to a path below `/api/v1`.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}/api/v1{path}", self.base))
    }

    /// A request to the same API at another place.
    pub(crate) fn request_at(&self, base: &str, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{base}/api/v1{path}"))
    }

    /// A request to a path at the root.
    pub(crate) fn root(&self, path: &str) -> RequestBuilder {
        self.http.get(format!("{}{path}", self.base))
    }

    /// A request to the operators' port.
    pub(crate) fn ops(&self, path: &str) -> RequestBuilder {
        self.http.get(format!("{}{path}", self.ops_base))
    }

    /// Posts without a token.
    pub(crate) async fn post(&self, path: &str, body: Value) -> Response {
        self.request(Method::POST, path).json(&body).send().await.unwrap()
    }

    /// Somebody new.
    pub(crate) async fn user(&self, name: &str) -> Person<'_> {
        self.signs_up(name, "user").await
    }

    /// Somebody new who offers time.
    pub(crate) async fn seller(&self, name: &str) -> Person<'_> {
        self.signs_up(name, "business").await
    }

    async fn signs_up(&self, name: &str, role: &str) -> Person<'_> {
        let (email, password) = (format!("{name}@example.org"), format!("password of {name}"));
        let body = json!({"email": email, "password": password, "display_name": name, "role": role});
        let answer = read(self.post("/auth/register", body).await, 201).await;
        self.person(&answer)
    }

    /// Who is signed in by `answer`.
    pub(crate) fn person(&self, answer: &Value) -> Person<'_> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Person {
            id: text(&answer["user"]["id"]).parse().unwrap(),
            email: text(&answer["user"]["email"]),
            access_token: text(&answer["access_token"]),
            refresh_token: text(&answer["refresh_token"]),
            api: self,
        }
    }

    /// Rows of the outbox that are not published yet.
    pub(crate) async fn unpublished(&self) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM outbox WHERE NOT processed").fetch_one(&self.pg).await.unwrap()
    }

    /// Waits until everything committed is published.
    pub(crate) async fn published(&self) {
        eventually("the outbox is empty", async || (self.unpublished().await == 0).then_some(())).await;
    }
}

impl Drop for TestApi {
    fn drop(&mut self) {
        self.lifecycle.stop();
        // Or the test's database could not be dropped: PostgreSQL waits for who is still connected.
        self.postgres_gate.shut();
        if let Some(gate) = &self.direct_gate {
            gate.shut();
        }
    }
}

impl Person<'_> {
    /// A request with the person's token.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.api.request(method, path).bearer_auth(&self.access_token)
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Response {
        self.request(Method::POST, path).json(&body).send().await.unwrap()
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Response {
        self.request(Method::PATCH, path).json(&body).send().await.unwrap()
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Response {
        self.request(Method::PUT, path).json(&body).send().await.unwrap()
    }

    pub(crate) async fn delete(&self, path: &str) -> Response {
        self.request(Method::DELETE, path).send().await.unwrap()
    }

    /// Makes an event with `others`; answers it.
    pub(crate) async fn makes_event(&self, title: &str, others: &[&Person<'_>]) -> Value {
        let ids: Vec<UserId> = others.iter().map(|other| other.id).collect();
        let body = json!({
            "title": title,
            "starts_at": "2030-01-01T10:00:00Z",
            "ends_at": "2030-01-01T11:00:00Z",
            "time_zone": "Asia/Seoul",
            "participant_ids": ids,
        });
        read(self.post("/events", body).await, 201).await
    }

    /// Makes an event with `others`; answers its room.
    pub(crate) async fn makes_room(&self, others: &[&Person<'_>]) -> RoomId {
        self.makes_event("a room", others).await["id"].as_str().unwrap().parse().unwrap()
    }

    /// Says something in a room; answers the history item.
    pub(crate) async fn says(&self, room: RoomId, temp_id: &str, content: &str) -> Value {
        let body = json!({"temp_id": temp_id, "content": content});
        read(self.post(&format!("/rooms/{room}/messages"), body).await, 201).await
    }
}

/// The JSON of an answer with `status`.
pub(crate) async fn read(response: Response, status: u16) -> Value {
    let (found, text) = (response.status(), response.text().await.unwrap());
    assert_eq!(found, StatusCode::from_u16(status).unwrap(), "{text}");
    if text.is_empty() { Value::Null } else { serde_json::from_str(&text).expect(&text) }
}

/// Checks that an answer is a problem with `status` and `code`, in the form all of them have.
pub(crate) async fn refused(response: Response, status: u16, code: &str) -> Value {
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (kind, request_id, retry_after) = (header("content-type"), header("x-request-id"), header("retry-after"));
    let challenge = header("www-authenticate");
    let problem = read(response, status).await;
    assert_eq!(kind.as_deref(), Some("application/problem+json"));
    assert_eq!(problem["code"], code, "{problem}");
    assert_eq!(problem["status"], status);
    assert_eq!(problem["type"], format!("urn:timingle:problem:{code}"));
    assert_eq!(problem["request_id"].as_str(), request_id.as_deref());
    assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
    assert_eq!(retry_after.is_some(), status == 429 || status == 503, "Retry-After of {problem}");
    assert_eq!(challenge.is_some(), status == 401, "WWW-Authenticate of {problem}");
    problem
}

/// A 422's fields and what is wrong with them.
pub(crate) fn wrong_fields(problem: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    problem["errors"].as_array().unwrap().iter().map(|error| (text(&error["field"]), text(&error["code"]))).collect()
}

/// An RSA key in PEM.
pub(crate) fn new_key() -> String {
    let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
    let text = BASE64_STANDARD.encode(der.as_ref());
    format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n")
}

async fn connect(nats: &NatsServer, user: &str) -> jetstream::Context {
    let options = async_nats::ConnectOptions::with_user_and_password(user.to_owned(), nats.password(user))
        .custom_inbox_prefix(format!("_INBOX.{user}"));
    let client = options.connect(format!("127.0.0.1:{}", nats.port())).await.expect("the nats-server of this test");
    jetstream::new(client)
}

async fn run(arguments: &[String]) -> (Lifecycle, String, String) {
    let config = Config::try_parse_from(arguments).expect("settings");
    config.check().expect("settings");
    let lifecycle = Lifecycle::new();
    let api = Api::bind(&config, &lifecycle).await.expect("an API");
    let (base, ops_base) = (api.address().unwrap(), api.ops_address().unwrap());
    api.run(&lifecycle, Metrics::detached());
    (lifecycle, format!("http://{base}"), format!("http://{ops_base}"))
}
