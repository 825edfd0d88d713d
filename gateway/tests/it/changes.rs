//! Edits, deletions and reactions: they take the way of a message, and only who may make them does.

use futures_util::{FutureExt as _, StreamExt as _};
use schema::{
    header,
    id::{MessageId, RoomId},
};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::{
    harness::{Scene, User, message_id},
    phone::{Phone, check_chain, contents},
};

impl Scene {
    /// Gives somebody a role in a room.
    async fn make(&self, room: RoomId, user: &User, role: &str) {
        let change = "UPDATE room_members SET role = $3 WHERE room_id = $1 AND user_id = $2";
        sqlx::query(change).bind(room).bind(user.id).bind(role).execute(&self.pool).await.unwrap();
    }
}

impl Phone {
    /// Says a change under `temp_id` and waits until it is in the log; its seq.
    async fn changes(&mut self, temp_id: &str, frame: Value) -> u64 {
        self.say(&frame).await;
        self.status(temp_id, "sent").await["seq"].as_u64().unwrap()
    }
}

fn edit(room: RoomId, temp_id: &str, message_id: MessageId, content: &str) -> Value {
    json!({"type": "edit", "room_id": room, "temp_id": temp_id, "message_id": message_id, "content": content})
}

fn delete(room: RoomId, temp_id: &str, message_id: MessageId) -> Value {
    json!({"type": "delete", "room_id": room, "temp_id": temp_id, "message_id": message_id})
}

fn react(kind: &str, room: RoomId, temp_id: &str, message_id: MessageId, emoji: &str) -> Value {
    json!({"type": kind, "room_id": room, "temp_id": temp_id, "message_id": message_id, "emoji": emoji})
}

/// The same frame with its author's proof.
fn proved(mut frame: Value, message_temp_id: &str) -> Value {
    frame["message_temp_id"] = message_temp_id.into();
    frame
}

