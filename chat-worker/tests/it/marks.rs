//! Marks become rows, the greatest stays, and gateways hear what is new.

use std::collections::HashSet;

use chat_store::ReadMark;
use futures_util::StreamExt as _;
use schema::{
    id::{RoomId, UserId},
    mark::Mark,
    moved::{Marked, Moved},
    stream::{CHAT_MARKS, CHAT_MESSAGES},
    subject::{MOVED, MarkSubject},
};
use sqlx::PgPool;

use crate::{
    harness::{Scene, eventually},
    storing::with_scylla,
};

async fn publish(scene: &Scene, room: RoomId, user: UserId, body: &'static str) -> u64 {
    let subject = MarkSubject(room, user).to_string();
    scene.gateway.js.publish(subject, body.into()).await.unwrap().await.unwrap().sequence
}

async fn marks(scene: &Scene, room: RoomId, users: &[UserId]) -> HashSet<(UserId, u64)> {
    let asked: Vec<_> = users.iter().map(|user| (room, *user)).collect();
    let marks = scene.store.read_marks(&asked).await.unwrap();
    marks.into_iter().map(|ReadMark { user_id, seq, .. }| (user_id, seq)).collect()
}

async fn the_greatest_mark_stays(scene: Scene) {
    let _worker = scene.worker().await;
    let (room, ann, ben) = (RoomId::random(), UserId::random(), UserId::random());
    // No gateway publishes a lower one; if it happens nevertheless it changes nothing.
    for (user, body) in [(ann, r#"{"seq":3}"#), (ann, r#"{"seq":9}"#), (ben, r#"{"seq":1}"#), (ann, r#"{"seq":4}"#)] {
        publish(&scene, room, user, body).await;
        scene.settled(CHAT_MARKS).await;
    }
    assert_eq!(marks(&scene, room, &[ann, ben]).await, HashSet::from([(ann, 9), (ben, 1)]));
    assert!(scene.dead().await.is_empty());
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn the_greatest_mark_stays_with_postgres(pool: PgPool) {
    the_greatest_mark_stays(Scene::new(pool).await).await;
}

#[tokio::test]
async fn the_greatest_mark_stays_with_cql() {
    with_scylla(the_greatest_mark_stays).await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn marks_that_nobody_saw_in_time_are_no_loss_and_what_is_no_mark_is_buried(pool: PgPool) {
    let scene = Scene::new(pool).await;
    scene.migrate().await;
    let (room, ann) = (RoomId::random(), UserId::random());
    for seq in 1..=30 {
        (Mark { seq }).raise(&scene.gateway.js, room, ann).await.unwrap();
    }
    publish(&scene, room, UserId::random(), "{}").await;
    let worker = scene.worker().await;
    scene.settled(CHAT_MARKS).await;
    assert_eq!(marks(&scene, room, &[ann]).await, HashSet::from([(ann, 30)]), "the newest replaced the others");
    assert!(worker.report().await.is_ready);
    let dead = eventually("one is buried", async || scene.dead().await.pop()).await;
    assert_eq!(dead.headers.get(schema::header::DEAD_REASON).unwrap().as_str(), "not_a_mark");
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn gateways_hear_what_is_new_once_it_is_stored(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let _worker = scene.worker().await;
    let mut hints = scene.gateway.client.subscribe(MOVED).await.unwrap();
    scene.gateway.client.flush().await.unwrap();
    let (room, ann) = (RoomId::random(), UserId::random());
    for n in 0..100 {
        scene.say(room, &n.to_string()).await;
    }
    publish(&scene, room, ann, r#"{"seq":1}"#).await;
    scene.settled(CHAT_MESSAGES).await;
    scene.settled(CHAT_MARKS).await;
    let (mut seen, mut messages) = (Moved::default(), 0);
    while seen.marks.is_empty() || seen.rooms.is_empty() {
        let message = tokio::time::timeout(std::time::Duration::from_secs(30), hints.next()).await.unwrap().unwrap();
        let Moved { rooms, marks } = serde_json::from_slice(&message.payload).unwrap();
        seen.rooms.extend(rooms);
        seen.marks.extend(marks);
        messages += 1;
    }
    assert!(seen.rooms.iter().all(|moved| *moved == room));
    assert_eq!(seen.marks, [Marked { room_id: room, user_id: ann }]);
    assert!(messages < 50, "{messages} hints for a hundred messages");
}
