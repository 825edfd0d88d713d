//! Every limit and every refusal has its own code, and the socket lives on unless the rule says otherwise.

use schema::id::MessageId;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::{
    harness::Scene,
    phone::contents,
    raw::{Raw, client_frame},
};

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn every_bad_frame_is_answered_by_its_code(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.unlimited().await;
    let (ann, _ben, room) = scene.pair().await;
    let say = |rest: Value| {
        let mut frame = json!({"type": "message", "room_id": room, "temp_id": "t", "content": "x"});
        frame.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        frame.to_string()
    };
    let named: Vec<(String, &str)> = vec![
        (say(json!({"content": null})), "invalid_frame"),
        (say(json!({"content": 7})), "invalid_frame"),
        (say(json!({"content": " \n "})), "invalid_content"),
        (say(json!({"content": "a\u{0}b"})), "invalid_content"),
        (say(json!({"content": "한".repeat(4_001)})), "content_too_long"),
        (say(json!({"room_id": "lobby"})), "invalid_frame"),
        (say(json!({"reply_to_id": "x"})), "invalid_frame"),
        (say(json!({"message_type": "system"})), "invalid_frame"),
        (say(json!({"thread_id": MessageId::random()})), "unsupported_field"),
        (say(json!({"attachments": []})), "unsupported_field"),
        (say(json!({"type": "system"})), "unknown_type"),
        (say(json!({"type": "hello"})), "unknown_type"),
    ];
    for (frame, code) in named {
        let mut phone = gateway.phone_in(&ann, room).await;
        phone.say_text(&frame).await;
        assert_eq!(phone.failed("t").await, (code.into(), false), "{frame}");
        phone.sends(room, &format!("after-{code}"), "the socket lives").await;
    }
    let unnamed: Vec<(String, &str)> = vec![
        (String::new(), "invalid_frame"),
        ("hi".into(), "invalid_frame"),
        ("[]".into(), "invalid_frame"),
        ("null".into(), "invalid_frame"),
        ("{}".into(), "invalid_frame"),
        (r#"{"type":"ping"} {"type":"ping"}"#.into(), "invalid_frame"),
        (r#"{"type":7}"#.into(), "invalid_frame"),
        (r#"{"type":"dance"}"#.into(), "unknown_type"),
        (say(json!({"temp_id": null})), "invalid_temp_id"),
        (say(json!({"temp_id": ""})), "invalid_temp_id"),
        (say(json!({"temp_id": "x".repeat(65)})), "invalid_temp_id"),
        (say(json!({"temp_id": "a\nb"})), "invalid_temp_id"),
        (json!({"type": "join", "room_id": room, "since": -1}).to_string(), "invalid_frame"),
        (json!({"type": "join"}).to_string(), "invalid_frame"),
        (json!({"type": "auth"}).to_string(), "invalid_frame"),
        (json!({"type": "typing", "room_id": room}).to_string(), "invalid_frame"),
        (json!({"type": "ping", "nonce": "x".repeat(65)}).to_string(), "invalid_frame"),
    ];
    for (frame, code) in unnamed {
        let mut phone = gateway.phone(&ann).await;
        phone.say_text(&frame).await;
        assert_eq!(phone.error().await, code, "{frame}");
        phone.settle().await;
    }
    gateway.phone(&ann).await.say_text(r#"{"type":"ping","colour":"blue"}"#).await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn more_than_ten_bad_frames_a_minute_end_the_socket(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let (ann, _ben, room) = scene.pair().await;
    let mut phone = gateway.phone_in(&ann, room).await;
    for n in 0..10 {
        phone.say_text("nonsense").await;
        phone.error().await;
        // Refusals by state do not count.
        let temp_id = format!("t-{n}");
        phone.send(schema::id::RoomId::random(), &temp_id, "x").await;
        assert_eq!(phone.failed(&temp_id).await.0, "not_joined");
    }
    phone.settle().await;
    phone.say_text("nonsense").await;
    phone.error().await;
    assert_eq!(phone.closed().await, 4502);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn content_may_have_four_thousand_characters(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let (ann, _ben, room) = scene.pair().await;
    let mut phone = gateway.phone_in(&ann, room).await;
    for (temp_id, letter) in [("t-1", "x"), ("t-2", "한"), ("t-3", "👋")] {
        let seq = phone.sends(room, temp_id, &letter.repeat(4_000)).await;
        assert_eq!(contents(&phone.log_to(room, seq).await), [Some(letter.repeat(4_000).as_str())]);
    }
    phone.send(room, "t-4", &"x".repeat(4_001)).await;
    assert_eq!(phone.failed("t-4").await.0, "content_too_long");
}

async fn closes(raw: &mut Raw, bytes: &[u8]) -> u16 {
    raw.write(bytes).await;
    let code = raw.close_code().await;
    raw.write(&client_frame(0x88, &code.to_be_bytes())).await;
    raw.end().await;
    code
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn broken_bytes_end_the_socket_with_their_code(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.unlimited().await;
    let ann = scene.user("Ann").await;
    let too_long = client_frame(0x81, &vec![b'x'; 64 * 1024 + 1]);
    let halves = [client_frame(0x01, &vec![b'x'; 40_000]), client_frame(0x80, &vec![b'x'; 40_000])].concat();
    let cases: Vec<(&str, Vec<u8>, u16)> = vec![
        ("64 KiB and one byte", too_long.clone(), 1009),
        ("the same, before its payload has come", too_long[..14].to_vec(), 1009),
        ("too long in pieces", halves, 1009),
        ("not UTF-8", client_frame(0x81, b"\xff\xfe"), 1007),
        ("no mask", vec![0x81, 1, b'x'], 1002),
        ("a reserved bit", client_frame(0xc1, b"{}"), 1002),
        ("a reserved opcode", client_frame(0x83, b"{}"), 1002),
        ("a continuation of nothing", client_frame(0x80, b"{}"), 1002),
        ("a ping in pieces", client_frame(0x09, b"x"), 1002),
        ("half a close code", client_frame(0x88, &[3]), 1002),
        ("binary", client_frame(0x82, b"{}"), 1003),
    ];
    // Each waits for the end of its connection: all together.
    let ends = cases.into_iter().map(async |(which, bytes, code)| {
        let mut raw = gateway.door().token(&ann.token()).open_raw().await.unwrap();
        assert_eq!(closes(&mut raw, &bytes).await, code, "{which}");
    });
    futures_util::future::join_all(ends).await;
    gateway.is_left_alone().await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn what_came_whole_before_something_broken_is_answered(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let ann = scene.user("Ann").await;
    let mut raw = gateway.door().token(&ann.token()).open_raw().await.unwrap();
    raw.write(&[client_frame(0x81, br#"{"type":"ping","nonce":"n"}"#), vec![0x81, 1, b'x']].concat()).await;
    assert_eq!(raw.hears("pong").await["nonce"], "n");
    assert_eq!(raw.close_code().await, 1002);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_message_may_come_in_pieces_with_pings_between(pool: PgPool) {
    let scene = Scene::new(pool).await;
    // Every frame is looked at here, and presence comes at any time.
    let gateway = scene.gateway_with(|config| config.presence = gateway::config::PresenceSwitch::Off).await;
    let (ann, _ben, room) = scene.pair().await;
    let door = gateway.door().token(&ann.token()).query(&format!("event_id={room}"));
    let mut raw = door.open_raw().await.unwrap();
    raw.hears("joined").await;
    let text = r#"{"type":"message","temp_id":"t","content":"안녕 👋"}"#.as_bytes();
    let (first, rest) = text.split_at(text.len() - 8);
    let (second, third) = rest.split_at(3);
    let bytes = [
        client_frame(0x01, first),
        client_frame(0x89, b"are you there"),
        client_frame(0x00, second),
        client_frame(0x80, third),
    ];
    for byte in bytes.concat() {
        raw.write(&[byte]).await;
    }
    assert_eq!(raw.frame().await, (0x8a, b"are you there".to_vec()));
    assert_eq!(raw.hears("message").await["content"], "안녕 👋");
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_user_says_twenty_at_once_and_ten_a_second(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let (ann, _ben, room) = scene.pair().await;
    let (mut phone, mut tablet) = (gateway.phone_in(&ann, room).await, gateway.phone_in(&ann, room).await);
    for n in 0..20 {
        phone.send(room, &format!("p-{n}"), "x").await;
    }
    for n in 0..20 {
        tablet.send(room, &format!("t-{n}"), "x").await;
    }
    let mut refused = Vec::new();
    let mut sent = 0;
    for (socket, prefix) in [(&mut phone, "p"), (&mut tablet, "t")] {
        for n in 0..20 {
            let status = socket.any_status(&format!("{prefix}-{n}")).await;
            if status["status"] == "sent" { sent += 1 } else { refused.push(status) }
        }
    }
    // While they are said some more become free: ten a second.
    assert!((20..35).contains(&sent), "{sent} of 40 went through");
    for status in &refused {
        assert_eq!((&status["status"], &status["code"]), (&json!("failed"), &json!("rate_limited")));
        assert_eq!(status["retry"], true);
        assert!((1..=2_100).contains(&status["retry_after_ms"].as_u64().unwrap()), "{status}");
    }
    let wait = refused.iter().map(|status| status["retry_after_ms"].as_u64().unwrap()).max().unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(wait)).await;
    phone.sends(room, "later", "x").await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_room_takes_fifty_messages_a_second(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let mut users = Vec::new();
    for n in 0..8 {
        users.push(scene.user(&format!("user {n}")).await);
    }
    let room = scene.room(&users.iter().collect::<Vec<_>>()).await;
    let quiet = scene.room(&[&users[0]]).await;
    let mut phones = Vec::new();
    for user in &users {
        phones.push(gateway.phone_in(user, room).await);
    }
    for phone in &mut phones {
        for n in 0..18 {
            phone.send(room, &format!("t-{n}"), "x").await;
        }
    }
    let mut sent = 0;
    for phone in &mut phones {
        for n in 0..18 {
            let status = phone.any_status(&format!("t-{n}")).await;
            if status["status"] == "sent" {
                sent += 1;
            } else {
                assert_eq!((&status["code"], &status["retry"]), (&json!("rate_limited"), &json!(true)));
            }
        }
    }
    assert!((50..120).contains(&sent), "{sent} of 144 went through");
    phones[0].join(quiet).await;
    phones[0].sends(quiet, "t", "another room is free").await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn without_limits_nobody_is_slowed(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.unlimited().await;
    let (ann, _ben, room) = scene.pair().await;
    let mut phones = Vec::new();
    for _ in 0..12 {
        phones.push(gateway.phone_in(&ann, room).await);
    }
    for n in 0..100 {
        phones[0].send(room, &format!("t-{n}"), "x").await;
    }
    for n in 0..100 {
        phones[0].status(&format!("t-{n}"), "sent").await;
    }
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_socket_with_sixteen_unanswered_messages_is_not_read(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.unlimited().await;
    let (ann, _ben, room) = scene.pair().await;
    let mut phone = gateway.phone_in(&ann, room).await;
    scene.operator.js.delete_stream(schema::stream::CHAT_MESSAGES).await.unwrap();
    let mut tap = scene.tap().await;
    for n in 0..17 {
        phone.send(room, &format!("t-{n}"), "x").await;
    }
    phone.say(&json!({"type": "ping"})).await;
    futures_util::StreamExt::next(&mut tap).await.unwrap();
    schema::stream::ensure_all(&scene.worker.js, schema::stream::Sizes::default(), 0).await.unwrap();
    phone.hears("pong").await;
    assert!(phone.count("status") > 0, "the ping waited for an answer to one of the sixteen");
    for n in 0..17 {
        phone.status(&format!("t-{n}"), "sent").await;
    }
}
