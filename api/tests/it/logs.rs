//! What is logged, and what must never be.

use std::{
    io,
    sync::{Arc, Mutex},
};

use serde_json::json;
use sqlx::PgPool;
use tracing_subscriber::fmt::MakeWriter;

use crate::harness::{TestApi, new_key, read};

/// Everything that was logged in this program.
#[derive(Clone, Default)]
pub(crate) struct Captured(Arc<Mutex<Vec<u8>>>);

impl io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Captured {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Captured {
    /// Takes what is logged from `level` on.
    pub(crate) fn from(level: &str) -> Self {
        let captured = Self::default();
        tracing_subscriber::fmt().json().with_env_filter(level).with_writer(captured.clone()).init();
        captured
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_slow_statement_is_logged_without_its_values(pool: PgPool) {
    let captured = Captured::from("warn");
    let api = TestApi::with(pool, &["--database-slow-secs=0"]).await;
    let ann = api.user("canary-name").await;
    read(ann.get("/users/me").await, 200).await;
    let logged = captured.text();
    assert!(logged.contains("slow statement") && logged.contains("INSERT INTO users"), "{logged}");
    assert!(!logged.contains("canary") && !logged.contains(&ann.id.to_string()), "{logged}");
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn no_secret_is_ever_logged(pool: PgPool) {
    let captured = Captured::from("debug");
    let api = TestApi::start(pool).await;
    let register =
        json!({"email": "canary-mail@example.org", "password": "canary-password", "display_name": "canary-name"});
    let ann = api.person(&read(api.post("/auth/register", register).await, 201).await);
    let wrong = json!({"email": "canary-mail@example.org", "password": "canary-wrong-password"});
    read(api.post("/auth/login", wrong).await, 401).await;
    let mut body = json!({"email": "canary-mail@example.org", "password": "canary-password"}).to_string();
    body.truncate(body.len() - 1);
    let broken =
        api.request(reqwest::Method::POST, "/auth/login").header("content-type", "application/json").body(body);
    read(broken.send().await.unwrap(), 400).await;
    let again =
        api.person(&read(api.post("/auth/refresh", json!({"refresh_token": ann.refresh_token})).await, 200).await);
    let ticket = read(ann.post("/ws/ticket", json!({})).await, 200).await["ticket"].as_str().unwrap().to_owned();
    read(ann.get(&format!("/users/me?token={}", ann.access_token)).await, 200).await;
    let room = ann.makes_room(&[]).await;
    ann.says(room, "a-1", "canary-message").await;
    read(api.request(reqwest::Method::GET, "/users/me").bearer_auth("canary-token").send().await.unwrap(), 401).await;
    api.published().await;

    let logged = captured.text();
    assert!(logged.contains("sign-in refused") && logged.contains("answered"), "the log is captured");
    let key = api.signing_key.lines().nth(1).unwrap().to_owned();
    assert_ne!(key, new_key());
    let secrets = [
        ann.access_token.as_str(),
        &ann.refresh_token,
        &again.refresh_token,
        &ticket,
        &key[..40],
        &api.nats.password("api"),
        "canary-mail",
        "canary-password",
        "canary-wrong-password",
        "canary-name",
        "canary-message",
        "canary-token",
    ];
    for secret in secrets {
        let line = logged.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{secret} is in {line:?}");
    }
}
