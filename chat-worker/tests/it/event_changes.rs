//! Changes of events become their history; other changes are acknowledged.

use async_nats::HeaderMap;
use schema::{
    change::{Change, ChangeKind, FieldChange},
    clock::Timestamp,
    header,
    id::{ChangeId, EventId, RoomId, UserId},
    stream::EVENTS,
};
use sqlx::PgPool;

use crate::harness::Scene;

pub(crate) fn change(kind: ChangeKind, event_id: Option<EventId>) -> Change {
    Change {
        id: ChangeId::random(),
        change: kind,
        event_id,
        room_id: Some(RoomId::random()),
        user_id: None,
        sid: None,
        version: 2,
        actor_id: Some(UserId::random()),
        changed_at: Timestamp::parse("2026-11-21T05:58:48.927Z").unwrap(),
        fields: vec![FieldChange::new("status", "proposed".into(), "confirmed".into()).sealed([7; 16])],
        added: vec![],
        removed: vec![],
        hash: Some("0a".into()),
    }
}

async fn publish(scene: &Scene, subject: &'static str, msg_id: &str, body: Vec<u8>) {
    let mut headers = HeaderMap::new();
    headers.insert(header::NATS_MSG_ID, msg_id);
    let publish = scene.operator.js.publish_with_headers(subject, headers, body.into());
    publish.await.unwrap().await.unwrap();
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_change_that_comes_twice_is_one_row_of_history(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let _worker = scene.worker().await;
    let event = EventId::random();
    let confirmed = change(ChangeKind::EventConfirmed, Some(event));
    let body = serde_json::to_vec(&confirmed).unwrap();
    publish(&scene, "event.confirmed", "one", body.clone()).await;
    publish(&scene, "event.confirmed", "two", body).await;
    let members = serde_json::to_vec(&change(ChangeKind::RoomMembersChanged, None)).unwrap();
    publish(&scene, "room.members_changed", "three", members).await;
    scene.settled(EVENTS).await;
    let [row] = scene.store.event_history(event, None, 10).await.unwrap().try_into().unwrap();
    assert_eq!((row.id, row.event_id, row.change), (confirmed.id, event, ChangeKind::EventConfirmed));
    assert_eq!((row.version, row.actor_id, row.changed_at), (2, confirmed.actor_id, confirmed.changed_at));
    assert_eq!(row.fields, confirmed.fields);
    assert!(scene.dead().await.is_empty());
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn what_is_no_change_is_buried(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let _worker = scene.worker().await;
    let body = serde_json::to_vec(&change(ChangeKind::EventConfirmed, Some(EventId::random()))).unwrap();
    publish(&scene, "event.cancelled", "one", body).await;
    publish(&scene, "event.updated", "two", b"{}".to_vec()).await;
    let without_event = serde_json::to_vec(&change(ChangeKind::EventCreated, None)).unwrap();
    publish(&scene, "event.created", "three", without_event).await;
    scene.settled(EVENTS).await;
    let dead = scene.dead().await;
    let mut subjects: Vec<_> =
        dead.iter().map(|dead| dead.headers.get(header::DEAD_SUBJECT).unwrap().as_str().to_owned()).collect();
    subjects.sort();
    assert_eq!(subjects, ["event.cancelled", "event.created", "event.updated"]);
    assert!(dead.iter().all(|dead| dead.headers.get(header::DEAD_REASON).unwrap().as_str() == "not_a_change"));
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_change_waits_for_the_store(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let _worker = scene.worker().await;
    scene.faults.set_down(true);
    let event = EventId::random();
    let body = serde_json::to_vec(&change(ChangeKind::EventCreated, Some(event))).unwrap();
    publish(&scene, "event.created", "one", body).await;
    crate::harness::eventually("it was tried", async || {
        (scene.consumer(EVENTS).await.delivered.stream_sequence == 1).then_some(())
    })
    .await;
    scene.faults.set_down(false);
    scene.settled(EVENTS).await;
    assert_eq!(scene.store.event_history(event, None, 10).await.unwrap().len(), 1);
}
