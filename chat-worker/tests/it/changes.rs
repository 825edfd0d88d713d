//! Edits, deletions and reactions: stored in any order, and refused when they are not their sender's to make.

use schema::{
    envelope::{Body, Headers, ReactionAction},
    frame::history::HistoryItem,
    header,
    id::{MessageId, RoomId, UserId},
    problem::Code,
    stream::CHAT_MESSAGES,
};
use sqlx::PgPool;

use crate::harness::{Message, Scene, eventually, gateway_id};

/// A room with its owner, a member, and a message of the member's that is stored.
pub(crate) async fn room(scene: &Scene, pool: &PgPool) -> (RoomId, UserId, UserId, MessageId) {
    let (room, owner, member) = (RoomId::random(), UserId::random(), UserId::random());
    for user in [owner, member] {
        sqlx::query("INSERT INTO users (id, display_name, created_at, updated_at) VALUES ($1, 'x', now(), now())")
            .bind(user)
            .execute(pool)
            .await
            .unwrap();
    }
    sqlx::query(
        "INSERT INTO rooms (id, room_type, name, created_by, created_at, updated_at)
         VALUES ($1, 'team', 'room', $2, now(), now())",
    )
    .bind(room)
    .bind(owner)
    .execute(pool)
    .await
    .unwrap();
    for (user, role) in [(owner, "owner"), (member, "member")] {
        sqlx::query("INSERT INTO room_members (room_id, user_id, role, joined_at) VALUES ($1, $2, $3, now())")
            .bind(room)
            .bind(user)
            .bind(role)
            .execute(pool)
            .await
            .unwrap();
    }
    let said = scene.publish(&Message::named(room, member, "m-1", "mine")).await;
    (room, owner, member, said.id)
}

pub(crate) async fn publish(scene: &Scene, sender: UserId, is_moderator: bool, body: &Body) -> u64 {
    let headers = Headers { sender: Some(sender), gateway: Some(gateway_id()), is_resend: false, is_moderator };
    scene.publish_raw(body.room_id(), headers.to_map(body.id()), body.to_bytes()).await
}

fn edit(room_id: RoomId, sender_id: UserId, message_id: MessageId, content: &str) -> Body {
    let (id, content, temp_id) = (MessageId::random(), content.into(), "e".into());
    Body::MessageUpdated { room_id, id, message_id, content, sender_id, temp_id }
}

pub(crate) fn delete(room_id: RoomId, sender_id: UserId, message_id: MessageId) -> Body {
    Body::MessageDeleted { room_id, id: MessageId::random(), message_id, sender_id, temp_id: "d".into() }
}

async fn content(scene: &Scene, room: RoomId, reader: UserId, id: MessageId) -> Option<String> {
    match scene.store.item(room, reader, id).await.unwrap() {
        Some(HistoryItem::Message { content, .. }) => content,
        other => panic!("a message, not {other:?}"),
    }
}

/// Waits until a seq lies in `CHAT_DEAD`; why.
async fn is_dead(scene: &Scene, seq: u64) -> String {
    let text = |map: &async_nats::HeaderMap, name| map.get(name).map(|value| value.as_str().to_owned());
    eventually("it is buried", async || {
        let dead = scene.dead().await;
        let found = dead.iter().find(|dead| text(&dead.headers, header::DEAD_SEQ) == Some(seq.to_string()));
        found.and_then(|dead| text(&dead.headers, header::DEAD_REASON))
    })
    .await
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn what_is_not_its_senders_to_change_is_buried_and_told(pool: PgPool) {
    let scene = Scene::new(pool.clone()).await;
    let _worker = scene.worker().await;
    let mut reports = scene.reports().await;
    let (room, owner, member, message) = room(&scene, &pool).await;
    // Neither a role without the mark nor the mark without a role; and nobody edits by role.
    for (sender, is_moderator, body) in [
        (owner, false, edit(room, owner, message, "not yours")),
        (owner, true, edit(room, owner, message, "not yours")),
        (owner, false, delete(room, owner, message)),
        (UserId::random(), true, delete(room, owner, message)),
    ] {
        let seq = publish(&scene, sender, is_moderator, &body).await;
        assert_eq!(is_dead(&scene, seq).await, "not_allowed");
        reports.until("refused", |reports| reports.refused.iter().any(|refused| refused.seq == seq)).await;
    }
    assert!(reports.refused.iter().all(|refused| refused.code == Code::Forbidden));
    assert_eq!(content(&scene, room, member, message).await.as_deref(), Some("mine"));
    let kinds: Vec<bool> = scene.log(room).await.iter().map(|row| row.kind.is_some()).collect();
    assert_eq!(kinds, [true, false, false, false, false], "to every phone they are skips");
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn its_author_and_who_runs_the_room_delete_a_message(pool: PgPool) {
    let scene = Scene::new(pool.clone()).await;
    let _worker = scene.worker().await;
    for is_moderator in [true, false] {
        let (room, owner, member, message) = room(&scene, &pool).await;
        let sender = if is_moderator { owner } else { member };
        let reaction = Body::Reaction {
            room_id: room,
            id: MessageId::random(),
            message_id: message,
            emoji: "👍".into(),
            action: ReactionAction::Added,
            sender_id: owner,
            temp_id: "r".into(),
        };
        publish(&scene, member, false, &edit(room, member, message, "mine!")).await;
        publish(&scene, owner, false, &reaction).await;
        scene.settled(CHAT_MESSAGES).await;
        assert_eq!(content(&scene, room, member, message).await.as_deref(), Some("mine!"));
        publish(&scene, sender, is_moderator, &delete(room, sender, message)).await;
        scene.settled(CHAT_MESSAGES).await;
        assert_eq!(content(&scene, room, member, message).await, None);
        let Some(HistoryItem::Message { deleted, reactions, .. }) =
            scene.store.item(room, owner, message).await.unwrap()
        else {
            panic!("a message")
        };
        assert!(deleted);
        assert_eq!(reactions.iter().map(|reaction| (reaction.count, reaction.me)).collect::<Vec<_>>(), [(1, true)]);
        assert!(!scene.log(room).await.iter().any(|row| row.body.as_deref().unwrap_or_default().contains("mine")));
    }
    assert!(scene.dead().await.is_empty());
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_role_that_nobody_can_tell_keeps_back_the_deletion_and_nothing_else(pool: PgPool) {
    let scene = Scene::new(pool.clone()).await;
    let worker = scene.worker().await;
    let (room, owner, member, message) = room(&scene, &pool).await;
    scene.settled(CHAT_MESSAGES).await;
    sqlx::query("ALTER TABLE room_members RENAME TO away").execute(&pool).await.unwrap();
    publish(&scene, owner, true, &delete(room, owner, message)).await;
    eventually("it was tried three times", async || {
        assert!(worker.report().await.is_ready, "the store is there");
        (scene.consumer(CHAT_MESSAGES).await.delivered.consumer_sequence >= 4).then_some(())
    })
    .await;
    let elsewhere = RoomId::random();
    let others = [scene.say(room, "hi").await, scene.say(elsewhere, "hi").await];
    for other in others {
        eventually("others are stored", async || {
            scene.log(other.room).await.iter().any(|row| row.seq == other.seq).then_some(())
        })
        .await;
    }
    assert_eq!(content(&scene, room, member, message).await.as_deref(), Some("mine"));
    sqlx::query("ALTER TABLE away RENAME TO room_members").execute(&pool).await.unwrap();
    scene.settled(CHAT_MESSAGES).await;
    assert_eq!(content(&scene, room, member, message).await, None);
    assert!(scene.dead().await.is_empty());
}
