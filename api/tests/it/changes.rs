//! Editing, deleting and reacting by REST: through the log, as a socket does.

use async_nats::jetstream::consumer::pull;
use futures_util::StreamExt as _;
use schema::{
    envelope::Kind,
    header,
    id::{MessageId, RoomId},
    stream::{CHAT_MESSAGES, WORKER},
    text::TempId,
};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::harness::{Person, TestApi, eventually, read, refused, wrong_fields};

const THUMB: &str = "%F0%9F%91%8D";

impl Person<'_> {
    async fn message(&self, room: RoomId, id: &str) -> Value {
        read(self.get(&format!("/rooms/{room}/messages/{id}")).await, 200).await
    }
}

/// A room of two, and the address and id of what Ann said there.
async fn scene<'a>(ann: &Person<'a>, ben: &Person<'a>) -> (RoomId, String, String) {
    let room = ann.makes_room(&[ben]).await;
    let id = ann.says(room, "a-1", "helo").await["id"].as_str().unwrap().to_owned();
    (room, format!("/rooms/{room}/messages/{id}"), id)
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_message_is_edited_and_history_shows_it(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let _store = api.runs_a_worker().await;
    let (ann, ben) = (api.user("ann").await, api.user("ben").await);
    let (room, path, id) = scene(&ann, &ben).await;
    let edited = read(ann.patch(&path, json!({"content": " hello ", "temp_id": "a-2"})).await, 200).await;
    assert_eq!((&edited["content"], &edited["id"], &edited["deleted"]), (&json!("hello"), &json!(id), &json!(false)));
    assert!(edited["edited_at"].is_string(), "{edited}");
    // What the answer said is what history says once it is stored, and what a repeat says.
    eventually("it is stored", async || (ben.message(room, &id).await == edited).then_some(())).await;
    assert_eq!(read(ann.patch(&path, json!({"content": "hello", "temp_id": "a-2"})).await, 200).await, edited);
    refused(ann.patch(&path, json!({"content": "bye", "temp_id": "a-2"})).await, 409, "temp_id_reused").await;
    let unnamed = read(ann.patch(&path, json!({"content": "hello!"})).await, 200).await;
    assert_eq!(unnamed["content"], "hello!");
    // It went through the log, under an id that everybody can compute.
    let js = api.jetstream("operator").await;
    let log = js.get_stream(CHAT_MESSAGES).await.unwrap();
    let envelope: Value = serde_json::from_slice(&log.direct_get(2).await.unwrap().payload).unwrap();
    let expected = MessageId::of(Kind::MessageUpdated, ann.id, room, &TempId::parse("a-2").unwrap());
    assert_eq!((&envelope["type"], &envelope["id"]), (&json!("message_updated"), &json!(expected)));

    refused(ben.patch(&path, json!({"content": "not mine"})).await, 403, "forbidden").await;
    refused(ben.patch(&path, json!({"content": "not mine".repeat(1000)})).await, 403, "forbidden").await;
    refused(ben.patch(&path, json!({})).await, 403, "forbidden").await;
    let wrong = async |body: Value, status: u16, code: &str| refused(ann.patch(&path, body).await, status, code).await;
    wrong(json!({"content": "x".repeat(4001)}), 422, "content_too_long").await;
    wrong(json!({"content": " "}), 422, "invalid_content").await;
    wrong(json!({"content": "x", "temp_id": ""}), 422, "invalid_temp_id").await;
    let missing = wrong(json!({}), 422, "invalid_fields").await;
    assert_eq!(wrong_fields(&missing), [("content".into(), "required".into())]);
    let nowhere = format!("/rooms/{room}/messages/{}", MessageId::random());
    refused(ann.patch(&nowhere, json!({"content": "x"})).await, 404, "not_found").await;
    let other = ann.makes_room(&[]).await;
    refused(ann.patch(&format!("/rooms/{other}/messages/{id}"), json!({"content": "x"})).await, 404, "not_found").await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_message_is_deleted_by_its_author_or_by_who_runs_the_room(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let _store = api.runs_a_worker().await;
    let (ann, ben) = (api.user("ann").await, api.user("ben").await);
    let (room, path, id) = scene(&ann, &ben).await;
    refused(ben.delete(&path).await, 403, "forbidden").await;
    assert_eq!(ann.delete(&path).await.status(), 204);
    let deleted =
        eventually("it is deleted", async || Some(ben.message(room, &id).await).filter(|item| item["deleted"] == true))
            .await;
    assert_eq!((&deleted["content"], &deleted["sender_id"]), (&Value::Null, &json!(ann.id)));
    let logged = api.jetstream("operator").await.get_stream(CHAT_MESSAGES).await.unwrap();
    let before = logged.cached_info().state.messages;
    assert_eq!(ann.delete(&path).await.status(), 204, "again");
    refused(ann.patch(&path, json!({"content": "back"})).await, 409, "conflict").await;
    refused(ben.put(&format!("{path}/reactions/{THUMB}"), json!({})).await, 409, "conflict").await;
    let logged = api.jetstream("operator").await.get_stream(CHAT_MESSAGES).await.unwrap();
    assert_eq!(logged.cached_info().state.messages, before, "nothing more was published");

    // Ann owns the room.
    let rude = ben.says(room, "b-1", "rude").await["id"].as_str().unwrap().to_owned();
    assert_eq!(ann.delete(&format!("/rooms/{room}/messages/{rude}")).await.status(), 204);
    let item = eventually("it is deleted", async || {
        Some(ben.message(room, &rude).await).filter(|item| item["deleted"] == true)
    })
    .await;
    assert_eq!(item["content"], Value::Null);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_deletion_by_role_says_so_to_the_worker_and_ones_own_does_not(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let (ann, ben) = (api.user("ann").await, api.user("ben").await);
    let room = ann.makes_room(&[&ben]).await;
    let (own, others) = (ann.says(room, "a-1", "mine").await, ben.says(room, "b-1", "not mine").await);
    // Stored by hand, so that the log is still there to be looked at.
    let store = api.store();
    let js = api.jetstream("worker").await;
    let consumer = js.get_consumer_from_stream::<pull::Config, _, _>(WORKER, CHAT_MESSAGES).await.unwrap();
    let mut deliveries = consumer.messages().await.unwrap();
    for _ in 0..2 {
        let delivery = deliveries.next().await.unwrap().unwrap();
        store.write(&[crate::worker::entry(&delivery)]).await.unwrap();
        delivery.double_ack().await.unwrap();
    }
    for (message, is_marked) in [(own, false), (others, true)] {
        let path = format!("/rooms/{room}/messages/{}", message["id"].as_str().unwrap());
        assert_eq!(ann.delete(&path).await.status(), 204);
        let delivery = deliveries.next().await.unwrap().unwrap();
        assert_eq!(delivery.headers.as_ref().unwrap().get(header::TIMINGLE_MODERATOR).is_some(), is_marked);
    }
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn reactions_are_counted_with_ones_own(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let _store = api.runs_a_worker().await;
    let (ann, ben) = (api.user("ann").await, api.user("ben").await);
    let (room, path, id) = scene(&ann, &ben).await;
    let thumb = format!("{path}/reactions/{THUMB}");
    let counted = |count: u64, me: bool| json!([{"emoji": "👍", "count": count, "me": me}]);
    assert_eq!(read(ann.put(&thumb, json!({})).await, 200).await["reactions"], counted(1, true));
    eventually("it is stored", async || (ben.message(room, &id).await["reactions"] == counted(1, false)).then_some(()))
        .await;
    assert_eq!(read(ben.put(&thumb, json!({})).await, 200).await["reactions"], counted(2, true));
    assert_eq!(read(ben.put(&thumb, json!({})).await, 200).await["reactions"], counted(2, true), "twice is once");
    eventually("both", async || (ann.message(room, &id).await["reactions"] == counted(2, true)).then_some(())).await;
    assert_eq!(ann.delete(&thumb).await.status(), 204);
    eventually("one left", async || (ann.message(room, &id).await["reactions"] == counted(1, false)).then_some(()))
        .await;
    assert_eq!(ann.delete(&thumb).await.status(), 204, "what is not there can be taken away");
    for bad in ["a%20b", "%00", "%FF", &"a".repeat(65)] {
        let problem =
            refused(ann.put(&format!("{path}/reactions/{bad}"), json!({})).await, 422, "invalid_fields").await;
        assert_eq!(wrong_fields(&problem), [("emoji".into(), "invalid".into())], "{bad}");
    }
    // Of several emoji each is counted, in one order for everybody.
    read(ben.put(&format!("{path}/reactions/%E2%9D%A4%EF%B8%8F"), json!({})).await, 200).await;
    let both = json!([{"emoji": "❤️", "count": 1, "me": false}, {"emoji": "👍", "count": 1, "me": false}]);
    eventually("both emoji", async || (ann.message(room, &id).await["reactions"] == both).then_some(())).await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn what_is_not_stored_yet_is_waited_for_and_then_not_settled(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let (ann, ben) = (api.user("ann").await, api.user("ben").await);
    // Nobody stores.
    let (_room, path, _id) = scene(&ann, &ben).await;
    refused(ann.patch(&path, json!({"content": "x"})).await, 503, "not_settled").await;
    let _store = api.runs_a_worker().await;
    read(ann.patch(&path, json!({"content": "x"})).await, 200).await;
}
