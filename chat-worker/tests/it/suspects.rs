//! A message that comes again and again is tried alone, and given up only on evidence.

use std::time::Duration;

use async_nats::jetstream::{AckKind, consumer::pull, kv};
use chat_worker::{trying, verdict::ALONE_FROM};
use futures_util::StreamExt as _;
use schema::{
    header,
    id::RoomId,
    stream::{CHAT_MESSAGES, WORKER},
};
use sqlx::PgPool;

use crate::{
    harness::{Scene, eventually},
    unreliable::Fault,
};

async fn marks(scene: &Scene) -> kv::Store {
    scene.operator.js.get_key_value(trying::BUCKET).await.unwrap()
}

fn key(seq: u64) -> String {
    format!("trying.{CHAT_MESSAGES}.{seq}")
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_refusal_counts_when_others_are_stored_and_not_in_an_outage(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let _worker = scene.worker().await;
    let (sick, well) = (RoomId::random(), RoomId::random());
    // First everything is refused, as if a table were missing.
    scene.faults.on_write(|_| Some(Fault::Refused));
    let refused = scene.say(sick, "no").await;
    let waiting = scene.say(well, "later").await;
    eventually("both were tried alone", async || {
        let tries = [refused, waiting].map(|said| scene.faults.attempts(said.seq).len());
        tries.iter().all(|tries| *tries >= 4).then_some(())
    })
    .await;
    let bucket = marks(&scene).await;
    eventually("no mark is left", async || {
        let (one, two) = (bucket.get(key(refused.seq)).await.unwrap(), bucket.get(key(waiting.seq)).await.unwrap());
        (one.is_none() && two.is_none()).then_some(())
    })
    .await;
    // Then only one room's message is.
    scene.faults.on_write(move |entries| entries.iter().any(|entry| entry.room_id == sick).then_some(Fault::Refused));
    let marked = eventually("a mark stays", async || {
        scene.say(well, "hi").await;
        bucket.get(key(refused.seq)).await.unwrap()
    })
    .await;
    assert_eq!(marked, "1");
    eventually("what was refused with everything else is stored", async || {
        (scene.log(well).await.first()?.seq == waiting.seq).then_some(())
    })
    .await;
    assert!(scene.dead().await.is_empty());
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_message_with_three_marks_is_given_up(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let _worker = scene.worker().await;
    let room = RoomId::random();
    scene.faults.on_write(|entries| entries.iter().any(|entry| entry.seq == 1).then_some(Fault::Unavailable));
    marks(&scene).await.put(key(1), "3".into()).await.unwrap();
    let said = scene.say(room, "it killed three workers").await;
    assert_eq!(said.seq, 1);
    let after = scene.say(room, "after").await;
    eventually("given up", async || (!scene.dead().await.is_empty()).then_some(())).await;
    let [dead] = scene.dead().await.try_into().unwrap();
    let text = |name| dead.headers.get(name).unwrap().as_str().to_owned();
    assert_eq!((text(header::DEAD_REASON), text(header::DEAD_DELIVERIES)), ("gave_up".into(), "4".into()));
    scene.stored(room, &[said.seq, after.seq]).await;
    scene.settled(CHAT_MESSAGES).await;
    assert_eq!(scene.faults.attempts(said.seq).len(), 3, "not a fourth time");
    eventually("its marks are gone", async || marks(&scene).await.get(key(1)).await.unwrap().is_none().then_some(()))
        .await;
}

impl Scene {
    /// The first message of the log is delivered once more, to nobody who does anything about it.
    async fn deliver_in_vain(&self) {
        let log = self.operator.js.get_stream(CHAT_MESSAGES).await.unwrap();
        let consumer = log.get_consumer::<pull::Config>(WORKER).await.unwrap();
        // What a dead worker holds is overdue at once; the next worker puts this right when it starts.
        let mut config = consumer.cached_info().config.clone();
        config.ack_wait = Duration::from_millis(100);
        self.operator.js.update_consumer_on_stream(config, CHAT_MESSAGES).await.unwrap();
        let delivered = eventually("delivered", async || {
            consumer.batch().max_messages(1).expires(Duration::from_secs(1)).messages().await.unwrap().next().await
        });
        delivered.await.unwrap().ack_with(AckKind::Nak(None)).await.unwrap();
        self.operator.client.flush().await.unwrap();
    }
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_message_that_kills_three_workers_is_given_up(pool: PgPool) {
    let scene = Scene::new(pool).await;
    scene.migrate().await;
    let room = RoomId::random();
    let poison = scene.say(room, "who writes it dies").await;
    for _ in 1..ALONE_FROM {
        scene.deliver_in_vain().await;
    }
    scene.faults.on_write(move |entries| entries.iter().any(|entry| entry.seq == poison.seq).then_some(Fault::Held));
    for deaths in 1..=3 {
        let worker = scene.worker().await;
        eventually("it is tried alone", async || (scene.faults.attempts(poison.seq).len() == deaths).then_some(()))
            .await;
        let marked = marks(&scene).await.get(key(poison.seq)).await.unwrap().unwrap();
        assert_eq!(marked, deaths.to_string(), "marked before it is tried");
        worker.kill();
        scene.deliver_in_vain().await;
    }
    let _worker = scene.worker().await;
    let after = scene.say(room, "after").await;
    scene.stored(room, &[poison.seq, after.seq]).await;
    scene.settled(CHAT_MESSAGES).await;
    let [dead] = scene.dead().await.try_into().unwrap();
    assert_eq!(dead.headers.get(header::DEAD_REASON).unwrap().as_str(), "gave_up");
    assert_eq!(scene.faults.attempts(poison.seq).len(), 3, "the fourth worker does not try it");
    assert_eq!(scene.log(room).await[0].kind, None, "a skip stands in its place");
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_panic_takes_neither_the_room_nor_the_worker_down(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let worker = scene.worker().await;
    let room = RoomId::random();
    scene.faults.on_write(|entries| entries.iter().any(|entry| entry.seq == 1).then_some(Fault::Panic));
    let bad = scene.say(room, "boom").await;
    eventually("it was tried", async || (!scene.faults.attempts(bad.seq).is_empty()).then_some(())).await;
    let next = scene.say(room, "next").await;
    scene.stored(room, &[next.seq]).await;
    assert!(worker.report().await.is_ready);
    scene.faults.release();
    scene.stored(room, &[bad.seq, next.seq]).await;
    scene.settled(CHAT_MESSAGES).await;
}
