//! Live copies that go missing are found, and shown in order.

use gateway::config::Config;
use schema::id::RoomId;
use sqlx::PgPool;

use crate::{
    harness::{Scene, TestGateway, User, ms},
    phone::{Phone, check_chain, contents},
};

pub(crate) fn never_on_the_wheel(config: &mut Config) {
    config.resync_every = ms(3_600_000);
}

/// Waits until the look that follows a room's first subscription by a second is over: a copy lost before it
/// is found by it, and one lost after it is not.
pub(crate) async fn look_of_the_first_second(
    scene: &Scene,
    gateway: &TestGateway,
    phone: &mut Phone,
    room: RoomId,
    by: &User,
) -> u64 {
    gateway.gateway.lose_live_copies(1);
    let seq = scene.publish(room, by, "first-second", "lost").await;
    let found = tokio::time::timeout(ms(4_000), phone.log_to(room, seq)).await;
    assert!(found.is_ok(), "a copy lost right after the subscription is found within seconds");
    seq
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_lost_live_copy_is_shown_when_its_retry_is_a_duplicate(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway_with(never_on_the_wheel).await;
    let (ann, ben, room) = scene.pair().await;
    let (mut ann_phone, mut ben_phone) = (gateway.phone_in(&ann, room).await, gateway.phone_in(&ben, room).await);
    look_of_the_first_second(&scene, &gateway, &mut ben_phone, room, &ben).await;
    gateway.gateway.lose_live_copies(1);
    let seq = ann_phone.sends(room, "a-1", "lost").await;
    ben_phone.settle().await;
    assert!(ben_phone.take_log(room).is_empty());
    assert_eq!(ann_phone.sends(room, "a-1", "lost").await, seq, "a duplicate");
    for phone in [&mut ann_phone, &mut ben_phone] {
        let frames = phone.log_to(room, seq).await;
        assert_eq!(frames.last().unwrap()["content"], "lost");
        phone.settle().await;
        assert!(phone.take_log(room).is_empty(), "shown once");
    }
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_gap_is_filled_in_order_before_what_follows_it(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway_with(never_on_the_wheel).await;
    let (ann, ben, room) = scene.pair().await;
    let mut phone = gateway.phone_in(&ben, room).await;
    look_of_the_first_second(&scene, &gateway, &mut phone, room, &ben).await;
    gateway.gateway.lose_live_copies(3);
    for n in 0..3 {
        scene.publish(room, &ann, &format!("a-{n}"), &format!("lost {n}")).await;
    }
    phone.settle().await;
    assert!(phone.take_log(room).is_empty());
    let last = scene.publish(room, &ann, "a-3", "after").await;
    let frames = phone.log_to(room, last).await;
    assert_eq!(contents(&frames), [Some("lost 0"), Some("lost 1"), Some("lost 2"), Some("after")]);
    check_chain(1, &frames);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_lost_copy_with_nothing_after_it_is_found_on_the_wheel(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway_with(|config| config.resync_every = ms(300)).await;
    let (ann, ben, room) = scene.pair().await;
    let mut phone = gateway.phone_in(&ben, room).await;
    look_of_the_first_second(&scene, &gateway, &mut phone, room, &ben).await;
    for n in 0..3 {
        gateway.gateway.lose_live_copies(1);
        let seq = scene.publish(room, &ann, &format!("a-{n}"), "lost").await;
        let frames = phone.log_to(room, seq).await;
        assert_eq!(check_chain(seq - 1, &frames), seq);
    }
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_gateway_that_loses_every_copy_still_shows_everything_once(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway_with(|config| config.resync_every = ms(100)).await;
    let (ann, ben, room) = scene.pair().await;
    let mut phone = gateway.phone_in(&ben, room).await;
    gateway.gateway.lose_live_copies(u32::MAX);
    let last = scene.publish_many(room, &ann, 1_000).await;
    let frames = phone.log_to(room, last).await;
    assert_eq!(check_chain(0, &frames), last);
    assert_eq!(frames.len(), 1_000);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn in_all_mode_rooms_are_heard_and_gaps_are_filled_too(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let all = |config: &mut Config| {
        config.subscribe = gateway::config::Subscribe::All;
        never_on_the_wheel(config);
    };
    let gateway = scene.gateway_with(all).await;
    let (ann, ben, room) = scene.pair().await;
    let other = scene.room(&[&ben]).await;
    let mut phone = gateway.phone_in(&ben, room).await;
    phone.join(other).await;
    let elsewhere = scene.publish(other, &ben, "b-1", "elsewhere").await;
    phone.log_to(other, elsewhere).await;
    gateway.gateway.lose_live_copies(1);
    scene.publish(room, &ann, "a-1", "lost").await;
    let last = scene.publish(room, &ann, "a-2", "after").await;
    let frames = phone.log_to(room, last).await;
    assert_eq!(contents(&frames), [Some("lost"), Some("after")]);
    assert_eq!(check_chain(0, &frames), last);
    // Left and joined again: the room is heard anew.
    phone.say(&serde_json::json!({"type": "leave", "room_id": room})).await;
    phone.hears("left").await;
    phone.join(room).await;
    let last = scene.publish(room, &ann, "a-3", "again").await;
    assert_eq!(contents(&phone.log_to(room, last).await), [Some("again")]);
}
