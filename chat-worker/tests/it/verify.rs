//! The check of everything: silent about what is whole, and it names whatever was broken.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_nats::jetstream::stream::Config;
use schema::{
    id::{MessageId, RoomId, UserId},
    stream::{self, CHAT_DEAD, CHAT_MESSAGES, EVENTS},
};
use scripts::stack::test_env;
use scylla::client::{session::Session, session_builder::SessionBuilder};
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgPool};
use verify::{Parts, Report, Scope, Since};

use crate::{
    changes,
    harness::{Backend, Message, Scene, eventually},
    process::Program,
    world::World,
};

async fn check(scene: &Scene, pool: &PgPool, scope: Scope) -> Report {
    let parts = Parts { store: Arc::clone(&scene.store), pg: pool.clone().into(), broker: scene.operator.clone() };
    verify::run(&parts, scope, &|_, _| {}).await.unwrap()
}

fn kinds(report: &Report) -> Vec<&'static str> {
    report.by_kind.keys().copied().collect()
}

/// Every table that is checked.
const TABLES: [&str; 10] = [
    "room_log_by_event",
    "chat_messages_by_event",
    "chat_message_ids",
    "chat_message_changes",
    "message_reactions",
    "read_marks_by_event",
    "event_history",
    "log_high_water",
    "outbox",
    "outbox_lane",
];

async fn execute(pool: &PgPool, statement: String) -> u64 {
    sqlx::raw_sql(AssertSqlSafe(statement.clone())).execute(pool).await.expect(&statement).rows_affected()
}

