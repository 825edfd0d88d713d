//! More than a gateway can take: each limit has its code, and what holds on is not harmed.

use std::time::Duration;

use schema::id::RoomId;
use serde_json::json;
use sqlx::PgPool;

use crate::{
    harness::{Scene, TestGateway, User, eventually, ms},
    metrics::Scrape,
    raw::{Answer, Raw},
};

/// A socket in the room that is never read.
async fn slow_reader(gateway: &TestGateway, user: &User, room: RoomId) -> Raw {
    let door = gateway.door().token(&user.token()).query(&format!("event_id={room}")).taking_little();
    let mut raw = door.open_raw().await.unwrap();
    raw.hears("joined").await;
    raw
}

/// Bytes that wait for the user's only socket.
fn waiting(gateway: &TestGateway, user: &User) -> usize {
    gateway.gateway.sockets.of(user.id).iter().map(|socket| socket.queued_bytes()).sum()
}

/// Talks in the room until it is enough, and says nothing new before the gateway has shown what was said.
async fn talk(scene: &Scene, gateway: &TestGateway, room: RoomId, user: &User, mut is_enough: impl FnMut() -> bool) {
    let body = "x".repeat(4_000);
    for n in 0..5_000 {
        if is_enough() {
            return;
        }
        let seq = scene.publish(room, user, &format!("talk-{n}"), &body).await;
        eventually("it is shown", async || {
            // A room that nobody is in any more shows nothing.
            gateway.gateway.hub.find(room).is_none_or(|room| room.last() >= seq).then_some(())
        })
        .await;
    }
    panic!("it is never enough");
}

async fn nothing_waits(gateway: &TestGateway) {
    eventually("nothing waits", async || (gateway.gateway.budget.queued_bytes() == 0).then_some(())).await;
    assert_eq!(Scrape::of(gateway).await.sum("gateway_queued_bytes"), 0);
}

