//! What one says everybody hears, once and in one order.

use std::time::Instant;

use serde_json::{Value, json};
use sqlx::PgPool;

use crate::{
    harness::{Scene, eventually, message_id, ms},
    outage::on_a_wire,
    phone::{check_chain, contents},
};

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn what_one_says_everyone_hears_in_one_order(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let (left, right) = (scene.unlimited().await, scene.unlimited().await);
    let (ann, ben, room) = scene.pair().await;
    let mut phones = [left.phone(&ann).await, left.phone(&ben).await, right.phone(&ann).await, right.phone(&ben).await];
    let mut since = 0;
    for phone in &mut phones {
        since = phone.join(room).await["seq"].as_u64().unwrap();
    }
    for n in 0..10 {
        for (p, phone) in phones.iter_mut().enumerate() {
            phone.send(room, &format!("{p}-{n}"), &format!("{n} of {p}")).await;
        }
    }
    let mut logs = Vec::new();
    for (p, phone) in phones.iter_mut().enumerate() {
        for n in 0..10 {
            let sent = phone.status(&format!("{p}-{n}"), "sent").await;
            assert_eq!(sent["room_id"], room.to_string());
        }
        logs.push(phone.log_to(room, since + 40).await);
        phone.settle().await;
        assert_eq!(phone.count("status"), 0, "`sent` is said once for each frame");
        assert!(phone.take_log(room).is_empty(), "each message is shown once");
    }
    assert_eq!(check_chain(since, &logs[0]), since + 40);
    assert!(logs.iter().all(|log| *log == logs[0]), "all phones were shown the same");
    for (p, _) in phones.iter().enumerate() {
        let of_phone = contents(&logs[0]).into_iter().flatten().filter(|text| text.ends_with(&format!("of {p}")));
        let numbers: Vec<String> = of_phone.map(|text| text[..1].to_owned()).collect();
        assert_eq!(numbers.concat(), "0123456789", "each sender's order is kept");
    }
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_message_looks_as_the_protocol_says(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let (ann, ben, room) = scene.pair().await;
    let (mut ann_phone, mut ben_phone) = (gateway.phone_in(&ann, room).await, gateway.phone_in(&ben, room).await);
    ann_phone.say(&json!({"type": "send", "room_id": room, "temp_id": "a-1", "content": " 안녕 👋 }\" "})).await;
    let heard = ben_phone.hears("message").await;
    let id = message_id(room, &ann, "a-1").to_string();
    let created_at = heard["created_at"].as_str().unwrap().to_owned();
    assert_eq!((created_at.len(), &created_at[19..20], &created_at[23..]), (24, ".", "Z"), "{created_at}");
    let expected = json!({
        "type": "message", "room_id": room, "id": id, "sender_id": ann.id, "sender_name": "Ann", "temp_id": "a-1",
        "content": "안녕 👋 }\"", "message_type": "text", "reply_to_id": null, "seq": 1, "prev": 0,
        "created_at": created_at,
    });
    assert_eq!(heard, expected);
    let sent = ann_phone.status("a-1", "sent").await;
    assert_eq!(
        sent,
        json!({"type": "status", "room_id": room, "temp_id": "a-1", "status": "sent", "id": id, "seq": 1})
    );

    let answer = json!({
        "type": "message", "room_id": room, "temp_id": "b-1", "content": "cat.png", "message_type": "image",
        "reply_to_id": id,
    });
    ben_phone.say(&answer).await;
    let heard = ann_phone.hears_where("the answer", |frame| frame["temp_id"] == "b-1").await;
    assert_eq!((&heard["message_type"], &heard["reply_to_id"]), (&json!("image"), &json!(id)));
    assert_eq!((&heard["seq"], &heard["prev"]), (&json!(2), &json!(1)));
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn rooms_do_not_hear_each_other(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let (ann, ben, room) = scene.pair().await;
    let other = scene.room(&[&ann, &ben]).await;
    let (mut ann_phone, mut ben_phone) = (gateway.phone_in(&ann, room).await, gateway.phone_in(&ben, room).await);
    ann_phone.join(other).await;
    ann_phone.sends(other, "a-1", "not for here").await;
    let seq = ann_phone.sends(room, "a-1", "for here").await;
    let heard = ben_phone.log_to(room, seq).await;
    assert_eq!(contents(&heard), [Some("for here")]);
    assert_eq!(check_chain(0, &heard), seq, "prev counts the room's frames alone");
    ben_phone.settle().await;
    assert_eq!(ben_phone.heard().count(), 0);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn the_same_temp_id_five_times_over_two_gateways_is_one_message(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let (left, right) = (scene.gateway().await, scene.gateway().await);
    let (ann, ben, room) = scene.pair().await;
    let mut listener = right.phone_in(&ben, room).await;
    let mut phones = Vec::new();
    for gateway in [&left, &left, &left, &right, &right] {
        phones.push(gateway.phone_in(&ann, room).await);
    }
    for phone in &mut phones {
        phone.send(room, "twin", "only once").await;
    }
    let first = listener.hears("message").await;
    for phone in &mut phones {
        let sent = phone.status("twin", "sent").await;
        assert_eq!((&sent["id"], &sent["seq"]), (&first["id"], &first["seq"]));
    }
    let last = phones[4].sends(room, "after", "after").await;
    let after = listener.log_to(room, last).await;
    assert_eq!(contents(&after), [Some("after")]);
    assert_eq!(after[0]["prev"], first["seq"]);
    assert_eq!(scene.log_len().await, 2);
    for phone in &mut phones {
        assert_eq!(contents(&phone.log_to(room, last).await), [Some("only once"), Some("after")]);
        phone.settle().await;
        assert_eq!(phone.heard().filter(|frame| frame["status"] == "sent").count(), 0, "one `sent` each");
    }
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn other_content_under_a_used_temp_id_is_refused(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let (left, right) = (scene.gateway().await, scene.gateway().await);
    let (ann, _ben, room) = scene.pair().await;
    let (mut here, mut there) = (left.phone_in(&ann, room).await, right.phone_in(&ann, room).await);
    here.sends(room, "a-1", "first").await;
    there.send(room, "a-1", "second").await;
    assert_eq!(there.failed("a-1").await, ("temp_id_reused".into(), false));
    here.send(room, "a-1", "third").await;
    assert_eq!(here.failed("a-1").await, ("temp_id_reused".into(), false));
    assert_eq!(scene.log_len().await, 1);
    assert_eq!(contents(&there.log_to(room, 1).await), [Some("first")]);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn the_sender_hears_saved_when_the_worker_reports_it(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let (ann, ben, room) = scene.pair().await;
    let (mut phone, mut tablet) = (gateway.phone_in(&ann, room).await, gateway.phone_in(&ann, room).await);
    let mut ben_phone = gateway.phone_in(&ben, room).await;
    let seq = phone.sends(room, "a-1", "keep this").await;
    phone.settle().await;
    assert_eq!(phone.count("status"), 0, "what is not stored is not called saved");

    let saved = scene.work().await;
    assert_eq!(saved[0].0.as_ref(), Some(&gateway.gateway.id), "the envelope names the gateway that waits");
    scene.report(&gateway, saved.into_iter().map(|(_, saved)| saved).collect()).await;
    for phone in [&mut phone, &mut tablet] {
        let saved = phone.status("a-1", "saved").await;
        let id = message_id(room, &ann, "a-1");
        let expected =
            json!({"type": "status", "room_id": room, "temp_id": "a-1", "status": "saved", "id": id, "seq": seq});
        assert_eq!(saved, expected);
    }
    ben_phone.settle().await;
    assert_eq!(ben_phone.count("status"), 0, "it is the sender's business alone");
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_lost_report_is_made_up_for_by_asking_the_store(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway_with(|config| config.saved_within = ms(200)).await;
    let (ann, _ben, room) = scene.pair().await;
    let mut phone = gateway.phone_in(&ann, room).await;
    let seq = phone.sends(room, "a-1", "keep this").await;
    scene.work().await;
    assert_eq!(phone.status("a-1", "saved").await["seq"], seq);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_report_that_overtakes_the_answer_waits_for_it(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let (ann, _ben, room) = scene.pair().await;
    let mut phone = gateway.phone_in(&ann, room).await;
    // Without the stream there is no answer yet, and tries go on.
    let mut tap = scene.tap().await;
    scene.operator.js.delete_stream(schema::stream::CHAT_MESSAGES).await.unwrap();
    phone.send(room, "a-1", "hi").await;
    futures_util::StreamExt::next(&mut tap).await.unwrap();
    let saved = schema::saved::Saved { id: message_id(room, &ann, "a-1"), room_id: room, seq: 1 };
    scene.report(&gateway, vec![saved]).await;
    schema::stream::ensure_all(&scene.worker.js, schema::stream::Sizes::default(), 0).await.unwrap();
    let first = phone.any_status("a-1").await;
    assert_eq!(first["status"], "sent", "{first}");
    assert_eq!(phone.any_status("a-1").await["status"], "saved");
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn two_sockets_that_send_the_same_both_hear_sent_before_saved(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let (ann, _ben, room) = scene.pair().await;
    let (mut phone, mut tablet) = (gateway.phone_in(&ann, room).await, gateway.phone_in(&ann, room).await);
    // Without the stream there is no answer yet: the second one waits behind the first.
    let mut tap = scene.tap().await;
    scene.operator.js.delete_stream(schema::stream::CHAT_MESSAGES).await.unwrap();
    phone.send(room, "a-1", "hi").await;
    tablet.send(room, "a-1", "hi").await;
    tablet.settle().await;
    futures_util::StreamExt::next(&mut tap).await.unwrap();
    let saved = schema::saved::Saved { id: message_id(room, &ann, "a-1"), room_id: room, seq: 1 };
    scene.report(&gateway, vec![saved]).await;
    schema::stream::ensure_all(&scene.worker.js, schema::stream::Sizes::default(), 0).await.unwrap();
    for device in [&mut phone, &mut tablet] {
        assert_eq!(device.any_status("a-1").await["status"], "sent");
        assert_eq!(device.any_status("a-1").await["status"], "saved");
    }
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn typing_reaches_the_others_at_most_once_a_second(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let (left, right) = (scene.gateway().await, scene.gateway().await);
    let (ann, ben, room) = scene.pair().await;
    let mut ann_phones = [left.phone_in(&ann, room).await, right.phone_in(&ann, room).await];
    let mut ben_phones = [left.phone_in(&ben, room).await, right.phone_in(&ben, room).await];
    for active in [true, true, true, true, false] {
        ann_phones[0].say(&json!({"type": "typing", "room_id": room, "active": active})).await;
    }
    let ended = |frame: &Value| frame["type"] == "typing" && frame["active"] == false;
    for phone in &mut ben_phones {
        phone.hears_where("the end of typing", ended).await;
        let began = phone.hears("typing").await;
        assert_eq!(began, json!({"type": "typing", "room_id": room, "user_id": ann.id, "active": true}));
        assert_eq!(phone.count("typing"), 0, "once a second");
    }
    // Ben answers in kind, so Ann has heard all there was.
    for active in [true, false] {
        ben_phones[1].say(&json!({"type": "typing", "room_id": room, "active": active})).await;
    }
    for phone in &mut ann_phones {
        phone.hears_where("the end of typing", ended).await;
        assert!(phone.heard().all(|frame| frame["user_id"] != ann.id.to_string()), "nobody hears themselves type");
    }
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn typing_that_is_not_renewed_lapses_on_every_gateway(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let ((left, wire), right) = (on_a_wire(&scene).await, scene.gateway().await);
    let (ann, ben, room) = scene.pair().await;
    let mut typing = [left.phone_in(&ann, room).await, right.phone_in(&ann, room).await];
    let mut listening = [left.phone_in(&ben, room).await, right.phone_in(&ben, room).await];
    let other = scene.room(&[&ann, &ben]).await;
    listening[1].join(other).await;
    typing[0].join(other).await;
    typing[1].say(&json!({"type": "typing", "room_id": room, "active": true})).await;
    for phone in &mut listening {
        assert_eq!(phone.hears("typing").await["active"], true);
    }
    let ended = Instant::now();
    for phone in &mut listening {
        assert_eq!(phone.hears("typing").await["active"], false);
    }
    assert!(ended.elapsed() > ms(9_000), "not before its time: {:?}", ended.elapsed());
    // A gateway that vanishes says nothing of those who typed there.
    typing[0].say(&json!({"type": "typing", "room_id": other, "active": true})).await;
    assert_eq!(listening[1].hears("typing").await["active"], true);
    wire.cut().await;
    let ended = json!({"type": "typing", "room_id": other, "user_id": ann.id, "active": false});
    assert_eq!(listening[1].hears("typing").await, ended);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn five_hundred_messages_in_one_breath_keep_their_order(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let (left, right) = (scene.unlimited().await, scene.unlimited().await);
    let (ann, ben, room) = scene.pair().await;
    let (mut ann_phone, mut ben_phone) = (left.phone_in(&ann, room).await, right.phone_in(&ben, room).await);
    for n in 0..500 {
        ann_phone.send(room, &format!("t-{n}"), &n.to_string()).await;
    }
    let heard = ben_phone.log_to(room, 500).await;
    assert_eq!(check_chain(0, &heard), 500);
    let said: Vec<String> = (0..500).map(|n| n.to_string()).collect();
    assert_eq!(contents(&heard), said.iter().map(|text| Some(text.as_str())).collect::<Vec<_>>());
    for n in 0..500 {
        assert_eq!(ann_phone.status(&format!("t-{n}"), "sent").await["seq"], n + 1);
    }
    assert_eq!(ann_phone.log_to(room, 500).await, heard);
    eventually("nothing is on its way", async || left.gateway.publisher.is_idle().then_some(())).await;
}
