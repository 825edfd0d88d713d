//! What is answered while a server is away, and that all is well once it is back.

use std::time::{Duration, Instant};

use schema::stream::{self, CHAT_MESSAGES, Sizes};
use serde_json::json;
use sqlx::PgPool;

use crate::harness::{TestApi, eventually, read, refused};

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn without_the_database_callers_are_told_to_come_back_and_then_nothing_is_broken(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let ann = api.user("ann").await;
    // Several connections in the pool, so that stale ones are left.
    futures_util::future::join_all((0..8).map(async |_| read(ann.get("/events").await, 200).await)).await;
    api.postgres_gate.shut();
    for path in ["/users/me", "/events", "/rooms"] {
        refused(ann.get(path).await, 503, "unavailable").await;
    }
    eventually("it is red", async || (api.ops("/readyz").send().await.unwrap().status() == 503).then_some(())).await;
    assert_eq!(api.ops("/livez").send().await.unwrap().status(), 200);
    api.postgres_gate.open();
    for _ in 0..10 {
        let status = ann.get("/users/me").await.status().as_u16();
        assert!(status == 200 || status == 503, "{status}");
    }
    read(ann.get("/users/me").await, 200).await;
    eventually("it is ready again", async || (api.ops("/readyz").send().await.unwrap().status() == 200).then_some(()))
        .await;
    // The relay is alive, too.
    ann.makes_event("afterwards", &[]).await;
    api.published().await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn connections_that_broke_while_nobody_asked_fail_nobody(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let ann = api.user("ann").await;
    let ask_at_once = async || {
        futures_util::future::join_all((0..8).map(async |_| read(ann.get("/events").await, 200).await)).await;
    };
    ask_at_once().await;
    let idle_since = Instant::now();
    api.postgres_gate.shut();
    // For less than a second they are trusted.
    eventually("it was away for a while", async || (idle_since.elapsed() > Duration::from_secs(1)).then_some(())).await;
    api.postgres_gate.open();
    ask_at_once().await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn without_redis_tokens_are_not_refreshed_and_all_else_goes_on(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let ann = api.user("ann").await;
    api.redis_gate.shut();
    let body = json!({"refresh_token": ann.refresh_token});
    refused(api.post("/auth/refresh", body.clone()).await, 503, "unavailable").await;
    let login = json!({"email": ann.email, "password": "password of ann"});
    refused(api.post("/auth/login", login).await, 503, "unavailable").await;
    refused(ann.post("/ws/ticket", json!({})).await, 503, "unavailable").await;
    read(ann.get("/users/me").await, 200).await;
    ann.makes_event("without redis", &[]).await;
    // What was found is used again for a second.
    let status = eventually("operators are told", async || {
        let ready = api.ops("/readyz").send().await.unwrap();
        let status = ready.status();
        ready.text().await.unwrap().contains("redis: degraded").then_some(status)
    })
    .await;
    assert_eq!(status, 200, "worse, not dead");
    api.redis_gate.open();
    eventually("the token works again", async || {
        (api.post("/auth/refresh", body.clone()).await.status() == 200).then_some(())
    })
    .await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn without_the_broker_a_message_is_refused_in_time_and_history_goes_on(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let ann = api.user("ann").await;
    let room = ann.makes_room(&[]).await;
    ann.says(room, "a-1", "hi").await;
    api.nats.kill();
    eventually("it is noticed", async || (api.ops("/readyz").send().await.unwrap().status() == 503).then_some(()))
        .await;
    let began = Instant::now();
    let body = json!({"temp_id": "a-2", "content": "hello?"});
    refused(ann.post(&format!("/rooms/{room}/messages"), body).await, 503, "unavailable").await;
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    read(ann.get(&format!("/rooms/{room}/messages")).await, 200).await;
    ann.makes_event("without the broker", &[]).await;
    api.nats.restart().await;
    api.published().await;
    ann.says(room, "a-2", "hello?").await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_message_that_nobody_answered_for_is_unknown_and_its_repeat_is_said_once(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let ann = api.user("ann").await;
    let room = ann.makes_room(&[]).await;
    api.published().await;
    api.nats_gate.freeze();
    let began = Instant::now();
    let body = json!({"temp_id": "a-1", "content": "hello?"});
    refused(ann.post(&format!("/rooms/{room}/messages"), body).await, 503, "unknown").await;
    let waited = began.elapsed();
    assert!((Duration::from_secs(5)..Duration::from_secs(8)).contains(&waited), "{waited:?}");
    api.nats_gate.open();
    let again = json!({"temp_id": "a-1", "content": "hello?", "resend": true});
    let path = format!("/rooms/{room}/messages");
    let said = eventually("the broker is there again", async || {
        let answer = ann.post(&path, again.clone()).await;
        if answer.status() == 201 { Some(read(answer, 201).await) } else { None }
    })
    .await;
    assert_eq!(ann.says(room, "a-1", "hello?").await, said);
    let stream = api.jetstream("operator").await.get_stream(CHAT_MESSAGES).await.unwrap();
    assert_eq!(stream.cached_info().state.messages, 1);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_full_log_refuses_and_says_so(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let ann = api.user("ann").await;
    let room = ann.makes_room(&[]).await;
    let sizes = Sizes { chat_bytes_max: 1, ..Sizes::default() };
    stream::ensure(&api.jetstream("worker").await, stream::chat_messages(sizes)).await.unwrap();
    let body = json!({"temp_id": "a-1", "content": "hi"});
    refused(ann.post(&format!("/rooms/{room}/messages"), body).await, 503, "backlog").await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_worker_that_is_far_behind_closes_the_log_to_new_messages(pool: PgPool) {
    // By this api's clock a message is 31 minutes old as soon as it is said.
    let api = TestApi::with(pool, &["--clock-offset-ms=1860000"]).await;
    let sizes = Sizes { chat_age_max: Duration::from_hours(1), ..Sizes::default() };
    stream::ensure(&api.jetstream("worker").await, stream::chat_messages(sizes)).await.unwrap();
    let ann = api.user("ann").await;
    let room = ann.makes_room(&[]).await;
    ann.says(room, "a-1", "hi").await;
    let path = format!("/rooms/{room}/messages");
    let say = async || ann.post(&path, json!({"temp_id": "a-2", "content": "still there?"})).await;
    let closed = eventually("the log is closed", async || {
        let answer = say().await;
        (answer.status() != 201).then_some(answer)
    })
    .await;
    refused(closed, 503, "backlog").await;
    let _store = api.runs_a_worker().await;
    eventually("it is open again", async || (say().await.status() == 201).then_some(())).await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_log_whose_numbers_went_back_takes_nothing_until_they_go_on(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let ann = api.user("ann").await;
    let room = ann.makes_room(&[]).await;
    api.published().await;
    ann.says(room, "a-1", "hi").await;
    // An older copy is put in the log's place while the link is gone.
    api.nats_gate.shut();
    eventually("it is noticed", async || (api.ops("/readyz").send().await.unwrap().status() == 503).then_some(()))
        .await;
    let operator = api.jetstream("operator").await;
    let worker = api.jetstream("worker").await;
    operator.delete_stream(CHAT_MESSAGES).await.unwrap();
    stream::ensure_all(&worker, Sizes::default(), 0).await.unwrap();
    api.nats_gate.open();
    let path = format!("/rooms/{room}/messages");
    let said = async |temp_id: &str| ann.post(&path, json!({"temp_id": temp_id, "content": "hello?"})).await;
    eventually("it is told", async || {
        let answer: serde_json::Value = said("a-2").await.json().await.unwrap();
        (answer["code"] == "log_behind").then_some(())
    })
    .await;
    // What is told of changes goes on; what would be a line in the room waits.
    let event = ann.makes_event("behind", &[]).await["id"].as_str().unwrap().to_owned();
    for title in ["behind", "far behind"] {
        read(ann.patch(&format!("/events/{event}"), json!({"title": title, "description": title})).await, 200).await;
    }
    read(ann.post(&format!("/events/{event}/confirm"), json!({})).await, 200).await;
    let waiting = async |of: &str| -> i64 {
        let asked = sqlx::query_scalar("SELECT count(*) FROM outbox WHERE NOT processed AND subject LIKE $1");
        asked.bind(of).fetch_one(&api.pg).await.unwrap()
    };
    let lines = waiting("chat.message.%").await;
    assert!(lines >= 2, "{lines} lines in the room");
    eventually("all changes are told of", async || (waiting("event.%").await == 0).then_some(())).await;
    assert_eq!(waiting("chat.message.%").await, lines);
    let last = async || operator.get_stream(CHAT_MESSAGES).await.unwrap().cached_info().state.last_sequence;
    assert_eq!(last().await, 0, "a number that was given before is not given again");

    operator.get_stream(CHAT_MESSAGES).await.unwrap().purge().sequence(1_000_000).await.unwrap();
    api.published().await;
    let again =
        eventually("it is open", async || Some(said("a-2").await).filter(|answer| answer.status() == 201)).await;
    assert!(read(again, 201).await["seq"].as_u64().unwrap() >= 1_000_000);
}
