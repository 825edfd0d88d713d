//! Who of a room is online: the test plays the gateways, with their rights on the broker.

use async_nats::Client;
use futures_util::StreamExt as _;
use schema::{
    id::{RoomId, UserId},
    signal::{PresenceAnswer, Signal},
    subject::LiveSignalSubject,
};
use serde_json::{Value, json};
use sqlx::PgPool;
use std::time::{Duration, Instant};

use crate::harness::{Person, TestApi, eventually, read, refused};

fn path(room: RoomId) -> String {
    format!("/rooms/{room}/presence")
}

fn item(person: &Person<'_>, online: bool, last_seen_at: Option<&str>) -> Value {
    json!({"user_id": person.id, "online": online, "last_seen_at": last_seen_at})
}

/// A gateway that has the room, and answers that these are there; or never, when it has no answer.
async fn gateway(api: &TestApi, room: RoomId, online: Option<Vec<UserId>>) {
    let js = api.jetstream("gateway").await;
    let client: Client = js.client();
    let mut questions = client.subscribe(LiveSignalSubject(room).to_string()).await.unwrap();
    // A flush ends in this process: the server has the subscription once it answers what it is asked after it.
    js.query_account().await.unwrap();
    api.runs(async move {
        while let Some(question) = questions.next().await {
            let asked: Signal = serde_json::from_slice(&question.payload).unwrap();
            assert_eq!(asked, Signal::PresenceAsked { gateway: None });
            let Some(online) = online.clone() else { continue };
            let answer = serde_json::to_vec(&PresenceAnswer { online }).unwrap();
            client.publish(question.reply.unwrap(), answer.into()).await.unwrap();
        }
    });
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn members_see_who_is_online_and_when_the_others_were(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let (ann, bob, cem) = (api.user("ann").await, api.user("bob").await, api.user("cem").await);
    let room = ann.makes_room(&[&bob, &cem]).await;
    let seen = "2026-11-21T05:58:48.927Z";
    api.was_last_seen(room, cem.id, seen).await;
    api.was_last_seen(room, ann.id, seen).await;
    // Who is no member is not shown, whatever a gateway says.
    gateway(&api, room, Some(vec![ann.id, UserId::random()])).await;
    let answer = read(bob.get(&path(room)).await, 200).await;
    assert_eq!(answer["items"].as_array().unwrap().len(), 3);
    for expected in [item(&ann, true, None), item(&bob, false, None), item(&cem, false, Some(seen))] {
        assert!(answer["items"].as_array().unwrap().contains(&expected), "{expected} in {answer}");
    }
    // Without Redis it is not known when, and all else is.
    api.redis_gate.shut();
    let answer = read(bob.get(&path(room)).await, 200).await;
    assert!(answer["items"].as_array().unwrap().contains(&item(&cem, false, None)), "{answer}");
    assert!(answer["items"].as_array().unwrap().contains(&item(&ann, true, None)), "{answer}");
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn presence_is_for_members_alone(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let (ann, eve) = (api.user("ann").await, api.user("eve").await);
    let room = ann.makes_room(&[]).await;
    refused(eve.get(&path(room)).await, 403, "not_a_member").await;
    refused(eve.get(&path(RoomId::random())).await, 403, "not_a_member").await;
    refused(eve.get("/rooms/nonsense/presence").await, 403, "not_a_member").await;
    refused(api.request(reqwest::Method::GET, &path(room)).send().await.unwrap(), 401, "invalid_token").await;
    let blind = "UPDATE rooms SET display_mode = 'blind', alias_secret = sha256('secret') WHERE id = $1";
    sqlx::query(blind).bind(room).execute(&api.pg).await.unwrap();
    refused(ann.get(&path(room)).await, 403, "forbidden").await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn nobody_is_online_where_no_gateway_answers(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let (ann, bob) = (api.user("ann").await, api.user("bob").await);
    let room = ann.makes_room(&[&bob]).await;
    let nobody = json!([item(&ann, false, None), item(&bob, false, None)]);
    assert_eq!(read(ann.get(&path(room)).await, 200).await["items"], nobody, "no gateway has the room");
    gateway(&api, room, None).await;
    let asked = Instant::now();
    assert_eq!(read(ann.get(&path(room)).await, 200).await["items"], nobody, "a gateway is silent");
    assert!(asked.elapsed() < Duration::from_secs(2), "silence is not waited for: {:?}", asked.elapsed());
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn without_nats_nobody_is_called_offline(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let ann = api.user("ann").await;
    let room = ann.makes_room(&[]).await;
    api.nats_gate.shut();
    let answer = eventually("it is noticed", async || {
        let answer = ann.get(&path(room)).await;
        (answer.status() == 503).then_some(answer)
    })
    .await;
    refused(answer, 503, "unavailable").await;
}
