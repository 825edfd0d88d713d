//! How fast callers may be.

use serde_json::json;
use sqlx::PgPool;

use crate::harness::{TestApi, read, refused};

fn number(response: &reqwest::Response, header: &str) -> u64 {
    response.headers()[header].to_str().unwrap().parse().unwrap()
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_user_who_is_too_fast_is_told_when_to_come_back(pool: PgPool) {
    let api = TestApi::with(pool, &["--user-requests-per-second=1", "--user-requests-burst=5"]).await;
    let (ann, bob) = (api.user("ann").await, api.user("bob").await);
    let first = ann.get("/users/me").await;
    assert_eq!((number(&first, "ratelimit-limit"), number(&first, "ratelimit-remaining")), (5, 4));
    assert!(number(&first, "ratelimit-reset") >= 1);
    let mut answers = Vec::new();
    for _ in 0..8 {
        answers.push(ann.get("/users/me").await);
    }
    let late: Vec<_> = answers.into_iter().filter(|answer| answer.status() == 429).collect();
    assert!(!late.is_empty());
    for answer in late {
        assert_eq!((number(&answer, "ratelimit-remaining"), number(&answer, "retry-after")), (0, 1));
        refused(answer, 429, "rate_limited").await;
    }
    read(bob.get("/users/me").await, 200).await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn what_changes_something_has_a_rate_of_its_own(pool: PgPool) {
    let api = TestApi::with(pool, &["--user-writes-per-second=1", "--user-writes-burst=2"]).await;
    let ann = api.user("ann").await;
    let write = async || ann.patch("/users/me", json!({"status_text": "here"})).await;
    let first = write().await;
    assert_eq!((number(&first, "ratelimit-limit"), number(&first, "ratelimit-remaining")), (2, 1), "the tightest");
    read(write().await, 200).await;
    refused(write().await, 429, "rate_limited").await;
    let look = ann.get("/users/me").await;
    assert_eq!(number(&look, "ratelimit-limit"), 200);
    read(look, 200).await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn tokens_are_not_guessed_faster_than_passwords(pool: PgPool) {
    let api = TestApi::with(pool, &["--auth-requests-per-minute=3"]).await;
    let ann = api.user("ann").await;
    let guess =
        async |token: &str| api.request(reqwest::Method::GET, "/users/me").bearer_auth(token).send().await.unwrap();
    for token in ["a", "b", "c"] {
        refused(guess(token).await, 401, "invalid_token").await;
    }
    refused(guess("d").await, 429, "rate_limited").await;
    read(ann.get("/users/me").await, 200).await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn an_address_that_signs_in_too_often_is_slowed_down_even_without_redis(pool: PgPool) {
    let api = TestApi::with(pool, &["--auth-requests-per-minute=3"]).await;
    let body = json!({"refresh_token": "x"});
    for remaining in [2, 1, 0] {
        let answer = api.post("/auth/refresh", body.clone()).await;
        assert_eq!((number(&answer, "ratelimit-limit"), number(&answer, "ratelimit-remaining")), (3, remaining));
        refused(answer, 401, "invalid_token").await;
    }
    let answer = api.post("/auth/refresh", body.clone()).await;
    assert!((1..=20).contains(&number(&answer, "retry-after")));
    refused(answer, 429, "rate_limited").await;
    api.redis_gate.shut();
    // This process counts alone now, from the beginning.
    for _ in 0..3 {
        refused(api.post("/auth/refresh", body.clone()).await, 401, "invalid_token").await;
    }
    refused(api.post("/auth/refresh", body).await, 429, "rate_limited").await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_forwarded_address_counts_only_from_a_trusted_proxy(pool: PgPool) {
    let api = TestApi::with(pool, &["--auth-requests-per-minute=1", "--trusted-proxies=127.0.0.0/8"]).await;
    let ask = async |from: &str| {
        let request = api.request(reqwest::Method::POST, "/auth/refresh").header("x-forwarded-for", from);
        request.json(&json!({"refresh_token": "x"})).send().await.unwrap().status().as_u16()
    };
    assert_eq!(ask("9.9.9.9").await, 401);
    assert_eq!(ask("9.9.9.9").await, 429);
    assert_eq!(ask("9.9.9.9, 8.8.8.8").await, 401, "what the client says itself does not count");
    assert_eq!(ask("7.7.7.7, 8.8.8.8").await, 429);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn limits_that_are_off_limit_nobody(pool: PgPool) {
    let api = TestApi::with(pool, &["--limits=off", "--user-requests-burst=1", "--auth-requests-per-minute=1"]).await;
    let (ann, _bob) = (api.user("ann").await, api.user("bob").await);
    for _ in 0..5 {
        let answer = ann.get("/users/me").await;
        assert!(!answer.headers().contains_key("ratelimit-limit"));
        read(answer, 200).await;
    }
}
