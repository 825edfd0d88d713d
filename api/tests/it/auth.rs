//! Accounts, sessions and refresh tokens.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::{Method, Response};
use schema::ticket::Ticket;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::harness::{Person, TestApi, eventually, read, refused, wrong_fields};

async fn refresh(api: &TestApi, token: &str) -> Response {
    api.post("/auth/refresh", json!({"refresh_token": token})).await
}

async fn refreshed<'a>(api: &'a TestApi, token: &str) -> Person<'a> {
    api.person(&read(refresh(api, token).await, 200).await)
}

/// Makes the ten seconds pass in which a used token gets its successor again.
async fn grace_passes(api: &TestApi) {
    let client = deadpool_redis::redis::Client::open(scripts::stack::test_env("REDIS_URL")).unwrap();
    let mut redis = client.get_multiplexed_async_connection().await.unwrap();
    let pattern = format!("{}:refresh:*:grace:*", api.redis_prefix);
    let keys: Vec<String> = deadpool_redis::redis::cmd("KEYS").arg(pattern).query_async(&mut redis).await.unwrap();
    assert!(!keys.is_empty(), "nothing was in its grace");
    let _: u32 = deadpool_redis::redis::cmd("DEL").arg(&keys[..]).query_async(&mut redis).await.unwrap();
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn who_registers_is_signed_in_and_can_sign_in_again(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let body = json!({"email": " Ann@Example.org", "password": "correct horse", "display_name": " Ann ", "x": 1});
    let answer = read(api.post("/auth/register", body).await, 201).await;
    assert_eq!(answer["user"]["email"], "ann@example.org");
    assert_eq!(answer["user"]["display_name"], "Ann");
    assert_eq!((&answer["token_type"], &answer["expires_in"]), (&json!("Bearer"), &json!(900)));
    let ann = api.person(&answer);
    assert_eq!(read(ann.get("/users/me").await, 200).await["id"], json!(ann.id));

    let login = json!({"email": "ANN@example.org", "password": "correct horse"});
    let again = api.person(&read(api.post("/auth/login", login).await, 200).await);
    assert_eq!(again.id, ann.id);
    assert_ne!(again.refresh_token, ann.refresh_token);
    let stored: String = sqlx::query_scalar("SELECT password_hash FROM users").fetch_one(&api.pg).await.unwrap();
    assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn an_email_has_one_account(pool: PgPool) {
    let api = TestApi::start(pool).await;
    api.user("ann").await;
    let body = json!({"email": "ANN@example.org", "password": "another one", "display_name": "Ann"});
    refused(api.post("/auth/register", body).await, 409, "email_taken").await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_wrong_password_and_an_unknown_email_get_the_same_answer(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let ann = api.user("ann").await;
    let try_with = async |email: &str| {
        let body = json!({"email": email, "password": "not the one"});
        let mut problem = refused(api.post("/auth/login", body).await, 401, "invalid_credentials").await;
        problem.as_object_mut().unwrap().remove("request_id");
        problem
    };
    assert_eq!(try_with(&ann.email).await, try_with("nobody@example.org").await);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn what_is_wrong_with_a_registration_is_told_field_by_field(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let body = json!({"email": "ann", "password": "short", "display_name": "a\u{7}"});
    let problem = refused(api.post("/auth/register", body).await, 422, "invalid_fields").await;
    let expected = [("email", "not_an_email"), ("password", "too_short"), ("display_name", "control_characters")];
    assert_eq!(wrong_fields(&problem), expected.map(|(field, code)| (field.to_owned(), code.to_owned())));
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn guessing_gets_slower_after_five_failures(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let ann = api.user("ann").await;
    let guess = json!({"email": ann.email, "password": "not the one"});
    for _ in 0..6 {
        refused(api.post("/auth/login", guess.clone()).await, 401, "invalid_credentials").await;
    }
    let right = json!({"email": ann.email, "password": "password of ann"});
    // The first wait is a second, in which a busy machine may not get here; each further failure doubles it.
    let (guessed, known) = eventually("a guess must wait, and so must the right password", async || {
        let (guessed, known) =
            tokio::join!(api.post("/auth/login", guess.clone()), api.post("/auth/login", right.clone()));
        (guessed.status() == 429 && known.status() == 429).then_some((guessed, known))
    })
    .await;
    refused(guessed, 429, "rate_limited").await;
    refused(known, 429, "rate_limited").await;
    eventually("the right password counts again", async || {
        (api.post("/auth/login", right.clone()).await.status() == 200).then_some(())
    })
    .await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_refresh_token_works_once_and_its_successor_next(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let ann = api.user("ann").await;
    let second = refreshed(&api, &ann.refresh_token).await;
    assert_eq!(second.id, ann.id);
    assert_ne!(second.refresh_token, ann.refresh_token);
    let third = refreshed(&api, &second.refresh_token).await;
    assert_eq!(read(third.get("/users/me").await, 200).await["id"], json!(ann.id));
    let hashes: i64 = sqlx::query_scalar("SELECT count(*) FROM refresh_tokens").fetch_one(&api.pg).await.unwrap();
    assert_eq!(hashes, 3, "every token that was handed out is mirrored");
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_used_token_gets_the_same_successor_for_a_moment(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let ann = api.user("ann").await;
    let first = refreshed(&api, &ann.refresh_token).await;
    let repeated = refreshed(&api, &ann.refresh_token).await;
    assert_eq!(first.refresh_token, repeated.refresh_token);
    let next = refreshed(&api, &first.refresh_token).await;
    assert_ne!(next.refresh_token, first.refresh_token);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_token_used_again_later_revokes_its_family(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let ann = api.user("ann").await;
    let successor = refreshed(&api, &ann.refresh_token).await;
    grace_passes(&api).await;
    refused(refresh(&api, &ann.refresh_token).await, 401, "invalid_token").await;
    refused(refresh(&api, &successor.refresh_token).await, 401, "invalid_token").await;
    refused(successor.get("/users/me").await, 401, "session_revoked").await;
    let why: String = sqlx::query_scalar("SELECT revoked_for FROM sessions").fetch_one(&api.pg).await.unwrap();
    assert_eq!(why, "reuse");
    let login = json!({"email": ann.email, "password": "password of ann"});
    read(api.post("/auth/login", login).await, 200).await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn fifty_refreshes_at_once_make_one_family(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let ann = api.user("ann").await;
    let answers = join_all((0..50).map(|_| refresh(&api, &ann.refresh_token))).await;
    let mut successors = Vec::new();
    for answer in answers {
        successors.push(api.person(&read(answer, 200).await).refresh_token);
    }
    successors.dedup();
    assert_eq!(successors.len(), 1);
    refreshed(&api, &successors[0]).await;
    let (sessions, hashes): (i64, i64) =
        sqlx::query_as("SELECT (SELECT count(*) FROM sessions), (SELECT count(*) FROM refresh_tokens)")
            .fetch_one(&api.pg)
            .await
            .unwrap();
    assert_eq!((sessions, hashes), (1, 3), "what nobody was given is not mirrored");
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn what_redis_forgot_is_revoked_and_never_accepted(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let ann = api.user("ann").await;
    let client = deadpool_redis::redis::Client::open(scripts::stack::test_env("REDIS_URL")).unwrap();
    let mut redis = client.get_multiplexed_async_connection().await.unwrap();
    let pattern = format!("{}:refresh:*", api.redis_prefix);
    let keys: Vec<String> = deadpool_redis::redis::cmd("KEYS").arg(pattern).query_async(&mut redis).await.unwrap();
    let _: u32 = deadpool_redis::redis::cmd("DEL").arg(&keys[..]).query_async(&mut redis).await.unwrap();
    refused(refresh(&api, &ann.refresh_token).await, 401, "invalid_token").await;
    let revoked: i64 = sqlx::query_scalar("SELECT count(*) FROM sessions WHERE revoked_at IS NOT NULL")
        .fetch_one(&api.pg)
        .await
        .unwrap();
    assert_eq!(revoked, 1);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn nonsense_is_no_refresh_token_and_harms_nobody(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let ann = api.user("ann").await;
    let (sid, secret) = ann.refresh_token.split_once('.').unwrap();
    let forged = format!("{sid}.{}", secret.chars().rev().collect::<String>());
    for token in ["", "x", &forged, "00000000-0000-0000-0000-000000000000.AAAA"] {
        refused(refresh(&api, token).await, 401, "invalid_token").await;
    }
    let missing = refused(api.post("/auth/refresh", json!({})).await, 422, "invalid_fields").await;
    assert_eq!(wrong_fields(&missing), [("refresh_token".to_owned(), "required".to_owned())]);
    refreshed(&api, &ann.refresh_token).await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_sign_out_counts_everywhere_within_a_second(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let elsewhere = api.second().await;
    let ann = api.user("ann").await;
    let look = async || {
        let request = api.request_at(&elsewhere, Method::GET, "/users/me").bearer_auth(&ann.access_token);
        request.send().await.unwrap().status()
    };
    assert_eq!(look().await, 200);
    assert_eq!(read(ann.post("/auth/logout", json!({})).await, 200).await["revoked"], 1);
    let ended = Instant::now();
    refused(ann.get("/users/me").await, 401, "session_revoked").await;
    eventually("the other process knows", async || (look().await == 401).then_some(())).await;
    assert!(ended.elapsed() < Duration::from_secs(1), "{:?}", ended.elapsed());
    refused(refresh(&api, &ann.refresh_token).await, 401, "invalid_token").await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn signing_out_one_session_leaves_the_others(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let ann = api.user("ann").await;
    let login = json!({"email": ann.email, "password": "password of ann"});
    let phone = api.person(&read(api.post("/auth/login", login).await, 200).await);
    // By the refresh token alone: the access token may have ended.
    let body = json!({"refresh_token": phone.refresh_token});
    read(api.post("/auth/logout", body).await, 200).await;
    refused(phone.get("/users/me").await, 401, "session_revoked").await;
    read(ann.get("/users/me").await, 200).await;
    assert_eq!(read(ann.post("/auth/logout-all", json!({})).await, 200).await["revoked"], 1);
    refused(ann.get("/users/me").await, 401, "session_revoked").await;
    refused(api.post("/auth/logout", json!({})).await, 401, "invalid_token").await;
    refused(api.post("/auth/logout-all", json!({})).await, 401, "invalid_token").await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_ticket_stands_for_its_user_for_thirty_seconds(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let ann = api.user("ann").await;
    let issued: Value = read(ann.post("/ws/ticket", json!({})).await, 200).await;
    assert_eq!(issued["expires_in"], 30);
    let key = Ticket::redis_key(&api.redis_prefix, issued["ticket"].as_str().unwrap());
    let client = deadpool_redis::redis::Client::open(scripts::stack::test_env("REDIS_URL")).unwrap();
    let mut redis = client.get_multiplexed_async_connection().await.unwrap();
    let (value, ttl): (String, i64) =
        deadpool_redis::redis::pipe().cmd("GET").arg(&key).cmd("TTL").arg(&key).query_async(&mut redis).await.unwrap();
    let ticket: Ticket = serde_json::from_str(&value).unwrap();
    assert_eq!(ticket.user_id, ann.id);
    assert!((1..=30).contains(&ttl));
    refused(api.post("/ws/ticket", json!({})).await, 401, "invalid_token").await;
}
