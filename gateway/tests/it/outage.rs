//! NATS or PostgreSQL is away for a while: sockets stay, nothing is called failed that may be stored.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use gateway::config::Config;
use ops::broker::Broker;
use schema::{
    change::{Change, ChangeKind},
    stream::{self, Sizes},
};
use serde_json::{Value, json};
use sqlx::{ConnectOptions as _, PgPool};

use crate::{
    faults::{look_of_the_first_second, never_on_the_wheel},
    harness::{Scene, TestGateway, change, eventually, ms},
    phone::{Phone, check_chain, contents},
    proxy::Wire,
};

/// A gateway whose way to NATS can be cut.
pub(crate) async fn on_a_wire(scene: &Scene) -> (TestGateway, Wire) {
    on_a_wire_with(scene, |_| {}).await
}

/// The same with adjusted settings.
pub(crate) async fn on_a_wire_with(scene: &Scene, adjust_more: impl FnOnce(&mut Config)) -> (TestGateway, Wire) {
    let wire = Wire::to(SocketAddr::from(([127, 0, 0, 1], scene.nats.port()))).await;
    let url = scene.nats.url("gateway").replace(&format!(":{}", scene.nats.port()), &format!(":{}", wire.port));
    let adjust = |config: &mut Config| {
        config.broker.nats_url = url.into();
        never_on_the_wheel(config);
        adjust_more(config);
    };
    (scene.gateway_with(adjust).await, wire)
}

