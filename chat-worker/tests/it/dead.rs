//! What an operator does about `CHAT_DEAD`: with the program itself, as it is shipped.

use async_nats::HeaderMap;
use bytes::Bytes;
use schema::{
    change::ChangeKind,
    envelope::{Headers, Kind},
    frame::history::HistoryItem,
    header,
    id::{EventId, RoomId, UserId},
    stream::{CHAT_MARKS, CHAT_MESSAGES, EVENTS},
    subject::{DeadSubject, MarkSubject},
};
use serde_json::Value;
use sqlx::PgPool;
use uuid::Uuid;

use crate::{
    changes, event_changes,
    harness::{Message, Said, Scene, eventually},
    process::Program,
    unreliable::Fault,
};

/// A message that a worker gave up though it is good, between two that were stored.
async fn give_up(scene: &Scene, room: RoomId) -> [Said; 3] {
    let good = Message::new(room, "lost for a while");
    // Another version's envelope: as if the sender's gateway had been updated before the worker.
    let mut headers = good.headers();
    headers.insert(header::TIMINGLE_V, "2");
    let before = scene.say(room, "before").await;
    let seq = scene.publish_raw(room, headers, good.body.to_bytes()).await;
    let after = scene.say(room, "after").await;
    scene.stored(room, &[before.seq, seq, after.seq]).await;
    scene.settled(CHAT_MESSAGES).await;
    [before, Said { id: good.body.id(), room, seq }, after]
}

const BURIED_AT: &str = "2026-11-21T05:58:48.927Z";

/// Buries what a worker could not read, the first of its stream.
async fn bury(scene: &Scene, room: RoomId, subject: String, body: &str) {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        (header::DEAD_REASON, "unreadable"),
        (header::DEAD_SEQ, "1"),
        (header::DEAD_TIME, BURIED_AT),
        (header::DEAD_DELIVERIES, "1"),
        (header::DEAD_SUBJECT, &subject),
    ] {
        headers.insert(name, value);
    }
    let (dead, body) = (DeadSubject(room).to_string(), Bytes::copy_from_slice(body.as_bytes()));
    scene.operator.js.publish_with_headers(dead, headers, body).await.unwrap().await.unwrap();
}