/// That it is refused for now, and told when to come back.
fn comes_back(answer: &Answer, code: &str) {
    assert_eq!(answer.what(), (503, code.into()));
    let after = answer.head.lines().find_map(|line| line.strip_prefix("Retry-After: ")).unwrap();
    assert!((1..=3).contains(&after.parse::<u64>().unwrap()), "{after} s");
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn too_many_handshakes_a_second_are_told_to_come_back(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway_with(|config| config.handshakes_per_second = 2).await;
    let free = scene.unlimited().await;
    let (ann, _ben, room) = scene.pair().await;
    let mut phone = gateway.phone_in(&ann, room).await;
    let storm = (0..9).map(|_| gateway.door().token(&ann.token()).open_raw());
    let answers = futures_util::future::join_all(storm).await;
    let refused: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
    assert!((1..=8).contains(&refused.len()), "{} of 9 were refused", refused.len());
    for answer in &refused {
        comes_back(answer, "too_many_handshakes");
    }
    let counted = Scrape::of(&gateway).await.sum("gateway_handshakes_refused_total code=\"too_many_handshakes\"");
    assert_eq!(counted, u64::try_from(refused.len()).unwrap());
    // The credential is not even looked at.
    eventually("nonsense is refused for its time", async || {
        let answer = gateway.door().token("nonsense").refused().await;
        (answer.status == 503).then(|| comes_back(&answer, "too_many_handshakes"))
    })
    .await;
    assert_eq!(gateway.door().path("/health").refused().await.status, 200, "others are answered");
    phone.sends(room, "a-1", "nor are those harmed who are in").await;
    drop(answers);
    eventually("there is room again", async || gateway.door().token(&ann.token()).open_raw().await.ok()).await;
    let storm = (0..30).map(|_| free.door().token(&ann.token()).open_raw());
    assert!(futures_util::future::join_all(storm).await.iter().all(Result::is_ok), "limits are off");
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn connections_that_never_finish_their_handshake_are_few(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway_with(|config| config.handshakes_unfinished_max = 3).await;
    let (ann, _ben, room) = scene.pair().await;
    let mut phone = gateway.phone_in(&ann, room).await;
    let mut trickling = Vec::new();
    for _ in 0..3 {
        let mut raw = Raw::connect(gateway.address).await;
        raw.write(b"GET /api/v1/ws HTTP/1.1\r\nHost:").await;
        trickling.push(raw);
    }
    let door = || gateway.door().token(&ann.token());
    // The kernel accepts before the gateway does.
    let answer = eventually("the trickling ones are in", async || door().open_raw().await.err()).await;
    comes_back(&answer, "too_many_unfinished");
    phone.sends(room, "a-1", "those who are in are not harmed").await;
    trickling.pop();
    eventually("one has given up", async || door().open_raw().await.ok()).await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_gateway_has_so_many_places_and_no_more(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway_with(|config| config.connections_max = Some(2)).await;
    let ann = scene.user("Ann").await;
    let (_one, two) = (gateway.phone(&ann).await, gateway.phone(&ann).await);
    let answer = gateway.door().token(&ann.token()).refused().await;
    assert_eq!(answer.what(), (429, "too_many_connections".into()));
    drop(two);
    eventually("a place is free", async || gateway.door().token(&ann.token()).open_raw().await.ok()).await;
}

#[test]
fn more_sockets_than_files_end_the_program_with_the_settings_name() {
    let gateway = std::process::Command::new(env!("CARGO_BIN_EXE_gateway"))
        .envs([
            ("TIMINGLE_ENV", "development"),
            ("GATEWAY_DEV_NO_AUTH", "true"),
            ("GATEWAY_CONNECTIONS_MAX", "4000000000"),
            ("DATABASE_URL", "postgres://localhost/none"),
            ("NATS_URL", "nats://localhost"),
            ("REDIS_URL", "redis://localhost"),
        ])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&gateway.stderr);
    assert_eq!(gateway.status.code(), Some(64), "{said}");
    assert!(said.contains("GATEWAY_CONNECTIONS_MAX is above "), "{said}");
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn over_the_budget_the_longest_queue_is_given_up_first(pool: PgPool) {
    let scene = Scene::new(pool).await;
    // On a busy machine, too, it is the budget that ends a socket, and not how long its write has stalled.
    let gateway = scene
        .gateway_with(|config| {
            config.queued_bytes_max = 240_000;
            config.write_within = ms(3_600_000);
        })
        .await;
    let (ann, ben, one) = scene.pair().await;
    let cem = scene.user("Cem").await;
    let other = scene.room(&[&ann, &cem]).await;
    let (mut long, short) = (slow_reader(&gateway, &ben, one).await, slow_reader(&gateway, &cem, other).await);
    let mut phone = gateway.phone_in(&ann, one).await;
    talk(&scene, &gateway, one, &ann, || waiting(&gateway, &ben) > 150_000).await;
    // Or gone by now, as a socket is a while after.
    let is_given_up = |user: &User| gateway.gateway.sockets.of(user.id).iter().all(|socket| socket.closing().is_some());
    assert!(!is_given_up(&ben), "there is room");
    talk(&scene, &gateway, other, &ann, || is_given_up(&ben)).await;
    assert!(!is_given_up(&cem), "the shorter queue stays");
    assert!(waiting(&gateway, &cem) > 60_000, "and waits on");
    assert_eq!(long.close_code().await, 4001);
    phone.sends(one, "a-1", "who reads is not harmed").await;
    drop((long, short));
    nothing_waits(&gateway).await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn over_the_budget_nobody_is_let_in(pool: PgPool) {
    let scene = Scene::new(pool).await;
    // Even the close frame of who is given up is too much.
    let gateway = scene.gateway_with(|config| config.queued_bytes_max = 1).await;
    let (ann, ben, room) = scene.pair().await;
    let mut phone = gateway.phone_in(&ann, room).await;
    let slow = slow_reader(&gateway, &ben, room).await;
    talk(&scene, &gateway, room, &ann, || gateway.gateway.budget.queued_bytes() > 1).await;
    comes_back(&gateway.door().token(&ann.token()).refused().await, "overloaded");
    phone.settle().await;
    drop(slow);
    nothing_waits(&gateway).await;
    gateway.phone(&ann).await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn near_the_budget_signals_are_dropped_for_all(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway_with(|config| config.queued_bytes_max = 240_000).await;
    let (ann, ben, room) = scene.pair().await;
    let cem = scene.user("Cem").await;
    scene.add(room, &cem).await;
    let (mut phone, mut hearing) = (gateway.phone_in(&ann, room).await, gateway.phone_in(&cem, room).await);
    let slow = slow_reader(&gateway, &ben, room).await;
    // One by one: what is published ahead of the gateway could take it over the budget, and the queue be given up.
    for n in 0.. {
        if waiting(&gateway, &ben) > 210_000 {
            break;
        }
        scene.publish(room, &ann, &format!("talk-{n}"), &"x".repeat(4_000)).await;
        hearing.hears("message").await;
    }
    let typing = json!({"type": "typing", "room_id": room, "active": true});
    phone.say(&typing).await;
    let dropped = "gateway_frames_dropped_total reason=\"gateway_behind\"";
    eventually("a signal is dropped", async || (Scrape::of(&gateway).await.sum(dropped) > 0).then_some(())).await;
    hearing.settle().await;
    assert_eq!(hearing.count("typing"), 0);
    drop(slow);
    nothing_waits(&gateway).await;
    tokio::time::sleep(schema::frame::limit::TYPING_EVERY + ms(50)).await;
    phone.say(&typing).await;
    hearing.hears("typing").await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn nothing_waits_once_slow_readers_are_gone_however_they_went(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene
        .gateway_with(|config| {
            config.drain_within = ms(100);
            config.write_within = Duration::from_secs(1);
        })
        .await;
    let (ann, ben, room) = scene.pair().await;
    let cem = scene.user("Cem").await;
    scene.add(room, &cem).await;
    let is_closing = || gateway.gateway.sockets.of(ben.id).iter().all(|socket| socket.closing().is_some());
    // One is too far behind, one vanishes.
    let too_slow = slow_reader(&gateway, &ben, room).await;
    talk(&scene, &gateway, room, &ann, is_closing).await;
    let vanishing = slow_reader(&gateway, &cem, room).await;
    talk(&scene, &gateway, room, &cem, || waiting(&gateway, &cem) > 50_000).await;
    drop((too_slow, vanishing));
    nothing_waits(&gateway).await;
    // One takes nothing for too long, in a replay.
    let door = gateway.door().token(&ben.token()).query(&format!("event_id={room}&since=0")).taking_little();
    let stalled = door.open_raw().await.unwrap();
    eventually("a page waits", async || (gateway.gateway.budget.queued_bytes() > 50_000).then_some(())).await;
    eventually("it is given up", async || is_closing().then_some(())).await;
    drop(stalled);
    nothing_waits(&gateway).await;
    // One is behind when the gateway stops.
    let left_behind = slow_reader(&gateway, &ben, room).await;
    talk(&scene, &gateway, room, &ben, || waiting(&gateway, &ben) > 50_000).await;
    gateway.lifecycle.stop();
    gateway.is_left_alone().await;
    assert_eq!(gateway.gateway.budget.queued_bytes(), 0);
    drop(left_behind);
}
