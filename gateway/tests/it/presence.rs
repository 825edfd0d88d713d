//! Who is online where: told when it changes, and to those who come.

use std::time::Instant;

use futures_util::StreamExt as _;
use gateway::config::{Config, PresenceSwitch, Subscribe};
use ops::clock::Clock;
use schema::{
    clock::Timestamp,
    id::{RoomId, UserId},
    signal::Signal,
    subject::GatewayId,
};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::{
    harness::{Scene, TestGateway, User, eventually, ms, removal},
    outage::on_a_wire_with,
    phone::Phone,
};

fn online(room: RoomId, user: &User) -> Value {
    json!({"type": "presence", "room_id": room, "user_id": user.id, "online": true, "last_seen_at": null})
}

/// Checks that `frame` says that `user` is gone; answers since when.
fn offline(frame: &Value, room: RoomId, user: &User) -> String {
    let last_seen_at = frame["last_seen_at"].as_str().expect("a time").to_owned();
    let expected =
        json!({"type": "presence", "room_id": room, "user_id": user.id, "online": false, "last_seen_at": last_seen_at});
    assert_eq!(*frame, expected);
    last_seen_at
}

/// Somebody whose coming shows that everything before was told.
async fn witness(scene: &Scene, gateway: &TestGateway, room: RoomId, listener: &mut Phone) -> (Phone, User) {
    let witness = scene.user("Witness").await;
    scene.add(room, &witness).await;
    let phone = gateway.phone_in(&witness, room).await;
    assert_eq!(listener.presence_of(&witness).await, online(room, &witness));
    (phone, witness)
}

fn lapses_soon(config: &mut Config) {
    config.presence_lapses = ms(1_000);
}

