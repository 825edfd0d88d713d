//! A message that was sent before: never twice in the log, never lost between log and store.

use futures_util::{FutureExt as _, StreamExt as _};
use schema::{envelope::Headers, id::RoomId, stream::WORKER};
use serde_json::json;
use sqlx::PgPool;

use crate::{
    harness::{Scene, User, eventually, message, ms},
    phone::{Phone, check_chain, contents},
};

async fn resend(phone: &mut Phone, room: RoomId, temp_id: &str, content: &str) {
    let frame = json!({"type": "message", "room_id": room, "temp_id": temp_id, "content": content, "resend": true});
    phone.say(&frame).await;
}

impl Scene {
    /// The log knows an id again for a tenth of a second only.
    async fn forget_ids_soon(&self) {
        let mut log = self.log().await.cached_info().config.clone();
        log.duplicate_window = ms(100);
        self.operator.js.update_stream(log).await.unwrap();
    }

    /// Publishes once more what stands at `first`, until it has a second seq; which that is.
    async fn publish_again(&self, room: RoomId, sender: &User, first: u64, is_resend: bool) -> u64 {
        let body = message(room, sender, "a-1", "hi");
        let headers = Headers { sender: Some(sender.id), gateway: None, is_resend, is_moderator: false };
        let headers = headers.to_map(body.id());
        eventually("the duplicate window has passed", async || {
            let seq = self.publish_raw(room, headers.clone(), body.to_bytes()).await;
            (seq != first).then_some(seq)
        })
        .await
    }
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_resend_of_what_is_stored_is_answered_without_a_publish(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let (left, right) = (scene.gateway().await, scene.gateway().await);
    let (ann, ben, room) = scene.pair().await;
    let (mut here, mut there) = (left.phone_in(&ann, room).await, right.phone_in(&ann, room).await);
    let mut listener = right.phone_in(&ben, room).await;
    let seq = here.sends(room, "a-1", "hi").await;
    scene.work().await;
    // Out of the log and out of its duplicate window: only the store remembers it.
    scene.purge_below(seq + 1).await;
    let mut tap = scene.tap().await;
    resend(&mut there, room, "a-1", "hi").await;
    let first = there.any_status("a-1").await;
    assert_eq!((&first["status"], &first["seq"]), (&json!("sent"), &json!(seq)));
    let second = there.any_status("a-1").await;
    assert_eq!((&second["status"], &second["seq"]), (&json!("saved"), &json!(seq)));
    scene.operator.client.flush().await.unwrap();
    assert!(tap.next().now_or_never().is_none(), "it is not published again");
    assert_eq!(contents(&listener.log_to(room, seq).await), [Some("hi")]);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_resend_that_says_something_else_is_refused_at_any_age(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let (ann, _ben, room) = scene.pair().await;
    let mut phone = gateway.phone_in(&ann, room).await;
    let seq = phone.sends(room, "a-1", "hi").await;
    scene.work().await;
    resend(&mut phone, room, "a-1", "bye").await;
    assert_eq!(phone.failed("a-1").await, ("temp_id_reused".into(), false), "among the room's recent frames");
    scene.purge_below(seq + 1).await;
    let fresh = scene.gateway().await;
    let mut phone = fresh.phone_in(&ann, room).await;
    resend(&mut phone, room, "a-1", "bye").await;
    assert_eq!(phone.failed("a-1").await, ("temp_id_reused".into(), false), "in the store alone");
    assert_eq!(scene.log_len().await, 0);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn what_the_room_has_shown_is_not_shown_again_after_the_duplicate_window(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let (ann, ben, room) = scene.pair().await;
    let (mut phone, mut listener) = (gateway.phone_in(&ann, room).await, gateway.phone_in(&ben, room).await);
    scene.forget_ids_soon().await;
    let first = phone.sends(room, "a-1", "hi").await;
    let second = scene.publish_again(room, &ann, first, false).await;
    assert_eq!(phone.sends(room, "a-1", "hi").await, first, "not marked as a resend, and known nevertheless");
    assert_eq!(scene.log_len().await, 2);
    assert_eq!(contents(&listener.log_to(room, second).await), [Some("hi"), None]);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_resend_of_what_nobody_knows_is_published(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let (ann, ben, room) = scene.pair().await;
    let (mut phone, mut listener) = (gateway.phone_in(&ann, room).await, gateway.phone_in(&ben, room).await);
    let mut tap = scene.tap().await;
    resend(&mut phone, room, "a-1", "hi").await;
    let seq = phone.status("a-1", "sent").await["seq"].as_u64().unwrap();
    assert_eq!(contents(&listener.log_to(room, seq).await), [Some("hi")]);
    let published = tap.next().await.unwrap();
    let mark = published.headers.unwrap().get("Timingle-Resend").map(ToString::to_string);
    assert_eq!(mark.as_deref(), Some("1"), "the worker is told that it may be there twice");
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_resend_waits_while_the_worker_is_behind(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let (ann, ben, room) = scene.pair().await;
    // By this gateway's clock what is in the log now is 100 s old.
    let gateway = scene.gateway_with(|config| config.common.clock.clock_offset_ms = 100_000).await;
    let mut phone = gateway.phone_in(&ann, room).await;
    scene.publish(room, &ben, "b-1", "not stored yet").await;
    eventually("the gateway sees that the worker is behind", async || {
        (!gateway.gateway.health.is_settled()).then_some(())
    })
    .await;
    resend(&mut phone, room, "a-1", "hi").await;
    let failed = phone.status("a-1", "failed").await;
    assert_eq!((&failed["code"], &failed["retry"]), (&json!("not_settled"), &json!(true)));
    assert!(failed["retry_after_ms"].as_u64().is_some_and(|wait| wait > 0), "{failed}");
    assert_eq!(scene.log_len().await, 1, "it is not published");

    phone.send(room, "a-2", "new").await;
    phone.status("a-2", "sent").await;
    scene.work().await;
    eventually("the gateway sees that the worker is not behind", async || {
        gateway.gateway.health.is_settled().then_some(())
    })
    .await;
    resend(&mut phone, room, "a-1", "hi").await;
    phone.status("a-1", "sent").await;
    assert_eq!(scene.log_len().await, 3, "{WORKER} has caught up, so it is published");
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_resend_is_not_called_failed_because_nothing_may_be_sent_now(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let (ann, _ben, room) = scene.pair().await;
    let mut phone = gateway.phone_in(&ann, room).await;
    let seq = phone.sends(room, "a-1", "hi").await;
    scene.work().await;
    // The log's numbers went back.
    scene.store.raise_high_water(1_000).await.unwrap();
    let closed = scene.gateway_that_is_red().await;
    eventually("the gateway has compared", async || closed.gateway.health.is_behind().then_some(())).await;
    let mut phone = closed.phone_in(&ann, room).await;
    resend(&mut phone, room, "a-1", "hi").await;
    let stored = phone.any_status("a-1").await;
    assert_eq!((&stored["status"], &stored["seq"]), (&json!("sent"), &json!(seq)));
    resend(&mut phone, room, "a-2", "hi").await;
    let unknown = phone.any_status("a-2").await;
    assert_eq!((&unknown["status"], &unknown["retry"]), (&json!("unknown"), &json!(true)));
    assert_eq!(scene.log_len().await, 1, "it is not published");
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn the_second_seq_of_an_id_is_a_skip_wherever_it_is_read(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let (ann, ben, room) = scene.pair().await;
    let mut live = gateway.phone_in(&ben, room).await;
    scene.forget_ids_soon().await;
    let first = scene.publish(room, &ann, "a-1", "hi").await;
    let second = scene.publish_again(room, &ann, first, true).await;
    let last = scene.publish(room, &ann, "a-2", "after").await;
    let shown = live.log_to(room, last).await;
    assert_eq!(contents(&shown), [Some("hi"), None, Some("after")]);
    assert_eq!(shown[1], json!({"type": "skip", "room_id": room, "seq": second, "prev": first}));
    check_chain(0, &shown);
    scene.work().await;
    for border in [0, last, last + 1] {
        if border > 0 {
            scene.purge_below(border).await;
        }
        let fresh = scene.gateway().await;
        let (replayed, joined) = fresh.phone(&ben).await.join_since(room, 0).await;
        assert_eq!(replayed, shown, "the log begins at {border}");
        assert_eq!(joined["seq"], last);
    }
}
