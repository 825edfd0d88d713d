//! A seat in a room, and the way to its top.

use async_nats::HeaderMap;
use serde_json::json;
use sqlx::PgPool;

use crate::{
    harness::{Scene, headers, message, ms},
    phone::{check_chain, contents},
};

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_join_replays_everything_after_since(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let (ann, ben, room) = scene.pair().await;
    let other = scene.room(&[&ann, &ben]).await;
    for n in 0..5 {
        scene.publish(other, &ann, &format!("o-{n}"), "elsewhere").await;
        scene.publish(room, &ann, &format!("a-{n}"), &n.to_string()).await;
    }
    let mut phone = gateway.phone(&ben).await;
    let (frames, joined) = phone.join_since(room, 0).await;
    assert_eq!(contents(&frames), ["0", "1", "2", "3", "4"].map(Some));
    assert_eq!(check_chain(0, &frames), 10);
    let expected =
        json!({"type": "joined", "room_id": room, "seq": 10, "recovered": true, "replayed": 5, "me": ben.id});
    assert_eq!(joined, expected);

    let mut phone = gateway.phone(&ben).await;
    let (frames, joined) = phone.join_since(room, 6).await;
    assert_eq!(contents(&frames), ["3", "4"].map(Some));
    check_chain(6, &frames);
    assert_eq!((&joined["recovered"], &joined["replayed"]), (&json!(true), &json!(2)));

    let mut phone = gateway.phone(&ben).await;
    let (frames, joined) = phone.join_since(room, 10).await;
    assert!(frames.is_empty());
    assert_eq!((&joined["recovered"], &joined["seq"]), (&json!(true), &json!(10)));

    let mut phone = gateway.phone(&ben).await;
    let joined = phone.join(room).await;
    assert_eq!((&joined["recovered"], &joined["seq"], &joined["replayed"]), (&json!(true), &json!(10), &json!(0)));
    let seq = scene.publish(room, &ann, "live", "live").await;
    assert_eq!(check_chain(10, &phone.log_to(room, seq).await), seq);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn an_empty_room_is_joined_at_zero(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let (ann, _ben, room) = scene.pair().await;
    let mut phone = gateway.phone(&ann).await;
    let (frames, joined) = phone.join_since(room, 0).await;
    assert!(frames.is_empty());
    assert_eq!((&joined["recovered"], &joined["seq"]), (&json!(true), &json!(0)));
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_since_above_the_top_is_not_recovered(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let (ann, _ben, room) = scene.pair().await;
    let seq = scene.publish(room, &ann, "a-1", "hi").await;
    let mut phone = gateway.phone(&ann).await;
    let (frames, joined) = phone.join_since(room, 4_711).await;
    assert!(frames.is_empty());
    assert_eq!((&joined["recovered"], &joined["seq"]), (&json!(false), &json!(seq)));
    let next = scene.publish(room, &ann, "a-2", "live").await;
    assert_eq!(check_chain(seq, &phone.log_to(room, next).await), next);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_since_that_only_another_gateway_knows_yet_is_recovered(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let slow = |config: &mut gateway::config::Config| config.resync_every = ms(3_600_000);
    let (left, right) = (scene.gateway().await, scene.gateway_with(slow).await);
    let (ann, ben, room) = scene.pair().await;
    let mut here = left.phone_in(&ann, room).await;
    let mut there = right.phone_in(&ben, room).await;
    right.gateway.lose_live_copies(1);
    let seq = here.sends(room, "a-1", "hi").await;
    let mut moved = right.phone(&ann).await;
    let (frames, joined) = moved.join_since(room, seq).await;
    assert!(frames.is_empty());
    assert_eq!((&joined["recovered"], &joined["seq"]), (&json!(true), &json!(seq)));
    assert_eq!(contents(&there.log_to(room, seq).await), [Some("hi")]);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn joining_again_while_live_repairs_without_repeats(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let (ann, ben, room) = scene.pair().await;
    let mut phone = gateway.phone_in(&ben, room).await;
    for n in 0..20 {
        scene.publish(room, &ann, &format!("a-{n}"), &n.to_string()).await;
    }
    phone.log_to(room, 20).await;
    let (frames, joined) = phone.join_since(room, 15).await;
    assert_eq!(check_chain(15, &frames), 20);
    assert_eq!((&joined["recovered"], &joined["replayed"]), (&json!(true), &json!(5)));
    let (frames, _) = phone.join_since(room, 20).await;
    assert!(frames.is_empty());
    let last = scene.publish(room, &ann, "after", "after").await;
    assert_eq!(check_chain(20, &phone.log_to(room, last).await), last);
    phone.settle().await;
    assert!(phone.take_log(room).is_empty(), "it is live once, not twice");
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_since_between_the_rooms_seqs_is_followed_on(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let (ann, ben, room) = scene.pair().await;
    let other = scene.room(&[&ann]).await;
    let mut live = gateway.phone_in(&ben, room).await;
    for n in 0..10 {
        scene.publish(other, &ann, &format!("o-{n}"), "elsewhere").await;
        scene.publish(room, &ann, &format!("a-{n}"), &n.to_string()).await;
    }
    live.log_to(room, 20).await;
    // A client that comes from history begins at the store's settled seq, which may be another room's.
    let fresh = scene.gateway().await;
    for gateway in [&gateway, &fresh] {
        for since in [1, 7, 19] {
            let (frames, joined) = gateway.phone(&ben).await.join_since(room, since).await;
            assert_eq!(check_chain(since, &frames), 20, "since {since}");
            assert_eq!(joined["recovered"], true);
        }
    }
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_room_left_and_joined_again_in_one_breath_is_live(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let (ann, ben, room) = scene.pair().await;
    let mut phone = gateway.phone(&ben).await;
    for frame in ["join", "leave", "join", "leave"] {
        phone.say(&json!({"type": frame, "room_id": room})).await;
    }
    phone.settle().await;
    let order: Vec<&str> = phone.heard().map(|frame| frame["type"].as_str().unwrap()).collect();
    assert_eq!(order.last(), Some(&"left"), "nobody has joined after they have left: {order:?}");
    assert_eq!(phone.count("left"), 2);
    phone.forget();
    let (frames, _) = phone.join_since(room, 0).await;
    assert!(frames.is_empty());
    let seq = scene.publish(room, &ann, "a-1", "hi").await;
    assert_eq!(contents(&phone.log_to(room, seq).await), [Some("hi")]);
    phone.settle().await;
    assert_eq!(phone.heard().count(), 0, "it is live once");
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_refused_envelope_is_a_skip_live_and_in_a_replay(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let (ann, ben, room) = scene.pair().await;
    let elsewhere = scene.room(&[&ann]).await;
    let mut live = gateway.phone_in(&ben, room).await;
    let good = message(room, &ann, "good", "good").to_bytes();
    scene.publish(room, &ann, "a-1", "before").await;
    let no_id = HeaderMap::new();
    let poison: [(HeaderMap, Vec<u8>); 6] = [
        (headers("1"), b"{\"type\":\"message\"".to_vec()),
        (headers("1"), b"{\"type\":\"message\",\"room_id\":\"\xff\"}".to_vec()),
        (headers("1"), message(elsewhere, &ann, "a-2", "wrong room").to_bytes().to_vec()),
        (headers("2"), good.to_vec()),
        (no_id, good.to_vec()),
        (headers("1"), good.to_vec().iter().map(|byte| if *byte == b'm' { b'n' } else { *byte }).collect()),
    ];
    for (headers, body) in poison {
        scene.publish_raw(room, headers, body.into()).await;
    }
    let last = scene.publish(room, &ann, "a-3", "after").await;
    let shown = live.log_to(room, last).await;
    assert_eq!(check_chain(0, &shown), last);
    let kinds: Vec<&str> = shown.iter().map(|frame| frame["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["message", "skip", "skip", "skip", "skip", "skip", "skip", "message"]);
    assert_eq!(shown[1], json!({"type": "skip", "room_id": room, "seq": 2, "prev": 1}));

    let fresh = scene.gateway().await;
    let (replayed, _) = fresh.phone(&ben).await.join_since(room, 0).await;
    assert_eq!(replayed, shown, "live and replayed are the same");
    let (replayed, _) = fresh.phone(&ben).await.join_since(room, 4).await;
    assert_eq!(check_chain(4, &replayed), last);
    scene.work().await;
    scene.purge_below(last + 1).await;
    let late = scene.gateway().await;
    let (replayed, _) = late.phone(&ben).await.join_since(room, 0).await;
    assert_eq!(replayed, shown, "out of the store too");
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn who_leaves_a_room_hears_it_no_more(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let (ann, ben, room) = scene.pair().await;
    let other = scene.room(&[&ann, &ben]).await;
    let (mut ann_phone, mut ben_phone) = (gateway.phone_in(&ann, room).await, gateway.phone_in(&ben, room).await);
    ann_phone.join(other).await;
    ben_phone.join(other).await;
    ben_phone.say(&json!({"type": "leave", "room_id": room})).await;
    assert_eq!(ben_phone.hears("left").await, json!({"type": "left", "room_id": room}));
    ann_phone.sends(room, "a-1", "gone").await;
    let seq = ann_phone.sends(other, "a-2", "still there").await;
    ben_phone.log_to(other, seq).await;
    ben_phone.settle().await;
    assert!(ben_phone.take_log(room).is_empty());
    ben_phone.say(&json!({"type": "leave", "room_id": room})).await;
    assert_eq!(ben_phone.error().await, "not_joined");
    ben_phone.send(room, "b-1", "may I?").await;
    assert_eq!(ben_phone.failed("b-1").await, ("not_joined".into(), false));
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_room_of_others_is_joined_by_nobody_else(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let (ann, _ben, room) = scene.pair().await;
    let cem = scene.user("Cem").await;
    let mut phone = gateway.phone(&cem).await;
    for room in [room, schema::id::RoomId::random()] {
        phone.say(&json!({"type": "join", "room_id": room, "since": 0})).await;
        assert_eq!(phone.error().await, "not_a_member");
    }
    let mut ann_phone = gateway.phone_in(&ann, room).await;
    ann_phone.sends(room, "a-1", "between us").await;
    phone.settle().await;
    assert_eq!(phone.heard().count(), 0);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_socket_may_be_in_a_hundred_rooms_and_no_more(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let ann = scene.user("Ann").await;
    let mut phone = gateway.phone(&ann).await;
    let mut rooms = Vec::new();
    for _ in 0..101 {
        rooms.push(scene.room(&[&ann]).await);
    }
    for room in &rooms {
        phone.say(&json!({"type": "join", "room_id": room})).await;
    }
    for room in &rooms[..100] {
        phone.joined(*room).await;
    }
    assert_eq!(phone.error().await, "too_many_rooms");
    phone.join(rooms[0]).await;
    phone.say(&json!({"type": "leave", "room_id": rooms[0]})).await;
    phone.hears("left").await;
    phone.join(rooms[100]).await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn an_address_that_names_a_room_joins_it_at_once(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let (ann, ben, room) = scene.pair().await;
    for n in 0..3 {
        scene.publish(room, &ann, &format!("a-{n}"), &n.to_string()).await;
    }
    for name in ["event_id", "room_id"] {
        let door = gateway.door().token(&ben.token()).query(&format!("{name}={room}&since=1&colour=blue"));
        let mut phone = door.open().await.unwrap();
        let (frames, joined) = phone.joined(room).await;
        assert_eq!(contents(&frames), ["1", "2"].map(Some));
        check_chain(1, &frames);
        assert_eq!(joined["replayed"], 2);
    }
    let mut phone = gateway.door().token(&ben.token()).query(&format!("event_id={room}")).open().await.unwrap();
    let (frames, joined) = phone.joined(room).await;
    assert!(frames.is_empty());
    assert_eq!(joined["seq"], 3);
    phone.say(&json!({"type": "message", "temp_id": "b-1", "content": "no room named"})).await;
    assert_eq!(phone.status("b-1", "sent").await["room_id"], room.to_string());
    phone.say(&json!({"type": "leave"})).await;
    phone.hears("left").await;
    phone.say(&json!({"type": "join", "since": 3})).await;
    let (frames, _) = phone.joined(room).await;
    assert_eq!(contents(&frames).last(), Some(&Some("no room named")));
}
