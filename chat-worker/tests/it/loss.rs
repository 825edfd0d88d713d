//! What the log has lost is counted, and a log that went back is seen.

use std::time::Duration;

use async_nats::jetstream::stream::Config;
use chat_worker::{config::WorkSettings, reopen};
use schema::{
    id::RoomId,
    stream::{self, CHAT_MESSAGES, SEQ_GAP},
};
use sqlx::PgPool;

use crate::harness::{Scene, eventually};

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn messages_that_aged_out_before_they_were_stored_are_counted(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let js = &scene.operator.js;
    let short = Duration::from_millis(500);
    let hasty = Config { max_age: short, duplicate_window: short, ..stream::chat_messages(scene.sizes) };
    js.create_stream(hasty).await.unwrap();
    stream::ensure_worker(js, CHAT_MESSAGES).await.unwrap();
    for n in 0..5 {
        scene.say(RoomId::random(), &format!("{n}")).await;
    }
    eventually("all have aged out", async || {
        let stream = js.get_stream(CHAT_MESSAGES).await.unwrap();
        (stream.cached_info().state.messages == 0).then_some(())
    })
    .await;
    let worker = scene.worker_unready().await;
    let report = eventually("red", async || {
        let report = worker.report().await;
        report.text.contains("loss: down").then_some(report)
    })
    .await;
    assert!(report.text.contains("loss: down: 5 messages"), "{}", report.text);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn what_aged_out_while_the_store_was_away_is_counted_before_work_goes_on(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let worker = scene.worker().await;
    scene.faults.set_down(true);
    let room = RoomId::random();
    scene.say(room, "who is told of the outage").await;
    eventually("the outage is known", async || worker.report().await.text.contains("store: down: away").then_some(()))
        .await;
    for n in 0..5 {
        scene.say(room, &format!("{n}")).await;
    }
    let mut log = scene.operator.js.get_stream(CHAT_MESSAGES).await.unwrap();
    let short = Duration::from_millis(500);
    let patient = log.cached_info().config.clone();
    let hasty = Config { max_age: short, duplicate_window: short, ..patient.clone() };
    scene.operator.js.update_stream(hasty).await.unwrap();
    eventually("all have aged out", async || (log.info().await.unwrap().state.messages == 0).then_some(())).await;
    scene.operator.js.update_stream(patient).await.unwrap();
    // Its ack takes the floor past all that is lost: whoever looks then sees nothing.
    let last = scene.say(room, "after").await;
    scene.faults.set_down(false);
    scene.stored(room, &[last.seq]).await;
    scene.settled(CHAT_MESSAGES).await;
    // One of them was in the worker's hands: the broker ended that by itself.
    eventually("all are counted", async || worker.report().await.text.contains("loss: down: 6 messages").then_some(()))
        .await;
}

/// A log whose last number is 3, and a store that has seen 500.
async fn a_log_that_went_back(pool: PgPool) -> (Scene, RoomId) {
    let scene = Scene::new(pool).await;
    scene.migrate().await;
    let room = RoomId::random();
    for n in 0..3 {
        scene.say(room, &format!("{n}")).await;
    }
    scene.store.raise_high_water(500).await.unwrap();
    (scene, room)
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_log_that_went_back_is_red_until_the_operator_opens_it_again(pool: PgPool) {
    let (scene, room) = a_log_that_went_back(pool).await;
    let worker = scene.worker_unready().await;
    eventually("red", async || worker.report().await.text.contains("log: down: 497 numbers behind").then_some(()))
        .await;
    // What it holds is stored nevertheless.
    scene.stored(room, &[1, 2, 3]).await;
    scene.settled(CHAT_MESSAGES).await;
    let held = reopen::held(&scene.operator.js).await.unwrap();
    reopen::reopen(&scene.operator.js, 500, held).await.unwrap();
    eventually("green", async || worker.report().await.is_ready.then_some(())).await;
    let said = scene.say(room, "on").await;
    assert_eq!(said.seq, 500 + SEQ_GAP);
    scene.stored(room, &[1, 2, 3, said.seq]).await;
    scene.settled(CHAT_MESSAGES).await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_worker_that_is_told_to_opens_the_log_by_itself(pool: PgPool) {
    let (scene, room) = a_log_that_went_back(pool).await;
    let work = WorkSettings { writes_in_flight: 128, reopen_log: true };
    let worker = scene.worker_with(work, "operator").await;
    eventually("it goes on above the mark", async || {
        let stream = scene.operator.js.get_stream(CHAT_MESSAGES).await.unwrap();
        (stream.cached_info().state.last_sequence == 500 + SEQ_GAP - 1).then_some(())
    })
    .await;
    scene.stored(room, &[1, 2, 3]).await;
    eventually("green", async || worker.report().await.is_ready.then_some(())).await;
}