/// What is done to the tables, and what must be said of it. `$x` stand for what is in the world.
const DEFECTS: &[(&str, &[&str])] = &[
    // The log.
    ("INSERT INTO room_log_by_event SELECT event_id, 3000000, kind, gen_random_uuid(), created_at, body FROM room_log_by_event WHERE seq = $plain", &["beyond_log"]),
    ("DELETE FROM room_log_by_event WHERE seq = $plain", &["missing", "item_extra", "id_without_log"]),
    ("UPDATE room_log_by_event SET body = replace(body, 'plain', 'other') WHERE seq = $plain", &["content_differs", "item_differs"]),
    ("UPDATE room_log_by_event SET created_at = created_at + interval '1 millisecond' WHERE seq = $plain", &["time_differs", "item_differs"]),
    ("UPDATE room_log_by_event SET kind = NULL, id = NULL, body = NULL WHERE seq = $plain", &["skipped", "item_extra", "id_without_log"]),
    ("UPDATE room_log_by_event SET id = gen_random_uuid() WHERE seq = $plain", &["content_differs", "log_row_broken"]),
    // The same seq in a second room.
    ("INSERT INTO room_log_by_event SELECT '$other', seq, kind, id, created_at, body FROM room_log_by_event WHERE seq = $plain", &["not_in_log"]),
    // A message once more, at a seq that is another room's.
    ("INSERT INTO room_log_by_event SELECT event_id, $elsewhere, kind, id, created_at, body FROM room_log_by_event WHERE seq = $plain", &["not_in_log", "id_elsewhere"]),
    // Two messages in each other's place.
    ("UPDATE room_log_by_event SET seq = $plain + $second - seq + 1000000 WHERE seq IN ($plain, $second);
      UPDATE room_log_by_event SET seq = seq - 1000000 WHERE seq > 1000000", &["id_elsewhere", "item_differs"]),
    ("UPDATE room_log_by_event SET body = replace(body, '\"content\":null', '\"content\":\"secret\"') WHERE seq = $deleted", &["deleted_text_left"]),
    ("UPDATE room_log_by_event SET body = replace(body, '\"plain\"', 'null') WHERE seq = $plain", &["text_gone"]),
    // What is shown.
    ("DELETE FROM chat_messages_by_event WHERE seq = $plain", &["item_missing"]),
    ("INSERT INTO chat_messages_by_event SELECT '$other', $plain, kind, id, created_at FROM chat_messages_by_event WHERE seq = $plain", &["item_extra"]),
    ("UPDATE chat_messages_by_event SET content = 'other' WHERE seq = $plain", &["item_differs"]),
    ("UPDATE chat_messages_by_event SET content = 'typo' WHERE seq = $edited", &["item_differs"]),
    ("UPDATE chat_messages_by_event SET edited_at = NULL, edited_seq = NULL WHERE seq = $edited", &["item_differs"]),
    ("UPDATE chat_messages_by_event SET deleted_seq = NULL, content = 'secret' WHERE seq = $deleted", &["item_differs"]),
    ("UPDATE chat_messages_by_event SET sender = gen_random_uuid() WHERE seq = $plain", &["item_differs"]),
    ("UPDATE chat_messages_by_event SET has_reactions = false WHERE seq = $liked", &["reactions_hidden"]),
    // Where ids stand.
    ("DELETE FROM chat_message_ids WHERE seq = $plain", &["id_missing"]),
    ("UPDATE chat_message_ids SET seq = seq + 1 WHERE seq = $plain", &["id_elsewhere"]),
    ("INSERT INTO chat_message_ids SELECT gen_random_uuid(), event_id, 3000000, kind, sender, created_at FROM chat_message_ids WHERE seq = $plain", &["beyond_log"]),
    ("INSERT INTO chat_message_ids SELECT gen_random_uuid(), event_id, seq, kind, sender, created_at FROM chat_message_ids WHERE seq = $plain", &["id_without_log"]),
    // What was done to messages.
    ("DELETE FROM chat_message_changes WHERE message_id = '$edited_id'", &["change_missing", "item_differs"]),
    ("INSERT INTO chat_message_changes SELECT '$plain_id', $second, event_id, 'message_updated', sender, created_at, 'forged'
      FROM chat_message_ids WHERE message_id = '$plain_id'", &["change_extra"]),
    ("DELETE FROM message_reactions WHERE message_id = '$liked_id'", &["reaction_missing"]),
    ("INSERT INTO message_reactions VALUES ('$plain_id', 'x', gen_random_uuid(), $second, '$room', true)", &["reaction_extra"]),
    ("INSERT INTO read_marks_by_event VALUES ('$room', gen_random_uuid(), 3000000, now())", &["mark_too_high"]),
    // Events.
    ("DELETE FROM event_history WHERE version = 1", &["history_broken"]),
    ("DELETE FROM event_history WHERE version = 2", &["history_behind"]),
    ("UPDATE event_history SET fields = replace(fields, '\"new\":2', '\"new\":3') WHERE version = 2", &["history_broken"]),
    ("UPDATE event_history SET actor_id = gen_random_uuid() WHERE version = 1", &["history_broken"]),
    ("UPDATE event_history SET hash = 'aa' WHERE version = 2", &["history_broken"]),
    ("DELETE FROM outbox WHERE position = 1", &["outbox_row_missing"]),
    ("DELETE FROM outbox WHERE position = 2", &["outbox_row_missing"]),
    ("UPDATE outbox SET processed = false, error = 'no such stream' WHERE position = 2", &["outbox_parked"]),
    ("UPDATE outbox SET processed = false, created_at = now() - interval '2 minutes' WHERE position = 2", &["outbox_waits"]),
    ("UPDATE outbox SET processed = false WHERE position = 2", &["outbox_waits"]),
    ("INSERT INTO log_high_water VALUES ('CHAT_MESSAGES', 5000000) ON CONFLICT (name) DO UPDATE SET seq = 5000000", &["log_behind"]),
];

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn whatever_is_broken_in_postgres_is_named(pool: PgPool) {
    let world = World::new(Scene::new(pool.clone()).await, &pool).await;
    let report = check(&world.scene, &pool, Scope::default()).await;
    assert!(report.clean, "{:#?}", report.findings);
    assert_eq!(report.checked.stream_messages, report.settled_seq);
    assert_eq!((report.checked.log_rows, report.checked.events, report.checked.event_changes), (14, 1, 2));
    for table in TABLES {
        execute(&pool, format!("CREATE TABLE whole_{table} AS TABLE {table}")).await;
    }
    let mut unnamed = Vec::new();
    for (defect, expected) in DEFECTS {
        let broken = execute(&pool, world.named(defect)).await;
        assert!(broken > 0, "nothing was broken by {defect}");
        let report = check(&world.scene, &pool, Scope::default()).await;
        let is_named = expected.iter().all(|kind| report.by_kind.contains_key(kind));
        if !is_named || report.clean {
            unnamed.push(format!("{defect}\n  says {:?}, not {expected:?}: {:?}", kinds(&report), report.findings));
        }
        execute(&pool, format!("TRUNCATE {}", TABLES.join(", "))).await;
        for table in TABLES.iter().rev() {
            execute(&pool, format!("INSERT INTO {table} SELECT * FROM whole_{table}")).await;
        }
    }
    assert!(unnamed.is_empty(), "{}", unnamed.join("\n"));
    assert!(check(&world.scene, &pool, Scope::default()).await.clean, "whole again");
}

impl World {
    /// The statement with what it stands for.
    fn named(&self, statement: &str) -> String {
        let names = [
            ("$plain_id", self.plain.id.to_string()),
            ("$edited_id", self.edited.id.to_string()),
            ("$liked_id", self.liked.id.to_string()),
            // The first after the five messages.
            ("$edited", self.edited.seq.to_string()),
            ("$edit", (self.liked.seq + 1).to_string()),
            ("$plain", self.plain.seq.to_string()),
            ("$second", self.second.seq.to_string()),
            ("$deleted", self.deleted.seq.to_string()),
            ("$liked", self.liked.seq.to_string()),
            ("$elsewhere", self.elsewhere.seq.to_string()),
            ("$other", self.other.to_string()),
            ("$room", self.room.to_string()),
        ];
        names.iter().fold(statement.to_owned(), |statement, (name, value)| statement.replace(name, value))
    }
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn nothing_that_is_only_on_its_way_is_named_beside_a_busy_worker(pool: PgPool) {
    let world = World::new(Scene::new(pool.clone()).await, &pool).await;
    let is_over = AtomicBool::new(false);
    let talk = async {
        let mut said = 0;
        while !is_over.load(Ordering::SeqCst) {
            world.scene.say(RoomId::random(), "new room").await;
            let message = Message::named(world.room, UserId::random(), &format!("b-{said}"), "busy");
            world.scene.publish(&message).await;
            said += 1;
        }
        said
    };
    let verify = async {
        for _ in 0..10 {
            let report = check(&world.scene, &pool, Scope::default()).await;
            assert!(report.clean, "{:#?}", report.findings);
        }
        is_over.store(true, Ordering::SeqCst);
    };
    let (said, ()) = tokio::join!(talk, verify);
    assert!(said > 0);
    world.worker.stop().await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn what_who_runs_a_room_deleted_is_not_named_nor_what_others_tried_to(pool: PgPool) {
    let scene = Scene::new(pool.clone()).await;
    let _worker = scene.worker().await;
    let (room, owner, member, message) = changes::room(&scene, &pool).await;
    changes::publish(&scene, owner, true, &changes::delete(room, owner, message)).await;
    // The mark of a role that its sender does not have, and a role without the mark.
    let second = scene.publish(&Message::named(room, member, "m-2", "mine too")).await;
    let stranger = UserId::random();
    changes::publish(&scene, stranger, true, &changes::delete(room, stranger, second.id)).await;
    changes::publish(&scene, owner, false, &changes::delete(room, owner, second.id)).await;
    scene.settled(CHAT_MESSAGES).await;
    let shown: Vec<bool> = scene.log(room).await.iter().map(|row| row.kind.is_some()).collect();
    assert_eq!(shown, [true, true, true, false, false]);
    let report = check(&scene, &pool, Scope::default()).await;
    assert!(report.clean, "{:#?}", report.findings);
    // An operator has looked at what was refused, and dropped it: why it is a skip is still known.
    assert_eq!(scene.dead().await.len(), 2);
    scene.operator.js.get_stream(CHAT_DEAD).await.unwrap().purge().await.unwrap();
    let report = check(&scene, &pool, Scope::default()).await;
    assert!(report.clean, "{:#?}", report.findings);
    // That the message is deleted follows from the log: a deletion that is missed is named.
    execute(
        &pool,
        "UPDATE room_log_by_event SET kind = NULL, id = NULL, body = NULL WHERE kind = 'message_deleted'".into(),
    )
    .await;
    assert_eq!(kinds(&check(&scene, &pool, Scope::default()).await), ["change_extra"]);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_room_or_what_is_younger_is_checked_by_itself(pool: PgPool) {
    let world = World::new(Scene::new(pool.clone()).await, &pool).await;
    execute(&pool, world.named("DELETE FROM chat_messages_by_event WHERE seq = $plain")).await;
    let scope = |room, since| Scope { room, since };
    let report = check(&world.scene, &pool, scope(Some(world.other), None)).await;
    assert!(report.clean, "{:#?}", report.findings);
    assert_eq!((report.checked.log_rows, report.checked.stream_messages, report.checked.events), (2, 2, 0));
    assert_eq!(kinds(&check(&world.scene, &pool, scope(Some(world.room), None)).await), ["item_missing"]);
    assert!(check(&world.scene, &pool, scope(None, Some(Since::Seq(world.plain.seq)))).await.clean);
    let row = world.scene.store.find(&[world.plain.id]).await.unwrap()[0];
    let young = row.created_at.plus(Duration::from_hours(1)).unwrap();
    let report = check(&world.scene, &pool, scope(None, Some(Since::Time(young)))).await;
    assert!(report.clean && report.checked.log_rows == 0, "{report:#?}");
    let report = check(&world.scene, &pool, scope(None, Some(Since::Time(row.created_at)))).await;
    assert_eq!(kinds(&report), ["item_missing"]);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn what_aged_out_unstored_is_a_loss(pool: PgPool) {
    let scene = Scene::new(pool.clone()).await;
    let js = &scene.operator.js;
    let short = Duration::from_millis(500);
    let hasty = Config { max_age: short, duplicate_window: short, ..stream::chat_messages(scene.sizes) };
    js.create_stream(hasty).await.unwrap();
    stream::ensure_worker(js, CHAT_MESSAGES).await.unwrap();
    for n in 0..3 {
        scene.say(RoomId::random(), &format!("{n}")).await;
    }
    eventually("all have aged out", async || {
        let log = js.get_stream(CHAT_MESSAGES).await.unwrap();
        (log.cached_info().state.messages == 0).then_some(())
    })
    .await;
    scene.migrate().await;
    let report = check(&scene, &pool, Scope::default()).await;
    assert_eq!(kinds(&report), ["lost"]);
    assert!(report.findings[0].detail.starts_with("3 messages"), "{report:?}");
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn the_command_ends_as_the_store_is_and_says_why(pool: PgPool) {
    let world = World::new(Scene::new(pool.clone()).await, &pool).await;
    let program = Program::new(&world.scene, &pool);
    let folder = std::env::temp_dir().join(format!("timingle-{}.prom", RoomId::random()));
    let file = folder.to_str().unwrap();
    let said = program.says(&["verify", "--metrics-file", file]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.answer.starts_with("nothing is wrong up to seq 14: 14 messages of the log"), "{said:?}");
    execute(&pool, world.named("DELETE FROM chat_messages_by_event WHERE seq IN ($plain, $second)")).await;
    let said = program.says(&["verify", "--json", "--metrics-file", file]).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    let report: Value = serde_json::from_str(&said.answer).unwrap();
    assert_eq!(report["by_kind"], serde_json::json!({"item_missing": 2}));
    assert_eq!(report["findings"][0]["room_id"], world.room.to_string());
    assert_eq!(report["findings"][0]["seq"], world.plain.seq);
    let metrics = std::fs::read_to_string(&folder).unwrap();
    assert!(metrics.contains("worker_verify_findings 2"), "{metrics}");
    std::fs::remove_file(&folder).unwrap();
    world.scene.settled(EVENTS).await;
    world.scene.nats.kill();
    let said = program.says(&["verify"]).await;
    assert_eq!((said.code, said.answer.as_str()), (Some(69), ""), "{said:?}");
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn the_way_of_a_message_is_told_and_nothing_is_made_up(pool: PgPool) {
    let world = World::new(Scene::new(pool.clone()).await, &pool).await;
    let program = Program::new(&world.scene, &pool);
    let said = program.says(&["trace", &world.plain.id.to_string(), "--json"]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let trace: Value = serde_json::from_str(&said.answer).unwrap();
    let logged_at = world.scene.store.find(&[world.plain.id]).await.unwrap()[0].created_at;
    let hop = |name: &str| {
        trace["hops"].as_array().unwrap().iter().find(|hop| hop["hop"] == name).unwrap_or_else(|| panic!("{trace}"))
    };
    assert_eq!(hop("accepted")["detail"], "by the gateway gw-1");
    assert_eq!((&hop("in the log")["at"], &hop("in the store")["at"]), (&logged_at.to_string().into(), &Value::Null));
    assert_eq!(hop("in the store")["detail"], "it is there, and acknowledged");
    // What processes have logged of it, and of others.
    let line = |at: &str, hop: &str, id: &MessageId, more: &str| {
        format!(r#"{{"timestamp":"{at}","level":"DEBUG","message":"{hop}","message.id":"{id}",{more}"target":"hop"}}"#)
    };
    let id = &world.plain.id;
    let lines = [
        "no json at all".to_owned(),
        line("2026-01-01T00:00:00.1Z", "delivered", id, r#""sockets":3,"#),
        line("2026-01-01T00:00:00.2Z", "delivered", &MessageId::random(), r#""sockets":9,"#),
        line("2026-01-01T00:00:00.3Z", "in the store", id, ""),
        line("2026-01-01T00:00:00.4Z", "reported saved", id, ""),
        line("2026-01-01T00:00:00.5Z", "in the store", id, ""),
    ];
    let file = std::env::temp_dir().join(format!("gateway-7-{id}.log"));
    std::fs::write(&file, lines.join("\n")).unwrap();
    let said = program.says(&["trace", &id.to_string(), "--json", "--logs", file.to_str().unwrap()]).await;
    std::fs::remove_file(&file).unwrap();
    let trace: Value = serde_json::from_str(&said.answer).unwrap();
    let hops = trace["hops"].as_array().unwrap();
    let times: Vec<_> = hops.iter().skip(4).map(|hop| (hop["hop"].as_str().unwrap(), hop["at"].as_str())).collect();
    let expected = [
        ("delivered", Some("2026-01-01T00:00:00.1Z")),
        ("in the store", Some("2026-01-01T00:00:00.3Z")),
        ("in the store", Some("2026-01-01T00:00:00.5Z")),
        ("reported saved", Some("2026-01-01T00:00:00.4Z")),
    ];
    assert_eq!(times, expected, "{trace}");
    assert!(hops[4]["detail"].as_str().unwrap().ends_with("to 3 sockets"), "{trace}");
    let unheard = RoomId::random().to_string();
    assert_eq!(program.says(&["trace", &unheard]).await.code, Some(1));
    // What was given up is found too.
    let (lost, mut headers) = (Message::new(world.room, "lost"), Message::new(world.room, "lost").headers());
    headers.insert(schema::header::NATS_MSG_ID, lost.body.id().to_string());
    headers.insert(schema::header::TIMINGLE_V, "2");
    world.scene.publish_raw(world.room, headers, lost.body.to_bytes()).await;
    world.scene.settled(CHAT_MESSAGES).await;
    let said = program.says(&["trace", &lost.body.id().to_string()]).await;
    assert!(said.answer.contains("unknown_version: `chat-worker dead show "), "{said:?}");
}

/// What is done to the CQL tables.
const CQL_DEFECTS: &[(&str, &[&str])] = &[
    (
        "DELETE FROM room_log_by_event WHERE event_id = $room AND bucket = $bucket AND seq = $plain",
        &["missing", "item_extra"],
    ),
    (
        "UPDATE room_log_by_event SET body = '{}' WHERE event_id = $room AND bucket = $bucket AND seq = $second",
        &["content_differs", "log_row_broken"],
    ),
    (
        "DELETE FROM chat_messages_by_event WHERE event_id = $room AND bucket = $bucket AND seq = $liked",
        &["item_missing"],
    ),
    (
        "UPDATE chat_messages_by_event SET content = 'typo' WHERE event_id = $room AND bucket = $bucket AND seq = $edited",
        &["item_differs"],
    ),
    ("DELETE FROM message_reactions WHERE message_id = $liked_id", &["reaction_missing"]),
    ("DELETE FROM chat_message_ids WHERE message_id = $edited_id AND seq = $edit", &["change_missing"]),
    ("DELETE FROM chat_message_ids WHERE message_id = $liked_id", &["id_missing"]),
    ("INSERT INTO read_marks_by_event (event_id, user_id, seq) VALUES ($room, $plain_id, 3000000)", &["mark_too_high"]),
    ("TRUNCATE chat_messages_by_user", &["unlisted"]),
    ("DELETE FROM room_heads WHERE event_id = $room", &["head_behind"]),
    // A month that no reader looks into.
    ("DELETE FROM chat_buckets_by_event WHERE event_id = $other", &["unreachable"]),
];

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn whatever_is_broken_in_cql_is_named(pool: PgPool) {
    let nodes: Vec<String> = test_env("CQL_NODES").split(',').map(str::to_owned).collect();
    let keyspace = format!("verify_{}", RoomId::random().as_uuid().simple());
    chat_store::scylla::migrate(&nodes, &keyspace, 1).await.unwrap();
    let scene = Scene::on(Backend::Scylla { nodes: nodes.clone(), keyspace: keyspace.clone() }).await;
    let world = World::new(scene, &pool).await;
    let report = check(&world.scene, &pool, Scope::default()).await;
    assert!(report.clean, "{:#?}", report.findings);
    assert_eq!((report.checked.log_rows, report.checked.ids > 0), (14, true));
    let session: Session =
        SessionBuilder::new().known_nodes(nodes).use_keyspace(&keyspace, false).build().await.unwrap();
    let mut all: Vec<&str> = Vec::new();
    for (defect, expected) in CQL_DEFECTS {
        let rows = session.query_unpaged(world.bucketed(defect), ()).await;
        rows.expect(defect);
        let report = check(&world.scene, &pool, Scope::default()).await;
        all.extend(*expected);
        for kind in &all {
            assert!(report.by_kind.contains_key(kind), "{defect} is not named {kind}: {:#?}", report.findings);
        }
    }
    session.query_unpaged(format!("DROP KEYSPACE {keyspace}"), ()).await.unwrap();
}

impl World {
    fn bucketed(&self, statement: &str) -> String {
        self.named(&statement.replace("$bucket", &self.month))
    }
}
