//! What is told of changes: in order, exactly once, whatever happens to the broker meanwhile.

use std::time::{Duration, Instant};

use async_nats::jetstream::consumer::{AckPolicy, pull};
use futures_util::StreamExt as _;
use schema::{
    change::{Change, ChangeKind},
    envelope::{self, Body},
    stream::{CHAT_MESSAGES, EVENTS},
    subject::ChatSubject,
};
use serde_json::json;
use sqlx::PgPool;

use crate::harness::{TestApi, eventually, read};

/// Everything on a stream, with its subject and `Nats-Msg-Id`.
async fn all(api: &TestApi, stream: &str) -> Vec<async_nats::jetstream::Message> {
    let js = api.jetstream("operator").await;
    let mut stream = js.get_stream(stream).await.unwrap();
    let count = stream.info().await.unwrap().state.messages;
    let config = pull::Config { ack_policy: AckPolicy::None, ..pull::Config::default() };
    let consumer = stream.create_consumer(config).await.unwrap();
    let mut messages = consumer.messages().await.unwrap();
    let mut found = Vec::new();
    for _ in 0..count {
        found.push(messages.next().await.unwrap().unwrap());
    }
    found
}

async fn changes(api: &TestApi) -> Vec<Change> {
    let messages = all(api, EVENTS).await;
    let read = |message: async_nats::jetstream::Message| {
        let change: Change = serde_json::from_slice(&message.payload).unwrap();
        assert_eq!(message.subject.as_str(), change.change.subject());
        assert_eq!(message.headers.as_ref().unwrap().get("Nats-Msg-Id").unwrap().as_str(), change.id.to_string());
        change
    };
    messages.into_iter().map(read).collect()
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn changes_arrive_in_order_and_once_with_a_line_in_the_room(pool: PgPool) {
    use ChangeKind::{
        EventCompleted, EventConfirmed, EventCreated, EventDeleted, EventParticipantsChanged, EventUpdated,
    };
    let api = TestApi::start(pool).await;
    let (ann, bob) = (api.user("ann").await, api.user("bob").await);
    let id = ann.makes_event("Lunch", &[]).await["id"].as_str().unwrap().to_owned();
    read(ann.post(&format!("/events/{id}/participants"), json!({"user_id": bob.id})).await, 201).await;
    read(ann.patch(&format!("/events/{id}"), json!({"title": "Dinner"})).await, 200).await;
    read(ann.post(&format!("/events/{id}/confirm"), json!({})).await, 200).await;
    read(bob.delete(&format!("/events/{id}/participants/me")).await, 204).await;
    read(ann.post(&format!("/events/{id}/complete"), json!({})).await, 200).await;
    read(ann.delete(&format!("/events/{id}")).await, 204).await;
    read(bob.post("/auth/logout", json!({})).await, 200).await;
    api.published().await;

    let told = changes(&api).await;
    let (signed_out, of_event): (Vec<_>, Vec<_>) = told.iter().partition(|change| change.event_id.is_none());
    let kinds: Vec<ChangeKind> = of_event.iter().map(|change| change.change).collect();
    let joined_then_left = [EventCreated, EventParticipantsChanged, EventUpdated, EventConfirmed];
    assert_eq!(kinds[..4], joined_then_left);
    assert_eq!(kinds[4..], [EventParticipantsChanged, EventCompleted, EventDeleted]);
    let versions: Vec<i64> = of_event.iter().map(|change| change.version).collect();
    assert_eq!(versions, [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(of_event[0].added, [ann.id]);
    assert_eq!((&of_event[1].added[..], of_event[1].actor_id), (&[bob.id][..], Some(ann.id)));
    assert_eq!((&of_event[4].removed[..], of_event[4].actor_id), (&[bob.id][..], Some(bob.id)));
    assert_eq!(of_event[4].room_id.unwrap().to_string(), id);
    assert_eq!((signed_out.len(), signed_out[0].change), (1, ChangeKind::UserSessionsRevoked));
    assert_eq!(signed_out[0].user_id, Some(bob.id));

    let lines = all(&api, CHAT_MESSAGES).await;
    let mut shown = Vec::new();
    for line in &lines {
        let subject = ChatSubject::parse(&line.subject).unwrap();
        let (headers, body) = envelope::read(subject, line.headers.as_ref(), &line.payload).unwrap();
        assert_eq!((subject.0.to_string(), headers.sender), (id.clone(), Some(ann.id)));
        let Body::System { change, actor_id, .. } = body else { panic!("a system line") };
        assert_eq!(actor_id, Some(ann.id));
        shown.push(change);
    }
    assert_eq!(shown, [EventUpdated, EventConfirmed, EventCompleted]);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn what_was_changed_while_the_broker_was_down_arrives_afterwards_once(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let ann = api.user("ann").await;
    let id = ann.makes_event("v1", &[]).await["id"].as_str().unwrap().to_owned();
    api.published().await;
    api.nats.kill();
    for version in 2..=20 {
        read(ann.patch(&format!("/events/{id}"), json!({"title": format!("v{version}")})).await, 200).await;
    }
    assert_eq!(api.unpublished().await, 38, "a change and a line in the room each");
    api.nats.restart().await;
    api.published().await;
    let versions: Vec<i64> = changes(&api).await.iter().map(|change| change.version).collect();
    assert_eq!(versions, (1..=20).collect::<Vec<i64>>());
    assert_eq!(all(&api, CHAT_MESSAGES).await.len(), 19);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn two_relays_keep_every_events_order(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let _second = api.second().await;
    let ann = api.user("ann").await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(ann.makes_event("v1", &[]).await["id"].as_str().unwrap().to_owned());
    }
    futures_util::future::join_all(ids.iter().map(async |id| {
        for version in 2..=15 {
            let change = ann.patch(&format!("/events/{id}"), json!({"title": format!("v{version}")})).await;
            read(change, 200).await;
        }
    }))
    .await;
    api.published().await;
    let told = changes(&api).await;
    for id in ids {
        let versions: Vec<i64> =
            told.iter().filter(|c| c.event_id.unwrap().to_string() == id).map(|change| change.version).collect();
        assert_eq!(versions, (1..=15).collect::<Vec<i64>>());
    }
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_change_is_on_the_stream_in_no_time(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let ann = api.user("ann").await;
    let id = ann.makes_event("v1", &[]).await["id"].as_str().unwrap().to_owned();
    api.published().await;
    let mut waits = Vec::new();
    for version in 2..30 {
        read(ann.patch(&format!("/events/{id}"), json!({"title": format!("v{version}")})).await, 200).await;
        let committed = Instant::now();
        api.published().await;
        waits.push(committed.elapsed());
    }
    waits.sort();
    // The median, generously: the machine may be busy with a build. A relay that only polls does so once a second, and
    // each of these waits begins just after it has.
    assert!(waits[waits.len() / 2] < Duration::from_millis(400), "{waits:?}");
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_row_that_is_refused_waits_and_the_other_lanes_go_on(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let ann = api.user("ann").await;
    let (stuck, free) = (ann.makes_event("stuck", &[]).await, ann.makes_event("free", &[]).await);
    api.published().await;
    // Nobody may publish there: the row can not go out.
    sqlx::query(
        "WITH lane AS (UPDATE outbox_lane SET last_position = last_position + 1, pending = true
                       WHERE id = $1::uuid RETURNING id, last_position)
         INSERT INTO outbox (id, lane_id, position, subject, headers, body, created_at)
         SELECT gen_random_uuid(), id, last_position, 'event.' || repeat('x', 70), '{}', repeat('x', 300000), now()
         FROM lane",
    )
    .bind(stuck["id"].as_str().unwrap())
    .execute(&api.pg)
    .await
    .unwrap();
    let error = eventually("the row was refused", async || {
        let error: Option<String> =
            sqlx::query_scalar("SELECT error FROM outbox WHERE NOT processed AND retry_count > 0")
                .fetch_optional(&api.pg)
                .await
                .unwrap();
        error
    })
    .await;
    assert!(!error.is_empty());
    let path = format!("/events/{}", free["id"].as_str().unwrap());
    read(ann.patch(&path, json!({"title": "goes on"})).await, 200).await;
    eventually("the other lane is empty", async || (api.unpublished().await == 1).then_some(())).await;
}
