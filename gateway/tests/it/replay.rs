//! Long ways to a room's top: out of the log, out of the store, and while the room is hot.

use gateway::config::{Config, Subscribe};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::{
    harness::{Scene, eventually, ms, removal},
    phone::{check_chain, contents},
    raw::client_frame,
};

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

fn texts(frames: &[Value]) -> Vec<&str> {
    contents(frames).into_iter().map(Option::unwrap_or_default).collect()
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_long_replay_comes_in_pages_without_a_seam(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let (ann, ben, room) = scene.pair().await;
    let last = scene.publish_many(room, &ann, 950).await;
    let (mut one, mut two) = (gateway.phone(&ben).await, gateway.phone(&ann).await);
    for phone in [&mut one, &mut two] {
        phone.say(&json!({"type": "join", "room_id": room, "since": 0})).await;
    }
    for phone in [&mut one, &mut two] {
        let (frames, joined) = phone.joined(room).await;
        assert_eq!(check_chain(0, &frames), last);
        assert_eq!(texts(&frames), numbers(0..950));
        assert_eq!((&joined["replayed"], &joined["recovered"]), (&json!(950), &json!(true)));
    }
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn what_the_log_has_given_up_is_replayed_out_of_the_store(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let (ann, ben, room) = scene.pair().await;
    let other = scene.room(&[&ann]).await;
    for n in 0..300 {
        scene.publish(other, &ann, &format!("o-{n}"), "elsewhere").await;
        scene.publish(room, &ann, &format!("a-{n}"), &n.to_string()).await;
    }
    scene.work().await;
    // The room's seqs are even: a border on its own seq, and one on the other room's.
    for border in [2, 3, 400, 401, 599, 600] {
        scene.purge_below(border).await;
        let gateway = scene.gateway().await;
        for since in [0, 2, 3, 398, 400, 402, 598] {
            let (frames, joined) = gateway.phone(&ben).await.join_since(room, since).await;
            assert_eq!(check_chain(since, &frames), 600, "since {since}, log from {border}");
            let from = usize::try_from(since / 2).unwrap();
            assert_eq!(texts(&frames), numbers(from..300), "since {since}, log from {border}");
            let (replayed, recovered) = (&joined["replayed"], &joined["recovered"]);
            assert_eq!((replayed, recovered), (&json!(300 - from), &json!(true)));
        }
    }
    scene.purge_below(601).await;
    let gateway = scene.gateway().await;
    let mut phone = gateway.phone(&ben).await;
    let (frames, joined) = phone.join_since(room, 0).await;
    assert_eq!(check_chain(0, &frames), 600, "the log holds nothing any more");
    assert_eq!((&joined["seq"], &joined["recovered"]), (&json!(600), &json!(true)));
    let next = scene.publish(room, &ann, "next", "next").await;
    assert_eq!(check_chain(600, &phone.log_to(room, next).await), next);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn ten_thousand_frames_are_replayed_and_not_one_more(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let (ann, ben, room) = scene.pair().await;
    let last = scene.publish_many(room, &ann, 10_001).await;
    let mut phone = gateway.phone(&ben).await;
    let (frames, joined) = phone.join_since(room, 0).await;
    assert!(frames.is_empty());
    assert_eq!((&joined["recovered"], &joined["seq"], &joined["oldest_seq"]), (&json!(false), &json!(last), &json!(1)));
    let (frames, joined) = phone.join_since(room, 1).await;
    assert_eq!(frames.len(), 10_000);
    assert_eq!(check_chain(1, &frames), last);
    assert_eq!((&joined["recovered"], &joined["replayed"]), (&json!(true), &json!(10_000)));
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_hot_room_is_joined_with_nothing_missing_and_nothing_twice(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let all = |config: &mut Config| {
        config.subscribe = Subscribe::All;
        config.common.limits = ops::settings::Limits::Off;
    };
    let (left, right) = (scene.unlimited().await, scene.gateway_with(all).await);
    let (ann, ben, room) = scene.pair().await;
    let talk = scene.publish_many(room, &ann, 6_000);
    let listen = async {
        let mut phones = Vec::new();
        for turn in 0..12_u64 {
            let gateway = if turn % 2 == 0 { &left } else { &right };
            let mut phone = gateway.phone(&ben).await;
            let since = turn * 40;
            let (mut frames, joined) = phone.join_since(room, since).await;
            // Above the room's top there is nothing to follow on.
            let from = if joined["recovered"] == true { since } else { joined["seq"].as_u64().unwrap() };
            check_chain(from, &frames);
            // Half of them join again in mid-flow from where they are.
            if turn % 4 < 2 {
                let told = frames.last().map_or(from, |frame| frame["seq"].as_u64().unwrap());
                frames.extend(phone.take_log(room));
                let told = frames.last().map_or(told, |frame| frame["seq"].as_u64().unwrap());
                let (more, _) = phone.join_since(room, told).await;
                frames.extend(more);
            }
            phones.push((phone, from, frames));
        }
        phones
    };
    let (last, phones) = tokio::join!(talk, listen);
    for (mut phone, from, mut frames) in phones {
        let mut told = frames.last().map_or(from, |frame| frame["seq"].as_u64().unwrap());
        if told < last {
            frames.extend(phone.log_to(room, last).await);
        }
        // What was on the wire when it joined again is heard twice: the rule for clients drops it.
        told = from;
        let mut shown = Vec::new();
        for frame in frames {
            let seq = frame["seq"].as_u64().unwrap();
            if seq > told {
                assert!(frame["prev"].as_u64().unwrap() <= told, "a hole before {frame}");
                told = seq;
                shown.push(seq);
            }
        }
        assert_eq!(shown, (from + 1..=last).collect::<Vec<_>>());
        phone.settle().await;
        assert!(phone.take_log(room).is_empty());
    }
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn who_is_removed_in_mid_replay_is_told_nothing_more(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let (ann, ben, room) = scene.pair().await;
    // The room lives on without Ben.
    let _ann_phone = gateway.phone_in(&ann, room).await;
    let mut last = 0;
    for n in 0..4_000 {
        last = scene.publish(room, &ann, &format!("a-{n}"), &"x".repeat(4_000)).await;
    }
    let mut raw = gateway.door().token(&ben.token()).open_raw().await.unwrap();
    let join = json!({"type": "join", "room_id": room, "since": 0}).to_string();
    raw.write(&client_frame(0x81, join.as_bytes())).await;
    let first = raw.hears("message").await;
    scene.remove_quietly(room, &ben).await;
    scene.announce(&removal(room, &ben)).await;
    eventually("Ben is out", async || {
        gateway.gateway.sockets.of(ben.id).iter().all(|socket| !socket.has_seat(room)).then_some(())
    })
    .await;
    let mut told = first["seq"].as_u64().unwrap();
    let mut kinds = Vec::new();
    // Time enough for more pages: each turn takes the log as long as a page does.
    for n in 0..40 {
        scene.publish(room, &ann, &format!("b-{n}"), "between us").await;
        raw.write(&client_frame(0x81, br#"{"type":"ping"}"#)).await;
        while kinds.last().is_none_or(|kind| kind != "pong") {
            let frame = raw.any().await;
            told = frame["seq"].as_u64().unwrap_or(told);
            kinds.push(frame["type"].as_str().unwrap().to_owned());
        }
        kinds.push("turn".to_owned());
    }
    assert!(told < last, "the replay went on to its end");
    let removed = kinds.iter().position(|kind| kind == "removed").unwrap();
    assert!(kinds[removed..].iter().all(|kind| kind != "message" && kind != "joined"), "{:?}", &kinds[removed..]);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn who_takes_nothing_of_a_replay_is_dropped(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway_with(|config| config.write_within = ms(300)).await;
    let (ann, ben, room) = scene.pair().await;
    for n in 0..4_000 {
        scene.publish(room, &ann, &format!("a-{n}"), &"x".repeat(4_000)).await;
    }
    let door = gateway.door().token(&ben.token()).query(&format!("event_id={room}&since=0"));
    let mut raw = door.open_raw().await.unwrap();
    eventually("the gateway has had enough", async || {
        gateway.gateway.sockets.of(ben.id).iter().any(|socket| socket.closing().is_some()).then_some(())
    })
    .await;
    assert_eq!(raw.close_code().await, 4001, "its frames end where a frame ends");
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn many_rooms_are_resumed_in_one_breath(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let (ann, ben) = (scene.user("Ann").await, scene.user("Ben").await);
    let mut rooms = Vec::new();
    for _ in 0..40 {
        let room = scene.room(&[&ann, &ben]).await;
        rooms.push((room, scene.publish_many(room, &ann, 25).await));
    }
    let mut phone = gateway.phone(&ben).await;
    for (room, _) in &rooms {
        phone.say(&json!({"type": "join", "room_id": room, "since": 0})).await;
    }
    for (room, last) in rooms {
        let (frames, joined) = phone.joined(room).await;
        assert_eq!((frames.len(), check_chain(0, &frames)), (25, last));
        assert_eq!(joined["recovered"], true);
    }
}