async fn is_connected(broker: &Broker, wanted: bool) {
    eventually("the link is as it should be", async || (broker.is_connected() == wanted).then_some(())).await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn sockets_outlive_a_killed_broker_and_sends_end_as_sent(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let (ann, ben, room) = scene.pair().await;
    let (mut ann_phone, mut ben_phone) = (gateway.phone_in(&ann, room).await, gateway.phone_in(&ben, room).await);
    for n in 0..10 {
        ann_phone.send(room, &format!("a-{n}"), &n.to_string()).await;
    }
    scene.nats.kill();
    is_connected(&gateway.gateway.broker, false).await;
    ben_phone.send(room, "b-1", "in the dark").await;
    ben_phone.settle().await;
    assert_eq!(ben_phone.count("status"), 0, "nothing is known yet");
    scene.nats.restart().await;
    let mut last = 0;
    for n in 0..10 {
        let status = ann_phone.any_status(&format!("a-{n}")).await;
        assert_eq!(status["status"], "sent", "{status}");
        last = last.max(status["seq"].as_u64().unwrap());
    }
    let status = ben_phone.any_status("b-1").await;
    assert_eq!(status["status"], "sent", "{status}");
    last = last.max(status["seq"].as_u64().unwrap());
    for phone in [&mut ann_phone, &mut ben_phone] {
        let frames = phone.log_to(room, last).await;
        assert_eq!(check_chain(0, &frames), last);
        assert_eq!(frames.len(), 11, "each message is there once");
    }
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn what_was_said_elsewhere_while_the_link_was_cut_is_shown_after(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let (gateway, wire) = on_a_wire(&scene).await;
    let (ann, ben, room) = scene.pair().await;
    let mut phone = gateway.phone_in(&ben, room).await;
    let first = look_of_the_first_second(&scene, &gateway, &mut phone, room, &ann).await;
    wire.cut().await;
    is_connected(&gateway.gateway.broker, false).await;
    let last = scene.publish_many(room, &ann, 450).await;
    phone.settle().await;
    assert!(phone.take_log(room).is_empty());
    wire.mend();
    let frames = phone.log_to(room, last).await;
    assert_eq!(check_chain(first, &frames), last);
    assert_eq!(frames.len(), 450);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_gateway_that_lost_its_broker_still_stops_when_it_is_told_to(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let (mut gateway, wire) = on_a_wire_with(&scene, |config| config.drain_within = ms(100)).await;
    let (ann, _ben, room) = scene.pair().await;
    let mut phone = gateway.phone_in(&ann, room).await;
    wire.cut().await;
    is_connected(&gateway.gateway.broker, false).await;
    gateway.lifecycle.stop();
    assert_eq!(phone.closed().await, 1012);
    let ended = tokio::time::timeout(Duration::from_secs(15), gateway.ended.take().unwrap()).await;
    assert!(ended.expect("it stops").unwrap(), "in good order");
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_send_without_an_answer_in_its_budget_is_unknown(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway_with(|config| config.publish_within = ms(800)).await;
    let (ann, _ben, room) = scene.pair().await;
    let mut phone = gateway.phone_in(&ann, room).await;
    scene.nats.kill();
    is_connected(&gateway.gateway.broker, false).await;
    phone.send(room, "a-1", "into the dark").await;
    let status = phone.any_status("a-1").await;
    assert_eq!(
        status,
        json!({"type": "status", "room_id": room, "temp_id": "a-1", "status": "unknown", "retry": true})
    );
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_send_that_nobody_takes_in_its_budget_has_failed(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway_with(|config| config.publish_within = ms(800)).await;
    let (ann, _ben, room) = scene.pair().await;
    let mut phone = gateway.phone_in(&ann, room).await;
    scene.operator.js.delete_stream(stream::CHAT_MESSAGES).await.unwrap();
    phone.send(room, "a-1", "to nobody").await;
    assert_eq!(phone.failed("a-1").await, ("unavailable".into(), true));
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_full_log_refuses_and_the_sender_may_try_again(pool: PgPool) {
    let scene = Scene::sized(pool, Sizes { chat_bytes_max: 16 * 1024, ..Sizes::default() }).await;
    let gateway = scene.unlimited().await;
    let (ann, ben, room) = scene.pair().await;
    let (mut phone, mut listener) = (gateway.phone_in(&ann, room).await, gateway.phone_in(&ben, room).await);
    let mut last = 0;
    let mut said = 0;
    let failed = loop {
        let temp_id = format!("a-{said}");
        phone.send(room, &temp_id, &"x".repeat(3_000)).await;
        let status = phone.any_status(&temp_id).await;
        if status["status"] != "sent" {
            break status;
        }
        last = status["seq"].as_u64().unwrap();
        said += 1;
        assert!(said < 10, "the log is never full");
    };
    assert_eq!(
        (&failed["status"], &failed["code"], &failed["retry"]),
        (&json!("failed"), &json!("unavailable"), &json!(true))
    );
    assert_eq!(listener.log_to(room, last).await.len(), said);
    scene.purge_below(last + 1).await;
    let seq = phone.sends(room, &format!("a-{said}"), "now there is room").await;
    assert_eq!(check_chain(last, &listener.log_to(room, seq).await), seq);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_removal_that_was_not_heard_is_found_after_the_link_is_back(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let (gateway, wire) = on_a_wire(&scene).await;
    let (ann, ben, room) = scene.pair().await;
    let mut phone = gateway.phone_in(&ben, room).await;
    let mut signed_out = gateway.phone(&ann).await;
    wire.cut().await;
    is_connected(&gateway.gateway.broker, false).await;
    scene.remove_quietly(room, &ben).await;
    scene.revoke_quietly(&ann).await;
    scene.publish(room, &ann, "a-1", "not for Ben any more").await;
    wire.mend();
    assert_eq!(phone.hears("removed").await["reason"], "participant_removed");
    assert_eq!(signed_out.closed().await, 4504);
    // Whatever the resync shows has been shown when the gateway knows a later message.
    let cem = scene.user("Cem").await;
    scene.add(room, &cem).await;
    let last = scene.publish(room, &ann, "a-2", "later").await;
    let mut witness = gateway.phone(&cem).await;
    let (frames, _) = witness.join_since(room, 0).await;
    assert_eq!(check_chain(0, &frames), last);
    phone.settle().await;
    assert!(phone.take_log(room).is_empty(), "membership is checked before what was missed is shown");
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_log_whose_numbers_went_back_takes_no_messages(pool: PgPool) {
    let scene = Scene::new(pool).await;
    scene.store.raise_high_water(1_000).await.unwrap();
    let gateway = scene.gateway_that_is_red().await;
    let (ann, _ben, room) = scene.pair().await;
    eventually("the gateway has compared", async || gateway.gateway.health.is_behind().then_some(())).await;
    let mut phone = gateway.phone_in(&ann, room).await;
    phone.send(room, "a-1", "hi").await;
    assert_eq!(phone.failed("a-1").await, ("log_behind".into(), true));
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn what_waits_for_the_link_is_not_published_into_an_older_copy_of_the_log(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let (gateway, wire) = on_a_wire_with(&scene, |config| config.publish_within = ms(2_000)).await;
    let (ann, _ben, room) = scene.pair().await;
    let mut phone = gateway.phone_in(&ann, room).await;
    // No mark in the store says so yet: the gateway itself has seen these numbers.
    for n in 0..3 {
        phone.sends(room, &format!("a-{n}"), "hi").await;
    }
    wire.cut().await;
    is_connected(&gateway.gateway.broker, false).await;
    phone.send(room, "b", "said while the link was gone").await;
    scene.forget_the_log().await;
    wire.mend();
    assert_eq!(phone.status("b", "unknown").await["retry"], json!(true));
    assert_eq!(scene.log_len().await, 0, "its number would be one that was given before");
    phone.send(room, "c", "hi").await;
    assert_eq!(phone.failed("c").await, ("log_behind".into(), true));
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_worker_that_is_far_behind_closes_the_log_to_new_messages(pool: PgPool) {
    let scene = Scene::sized(pool, Sizes { chat_age_max: Duration::from_hours(1), ..Sizes::default() }).await;
    let (ann, ben, room) = scene.pair().await;
    scene.publish(room, &ben, "b-1", "not stored").await;
    // By this gateway's clock that was 31 minutes ago.
    let gateway = scene.gateway_with(|config| config.common.clock.clock_offset_ms = 31 * 60_000).await;
    let token =
        crate::keys::known().sign(&schema::token::Claims { exp: crate::harness::unix_now() + 7_200, ..ann.claims() });
    let mut phone = gateway.door().token(&token).query(&format!("event_id={room}")).open().await.unwrap();
    phone.joined(room).await;
    phone.send(room, "a-1", "hi").await;
    assert_eq!(phone.failed("a-1").await, ("backlog".into(), true));
    scene.work().await;
    eventually("the log is open again", async || gateway.gateway.health.may_send().ok()).await;
    phone.sends(room, "a-1", "hi").await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn without_postgresql_joined_sockets_chat_on_and_newcomers_wait(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let options = scene.pool.connect_options();
    let wire = Wire::to(SocketAddr::from(([127, 0, 0, 1], options.get_port()))).await;
    let url = sqlx::postgres::PgConnectOptions::clone(&options).port(wire.port).to_url_lossy().to_string();
    let gateway = scene.gateway_with(|config| config.database.database_url = url.into()).await;
    let (ann, ben, room) = scene.pair().await;
    let other = scene.room(&[&ann, &ben]).await;
    let (mut ann_phone, mut ben_phone) = (gateway.phone_in(&ann, room).await, gateway.phone_in(&ben, room).await);
    wire.cut().await;
    let seq = ann_phone.sends(room, "a-1", "we chat on").await;
    assert_eq!(contents(&ben_phone.log_to(room, seq).await), [Some("we chat on")]);
    // What was answered in the last minute still serves; what was never asked does not.
    let cut_at = Instant::now();
    while cut_at.elapsed() < Duration::from_secs(6) {
        join_again(&mut ben_phone, room, seq).await;
        tokio::time::sleep(ms(500)).await;
    }
    ben_phone.say(&json!({"type": "join", "room_id": other})).await;
    assert_eq!(ben_phone.error().await, "unavailable");
    let answer = gateway.door().token(&ann.token()).query(&format!("event_id={other}")).refused().await;
    assert_eq!(answer.what(), (503, "unavailable".into()));
    assert!(answer.head.contains("Retry-After: "), "{}", answer.head);
    wire.mend();
    eventually("newcomers are let in", async || {
        let answer = gateway.door().token(&ann.token()).query(&format!("event_id={other}")).open().await;
        answer.ok()
    })
    .await;
    ben_phone.join(other).await;
}

async fn join_again(phone: &mut Phone, room: schema::id::RoomId, since: u64) {
    let (frames, joined): (Vec<Value>, Value) = phone.join_since(room, since).await;
    assert!(frames.is_empty());
    assert_eq!(joined["recovered"], true);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_change_that_is_not_ours_does_no_harm(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let (ann, _ben, room) = scene.pair().await;
    let mut phone = gateway.phone_in(&ann, room).await;
    scene.operator.client.publish("event.participants_changed", "nonsense".into()).await.unwrap();
    let of_nobody = Change { room_id: None, ..change(ChangeKind::RoomMembersChanged) };
    scene.announce(&of_nobody).await;
    phone.sends(room, "a-1", "hi").await;
}
