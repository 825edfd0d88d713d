//! How far people have read, what is unread, and catching up.

use schema::id::{MessageId, RoomId};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::harness::{Person, TestApi, eventually, read, refused, wrong_fields};

impl Person<'_> {
    async fn reads(&self, room: RoomId, body: Value) -> u64 {
        let mark = read(self.post(&format!("/rooms/{room}/read"), body).await, 200).await;
        assert_eq!((&mark["room_id"], &mark["user_id"]), (&json!(room), &json!(self.id)));
        mark["seq"].as_u64().unwrap()
    }

    /// What the list of rooms and the room itself say; while a count changes, ask [`Self::unread_in_list`].
    async fn unread(&self, room: RoomId) -> u64 {
        let unread = self.unread_in_list(room).await;
        assert_eq!(read(self.get(&format!("/rooms/{room}")).await, 200).await["unread_count"], unread);
        unread
    }

    async fn unread_in_list(&self, room: RoomId) -> u64 {
        let list = read(self.get("/rooms").await, 200).await;
        let listed = list["items"].as_array().unwrap().iter().find(|listed| listed["id"] == room.to_string());
        listed.unwrap()["unread_count"].as_u64().unwrap()
    }
}

/// Says `count` messages and waits until all are stored; their seqs and ids.
async fn says_and_stores(api: &TestApi, who: &Person<'_>, room: RoomId, count: usize) -> Vec<(u64, String)> {
    let mut said = Vec::new();
    for n in 0..count {
        let item = who.says(room, &format!("{n}-of-{count}"), "hi").await;
        said.push((item["seq"].as_u64().unwrap(), item["id"].as_str().unwrap().to_owned()));
    }
    let last: MessageId = said.last().unwrap().1.parse().unwrap();
    eventually("all are stored", async || (!api.store().find(&[last]).await.unwrap().is_empty()).then_some(())).await;
    said
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn what_is_unread_is_what_others_said_above_ones_mark(pool: PgPool) {
    let api = TestApi::with(pool, &["--limits=off"]).await;
    let _store = api.runs_a_worker().await;
    let (ann, ben) = (api.user("ann").await, api.user("ben").await);
    let room = ann.makes_room(&[&ben]).await;
    let said = says_and_stores(&api, &ann, room, 6).await;
    assert_eq!((ann.unread(room).await, ben.unread(room).await), (0, 6), "one's own messages are read");
    assert_eq!(ben.reads(room, json!({"seq": said[1].0})).await, said[1].0);
    assert_eq!(ben.unread(room).await, 4, "at once, whatever the worker does");
    assert_eq!(ben.reads(room, json!({"seq": said[0].0})).await, said[1].0, "a mark never moves back");
    assert_eq!(ben.reads(room, json!({"message_id": said[3].1})).await, said[3].0);
    assert_eq!(ben.unread(room).await, 2);
    // What was deleted is not unread.
    assert_eq!(ann.delete(&format!("/rooms/{room}/messages/{}", said[4].1)).await.status(), 204);
    eventually("one is gone", async || (ben.unread_in_list(room).await == 1).then_some(())).await;
    assert_eq!(ben.unread(room).await, 1);
    // To the top, which may be a deletion, and not above it.
    let top = ben.reads(room, json!({})).await;
    assert!(top > said[5].0);
    assert_eq!(ben.reads(room, json!({"seq": u64::MAX})).await, top);
    assert_eq!(
        read(ben.request(reqwest::Method::POST, &format!("/rooms/{room}/read")).send().await.unwrap(), 200).await["seq"],
        top
    );
    assert_eq!(ben.unread(room).await, 0);

    let marks = read(ann.get(&format!("/rooms/{room}/read_marks")).await, 200).await;
    let items = marks["items"].as_array().unwrap();
    assert_eq!(
        (&items[0]["user_id"], &items[0]["seq"], &items[0]["read_at"]),
        (&json!(ann.id), &json!(0), &Value::Null)
    );
    assert_eq!((&items[1]["user_id"], &items[1]["seq"]), (&json!(ben.id), &json!(top)));
    assert!(items[1]["read_at"].is_string() && items.len() == 2);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn unread_messages_are_counted_exactly_to_ninety_nine(pool: PgPool) {
    let api = TestApi::with(pool, &["--limits=off"]).await;
    let _store = api.runs_a_worker().await;
    let (ann, ben) = (api.user("ann").await, api.user("ben").await);
    let room = ann.makes_room(&[&ben]).await;
    let said = says_and_stores(&api, &ann, room, 103).await;
    assert_eq!(ben.unread(room).await, 100, "100 stands for more than 99");
    ben.reads(room, json!({"seq": said[2].0})).await;
    assert_eq!(ben.unread(room).await, 100);
    ben.reads(room, json!({"seq": said[3].0})).await;
    assert_eq!(ben.unread(room).await, 99);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_mark_that_can_not_be_is_refused(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let _store = api.runs_a_worker().await;
    let (ann, eve) = (api.user("ann").await, api.user("eve").await);
    let (room, other) = (ann.makes_room(&[]).await, ann.makes_room(&[]).await);
    assert_eq!(ann.reads(room, json!({})).await, 0, "nothing was said yet");
    let elsewhere = says_and_stores(&api, &ann, other, 1).await.remove(0).1;
    let check = async |body: Value, field: &str, code: &str| {
        let problem = refused(ann.post(&format!("/rooms/{room}/read"), body).await, 422, "invalid_fields").await;
        assert_eq!(wrong_fields(&problem), [(field.to_owned(), code.to_owned())]);
    };
    check(json!({"seq": -1}), "seq", "invalid").await;
    check(json!({"seq": "1"}), "seq", "invalid").await;
    check(json!({"message_id": "x"}), "message_id", "not_an_id").await;
    check(json!({"message_id": elsewhere}), "message_id", "unknown").await;
    check(json!({"seq": 1, "message_id": elsewhere}), "message_id", "more_than_one").await;
    refused(eve.post(&format!("/rooms/{room}/read"), json!({})).await, 403, "not_a_member").await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn the_list_of_rooms_is_there_while_nats_is_away(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let store = api.runs_a_worker().await;
    let (ann, ben) = (api.user("ann").await, api.user("ben").await);
    let room = ann.makes_room(&[&ben]).await;
    let said = says_and_stores(&api, &ann, room, 2).await;
    let read_at = schema::clock::Timestamp::from_unix_millis(0).unwrap();
    let mark = chat_store::ReadMark { room_id: room, user_id: ben.id, seq: said[0].0, read_at };
    store.write_marks(&[mark]).await.unwrap();
    api.nats_gate.shut();
    eventually("it is answered out of the store", async || {
        let answer = ben.get("/rooms").await;
        (answer.status() == 200 && read(answer, 200).await["items"][0]["unread_count"] == 1).then_some(())
    })
    .await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_phone_that_was_away_catches_up_on_all_its_rooms(pool: PgPool) {
    let api = TestApi::with(pool, &["--limits=off"]).await;
    let (ann, ben) = (api.user("ann").await, api.user("ben").await);
    let empty = read(ben.get("/sync").await, 200).await;
    assert_eq!(empty, json!({"rooms": [], "next_since": 0}));
    let (one, two, still) =
        (ann.makes_room(&[&ben]).await, ann.makes_room(&[&ben]).await, ann.makes_room(&[&ben]).await);
    let secret = ann.makes_room(&[]).await;
    ann.says(one, "a-1", "early").await;
    // What is not stored yet is not there, and `next_since` says so.
    assert_eq!(read(ben.get("/sync?since=0").await, 200).await, empty);
    let later = read(ben.get("/sync?since=5000").await, 200).await;
    assert_eq!(later, json!({"rooms": [], "next_since": 5000}), "nobody is sent back");
    let _store = api.runs_a_worker().await;
    let synced = async |since: u64, until: u64| {
        eventually("all is settled", async || {
            let answer = read(ben.get(&format!("/sync?since={since}")).await, 200).await;
            (answer["next_since"].as_u64() >= Some(until)).then_some(answer)
        })
        .await
    };
    let since = synced(0, 1).await["next_since"].as_u64().unwrap();
    let first = ann.says(two, "a-2", "first").await;
    ann.says(secret, "a-3", "not for Ben").await;
    let second = ann.says(two, "a-4", "gone soon").await;
    let path = format!("/rooms/{two}/messages/{}", second["id"].as_str().unwrap());
    assert_eq!(ann.delete(&path).await.status(), 204);
    let late = ann.says(one, "a-5", "late").await;
    let top = late["seq"].as_u64().unwrap();
    let answer = synced(since, top).await;
    assert_eq!(answer["next_since"], top);
    let rooms = answer["rooms"].as_array().unwrap();
    let ids: Vec<&Value> = rooms.iter().map(|room| &room["room_id"]).collect();
    assert_eq!(ids, [&json!(two), &json!(one)], "the last that moved comes last; not {still}");
    let frames = rooms[0]["frames"].as_array().unwrap();
    let kinds: Vec<&Value> = frames.iter().map(|frame| &frame["type"]).collect();
    assert_eq!(kinds, [&json!("message"), &json!("message"), &json!("message_deleted")]);
    let mut prev = json!(since);
    for frame in frames {
        assert_eq!(frame["prev"], prev);
        prev = frame["seq"].clone();
    }
    assert_eq!((&frames[0]["content"], &frames[0]["created_at"]), (&json!("first"), &first["created_at"]));
    assert_eq!(frames[1]["content"], Value::Null, "what was deleted is not said again");
    assert_eq!((&rooms[1]["frames"][0]["content"], &rooms[1]["limited"]), (&json!("late"), &json!(false)));
    assert_eq!(read(ben.get(&format!("/sync?since={top}")).await, 200).await, json!({"rooms": [], "next_since": top}));
    for bad in ["-1", "x", "1.5"] {
        let problem = refused(ben.get(&format!("/sync?since={bad}")).await, 422, "invalid_fields").await;
        assert_eq!(wrong_fields(&problem), [("since".into(), "invalid".into())]);
    }
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_room_that_said_too_much_is_limited(pool: PgPool) {
    let api = TestApi::with(pool, &["--limits=off"]).await;
    let _store = api.runs_a_worker().await;
    let (ann, ben) = (api.user("ann").await, api.user("ben").await);
    let (loud, quiet) = (ann.makes_room(&[&ben]).await, ann.makes_room(&[&ben]).await);
    let said = says_and_stores(&api, &ann, loud, 101).await;
    let last = says_and_stores(&api, &ann, quiet, 1).await[0].0;
    let sync = async |since: u64| {
        eventually("all is settled", async || {
            let answer = read(ben.get(&format!("/sync?since={since}")).await, 200).await;
            (answer["next_since"] == last).then_some(answer["rooms"].clone())
        })
        .await
    };
    let rooms = sync(0).await;
    assert_eq!(
        (&rooms[0]["room_id"], &rooms[0]["limited"], &rooms[0]["frames"]),
        (&json!(loud), &json!(true), &json!([]))
    );
    assert_eq!((&rooms[1]["limited"], rooms[1]["frames"].as_array().unwrap().len()), (&json!(false), 1));
    let rooms = sync(said[0].0).await;
    assert_eq!((&rooms[0]["limited"], rooms[0]["frames"].as_array().unwrap().len()), (&json!(false), 100));
}
