//! The broker dies, forgets, or is tidied up by somebody: the worker goes on.

use std::time::Duration;

use schema::{
    id::RoomId,
    stream::{self, CHAT_MESSAGES, SEQ_GAP, Sizes, WORKER},
    subject::ChatSubject,
};
use sqlx::PgPool;

use crate::harness::{Message, Scene, eventually};

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_broker_that_was_killed_and_is_back_loses_nothing(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let worker = scene.worker().await;
    let room = RoomId::random();
    let mut seqs = Vec::new();
    for n in 0..20 {
        seqs.push(scene.say(room, &format!("{n}")).await.seq);
    }
    scene.nats.kill();
    eventually("red", async || (!worker.report().await.is_ready).then_some(())).await;
    scene.nats.restart().await;
    let last = eventually("the broker takes messages again", async || {
        let message = Message::new(room, "after");
        let subject = ChatSubject(room).to_string();
        let publish = scene.gateway.js.publish_with_headers(subject, message.headers(), message.body.to_bytes());
        Some(publish.await.ok()?.await.ok()?.sequence)
    })
    .await;
    seqs.push(last);
    scene.stored(room, &seqs).await;
    scene.settled(CHAT_MESSAGES).await;
    eventually("green", async || worker.report().await.is_ready.then_some(())).await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_deleted_consumer_is_made_again(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let _worker = scene.worker().await;
    let room = RoomId::random();
    let first = scene.say(room, "before").await;
    scene.settled(CHAT_MESSAGES).await;
    let stream = scene.operator.js.get_stream(CHAT_MESSAGES).await.unwrap();
    stream.delete_consumer(WORKER).await.unwrap();
    let second = scene.say(room, "after").await;
    scene.stored(room, &[first.seq, second.seq]).await;
    scene.settled(CHAT_MESSAGES).await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_deleted_stream_is_made_again_and_gives_no_number_twice(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let worker = scene.worker().await;
    let room = RoomId::random();
    let first = scene.say(room, "before").await;
    scene.stored(room, &[first.seq]).await;
    assert_eq!(scene.store.high_water().await.unwrap(), first.seq, "the mark is never below what is stored");
    scene.operator.js.delete_stream(CHAT_MESSAGES).await.unwrap();
    eventually("the stream is there", async || scene.operator.js.get_stream(CHAT_MESSAGES).await.ok().map(drop)).await;
    let second = scene.say(room, "after").await;
    assert_eq!(second.seq, first.seq + SEQ_GAP);
    scene.stored(room, &[first.seq, second.seq]).await;
    scene.settled(CHAT_MESSAGES).await;
    assert!(worker.report().await.is_ready, "no false alarm");
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn an_update_of_the_stream_keeps_first_seq_and_every_message_over_a_restart(pool: PgPool) {
    let mut scene = Scene::new(pool).await;
    scene.store.raise_high_water(500).await.unwrap();
    scene.migrate().await;
    let room = RoomId::random();
    let mut seqs = Vec::new();
    for n in 0..10 {
        seqs.push(scene.say(room, &format!("{n}")).await.seq);
    }
    assert_eq!(seqs[0], 500 + SEQ_GAP);
    // The mark has grown, and the definition has changed: what an update would like to set is higher.
    scene.store.raise_high_water(seqs[9]).await.unwrap();
    scene.sizes = Sizes { chat_age_max: Duration::from_hours(48), ..Sizes::default() };
    scene.migrate().await;
    scene.nats.restart().await;
    let state = eventually("the stream is back", async || {
        let stream = scene.operator.js.get_stream(CHAT_MESSAGES).await.ok()?;
        assert_eq!(stream.cached_info().config.max_age, scene.sizes.chat_age_max);
        Some(stream.cached_info().state.clone())
    })
    .await;
    assert_eq!((state.first_sequence, state.last_sequence, state.messages), (seqs[0], seqs[9], 10));
    let worker = scene.worker().await;
    scene.stored(room, &seqs).await;
    assert!(worker.report().await.is_ready);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_fresh_consumer_of_a_stream_that_starts_late_has_lost_nothing(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let js = &scene.operator.js;
    let late = stream::chat_messages(Sizes::default());
    js.create_stream(async_nats::jetstream::stream::Config { first_sequence: Some(1_000), ..late }).await.unwrap();
    let said = scene.say(RoomId::random(), "hi").await;
    assert_eq!(said.seq, 1_000);
    stream::ensure_worker(js, CHAT_MESSAGES).await.unwrap();
    assert_eq!(scene.consumer(CHAT_MESSAGES).await.ack_floor.stream_sequence, 999);
    let worker = scene.worker().await;
    scene.stored(said.room, &[said.seq]).await;
    assert!(worker.report().await.is_ready);
}
