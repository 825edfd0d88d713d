//! Saying something and reading it back.

use async_nats::jetstream::consumer::pull;
use futures_util::{StreamExt as _, future::join_all};
use reqwest::Method;
use schema::{
    envelope::Kind,
    header,
    id::MessageId,
    stream::{CHAT_MESSAGES, WORKER},
    text::TempId,
};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::{
    harness::{TestApi, eventually, read, refused, wrong_fields},
    logs::Captured,
};

fn contents(page: &Value) -> Vec<&str> {
    page["items"].as_array().unwrap().iter().map(|item| item["content"].as_str().unwrap()).collect()
}

async fn in_log(api: &TestApi) -> u64 {
    let js = api.jetstream("operator").await;
    js.get_stream(CHAT_MESSAGES).await.unwrap().cached_info().state.messages
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_message_sent_five_times_at_once_is_said_once(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let (ann, bob) = (api.user("ann").await, api.user("bob").await);
    let room = ann.makes_room(&[&bob]).await;
    let answers = join_all((0..5).map(|_| ann.says(room, "a-1", "안녕 👋"))).await;
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert_eq!(in_log(&api).await, 1);
    let said = &answers[0];
    let id = MessageId::of(Kind::Message, ann.id, room, &TempId::parse("a-1").unwrap());
    assert_eq!((&said["type"], &said["id"], &said["seq"]), (&json!("message"), &json!(id), &json!(1)));
    assert_eq!((&said["sender_id"], &said["sender_name"]), (&json!(ann.id), &json!("ann")));
    assert_eq!((&said["content"], &said["reactions"]), (&json!("안녕 👋"), &json!([])));

    let js = api.jetstream("operator").await;
    let logged = js.get_stream(CHAT_MESSAGES).await.unwrap().direct_get(1).await.unwrap();
    assert_eq!(logged.headers.get(header::TIMINGLE_SENDER).unwrap().as_str(), ann.id.to_string());
    assert!(logged.headers.get(header::TIMINGLE_GATEWAY).is_none());
    let logged_at = schema::clock::Timestamp::from_unix_millis(
        i64::try_from(logged.time.unix_timestamp_nanos() / 1_000_000).unwrap(),
    );
    assert_eq!(said["created_at"], json!(logged_at.unwrap()));

    // Once it is stored, and the log's window does not matter any more, a repeat is answered by the store.
    let store = api.runs_a_worker().await;
    eventually("it is stored", async || (!store.find(&[id]).await.unwrap().is_empty()).then_some(())).await;
    assert_eq!(ann.says(room, "a-1", "안녕 👋").await, *said);
    assert_eq!(read(bob.get(&format!("/rooms/{room}/messages/{id}")).await, 200).await, *said);
    assert_eq!(in_log(&api).await, 1);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_temp_id_names_one_message_for_ever(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let (ann, bob) = (api.user("ann").await, api.user("bob").await);
    let room = ann.makes_room(&[&bob]).await;
    let said = ann.says(room, "a-1", "hi").await;
    let path = format!("/rooms/{room}/messages");
    let other = json!({"temp_id": "a-1", "content": "bye"});
    // By the log.
    refused(ann.post(&path, other.clone()).await, 409, "temp_id_reused").await;
    let store = api.runs_a_worker().await;
    let id = said["id"].as_str().unwrap().parse().unwrap();
    eventually("it is stored", async || (!store.find(&[id]).await.unwrap().is_empty()).then_some(())).await;
    // By the store.
    refused(ann.post(&path, other).await, 409, "temp_id_reused").await;
    let of_bob = bob.says(room, "a-1", "bye").await;
    assert_ne!(of_bob["id"], said["id"], "a temp_id is its sender's own");
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_new_name_does_not_make_a_repeat_another_message(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let ann = api.user("ann").await;
    let room = ann.makes_room(&[]).await;
    let said = ann.says(room, "a-1", "hi").await;
    read(ann.patch("/users/me", json!({"display_name": "Anne"})).await, 200).await;
    assert_eq!(ann.says(room, "a-1", "hi").await, said);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn history_is_read_from_every_side(pool: PgPool) {
    let api = TestApi::start(pool).await;
    api.runs_a_worker().await;
    let ann = api.user("ann").await;
    let room = ann.makes_room(&[]).await;
    let mut seqs = Vec::new();
    let mut ids = Vec::new();
    for n in 0..6 {
        let said = ann.says(room, &format!("a-{n}"), &n.to_string()).await;
        seqs.push(said["seq"].as_u64().unwrap());
        ids.push(said["id"].as_str().unwrap().to_owned());
    }
    let path = format!("/rooms/{room}/messages");
    let last = seqs[5];
    let page = eventually("all is settled", async || {
        let page = read(ann.get(&path).await, 200).await;
        (page["settled_seq"].as_u64() >= Some(last)).then_some(page)
    })
    .await;
    assert_eq!(contents(&page), ["0", "1", "2", "3", "4", "5"]);
    let check = async |query: String, expected: &[&str], before: bool, after: bool| {
        let page = read(ann.get(&format!("{path}?{query}")).await, 200).await;
        assert_eq!(contents(&page), expected, "{query}");
        let sides = (&page["has_more_before"], &page["has_more_after"]);
        assert_eq!(sides, (&json!(before), &json!(after)), "{query}");
    };
    check("limit=2".into(), &["4", "5"], true, false).await;
    check(format!("before={}&limit=2", seqs[3]), &["1", "2"], true, true).await;
    check(format!("before_id={}&limit=2", ids[3]), &["1", "2"], true, true).await;
    check("after=0&limit=2".into(), &["0", "1"], false, true).await;
    check(format!("after={}", seqs[3]), &["4", "5"], true, false).await;
    check(format!("around={}&limit=3", seqs[3]), &["2", "3", "4"], true, true).await;

    let wrong = async |query: &str, field: &str, code: &str| {
        let problem = refused(ann.get(&format!("{path}?{query}")).await, 422, "invalid_fields").await;
        assert_eq!(wrong_fields(&problem), [(field.to_owned(), code.to_owned())], "{query}");
    };
    wrong("limit=0", "limit", "out_of_range").await;
    wrong("limit=101", "limit", "out_of_range").await;
    wrong("limit=x", "limit", "invalid").await;
    wrong("before=-1", "before", "invalid").await;
    wrong("after=1.5", "after", "invalid").await;
    wrong("before=1&after=1", "after", "more_than_one").await;
    wrong("before_id=x", "before_id", "invalid").await;
    wrong(&format!("before_id={}", MessageId::from(schema::id::ChangeId::random())), "before_id", "unknown").await;
    refused(ann.get(&format!("{path}/x")).await, 404, "not_found").await;
    let mine = read(ann.get("/users/me/messages?limit=4").await, 200).await;
    assert_eq!(contents(&mine), ["5", "4", "3", "2"]);
    let cursor = mine["next_cursor"].as_str().unwrap();
    let rest = read(ann.get(&format!("/users/me/messages?cursor={cursor}")).await, 200).await;
    assert_eq!(contents(&rest), ["1", "0"]);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn an_empty_room_is_settled_up_to_where_the_worker_is(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let ann = api.user("ann").await;
    let room = ann.makes_room(&[]).await;
    let page = read(ann.get(&format!("/rooms/{room}/messages")).await, 200).await;
    let empty = json!({"items": [], "has_more_before": false, "has_more_after": false, "settled_seq": 0});
    assert_eq!(page, empty);
    // Nobody stores: what is said is not settled, however long one waits.
    ann.says(room, "a-1", "hi").await;
    assert_eq!(read(ann.get(&format!("/rooms/{room}/messages")).await, 200).await, empty);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn what_the_worker_has_acknowledged_is_in_every_page_asked_for_afterwards(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let store = api.runs_a_worker().await;
    let ann = api.user("ann").await;
    let room = ann.makes_room(&[]).await;
    let path = format!("/rooms/{room}/messages");
    for n in 0..20 {
        let said = ann.says(room, &format!("a-{n}"), "hi").await;
        let id = said["id"].as_str().unwrap().parse().unwrap();
        eventually("it is stored", async || (!store.find(&[id]).await.unwrap().is_empty()).then_some(())).await;
        let pages = join_all((0..4).map(async |_| read(ann.get(&format!("{path}?limit=1")).await, 200).await)).await;
        for page in pages {
            assert_eq!(page["items"][0], said);
            assert!(page["settled_seq"].as_u64() <= said["seq"].as_u64());
        }
    }
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn what_became_of_a_message_can_be_asked(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let ann = api.user("ann").await;
    let room = ann.makes_room(&[]).await;
    let status = async |temp_id: &str| {
        read(ann.get(&format!("/messages/status?room_id={room}&temp_id={temp_id}")).await, 200).await
    };
    assert_eq!(status("a-1").await, json!({"status": "absent"}), "nothing was ever said");
    let said = ann.says(room, "a-1", "hi").await;
    assert_eq!(status("a-1").await, json!({"status": "unknown"}), "it is in the log, not in the store");
    api.runs_a_worker().await;
    let saved = json!({"status": "saved", "id": said["id"], "seq": said["seq"]});
    eventually("it is saved", async || (status("a-1").await == saved).then_some(())).await;
    eventually("the rest is settled", async || (status("a-2").await == json!({"status": "absent"})).then_some(()))
        .await;
    refused(ann.get(&format!("/messages/status?room_id={room}")).await, 422, "invalid_fields").await;
    // The store is asked also while the log can not be.
    api.nats.kill();
    assert_eq!(status("a-1").await, saved);
    assert_eq!(status("a-2").await, json!({"status": "unknown"}), "it may have been said meanwhile");
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn an_idempotency_key_is_for_one_message(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let ann = api.user("ann").await;
    let room = ann.makes_room(&[]).await;
    let say = async |content: &str| {
        let request = ann.request(Method::POST, &format!("/rooms/{room}/messages")).header("Idempotency-Key", "a key");
        request.json(&json!({"temp_id": "a-1", "content": content})).send().await.unwrap()
    };
    let said = read(say("hi").await, 201).await;
    assert_eq!(read(say("hi").await, 201).await, said);
    let again = ann.request(Method::POST, &format!("/rooms/{room}/messages")).header("Idempotency-Key", "a key");
    let again = again.json(&json!({"temp_id": "a-1", "content": "hi", "resend": true})).send().await.unwrap();
    assert_eq!(read(again, 201).await, said, "sent again it is the same");
    refused(say("ho").await, 422, "idempotency_key_reused").await;
    assert_eq!(in_log(&api).await, 1);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn who_was_told_a_messages_id_can_use_it_at_once(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let ann = api.user("ann").await;
    let room = ann.makes_room(&[]).await;
    let said = ann.says(room, "a-1", "hi").await;
    let (id, seq) = (said["id"].as_str().unwrap(), &said["seq"]);
    let (message, before, mark) = (
        format!("/rooms/{room}/messages/{id}"),
        format!("/rooms/{room}/messages?before_id={id}"),
        format!("/rooms/{room}/read"),
    );
    // They ask, and only then a worker begins.
    let asking =
        async { tokio::join!(ann.get(&message), ann.get(&before), ann.post(&mark, json!({"message_id": id}))) };
    let ((shown, page, marked), _store) = tokio::join!(asking, api.runs_a_worker());
    assert_eq!(read(shown, 200).await, said);
    assert_eq!(read(page, 200).await["items"], json!([]));
    assert_eq!(read(marked, 200).await["seq"], *seq);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_message_that_can_not_be_is_refused_with_the_sockets_codes(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let ann = api.user("ann").await;
    let room = ann.makes_room(&[]).await;
    let path = format!("/rooms/{room}/messages");
    let check = async |field: &str, value: Value, status: u16, code: &str| {
        let mut body = json!({"temp_id": "a-1", "content": "hi"});
        body[field] = value;
        refused(ann.post(&path, body).await, status, code).await;
    };
    check("content", json!("x".repeat(4001)), 422, "content_too_long").await;
    check("content", json!("  "), 422, "invalid_content").await;
    check("content", json!("a\0b"), 422, "invalid_content").await;
    check("content", json!(null), 422, "invalid_fields").await;
    check("temp_id", json!("x".repeat(65)), 422, "invalid_temp_id").await;
    check("temp_id", json!(""), 422, "invalid_temp_id").await;
    check("message_type", json!("system"), 422, "invalid_fields").await;
    let long = ann.post(&path, json!({"temp_id": "a-1", "content": "x".repeat(4001)})).await;
    assert_eq!(read(long, 422).await["errors"], json!([{"field": "content", "code": "too_long"}]));
    check("reply_to_id", json!("x"), 422, "invalid_fields").await;
    check("thread_id", json!("x"), 400, "unsupported_field").await;
    check("attachments", json!([]), 400, "unsupported_field").await;
    assert_eq!(in_log(&api).await, 0);
    ann.says(room, "long", &"한".repeat(4000)).await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_resend_that_is_not_stored_is_marked_for_the_worker(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let ann = api.user("ann").await;
    let room = ann.makes_room(&[]).await;
    let body = json!({"temp_id": "a-1", "content": "hi", "resend": true});
    let said = read(ann.post(&format!("/rooms/{room}/messages"), body).await, 201).await;
    let js = api.jetstream("worker").await;
    let consumer = js.get_consumer_from_stream::<pull::Config, _, _>(WORKER, CHAT_MESSAGES).await.unwrap();
    let delivery = consumer.messages().await.unwrap().next().await.unwrap().unwrap();
    assert_eq!(delivery.info().unwrap().stream_sequence, said["seq"].as_u64().unwrap());
    assert_eq!(delivery.headers.as_ref().unwrap().get(header::TIMINGLE_RESEND).unwrap().as_str(), "1");
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn readers_who_come_at_once_are_answered_by_few_readings(pool: PgPool) {
    const READERS: usize = 20;
    let captured = Captured::from("sqlx::query=debug");
    let readings = |table: &str| captured.text().lines().filter(|line| line.contains(table)).count();
    let api = TestApi::start(pool).await;
    let _store = api.runs_a_worker().await;
    let (ann, bob) = (api.user("ann").await, api.user("bob").await);
    let room = ann.makes_room(&[&bob]).await;
    ann.says(room, "a-1", "hi").await;
    let path = format!("/rooms/{room}/messages");
    eventually("it is stored", async || {
        let page = read(ann.get(&path).await, 200).await;
        (page["items"][0]["content"] == "hi").then_some(())
    })
    .await;
    let mut store = api.pg.begin().await.unwrap();
    sqlx::query("LOCK TABLE chat_messages_by_event IN ACCESS EXCLUSIVE MODE").execute(&mut *store).await.unwrap();
    // Places in rooms are asked for together: each reader is a row of some answer.
    let members = || {
        let text = captured.text();
        let answers = text.lines().filter(|line| line.contains("JOIN room_members m ON m.room_id = asked"));
        let rows = answers.filter_map(|line| {
            line.split_once("rows_returned")?
                .1
                .split(|c: char| !c.is_numeric())
                .find(|n| !n.is_empty())?
                .parse::<usize>()
                .ok()
        });
        rows.sum::<usize>()
    };
    let (members_before, pages) = (members(), readings("FROM chat_messages_by_event"));
    let asked = join_all((0..READERS).map(async |n| {
        let reader = if n % 2 == 0 { &ann } else { &bob };
        read(reader.get(&path).await, 200).await
    }));
    let released = async {
        eventually("all of them are members", async || (members() >= members_before + READERS).then_some(())).await;
        store.rollback().await.unwrap();
    };
    let (mut found, ()) = futures_util::future::join(asked, released).await;
    found.dedup();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["items"][0]["content"], "hi");
    // The one that was under way, and one for all who came meanwhile; who was late makes another.
    let read = readings("FROM chat_messages_by_event") - pages;
    assert!((2..READERS / 2).contains(&read), "{read} readings");
}
