//! How far people have read, and what is new in their rooms.

use chat_store::ReadMark;
use futures_util::StreamExt as _;
use schema::{
    clock::Timestamp,
    id::RoomId,
    mark::Mark,
    moved::{Marked, Moved},
    stream::{self, CHAT_MARKS},
    subject::{MOVED, MarkSubject},
};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::{
    harness::{Scene, TestGateway, User, eventually},
    phone::Phone,
};

impl Scene {
    /// What the stream of marks holds of somebody.
    async fn mark_of(&self, room: RoomId, user: &User) -> Option<u64> {
        let stream = self.operator.js.get_stream(CHAT_MARKS).await.unwrap();
        let found = stream.direct_get_last_for_subject(MarkSubject(room, user.id).to_string()).await.ok()?;
        Some(serde_json::from_slice::<Mark>(&found.payload).unwrap().seq)
    }

    /// Waits until the stream of marks holds this of somebody.
    async fn mark_is(&self, room: RoomId, user: &User, seq: u64) {
        let what = format!("the mark of {} is {seq}", user.name);
        eventually(&what, async || (self.mark_of(room, user).await == Some(seq)).then_some(())).await;
    }

    /// Does the worker's work on marks.
    async fn work_on_marks(&self) {
        let stream = self.worker.js.get_stream(CHAT_MARKS).await.unwrap();
        let mut consumer: async_nats::jetstream::consumer::PullConsumer =
            stream.get_consumer(stream::WORKER).await.unwrap();
        while consumer.info().await.unwrap().num_pending > 0 {
            let mut batch = consumer.fetch().max_messages(100).messages().await.unwrap();
            while let Some(message) = batch.next().await {
                let message = message.unwrap();
                let MarkSubject(room_id, user_id) = MarkSubject::parse(&message.subject).unwrap();
                let Mark { seq } = serde_json::from_slice(&message.payload).unwrap();
                let read_at = Timestamp::new(message.info().unwrap().published);
                self.store.write_marks(&[ReadMark { room_id, user_id, seq, read_at }]).await.unwrap();
                message.double_ack().await.unwrap();
            }
        }
    }

    /// Tells the gateways what is new in the store, as the worker does.
    async fn hint(&self, rooms: &[RoomId], marks: &[(RoomId, &User)]) {
        let marks = marks.iter().map(|(room_id, user)| Marked { room_id: *room_id, user_id: user.id }).collect();
        let moved = serde_json::to_vec(&Moved { rooms: rooms.to_vec(), marks }).unwrap();
        self.worker.client.publish(MOVED, moved.into()).await.unwrap();
        self.worker.client.flush().await.unwrap();
    }
}

impl Phone {
    async fn reads(&mut self, room: RoomId, seq: Option<u64>) {
        self.say(&json!({"type": "read", "room_id": room, "seq": seq})).await;
    }

    /// Hears that somebody has read up to a seq.
    async fn hears_read(&mut self, room: RoomId, user: &User, seq: u64) {
        let expected = json!({"type": "read", "room_id": room, "user_id": user.id, "seq": seq});
        self.hears_where(&format!("{} read {seq}", user.name), |frame| *frame == expected).await;
    }

