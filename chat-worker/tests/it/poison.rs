//! What can not be stored lies in `CHAT_DEAD` as it was, and holds nothing up.

use async_nats::HeaderMap;
use bytes::Bytes;
use schema::{
    clock::Timestamp,
    envelope::BODY_BYTES_MAX,
    header,
    id::RoomId,
    stream::{CHAT_DEAD, CHAT_MESSAGES},
};
use sqlx::PgPool;

use crate::harness::{Message, Scene, eventually};

fn text_of(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).map(|value| value.as_str().to_owned()).unwrap_or_default()
}

/// Publishes poison between two good messages and looks where each ends.
async fn check(scene: &Scene, room: RoomId, headers: HeaderMap, body: Bytes, reason: &str) {
    let before = scene.say(room, "before").await;
    let poison = scene.publish_raw(room, headers.clone(), body.clone()).await;
    let after = scene.say(room, "after").await;
    scene.stored(room, &[before.seq, poison, after.seq]).await;
    let rows = scene.log(room).await;
    assert_eq!(rows[1].kind, None, "{reason}: the number is there, as a skip");
    let dead = eventually(reason, async || {
        scene.dead().await.into_iter().find(|dead| text_of(&dead.headers, header::DEAD_SEQ) == poison.to_string())
    })
    .await;
    assert_eq!(dead.payload, body, "{reason}: the bytes as they were");
    assert_eq!(dead.subject.as_str(), format!("chat.dead.{room}"));
    let dead_text = |name: &str| text_of(&dead.headers, name);
    assert_eq!(dead_text(header::DEAD_REASON), reason);
    assert_eq!(dead_text(header::DEAD_SUBJECT), format!("chat.message.{room}"));
    assert_eq!(dead_text(header::DEAD_DELIVERIES), "1");
    assert_eq!(Timestamp::parse(&dead_text(header::DEAD_TIME)), Ok(rows[1].created_at));
    for (name, values) in headers.iter() {
        let name: &str = name.as_ref();
        let kept = name.replace("Nats-", "Timingle-Dead-Nats-");
        assert_eq!(dead_text(&kept), values[0].as_str(), "{reason}: the headers as they were");
    }
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn poison_lies_in_chat_dead_as_it_was(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let _worker = scene.worker().await;
    let room = RoomId::random;
    let good = Message::new(room(), "hi");
    let headers = |name: &str, value: &str| {
        let mut map = Message::new(room(), "hi").headers();
        map.insert(name, value);
        map
    };
    let plain = || headers("X-Custom", "kept");
    check(&scene, room(), plain(), "{\"type\":\"message\"".into(), "not_an_envelope").await;
    check(&scene, room(), plain(), Bytes::from_static(b"{\"type\":\"\xff\xfe\"}"), "not_utf8").await;
    check(&scene, room(), headers(header::TIMINGLE_V, "2"), good.body.to_bytes(), "unknown_version").await;
    check(&scene, room(), HeaderMap::new(), good.body.to_bytes(), "unknown_version").await;
    check(&scene, room(), headers(header::TIMINGLE_SENDER, "ann"), good.body.to_bytes(), "malformed_header").await;
    check(&scene, room(), plain(), good.body.to_bytes(), "other_room").await;
    check(&scene, room(), plain(), vec![b' '; BODY_BYTES_MAX + 1].into(), "too_large").await;
    // A header that the server obeys would have the burial refused for ever.
    let expecting = headers("Nats-Expected-Stream", CHAT_MESSAGES);
    check(&scene, room(), expecting, "[]".into(), "not_an_envelope").await;
    let nulled = Message::new(room(), "a\0b");
    check(&scene, nulled.body.room_id(), nulled.headers(), nulled.body.to_bytes(), "invalid_content").await;
    scene.settled(CHAT_MESSAGES).await;
    assert_eq!(scene.dead().await.len(), 9, "nothing but the poison");
    assert_eq!(scene.consumer(CHAT_MESSAGES).await.num_redelivered, 0);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_subject_without_a_room_is_buried_under_the_nil_room(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let _worker = scene.worker().await;
    let message = Message::new(RoomId::random(), "hi");
    let subject = "chat.message.nobody";
    let publish = scene.gateway.js.publish_with_headers(subject, message.headers(), message.body.to_bytes());
    publish.await.unwrap().await.unwrap();
    scene.settled(CHAT_MESSAGES).await;
    let [dead] = scene.dead().await.try_into().unwrap();
    assert_eq!(dead.subject.as_str(), "chat.dead.00000000-0000-0000-0000-000000000000");
    assert_eq!(text_of(&dead.headers, header::DEAD_REASON), "not_a_room");
    assert_eq!(text_of(&dead.headers, header::DEAD_SUBJECT), subject);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn poison_waits_for_a_place_to_lie_in(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let _worker = scene.worker().await;
    scene.operator.js.delete_stream(CHAT_DEAD).await.unwrap();
    let room = RoomId::random();
    let seq = scene.publish_raw(room, HeaderMap::new(), "poison".into()).await;
    scene.stored(room, &[seq]).await;
    scene.settled(CHAT_MESSAGES).await;
    let [dead] = scene.dead().await.try_into().unwrap();
    assert_eq!(dead.payload, "poison");
}