fn ids(users: &[&User]) -> Vec<UserId> {
    let mut ids: Vec<_> = users.iter().map(|user| user.id).collect();
    ids.sort_unstable();
    ids
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn who_joins_is_online_until_their_last_socket_leaves(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let (ann, ben, room) = scene.pair().await;
    let mut ann_phone = gateway.phone_in(&ann, room).await;
    assert_eq!(ann_phone.presence_of(&ann).await, online(room, &ann));
    let mut ben_phone = gateway.phone_in(&ben, room).await;
    assert_eq!(ann_phone.presence_of(&ben).await, online(room, &ben));
    assert_eq!(ben_phone.presence_of(&ann).await, online(room, &ann));
    assert_eq!(ben_phone.presence_of(&ben).await, online(room, &ben));

    let mut tablet = gateway.phone_in(&ben, room).await;
    // To join again counts nobody twice.
    tablet.join(room).await;
    ben_phone.say(&json!({"type": "leave", "room_id": room})).await;
    ben_phone.hears("left").await;
    ann_phone.take_presence();
    let (_phone, _) = witness(&scene, &gateway, room, &mut ann_phone).await;
    assert!(ann_phone.take_presence().iter().all(|frame| frame["user_id"] != ben.id.to_string()), "he is still there");

    drop(tablet);
    let gone = ann_phone.presence_of(&ben).await;
    let last_seen_at = offline(&gone, room, &ben);
    let written = eventually("it is written down", async || scene.last_seen(&gateway, room, &ben).await).await;
    assert_eq!(written, last_seen_at);
    assert_eq!(scene.last_seen(&gateway, room, &ann).await, None);
    ben_phone.settle().await;
    ben_phone.take_presence();
    ben_phone.join(room).await;
    assert_eq!(ann_phone.presence_of(&ben).await, online(room, &ben));
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_socket_on_another_gateway_is_no_second_person(pool: PgPool) {
    let scene = Scene::new(pool).await;
    for subscribe in [Subscribe::Room, Subscribe::All] {
        let adjust = |config: &mut Config| config.subscribe = subscribe;
        let (left, right) = (scene.gateway_with(adjust).await, scene.gateway_with(adjust).await);
        let (ann, ben, room) = scene.pair().await;
        let mut ann_phone = right.phone_in(&ann, room).await;
        let ben_here = right.phone_in(&ben, room).await;
        assert_eq!(ann_phone.presence_of(&ben).await, online(room, &ben));
        let mut ben_there = left.phone_in(&ben, room).await;
        // The other gateway asked who is there, and says who it has.
        assert_eq!(ben_there.presence_of(&ann).await, online(room, &ann));
        let (_phone, _) = witness(&scene, &left, room, &mut ann_phone).await;
        drop(ben_here);
        eventually("his socket here is gone", async || right.gateway.sockets.of(ben.id).is_empty().then_some(())).await;
        let (_phone, _) = witness(&scene, &right, room, &mut ann_phone).await;
        let of_ben: Vec<Value> =
            ann_phone.take_presence().into_iter().filter(|frame| frame["user_id"] == ben.id.to_string()).collect();
        assert!(of_ben.is_empty(), "he was there all the time: {of_ben:?}");
        drop(ben_there);
        offline(&ann_phone.presence_of(&ben).await, room, &ben);
    }
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn who_joins_hears_at_once_who_is_there(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let (left, right) = (scene.gateway().await, scene.gateway().await);
    let (ann, ben, room) = scene.pair().await;
    let _ann_phone = left.phone_in(&ann, room).await;
    let mut ben_phone = right.phone_in(&ben, room).await;
    ben_phone.presence_of(&ann).await;
    ben_phone.presence_of(&ben).await;
    let cem = scene.user("Cem").await;
    scene.add(room, &cem).await;
    let door = right.door().token(&cem.token()).query(&format!("room_id={room}"));
    let mut raw = door.open_raw().await.unwrap();
    raw.hears("joined").await;
    let mut heard = vec![raw.any().await, raw.any().await, raw.any().await];
    let mut expected = vec![online(room, &ann), online(room, &ben), online(room, &cem)];
    let user_id = |frame: &Value| frame["user_id"].as_str().unwrap().to_owned();
    heard.sort_by_key(user_id);
    expected.sort_by_key(user_id);
    assert_eq!(heard, expected);
    // A gateway is told of another's changes once a second.
    let everybody = Some(ids(&[&ann, &ben, &cem]));
    let is_whole = async || (scene.who_is_online(room).await == everybody).then_some(());
    eventually("any gateway has the whole picture", is_whole).await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn who_comes_and_goes_within_a_second_is_not_mentioned(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let (left, right) = (scene.gateway().await, scene.gateway().await);
    let (ann, ben, room) = scene.pair().await;
    let mut ann_phones = [left.phone_in(&ann, room).await, right.phone_in(&ann, room).await];
    let mut ben_phone = left.phone_in(&ben, room).await;
    for phone in &mut ann_phones {
        phone.presence_of(&ben).await;
        phone.settle().await;
        phone.take_presence();
    }
    for _ in 0..5 {
        ben_phone.say(&json!({"type": "leave", "room_id": room})).await;
        ben_phone.hears("left").await;
        ben_phone.join(room).await;
    }
    for phone in &mut ann_phones {
        let (_phone, witness) = witness(&scene, &left, room, phone).await;
        let others = phone.take_presence().into_iter().filter(|frame| frame["user_id"] == ben.id.to_string());
        assert_eq!(others.count(), 0, "before {} came", witness.name);
    }
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_crowd_that_comes_at_once_is_told_in_batches(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let (ann, _ben, room) = scene.pair().await;
    let mut phone = gateway.phone_in(&ann, room).await;
    phone.presence_of(&ann).await;
    let crowd: Vec<User> =
        (0..120).map(|_| User { id: UserId::random(), sid: ann.sid, name: "somebody".into() }).collect();
    let name = GatewayId::parse("far-away").unwrap();
    for (part, people) in [(1, &crowd[..60]), (2, &crowd[60..])] {
        let users = people.iter().map(|user| user.id).collect();
        scene.signal(room, &Signal::PresenceAll { gateway: name.clone(), part, parts: 2, users }).await;
    }
    let mut heard_at = Vec::new();
    let mut told = std::collections::HashSet::new();
    while heard_at.len() < crowd.len() {
        let frame = phone.any_presence().await;
        assert_eq!(frame["online"], true);
        assert!(told.insert(frame["user_id"].to_string()), "each is told once: {frame}");
        heard_at.push(Instant::now());
    }
    for (last, next) in [(49, 50), (99, 100)] {
        let pause = heard_at[next] - heard_at[last];
        assert!(pause > ms(500), "the next fifty come a second later, not after {pause:?}");
    }
    let answer = scene.who_is_online(room).await.unwrap();
    assert_eq!(answer.len(), crowd.len() + 1, "who asks hears of all");
    let mut other = gateway.phone_in(&ann, room).await;
    other.settle().await;
    let greeted = other.take_presence();
    assert!((100..=101).contains(&greeted.len()), "a greeting is bounded: {}", greeted.len());
    scene.signal(room, &Signal::PresenceAll { gateway: name, part: 1, parts: 1, users: Vec::new() }).await;
    offline(&phone.presence_of(&crowd[0]).await, room, &crowd[0]);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn people_of_a_gateway_that_vanished_lapse_and_come_back_with_it(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let ((left, wire), right) = (on_a_wire_with(&scene, lapses_soon).await, scene.gateway_with(lapses_soon).await);
    let (ann, ben, room) = scene.pair().await;
    let mut ann_phone = left.phone_in(&ann, room).await;
    let mut ben_phone = right.phone_in(&ben, room).await;
    assert_eq!(ben_phone.presence_of(&ann).await, online(room, &ann));
    assert_eq!(ann_phone.presence_of(&ben).await, online(room, &ben));
    // What is said again and again does not lapse.
    let mut signals = scene.signals(room).await;
    let since = Instant::now();
    while since.elapsed() < ms(2_500) {
        signals.next().await.unwrap();
    }
    ben_phone.settle().await;
    let told = ben_phone.take_presence();
    assert!(told.iter().all(|frame| frame["online"] == true), "{told:?}");

    wire.cut().await;
    offline(&ben_phone.presence_of(&ann).await, room, &ann);
    eventually("it is written down", async || scene.last_seen(&right, room, &ann).await).await;
    // Who can hear nobody calls nobody offline.
    ann_phone.settle().await;
    assert!(ann_phone.take_presence().iter().all(|frame| frame["online"] == true));
    wire.mend();
    assert_eq!(ben_phone.presence_of(&ann).await, online(room, &ann));
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn what_nobody_heard_in_an_outage_is_said_after_it(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let ((left, wire), right) = (on_a_wire_with(&scene, |_| {}).await, scene.gateway().await);
    let (ann, ben, room) = scene.pair().await;
    let mut ann_phone = left.phone_in(&ann, room).await;
    let mut ben_phone = right.phone_in(&ben, room).await;
    assert_eq!(ben_phone.presence_of(&ann).await, online(room, &ann));
    wire.cut().await;
    eventually("the link is down", async || (!left.gateway.broker.is_connected()).then_some(())).await;
    // Those who are on the same gateway hear of each other all the while.
    let (_phone, cem) = witness(&scene, &left, room, &mut ann_phone).await;
    ben_phone.settle().await;
    assert!(ben_phone.take_presence().iter().all(|frame| frame["user_id"] != cem.id.to_string()));
    wire.mend();
    let since = Instant::now();
    assert_eq!(ben_phone.presence_of(&cem).await, online(room, &cem));
    assert!(since.elapsed() < ms(12_000), "it does not wait for the next announcement: {:?}", since.elapsed());
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_gateway_that_stops_says_that_nobody_is_there(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let mut left = scene.gateway_with(|config| config.drain_within = ms(200)).await;
    let right = scene.gateway().await;
    let (ann, ben, room) = scene.pair().await;
    let mut ann_phone = left.phone_in(&ann, room).await;
    let mut ben_phone = right.phone_in(&ben, room).await;
    assert_eq!(ben_phone.presence_of(&ann).await, online(room, &ann));
    // Its next words are due in a second, when it will be gone.
    let (mut other_phone, _) = witness(&scene, &left, room, &mut ann_phone).await;
    let stopped_at = Clock::default().now();
    left.lifecycle.stop();
    assert_eq!((ann_phone.closed().await, other_phone.closed().await), (1012, 1012));
    let since = Instant::now();
    let last_seen_at = offline(&ben_phone.presence_of(&ann).await, room, &ann);
    assert!(since.elapsed() < ms(10_000), "it does not wait for the lapse");
    assert!(left.ended.take().unwrap().await.unwrap(), "it ended in good order");
    let written = eventually("it is written down", async || scene.last_seen(&right, room, &ann).await).await;
    // Each gateway notes it at its own moment of the end.
    let latest = Clock::default().now();
    for at in [written, last_seen_at].map(|at| Timestamp::parse(&at).unwrap()) {
        assert!((stopped_at..=latest).contains(&at), "{at} is not between {stopped_at} and {latest}");
    }
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn who_is_removed_goes_offline_and_hears_of_nobody_any_more(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let (left, right) = (scene.gateway().await, scene.gateway().await);
    let (ann, ben, room) = scene.pair().await;
    let mut ann_phone = left.phone_in(&ann, room).await;
    let _ann_tablet = right.phone_in(&ann, room).await;
    let mut ben_phone = right.phone_in(&ben, room).await;
    assert_eq!(ann_phone.presence_of(&ben).await, online(room, &ben));
    assert_eq!(ben_phone.presence_of(&ann).await, online(room, &ann));
    scene.remove_quietly(room, &ben).await;
    scene.announce(&removal(room, &ben)).await;
    ben_phone.hears("removed").await;
    offline(&ann_phone.presence_of(&ben).await, room, &ben);
    ben_phone.settle().await;
    ben_phone.take_presence();
    let (_phone, _) = witness(&scene, &right, room, &mut ann_phone).await;
    let (_phone, _) = witness(&scene, &left, room, &mut ann_phone).await;
    ben_phone.settle().await;
    assert_eq!(ben_phone.take_presence(), Vec::<Value>::new());
    assert!(!scene.who_is_online(room).await.unwrap().contains(&ben.id));
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn who_asks_hears_of_everybody_on_all_gateways(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let (ann, ben, room) = scene.pair().await;
    assert_eq!(scene.who_is_online(room).await, None, "no gateway has the room");
    let (left, right) = (scene.gateway().await, scene.gateway().await);
    let ann_phone = left.phone_in(&ann, room).await;
    assert_eq!(scene.who_is_online(room).await, Some(ids(&[&ann])));
    // Asked while the second gateway does not know yet whom the first one has.
    let ben_phone = right.phone_in(&ben, room).await;
    assert_eq!(scene.who_is_online(room).await, Some(ids(&[&ann, &ben])));
    // A gateway's own words come back to it and tell it nothing; those of others do.
    let stranger = scene.user("Stranger").await;
    let claims = |gateway: &GatewayId| Signal::PresenceChanged {
        gateway: gateway.clone(),
        came: vec![stranger.id],
        gone: Vec::new(),
    };
    drop(ben_phone);
    eventually("Ann is alone", async || (scene.who_is_online(room).await? == ids(&[&ann])).then_some(())).await;
    scene.signal(room, &claims(&left.gateway.id)).await;
    assert_eq!(scene.who_is_online(room).await, Some(ids(&[&ann])));
    let far_away = GatewayId::parse("far-away").unwrap();
    scene.signal(room, &claims(&far_away)).await;
    assert_eq!(scene.who_is_online(room).await, Some(ids(&[&ann, &stranger])));
    drop(ann_phone);
    eventually("nobody is there", async || scene.who_is_online(room).await.is_none().then_some(())).await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn presence_can_be_switched_off(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let off = |config: &mut Config| config.presence = PresenceSwitch::Off;
    let (left, right) = (scene.gateway_with(off).await, scene.gateway_with(off).await);
    let (ann, ben, room) = scene.pair().await;
    let mut signals = scene.signals(room).await;
    let (mut ann_phone, mut ben_phone) = (left.phone_in(&ann, room).await, right.phone_in(&ben, room).await);
    assert_eq!(scene.who_is_online(room).await, None);
    ben_phone.say(&json!({"type": "typing", "room_id": room, "active": true})).await;
    ann_phone.hears("typing").await;
    assert_eq!(ann_phone.take_presence(), Vec::<Value>::new());
    let asked = signals.next().await.unwrap();
    let typed = signals.next().await.unwrap();
    assert!(asked.payload.starts_with(br#"{"type":"presence_asked"#), "ours");
    assert!(typed.payload.starts_with(br#"{"type":"typing"#), "gateways say nothing of presence");
}
