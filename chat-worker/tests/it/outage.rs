//! A store that is away costs time and nothing else.

use std::time::{Duration, Instant};

use schema::{id::RoomId, stream::CHAT_MESSAGES};
use sqlx::PgPool;

use crate::{
    harness::{Scene, eventually},
    unreliable::Fault,
};

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn while_the_store_is_away_nothing_is_given_up_and_then_everything_is_stored(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let worker = scene.worker().await;
    let room = RoomId::random();
    let mut seqs = vec![scene.say(room, "before").await.seq];
    scene.stored(room, &seqs).await;
    scene.faults.set_down(true);
    for n in 0..50 {
        seqs.push(scene.say(room, &format!("{n}")).await.seq);
    }
    eventually("red", async || (!worker.report().await.is_ready).then_some(())).await;
    // The breaker is open once the first write has failed; what is said then is not even fetched.
    let tried = scene.faults.groups().len();
    for n in 50..100 {
        seqs.push(scene.say(room, &format!("{n}")).await.seq);
    }
    let said = Instant::now();
    eventually("three seconds of outage", async || (said.elapsed() > Duration::from_secs(3)).then_some(())).await;
    assert!(scene.faults.groups().len() <= tried + 1, "a store that is away is asked how it is, not to write");
    scene.faults.set_down(false);
    let up = Instant::now();
    scene.stored(room, &seqs).await;
    eventually("green", async || worker.report().await.is_ready.then_some(())).await;
    assert!(up.elapsed() < Duration::from_secs(8), "took {:?}", up.elapsed());
    scene.settled(CHAT_MESSAGES).await;
    assert!(scene.dead().await.is_empty());
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_write_that_fails_is_made_again_later_and_later(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let _worker = scene.worker().await;
    let (sick, well) = (RoomId::random(), RoomId::random());
    scene
        .faults
        .on_write(move |entries| entries.iter().any(|entry| entry.room_id == sick).then_some(Fault::Unavailable));
    let failing = scene.say(sick, "not yet").await;
    let tries = eventually("three tries", async || {
        let tries = scene.faults.attempts(failing.seq);
        (tries.len() == 3).then_some(tries)
    })
    .await;
    assert!(tries[1] - tries[0] >= Duration::from_secs(1), "{tries:?}");
    assert!(tries[2] - tries[1] >= Duration::from_secs(2), "{tries:?}");
    // A room that can be written meanwhile is: its store answers.
    let other = scene.say(well, "hi").await;
    scene.stored(well, &[other.seq]).await;
    scene.faults.release();
    scene.stored(sick, &[failing.seq]).await;
    scene.settled(CHAT_MESSAGES).await;
    assert!(scene.dead().await.is_empty());
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_crash_between_write_and_ack_writes_the_same_row_again(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let worker = scene.worker().await;
    let room = RoomId::random();
    scene.faults.on_write(|_| Some(Fault::AnswerLost));
    let said = scene.say(room, "once").await;
    scene.stored(room, &[said.seq]).await;
    let first = scene.log(room).await;
    worker.kill();
    scene.faults.release();
    let mut reports = scene.reports().await;
    let _next = scene.worker().await;
    scene.settled(CHAT_MESSAGES).await;
    reports.until("saved, by the next one", |reports| reports.saved == [said.saved()]).await;
    assert_eq!(scene.faults.attempts(said.seq).len(), 2);
    assert_eq!(scene.log(room).await, first, "not one column differs");
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_worker_that_stops_finishes_what_it_has_begun(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let worker = scene.worker().await;
    let room = RoomId::random();
    scene.faults.on_write(|_| Some(Fault::Slow(Duration::from_millis(300))));
    let mut seqs = Vec::new();
    for n in 0..10 {
        seqs.push(scene.say(room, &format!("{n}")).await.seq);
    }
    eventually("it has begun", async || (!scene.faults.groups().is_empty()).then_some(())).await;
    eventually("all are delivered", async || (scene.consumer(CHAT_MESSAGES).await.num_pending == 0).then_some(()))
        .await;
    worker.stop().await;
    scene.stored(room, &seqs).await;
    scene.settled(CHAT_MESSAGES).await;
    assert_eq!(scene.consumer(CHAT_MESSAGES).await.num_redelivered, 0, "every answer has left");
}