/// Checks a frame of the log but for its time.
fn check(frame: &Value, mut expected: Value) {
    expected["created_at"] = frame["created_at"].clone();
    assert!(frame["created_at"].is_string());
    assert_eq!(*frame, expected);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn edits_deletions_and_reactions_look_as_the_protocol_says(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let (left, right) = (scene.gateway().await, scene.gateway().await);
    let (ann, ben, room) = scene.pair().await;
    let (mut phone, mut listener) = (left.phone_in(&ann, room).await, right.phone_in(&ben, room).await);
    phone.sends(room, "a-1", "hi").await;
    let id = message_id(room, &ann, "a-1");
    phone.changes("a-2", proved(edit(room, "a-2", id, "hi!"), "a-1")).await;
    listener.changes("b-1", react("react", room, "b-1", id, "👍")).await;
    listener.changes("b-2", react("unreact", room, "b-2", id, "👍")).await;
    let last = phone.changes("a-3", proved(delete(room, "a-3", id), "a-1")).await;
    let frames = listener.log_to(room, last).await;
    assert_eq!(check_chain(0, &frames), 5);
    let id_of = |frame: &Value| frame["id"].clone();
    check(
        &frames[1],
        json!({
            "type": "message_updated", "room_id": room, "id": id_of(&frames[1]), "message_id": id, "content": "hi!",
            "sender_id": ann.id, "temp_id": "a-2", "seq": 2, "prev": 1,
        }),
    );
    for (at, action) in [(2, "added"), (3, "removed")] {
        check(
            &frames[at],
            json!({
                "type": "reaction", "room_id": room, "id": id_of(&frames[at]), "message_id": id, "emoji": "👍",
                "action": action, "sender_id": ben.id, "temp_id": format!("b-{}", at - 1), "seq": at + 1, "prev": at,
            }),
        );
    }
    check(
        &frames[4],
        json!({
            "type": "message_deleted", "room_id": room, "id": id_of(&frames[4]), "message_id": id,
            "sender_id": ann.id, "temp_id": "a-3", "seq": 5, "prev": 4,
        }),
    );
    assert_eq!(phone.log_to(room, last).await, frames, "the sender hears the same");
    left.is_saved(&scene, &mut phone, "a-3").await;
}

impl crate::harness::TestGateway {
    /// Lets the worker store everything and tell; waits until the phone hears it.
    async fn is_saved(&self, scene: &Scene, phone: &mut Phone, temp_id: &str) {
        let saved = scene.work().await.into_iter().map(|(_, saved)| saved).collect();
        scene.report(self, saved).await;
        phone.status(temp_id, "saved").await;
    }
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn an_author_proves_it_by_the_messages_own_name_and_nobody_is_asked(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let (ann, ben, room) = scene.pair().await;
    scene.publish(room, &ann, "a-1", "hi").await;
    // A gateway that has never heard of the message, and a store that has not either.
    let gateway = scene.gateway().await;
    let mut phone = gateway.phone_in(&ann, room).await;
    let id = message_id(room, &ann, "a-1");
    phone.changes("a-2", proved(edit(room, "a-2", id, "hi!"), "a-1")).await;
    phone.say(&proved(edit(room, "a-3", id, "no"), "a-9")).await;
    assert_eq!(phone.failed("a-3").await, ("forbidden".into(), false));
    let mut other = gateway.phone_in(&ben, room).await;
    // Ben's a-1 is another message.
    for (temp_id, frame) in [("b-1", edit(room, "b-1", id, "no")), ("b-2", delete(room, "b-2", id))] {
        other.say(&proved(frame, "a-1")).await;
        assert_eq!(other.failed(temp_id).await, ("forbidden".into(), false));
    }
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn without_the_name_the_recent_frames_or_the_store_say_whose_it_is(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let (ann, ben, room) = scene.pair().await;
    scene.publish(room, &ann, "old", "old").await;
    let old = message_id(room, &ann, "old");
    scene.work().await;
    let gateway = scene.gateway().await;
    let mut phone = gateway.phone_in(&ann, room).await;
    phone.sends(room, "new", "new").await;
    let new = message_id(room, &ann, "new");
    // The old one out of the store, the new one out of memory: it is not in the store.
    phone.changes("a-1", edit(room, "a-1", old, "old!")).await;
    phone.changes("a-2", edit(room, "a-2", new, "new!")).await;
    let mut other = gateway.phone_in(&ben, room).await;
    for (temp_id, target) in [("b-1", old), ("b-2", new)] {
        other.say(&edit(room, temp_id, target, "not mine")).await;
        assert_eq!(other.failed(temp_id).await, ("forbidden".into(), false));
        other.say(&delete(room, temp_id, target)).await;
        assert_eq!(other.failed(temp_id).await, ("forbidden".into(), false));
        other.changes(&format!("r-{temp_id}"), react("react", room, &format!("r-{temp_id}"), target, "🎉")).await;
    }
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_message_that_nobody_knows_is_not_settled(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let (ann, _ben, room) = scene.pair().await;
    let mut phone = gateway.phone_in(&ann, room).await;
    phone.say(&react("react", room, "a-1", MessageId::random(), "👍")).await;
    let failed = phone.status("a-1", "failed").await;
    assert_eq!((&failed["code"], &failed["retry"]), (&json!("not_settled"), &json!(true)));
    assert!(failed["retry_after_ms"].as_u64() > Some(0));
    assert_eq!(scene.log_len().await, 0, "nothing was published");
    // Neither does what waits for it come too late, nor what comes after it too early.
    let absent = scene.publish(room, &ann, "late", "late").await;
    phone.log_to(room, absent).await;
    phone.changes("a-2", react("react", room, "a-2", message_id(room, &ann, "late"), "👍")).await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn who_runs_the_room_deletes_what_others_said_and_does_not_edit_it(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let (ann, ben, room) = scene.pair().await;
    scene.make(room, &ben, "admin").await;
    let (mut phone, mut admin) = (gateway.phone_in(&ann, room).await, gateway.phone_in(&ben, room).await);
    phone.sends(room, "a-1", "rude").await;
    let id = message_id(room, &ann, "a-1");
    let mut tap = scene.tap().await;
    admin.say(&edit(room, "b-1", id, "polite")).await;
    assert_eq!(admin.failed("b-1").await, ("forbidden".into(), false));
    let seq = admin.changes("b-2", delete(room, "b-2", id)).await;
    assert_eq!(phone.log_to(room, seq).await[1]["type"], "message_deleted");
    let published = tap.next().await.unwrap();
    let mark = published.headers.unwrap().get(header::TIMINGLE_MODERATOR).map(ToString::to_string);
    assert_eq!(mark.as_deref(), Some("1"), "the worker is told to look at the role again");
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn an_edit_that_is_stored_is_not_called_failed_because_its_message_was_deleted(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let (ann, _ben, room) = scene.pair().await;
    let mut phone = gateway.phone_in(&ann, room).await;
    phone.sends(room, "a-1", "hi").await;
    let id = message_id(room, &ann, "a-1");
    let edited = phone.changes("a-2", edit(room, "a-2", id, "hi!")).await;
    phone.changes("a-3", delete(room, "a-3", id)).await;
    scene.work().await;
    let mut again = edit(room, "a-2", id, "hi!");
    again["resend"] = true.into();
    assert_eq!(phone.changes("a-2", again).await, edited);
    phone.say(&edit(room, "a-4", id, "too late")).await;
    phone.failed("a-4").await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn nothing_is_said_in_an_archived_room(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let (ann, _ben, room) = scene.pair().await;
    scene.publish(room, &ann, "a-1", "hi").await;
    sqlx::query("UPDATE rooms SET is_archived = true WHERE id = $1").bind(room).execute(&scene.pool).await.unwrap();
    let mut phone = gateway.phone(&ann).await;
    let (frames, _) = phone.join_since(room, 0).await;
    assert_eq!(contents(&frames), [Some("hi")], "it is read nevertheless");
    phone.send(room, "a-2", "hello?").await;
    assert_eq!(phone.failed("a-2").await, ("forbidden".into(), false));
    phone.say(&edit(room, "a-3", message_id(room, &ann, "a-1"), "hi!")).await;
    assert_eq!(phone.failed("a-3").await, ("forbidden".into(), false));
    assert_eq!(scene.log_len().await, 1);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn another_rooms_message_is_not_found_and_a_deleted_one_is_not_changed(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let (ann, ben, room) = scene.pair().await;
    let other = scene.room(&[&ann]).await;
    scene.publish(other, &ann, "a-1", "elsewhere").await;
    scene.work().await;
    let mut phone = gateway.phone_in(&ann, room).await;
    let elsewhere = message_id(other, &ann, "a-1");
    phone.say(&edit(room, "a-2", elsewhere, "here?")).await;
    assert_eq!(phone.failed("a-2").await, ("not_found".into(), false));
    phone.say(&proved(delete(room, "a-3", elsewhere), "a-1")).await;
    assert_eq!(phone.failed("a-3").await, ("forbidden".into(), false), "the name gives another id here");

    phone.sends(room, "a-4", "gone").await;
    let gone = message_id(room, &ann, "a-4");
    phone.changes("a-5", proved(delete(room, "a-5", gone), "a-4")).await;
    let mut listener = gateway.phone_in(&ben, room).await;
    listener.say(&react("react", room, "b-1", gone, "👍")).await;
    assert_eq!(listener.failed("b-1").await, ("conflict".into(), false));
    phone.say(&edit(room, "a-6", gone, "back")).await;
    assert_eq!(phone.failed("a-6").await, ("conflict".into(), false));
    // Taking it back again changes nothing, and an edit can not be edited.
    let again = phone.changes("a-7", delete(room, "a-7", gone)).await;
    let deletion = phone.log_to(room, again).await.pop().unwrap()["id"].as_str().unwrap().parse().unwrap();
    phone.say(&edit(room, "a-8", deletion, "?")).await;
    assert_eq!(phone.failed("a-8").await, ("forbidden".into(), false));
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_change_sent_again_is_the_same_change(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let (ann, _ben, room) = scene.pair().await;
    let mut phone = gateway.phone_in(&ann, room).await;
    phone.sends(room, "a-1", "hi").await;
    let id = message_id(room, &ann, "a-1");
    let frame = edit(room, "a-2", id, "hi!");
    let seq = phone.changes("a-2", frame.clone()).await;
    assert_eq!(phone.changes("a-2", frame.clone()).await, seq, "inside the log's window");
    scene.work().await;
    let mut tap = scene.tap().await;
    let mut again = frame;
    again["resend"] = true.into();
    assert_eq!(phone.changes("a-2", again).await, seq, "at any age");
    scene.operator.client.flush().await.unwrap();
    assert!(tap.next().now_or_never().is_none(), "the store has answered");
    phone.say(&edit(room, "a-2", id, "something else")).await;
    assert_eq!(phone.failed("a-2").await, ("temp_id_reused".into(), false));
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_replay_does_not_carry_what_was_deleted(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let (ann, ben, room) = scene.pair().await;
    let gateway = scene.gateway().await;
    let mut phone = gateway.phone_in(&ann, room).await;
    phone.sends(room, "a-1", "secret").await;
    let id = message_id(room, &ann, "a-1");
    phone.changes("a-2", proved(edit(room, "a-2", id, "secret too"), "a-1")).await;
    // The deletion lies pages above the text.
    scene.publish_many(room, &ann, 450).await;
    let last = phone.changes("a-3", proved(delete(room, "a-3", id), "a-1")).await;
    let is_blank = |frames: &[Value], since: u64| {
        assert_eq!(check_chain(since, frames), last);
        assert_eq!(contents(&frames[..2]), [None, None]);
        assert_eq!((&frames[0]["content"], &frames[1]["content"]), (&Value::Null, &Value::Null));
        assert_eq!((&frames[0]["type"], &frames[1]["type"]), (&json!("message"), &json!("message_updated")));
        assert_eq!((&frames[0]["temp_id"], &frames[0]["id"]), (&json!("a-1"), &json!(id)), "the rest stays");
        assert!(!frames.iter().any(|frame| frame.to_string().contains("secret")));
    };
    // Out of the stream: by a gateway that heard the deletion, and by one that has to look for it.
    let strange = scene.gateway().await;
    for gateway in [&gateway, &strange, &strange] {
        is_blank(&gateway.phone(&ben).await.join_since(room, 0).await.0, 0);
    }
    // Out of the store.
    scene.work().await;
    scene.purge_below(last + 1).await;
    is_blank(&scene.gateway().await.phone(&ben).await.join_since(room, 0).await.0, 0);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn who_was_away_for_a_moment_does_not_hear_what_was_deleted_either(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let (ann, ben, room) = scene.pair().await;
    let gateway = scene.gateway().await;
    let mut phone = gateway.phone_in(&ann, room).await;
    let first = phone.sends(room, "a-1", "secret").await;
    phone.changes("a-2", proved(edit(room, "a-2", message_id(room, &ann, "a-1"), "secret too"), "a-1")).await;
    let last = phone.changes("a-3", proved(delete(room, "a-3", message_id(room, &ann, "a-1")), "a-1")).await;
    // Out of memory, the whole and a part.
    for since in [0, first] {
        let (frames, _) = gateway.phone(&ben).await.join_since(room, since).await;
        assert_eq!(check_chain(since, &frames), last);
        assert!(!frames.iter().any(|frame| frame.to_string().contains("secret")), "{frames:?}");
    }
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn changes_count_in_the_rates_and_need_a_seat(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let (ann, _ben, room) = scene.pair().await;
    let mut phone = gateway.phone(&ann).await;
    let id = MessageId::random();
    phone.say(&edit(room, "a-1", id, "x")).await;
    assert_eq!(phone.failed("a-1").await, ("not_joined".into(), false));
    phone.join(room).await;
    phone.sends(room, "a-2", "hi").await;
    let id = message_id(room, &ann, "a-2");
    for n in 0..40 {
        phone.say(&react("react", room, &format!("r-{n}"), id, "👍")).await;
    }
    let refused = phone.hears_where("rate_limited", |frame| frame["code"] == "rate_limited").await;
    assert_eq!((&refused["retry"], refused["retry_after_ms"].as_u64() > Some(0)), (&json!(true), true));
    phone.settle().await;
    phone.forget();
}