/// A message that a store refused which took others, as if earlier workers had tried it alone time and again.
async fn refuse_until_dead(scene: &Scene, room: RoomId, content: &str) -> Said {
    let message = Message::new(room, content);
    let id = message.body.id();
    scene.faults.on_write(move |entries| entries.iter().any(|entry| entry.body.id() == id).then_some(Fault::Refused));
    let said = scene.publish(&message).await;
    let marks = scene.operator.js.get_key_value("WORKER_TRYING").await.unwrap();
    marks.put(format!("trying.{CHAT_MESSAGES}.{}", said.seq), "3".into()).await.unwrap();
    eventually("it is given up", async || (!scene.dead().await.is_empty()).then_some(())).await;
    scene.faults.release();
    scene.settled(CHAT_MESSAGES).await;
    said
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn what_was_given_up_is_redriven_to_its_place_in_the_log(pool: PgPool) {
    let scene = Scene::new(pool.clone()).await;
    let _worker = scene.worker().await;
    let room = RoomId::random();
    let before = scene.say(room, "before").await;
    let lost = refuse_until_dead(&scene, room, "lost for a while").await;
    let published = scene.consumer(CHAT_MESSAGES).await.delivered.stream_sequence;
    assert_eq!(scene.log(room).await.last().unwrap().kind, None, "a skip stands in its place");

    let said = Program::of_operator(&scene, &pool).says(&["dead", "redrive", "--all", "--reason", "gave_up"]).await;
    assert_eq!((said.code, said.answer.as_str()), (Some(0), "stored 1, stayed 0\n"), "{said:?}");
    let rows = scene.log(room).await;
    assert_eq!(rows.iter().map(|row| row.seq).collect::<Vec<_>>(), [before.seq, lost.seq]);
    assert_eq!((rows[1].kind, rows[1].id), (Some(Kind::Message), Some(lost.id)));
    assert_eq!(scene.store.find(&[lost.id]).await.unwrap()[0].created_at, rows[1].created_at);
    assert!(scene.dead().await.is_empty(), "what is stored leaves CHAT_DEAD");
    let log = scene.operator.js.get_stream(CHAT_MESSAGES).await.unwrap();
    assert_eq!(log.cached_info().state.last_sequence, published, "nothing is published again");
    let logged = log.direct_get(lost.seq).await.unwrap().time;
    assert_eq!(rows[1].created_at, logged.into(), "the time is the log's");
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn what_still_can_not_be_stored_stays_and_is_named(pool: PgPool) {
    let scene = Scene::new(pool.clone()).await;
    let _worker = scene.worker().await;
    let [_, lost, _] = give_up(&scene, RoomId::random()).await;
    let program = Program::of_operator(&scene, &pool);
    let said = program.says(&["dead", "redrive", "1"]).await;
    assert_eq!((said.code, said.answer.as_str()), (Some(1), "1 stays: still unknown_version\nstored 0, stayed 1\n"));
    assert_eq!(scene.log(lost.room).await[1].kind, None);
    assert_eq!(scene.dead().await.len(), 1);
    let unknown = program.says(&["dead", "redrive", "7"]).await;
    assert_eq!(unknown.code, Some(69));
    assert!(unknown.beside.contains("no dead letter 7") && unknown.beside.contains("dead list"), "{unknown:?}");
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_change_of_an_event_is_redriven_into_its_history(pool: PgPool) {
    let scene = Scene::new(pool.clone()).await;
    let _worker = scene.worker().await;
    let event = EventId::random();
    let change = event_changes::change(ChangeKind::EventConfirmed, Some(event));
    // Buried as a worker would have that did not know the kind yet.
    let body = serde_json::to_string(&change).unwrap();
    bury(&scene, RoomId::from_uuid(Uuid::nil()), "event.confirmed".into(), &body).await;
    let said = Program::of_operator(&scene, &pool).says(&["dead", "redrive", "--all"]).await;
    assert_eq!((said.code, said.answer.as_str()), (Some(0), "stored 1, stayed 0\n"), "{said:?}");
    assert_eq!(scene.store.event_history(event, None, 10).await.unwrap()[0].id, change.id);
    scene.settled(EVENTS).await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_read_mark_is_redriven_and_what_is_none_stays(pool: PgPool) {
    let scene = Scene::new(pool.clone()).await;
    let _worker = scene.worker().await;
    let (room, ann) = (RoomId::random(), UserId::random());
    // The first names no seq; the other was buried by a worker that could not read it.
    bury(&scene, room, MarkSubject(room, ann).to_string(), "{}").await;
    bury(&scene, room, MarkSubject(room, ann).to_string(), r#"{"seq":7}"#).await;
    let said = Program::of_operator(&scene, &pool).says(&["dead", "redrive", "--all"]).await;
    assert_eq!((said.code, said.answer.as_str()), (Some(1), "1 stays: still not_a_mark\nstored 1, stayed 1\n"));
    let [mark] = scene.store.read_marks(&[(room, ann)]).await.unwrap().try_into().unwrap();
    assert_eq!((mark.seq, mark.read_at.to_string().as_str()), (7, BURIED_AT), "the time is that of its stream");
    let said = Program::of_operator(&scene, &pool).says(&["dead", "list", "--json"]).await;
    let left: Value = serde_json::from_str(&said.answer).unwrap();
    let letter = &left["items"][0];
    assert_eq!((&left["total"], &letter["dead_seq"], &letter["stream"]), (&1.into(), &1.into(), &CHAT_MARKS.into()));
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn the_workers_own_user_may_look_but_takes_nothing_out_of_chat_dead(pool: PgPool) {
    let scene = Scene::new(pool.clone()).await;
    let _worker = scene.worker().await;
    give_up(&scene, RoomId::random()).await;
    let program = Program::new(&scene, &pool);
    assert_eq!(program.says(&["dead", "list"]).await.code, Some(0));
    let said = program.says(&["dead", "drop", "--all", "--yes"]).await;
    assert_eq!(said.code, Some(69));
    assert!(said.beside.contains("the operator's"), "{said:?}");
    assert_eq!(scene.dead().await.len(), 1);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn dead_letters_are_listed_shown_and_dropped(pool: PgPool) {
    let scene = Scene::new(pool.clone()).await;
    let _worker = scene.worker().await;
    let room = RoomId::random();
    let mut headers = HeaderMap::new();
    headers.insert("X-Title", "\u{1b}[2Jgone");
    let bytes = Bytes::from_static(b"\xff\x1b[31m{not json");
    let seq = scene.publish_raw(room, headers, bytes.clone()).await;
    let [_, lost, _] = give_up(&scene, RoomId::random()).await;
    let program = Program::of_operator(&scene, &pool);

    let listed = program.says(&["dead", "list"]).await;
    let words: Vec<Vec<&str>> = listed.answer.lines().map(|line| line.split_whitespace().collect()).collect();
    let (first, second) = (seq.to_string(), lost.seq.to_string());
    assert_eq!(words[1][..5], ["1", &first, &room.to_string(), "unknown_version", "1"], "{listed:?}");
    assert_eq!(words[2][..5], ["2", &second, &lost.room.to_string(), "unknown_version", "1"], "{listed:?}");
    let listed = program.says(&["dead", "list", "--json", "--limit", "1", "--after", "1"]).await;
    let document: Value = serde_json::from_str(&listed.answer).unwrap();
    assert_eq!(document["items"][0]["seq"], lost.seq);
    assert_eq!((&document["total"], &document["has_more"]), (&2.into(), &false.into()));

    let shown = program.says(&["dead", "show", "1"]).await;
    assert!(shown.answer.contains("X-Title: \\u{1b}[2Jgone\n"), "{shown:?}");
    assert!(shown.answer.ends_with("\n\\xff\\x1b[31m{not json\n"), "{shown:?}");
    assert!(!shown.answer.contains('\u{1b}'), "no byte of it steers the terminal");
    let shown: Value = serde_json::from_str(&program.says(&["dead", "show", "1", "--json"]).await.answer).unwrap();
    assert_eq!(shown["body_hex"], "ff1b5b33316d7b6e6f74206a736f6e");
    assert_eq!(shown["headers"]["Timingle-Dead-Reason"][0], "unknown_version");

    assert_eq!(program.says(&["dead", "drop", "1"]).await.code, Some(64), "not without --yes");
    assert_eq!(program.says(&["dead", "drop", "--yes"]).await.code, Some(64), "nor without saying which");
    assert_eq!(scene.dead().await.len(), 2);
    assert_eq!(program.says(&["dead", "drop", "1", "--yes"]).await.answer, "dropped 1\n");
    assert_eq!(program.says(&["dead", "drop", "--all", "--yes"]).await.answer, "dropped 1\n");
    assert_eq!(
        program.says(&["dead", "list", "--json"]).await.answer,
        "{\"has_more\":false,\"items\":[],\"total\":0}\n"
    );
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn without_a_broker_or_a_store_a_command_says_so_and_ends_with_69(pool: PgPool) {
    let scene = Scene::new(pool.clone()).await;
    let worker = scene.worker().await;
    give_up(&scene, RoomId::random()).await;
    worker.stop().await;
    let mut program = Program::of_operator(&scene, &pool);
    program.environment.push(("DATABASE_URL", "postgres://nobody@127.0.0.1:1/nothing".into()));
    // The same letter once more, this time of a version that is known.
    let dead = scene.dead().await.remove(0);
    let mut headers = dead.headers;
    headers.insert(header::TIMINGLE_V, "1");
    headers.insert(header::NATS_MSG_ID, "another");
    scene.operator.js.publish_with_headers(dead.subject, headers, dead.payload).await.unwrap().await.unwrap();
    let said = program.says(&["dead", "redrive", "--all"]).await;
    assert_eq!(said.code, Some(69), "{said:?}");
    assert!(said.beside.contains("when the store is back"), "{said:?}");
    assert_eq!(scene.dead().await.len(), 2, "nothing is taken out that was not stored");
    scene.nats.kill();
    let said = program.says(&["dead", "list"]).await;
    assert_eq!(said.code, Some(69), "{said:?}");
    assert!(said.beside.contains("NATS_URL"), "{said:?}");
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_deletion_by_a_role_that_its_sender_does_not_have_stays(pool: PgPool) {
    let scene = Scene::new(pool.clone()).await;
    let _worker = scene.worker().await;
    let (room, _owner, _member, message) = changes::room(&scene, &pool).await;
    // The letter of a worker that gave it up before anybody had asked for the role.
    let sender = UserId::random();
    let body = changes::delete(room, sender, message);
    let seq = scene.publish_raw(room, HeaderMap::new(), "its place in the log".into()).await;
    let first = eventually("a skip stands there", async || scene.dead().await.into_iter().next()).await;
    scene.settled(CHAT_MESSAGES).await;
    let role = Headers { sender: Some(sender), gateway: None, is_resend: false, is_moderator: true };
    let mut headers = role.to_map(body.id());
    for (name, value) in [
        (header::DEAD_REASON, "gave_up"),
        (header::DEAD_SEQ, &seq.to_string()),
        (header::DEAD_TIME, first.headers.get(header::DEAD_TIME).unwrap().as_str()),
        (header::DEAD_DELIVERIES, "5"),
        (header::DEAD_SUBJECT, &format!("chat.message.{room}")),
    ] {
        headers.insert(name, value);
    }
    let subject = first.subject.to_string();
    scene.operator.js.publish_with_headers(subject, headers, body.to_bytes()).await.unwrap().await.unwrap();
    let said = Program::of_operator(&scene, &pool).says(&["dead", "redrive", "2"]).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.answer.contains("2 stays: the store refuses it"), "{said:?}");
    let kept = scene.store.item(room, sender, message).await.unwrap();
    assert!(matches!(kept, Some(HistoryItem::Message { content: Some(_), .. })), "{kept:?}");
}