    /// Hears what is new in a room, until it is this; the last message.
    async fn is_updated(&mut self, room: RoomId, unread: u64) -> Value {
        let is_it = |frame: &Value| {
            frame["type"] == "room_updated" && frame["room_id"] == room.to_string() && frame["unread_count"] == unread
        };
        self.hears_where(&format!("{unread} unread"), is_it).await["last_message"].clone()
    }
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn what_one_has_read_the_room_hears_on_every_gateway(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let (left, right) = (scene.gateway().await, scene.gateway().await);
    let (ann, ben, room) = scene.pair().await;
    let (mut phone, mut listener) = (left.phone_in(&ann, room).await, right.phone_in(&ben, room).await);
    for n in 0..3 {
        listener.sends(room, &format!("b-{n}"), "hi").await;
    }
    phone.reads(room, Some(2)).await;
    for phone in [&mut phone, &mut listener] {
        phone.hears_read(room, &ann, 2).await;
    }
    // To the top.
    phone.log_to(room, 3).await;
    phone.reads(room, None).await;
    for phone in [&mut phone, &mut listener] {
        phone.hears_read(room, &ann, 3).await;
    }
    scene.mark_is(room, &ann, 3).await;
    assert_eq!(scene.mark_of(room, &ben).await, None);
    scene.work_on_marks().await;
    let marks = scene.store.read_marks(&[(room, ann.id), (room, ben.id)]).await.unwrap();
    assert_eq!(marks.iter().map(|mark| (mark.user_id, mark.seq)).collect::<Vec<_>>(), [(ann.id, 3)]);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_mark_never_moves_back_whichever_gateway_is_asked(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let (left, right) = (scene.gateway().await, scene.gateway().await);
    let (ann, ben, room) = scene.pair().await;
    let last = scene.publish_many(room, &ben, 9).await;
    let mut phone = left.phone_in(&ann, room).await;
    phone.reads(room, Some(8)).await;
    phone.hears_read(room, &ann, 8).await;
    // The other gateway has not heard of it.
    let mut tablet = right.phone_in(&ann, room).await;
    tablet.reads(room, Some(3)).await;
    tablet.settle().await;
    tablet.reads(room, None).await;
    tablet.hears_read(room, &ann, last).await;
    phone.hears_read(room, &ann, last).await;
    phone.reads(room, Some(5)).await;
    // What was never said can not be read.
    phone.reads(room, Some(last + 100)).await;
    phone.settle().await;
    scene.mark_is(room, &ann, last).await;
    assert_eq!((phone.count("read"), tablet.count("read")), (0, 0), "nobody hears of a mark that did not move");
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn marks_that_are_raised_at_once_leave_the_highest(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let user = scene.user("Ann").await;
    let room = RoomId::random();
    let raise = |seq: u64| (Mark { seq }).raise(&scene.operator.js, room, user.id);
    let raised = futures_util::future::join_all((1..=8).map(raise)).await;
    for (seq, stands) in (1..=8).zip(raised) {
        assert!(stands.unwrap().seq >= seq);
    }
    assert_eq!(scene.mark_of(room, &user).await, Some(8));
    assert_eq!(raise(3).await.unwrap(), Mark { seq: 8 }, "who comes late is told what stands");
    assert_eq!(scene.mark_of(room, &user).await, Some(8));
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_flood_of_reads_is_few_publishes_and_ends_at_the_last(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.unlimited().await;
    let (ann, ben, room) = scene.pair().await;
    let last = scene.publish_many(room, &ben, 150).await;
    let mut phone = gateway.phone_in(&ann, room).await;
    for seq in 1..=last {
        phone.reads(room, Some(seq)).await;
    }
    scene.mark_is(room, &ann, last).await;
    phone.hears_read(room, &ann, last).await;
    let published = scene.operator.js.get_stream(CHAT_MARKS).await.unwrap().cached_info().state.last_sequence;
    assert!(published <= 20, "{published} publishes for {last} frames");
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_mark_survives_a_broker_that_was_away(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let (ann, _ben, room) = scene.pair().await;
    let mut phone = gateway.phone_in(&ann, room).await;
    phone.sends(room, "a-1", "hi").await;
    scene.nats.kill();
    phone.reads(room, None).await;
    phone.settle().await;
    scene.nats.restart().await;
    scene.mark_is(room, &ann, 1).await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn what_is_read_before_the_room_is_known_counts(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let (ann, ben, room) = scene.pair().await;
    let seq = scene.publish(room, &ben, "b-1", "hi").await;
    // Nobody was in the room here before, and nothing is waited for in between.
    let mut phone = gateway.phone(&ann).await;
    phone.say(&json!({"type": "join", "room_id": room})).await;
    phone.reads(room, None).await;
    phone.hears_read(room, &ann, seq).await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn reading_needs_a_seat(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let (ann, _ben, room) = scene.pair().await;
    let mut phone = gateway.phone(&ann).await;
    phone.reads(room, Some(1)).await;
    assert_eq!(phone.error().await, "not_joined");
    phone.say(&json!({"type": "read"})).await;
    assert_eq!(phone.error().await, "invalid_frame");
}

/// Two gateways; Ann has a phone that has joined nothing, and Ben talks.
async fn news(scene: &Scene) -> (TestGateway, TestGateway, User, User, RoomId) {
    let (left, right) = (scene.gateway().await, scene.gateway().await);
    let (ann, ben, room) = scene.pair().await;
    (left, right, ann, ben, room)
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn everybody_in_a_room_hears_what_is_new_on_all_their_sockets(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let (left, right, ann, ben, room) = news(&scene).await;
    let eve = scene.user("Eve").await;
    let (mut phone, mut tablet) = (left.phone(&ann).await, right.phone(&ann).await);
    let (mut talker, mut stranger) = (right.phone_in(&ben, room).await, left.phone(&eve).await);
    talker.sends(room, "b-1", "one").await;
    let last = talker.sends(room, "b-2", "two").await;
    scene.work().await;
    scene.hint(&[room], &[]).await;
    for phone in [&mut phone, &mut tablet] {
        let message = phone.is_updated(room, 2).await;
        assert_eq!(
            (&message["content"], &message["seq"], &message["type"]),
            (&json!("two"), &json!(last), &json!("message"))
        );
    }
    assert_eq!(talker.is_updated(room, 0).await["content"], "two", "one's own messages are read");

    // One's other device reads: the count falls, and nobody else is told.
    tablet.join(room).await;
    tablet.reads(room, Some(1)).await;
    scene.mark_is(room, &ann, 1).await;
    scene.work_on_marks().await;
    scene.hint(&[], &[(room, &ann)]).await;
    for phone in [&mut phone, &mut tablet] {
        phone.is_updated(room, 1).await;
    }
    stranger.settle().await;
    talker.settle().await;
    assert_eq!((stranger.count("room_updated"), talker.count("room_updated")), (0, 0));
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn many_hints_are_few_updates_and_the_last_one_says_all(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let (left, _right, ann, ben, room) = news(&scene).await;
    let mut phone = left.phone(&ann).await;
    for n in 0..20 {
        scene.publish(room, &ben, &format!("b-{n}"), "hi").await;
        scene.work().await;
        scene.hint(&[room], &[]).await;
    }
    phone.is_updated(room, 20).await;
    phone.settle().await;
    let heard = phone.count("room_updated");
    assert!(heard < 10, "{heard} updates before the last one");
    phone.forget();
    // A deletion is news as well: what it said is gone, and no longer unread.
    let stored = scene.store.history(room, ann.id, chat_store::Window::Newest, 1).await.unwrap();
    let mut talker = left.phone_in(&ben, room).await;
    let delete = json!({
        "type": "delete", "room_id": room, "temp_id": "d-1", "message_id": stored.items[0].id(),
        "message_temp_id": "b-19",
    });
    talker.say(&delete).await;
    talker.status("d-1", "sent").await;
    scene.work().await;
    scene.hint(&[room], &[]).await;
    let last = phone.is_updated(room, 19).await;
    assert_eq!((&last["deleted"], &last["content"]), (&json!(true), &Value::Null));
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn who_was_removed_hears_of_the_room_no_more(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let (left, _right, ann, ben, room) = news(&scene).await;
    let other = scene.room(&[&ann, &ben]).await;
    let mut phone = left.phone(&ann).await;
    scene.remove_quietly(room, &ann).await;
    scene.publish(room, &ben, "b-1", "not for Ann").await;
    scene.publish(other, &ben, "b-1", "for Ann").await;
    scene.work().await;
    scene.hint(&[room, other, RoomId::random()], &[(room, &ann)]).await;
    assert_eq!(phone.is_updated(other, 1).await["content"], "for Ann");
    phone.settle().await;
    assert_eq!(phone.count("room_updated"), 0);
}
