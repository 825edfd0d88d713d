//! How sockets live and end.

use schema::change::{Change, ChangeKind};
use serde_json::json;
use sqlx::PgPool;
use std::time::{Duration, Instant};

use crate::{
    harness::{Scene, change, eventually, ms, removal},
    phone::{check_chain, contents},
    raw::client_frame,
};

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn who_is_silent_is_closed_and_who_answers_pings_stays(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene
        .gateway_with(|config| {
            config.ping_every = ms(200);
            config.pong_within = ms(1_000);
        })
        .await;
    let (ann, _ben, room) = scene.pair().await;
    let mut answering = gateway.phone_in(&ann, room).await;
    let mut silent = gateway.door().token(&ann.token()).open_raw().await.unwrap();
    let code = answering.stays_until(async {
        assert_eq!(silent.frame().await.0, 0x81);
        assert_eq!(silent.frame().await.0, 0x89, "it was pinged");
        silent.close_code().await
    });
    assert_eq!(code.await, 4002);
    answering.sends(room, "a-1", "still here").await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_ping_frame_is_answered_with_its_nonce(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let ann = scene.user("Ann").await;
    let mut phone = gateway.phone(&ann).await;
    phone.say(&json!({"type": "ping", "nonce": "n-1"})).await;
    assert_eq!(phone.hears("pong").await, json!({"type": "pong", "nonce": "n-1"}));
    phone.say(&json!({"type": "ping"})).await;
    phone.hears("pong").await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_token_that_ends_closes_the_socket_unless_it_was_renewed(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let (ann, _ben, room) = scene.pair().await;
    // With the 30 s that clocks may differ, both end in about two seconds.
    let token = ann.token_for(-28);
    let mut renewed = gateway.door().token(&token).open().await.unwrap();
    let mut ending = gateway.door().token(&token).open().await.unwrap();
    renewed.join(room).await;
    renewed.say(&json!({"type": "auth", "token": ann.token()})).await;
    let answer = renewed.hears("authenticated").await;
    assert_eq!(answer["user_id"], ann.id.to_string());
    assert!(answer["expires_at"].as_str().unwrap().ends_with('Z'));
    assert_eq!(ending.closed().await, 4003);
    renewed.sends(room, "a-1", "still here").await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_live_socket_stays_its_users_own(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let (ann, ben, room) = scene.pair().await;
    let mut phone = gateway.phone_in(&ann, room).await;
    phone.say(&json!({"type": "auth", "token": ben.token()})).await;
    assert_eq!(phone.error().await, "user_mismatch");
    phone.say(&json!({"type": "auth", "token": "canary"})).await;
    assert_eq!(phone.error().await, "invalid_token");
    let seq = phone.sends(room, "a-1", "still Ann").await;
    assert_eq!(phone.log_to(room, seq).await[0]["sender_id"], ann.id.to_string());
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn who_is_removed_hears_it_and_nothing_more(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let (left, right) = (scene.gateway().await, scene.gateway().await);
    let (ann, ben, room) = scene.pair().await;
    let other = scene.room(&[&ann, &ben]).await;
    let mut ann_phone = left.phone_in(&ann, room).await;
    ann_phone.join(other).await;
    let mut everywhere = right.phone_in(&ben, room).await;
    everywhere.join(other).await;
    let door = left.door().token(&ben.token()).query(&format!("event_id={room}"));
    let mut only_here = door.open().await.unwrap();
    only_here.joined(room).await;

    scene.remove_quietly(room, &ben).await;
    let committed = Instant::now();
    scene.announce(&removal(room, &ben)).await;
    let removed = everywhere.hears("removed").await;
    assert_eq!(removed, json!({"type": "removed", "room_id": room, "reason": "participant_removed"}));
    assert_eq!(only_here.closed().await, 4004);
    assert_eq!(only_here.count("removed"), 1);
    assert!(committed.elapsed() < Duration::from_secs(1), "{:?}", committed.elapsed());

    ann_phone.sends(room, "a-1", "between us").await;
    let seq = ann_phone.sends(other, "a-2", "for all").await;
    assert_eq!(contents(&everywhere.log_to(other, seq).await), [Some("for all")]);
    everywhere.settle().await;
    assert!(everywhere.take_log(room).is_empty());
    everywhere.send(room, "b-1", "may I?").await;
    assert_eq!(everywhere.failed("b-1").await.0, "not_joined");
    everywhere.say(&json!({"type": "join", "room_id": room, "since": 0})).await;
    assert_eq!(everywhere.error().await, "not_a_member");
    let answer = left.door().token(&ben.token()).query(&format!("event_id={room}")).refused().await;
    assert_eq!(answer.what(), (403, "not_a_member".into()));
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn who_is_added_gets_in_at_once(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let (_ann, _ben, room) = scene.pair().await;
    let cem = scene.user("Cem").await;
    let mut phone = gateway.phone(&cem).await;
    phone.say(&json!({"type": "join", "room_id": room})).await;
    assert_eq!(phone.error().await, "not_a_member");
    scene.add(room, &cem).await;
    let added = Change { removed: Vec::new(), added: vec![cem.id], ..removal(room, &cem) };
    scene.announce(&added).await;
    let let_in = async || {
        phone.say(&json!({"type": "join", "room_id": room})).await;
        let answer =
            phone.hears_where("an answer", |frame| frame["type"] == "joined" || frame["type"] == "error").await;
        (answer["type"] == "joined").then_some(())
    };
    let started = Instant::now();
    eventually("Cem is let in", let_in).await;
    assert!(started.elapsed() < Duration::from_secs(3), "before the cached answer has grown old");
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_signed_out_session_ends_its_sockets(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let (ann, _ben, room) = scene.pair().await;
    let mut phone = gateway.phone_in(&ann, room).await;
    let mut other_device = crate::harness::User { sid: schema::id::SessionId::random(), ..ann.clone() };
    let mut tablet = gateway.phone_in(&other_device, room).await;
    other_device.sid = ann.sid;
    scene.revoke_quietly(&ann).await;
    let committed = Instant::now();
    let revoked = Change { user_id: Some(ann.id), sid: Some(ann.sid), ..change(ChangeKind::UserSessionsRevoked) };
    scene.announce(&revoked).await;
    assert_eq!(phone.closed().await, 4504);
    assert!(committed.elapsed() < Duration::from_secs(1), "{:?}", committed.elapsed());
    tablet.sends(room, "a-1", "another device stays").await;
    let all = Change { user_id: Some(ann.id), sid: None, ..change(ChangeKind::UserSessionsRevoked) };
    scene.announce(&all).await;
    assert_eq!(tablet.closed().await, 4504);
    let door = gateway.door().token(&ann.token()).open_raw();
    assert_eq!(door.await.err().map(|answer| answer.status), Some(401), "nor does the token open a new one");
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_slow_reader_is_dropped_and_delays_nobody(pool: PgPool) {
    let scene = Scene::new(pool).await;
    // Its queue is full long before its write has stalled for so long.
    let gateway = scene.gateway_with(|config| config.write_within = ms(3_600_000)).await;
    let (ann, ben, room) = scene.pair().await;
    let mut quick = gateway.phone_in(&ann, room).await;
    let door = gateway.door().token(&ben.token()).query(&format!("event_id={room}"));
    let mut slow = door.open_raw().await.unwrap();
    slow.hears("joined").await;
    let content = "x".repeat(4_000);
    let mut worst = Duration::ZERO;
    let mut said = 0;
    while gateway.gateway.sockets.of(ben.id).iter().any(|socket| socket.closing().is_none()) {
        let started = Instant::now();
        let seq = scene.publish(room, &ann, &format!("a-{said}"), &content).await;
        quick.log_to(room, seq).await;
        worst = worst.max(started.elapsed());
        said += 1;
        assert!(said < 5_000, "the slow reader is never dropped");
    }
    // It reads at last, in time for its close frame.
    assert_eq!(slow.close_code().await, 4001);
    assert!(worst < Duration::from_secs(1), "somebody waited {worst:?} for a slow reader");
    slow.write(&client_frame(0x88, &4001_u16.to_be_bytes())).await;
    slow.end().await;
    eventually("the slow socket is gone", async || (gateway.gateway.sockets.len() == 1).then_some(())).await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_slow_reader_catches_up_at_its_own_pace(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.unlimited().await;
    let (ann, ben, room) = scene.pair().await;
    // Far more than may be queued, and than the kernel takes.
    let body = "x".repeat(4_000);
    let mut last = 0;
    for n in 0..3_000 {
        last = scene.publish(room, &ann, &format!("a-{n}"), &body).await;
    }
    let mut raw =
        gateway.door().token(&ben.token()).query(&format!("event_id={room}&since=0")).open_raw().await.unwrap();
    let mut live = gateway.phone_in(&ann, room).await;
    let started = Instant::now();
    live.sends(room, "live", "others are not held up").await;
    assert!(started.elapsed() < Duration::from_secs(2));
    let mut frames = Vec::new();
    while frames.len() < 3_001 {
        frames.push(raw.hears("message").await);
    }
    assert_eq!(check_chain(0, &frames), last + 1);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_client_that_closes_is_answered_in_kind(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let (ann, ben, room) = scene.pair().await;
    let mut phone = gateway.phone_in(&ann, room).await;
    assert_eq!(phone.close().await, 1000);
    let mut raw = gateway.door().token(&ben.token()).open_raw().await.unwrap();
    raw.write(&client_frame(0x88, b"")).await;
    assert_eq!(raw.close_code().await, 1000);
    raw.end().await;
    let vanished = gateway.phone_in(&ann, room).await;
    drop(vanished);
    gateway.is_left_alone().await;
    assert!(gateway.gateway.hub.rooms().is_empty(), "an empty room is given up");
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_closed_connection_ends_though_the_peer_says_nothing_more(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let ann = scene.user("Ann").await;
    let mut raw = gateway.door().token(&ann.token()).open_raw().await.unwrap();
    raw.write(&client_frame(0x82, b"binary")).await;
    assert_eq!(raw.close_code().await, 1003);
    let closed = Instant::now();
    raw.end().await;
    assert!(closed.elapsed() < Duration::from_secs(3), "nothing can be said after broken framing");
    // Whoever could still answer is waited for, but not for ever.
    let mut raw = gateway.door().token(&ann.token()).open_raw().await.unwrap();
    for _ in 0..=10 {
        raw.write(&client_frame(0x81, b"nonsense")).await;
    }
    assert_eq!(raw.close_code().await, 4502);
    let closed = Instant::now();
    raw.end().await;
    let waited = closed.elapsed();
    assert!(waited > Duration::from_secs(3) && waited < Duration::from_secs(7), "TCP ended after {waited:?}");
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_gateway_that_stops_answers_and_sends_everybody_elsewhere(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let mut gateway = scene.gateway_with(|config| config.drain_within = ms(500)).await;
    let other = scene.gateway().await;
    let (ann, ben, room) = scene.pair().await;
    let (mut ann_phone, mut ben_phone) = (gateway.phone_in(&ann, room).await, gateway.phone_in(&ben, room).await);
    // Without its stream the log gives no answer yet.
    let mut tap = scene.tap().await;
    scene.operator.js.delete_stream(schema::stream::CHAT_MESSAGES).await.unwrap();
    ann_phone.send(room, "a-1", "on its way").await;
    futures_util::StreamExt::next(&mut tap).await.unwrap();
    gateway.lifecycle.stop();
    let answer = gateway.door().token(&ann.token()).refused().await;
    assert_eq!(answer.what(), (503, "draining".into()));
    assert!(answer.head.contains("Retry-After: "), "{}", answer.head);
    ben_phone.send(room, "b-1", "too late").await;
    assert_eq!(ben_phone.failed("b-1").await, ("unavailable".into(), true));
    schema::stream::ensure_all(&scene.worker.js, schema::stream::Sizes::default(), 0).await.unwrap();
    ann_phone.status("a-1", "sent").await;
    for phone in [&mut ann_phone, &mut ben_phone] {
        assert!(phone.hears("reconnect").await["after_ms"].is_u64());
        assert_eq!(phone.closed().await, 1012);
    }
    assert!(gateway.ended.take().unwrap().await.unwrap(), "it ended in good order");
    let (frames, _) = other.phone(&ben).await.join_since(room, 0).await;
    assert_eq!(contents(&frames), [Some("on its way")]);
}
