//! A store with everything in it that can be checked: what tests break, one thing at a time.

use chat_store::EventChange;
use schema::{
    change::{ChangeKind, FieldChange},
    clock::Timestamp,
    envelope::{Body, Kind, ReactionAction},
    history::Link,
    id::{ChangeId, EventId, MessageId, RoomId, UserId},
    stream::{CHAT_MESSAGES, EVENTS},
    text::TempId,
};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::harness::{Message, RunningWorker, Said, Scene};

/// What was said in it.
pub(crate) struct World {
    pub(crate) scene: Scene,
    pub(crate) worker: RunningWorker,
    pub(crate) room: RoomId,
    /// A room with one message.
    pub(crate) other: RoomId,
    pub(crate) plain: Said,
    pub(crate) second: Said,
    pub(crate) edited: Said,
    pub(crate) deleted: Said,
    pub(crate) liked: Said,
    pub(crate) elsewhere: Said,
    /// In which it was said, as CQL tables spell it.
    pub(crate) month: String,
}

impl World {
    /// Says, edits, deletes, reacts, repeats and poisons; and an event is made and confirmed.
    pub(crate) async fn new(scene: Scene, pool: &PgPool) -> Self {
        let worker = scene.worker().await;
        let (room, other, ann) = (RoomId::random(), RoomId::random(), UserId::random());
        let mut said = Vec::new();
        for (name, content) in
            [("a-1", "plain"), ("a-2", "second"), ("a-3", "typo"), ("a-4", "secret"), ("a-5", "nice")]
        {
            said.push(scene.publish(&Message::named(room, ann, name, content)).await);
        }
        let [plain, second, edited, deleted, liked] = said.try_into().unwrap();
        for body in [
            edit(room, ann, "a-6", edited.id, "no typo"),
            edit(room, ann, "a-7", deleted.id, "secret still"),
            delete(room, ann, "a-8", deleted.id),
            react(room, ann, "a-9", liked.id),
            // Nobody edits another's message, nor a message in another room.
            edit(room, UserId::random(), "a-10", plain.id, "not mine"),
            react(other, ann, "a-11", plain.id),
        ] {
            let sender = sender(&body);
            scene.publish(&Message { body, sender, msg_id: None, is_resend: false, is_moderator: false }).await;
        }
        // The log holds it twice; the store once.
        let twice = Message { msg_id: Some("again".into()), ..Message::named(room, ann, "a-1", "plain") };
        scene.publish(&Message { is_resend: true, ..twice }).await;
        scene.publish_raw(room, Message::new(room, "").headers(), "poison".into()).await;
        let elsewhere = scene.say(other, "elsewhere").await;
        scene.settled(CHAT_MESSAGES).await;
        make_event(&scene, pool).await;
        scene.settled(EVENTS).await;
        let said_at = scene.store.find(&[plain.id]).await.unwrap()[0].created_at.as_datetime();
        let month = format!("{}{:02}", said_at.year(), u8::from(said_at.month()));
        Self { scene, worker, room, other, plain, second, edited, deleted, liked, elsewhere, month }
    }
}

fn id(kind: Kind, sender: UserId, room: RoomId, temp_id: &str) -> MessageId {
    MessageId::of(kind, sender, room, &TempId::parse(temp_id).unwrap())
}

fn edit(room_id: RoomId, sender_id: UserId, temp_id: &str, message_id: MessageId, content: &str) -> Body {
    let id = id(Kind::MessageUpdated, sender_id, room_id, temp_id);
    let (content, temp_id) = (content.into(), temp_id.into());
    Body::MessageUpdated { room_id, id, message_id, content, sender_id, temp_id }
}

fn delete(room_id: RoomId, sender_id: UserId, temp_id: &str, message_id: MessageId) -> Body {
    let id = id(Kind::MessageDeleted, sender_id, room_id, temp_id);
    Body::MessageDeleted { room_id, id, message_id, sender_id, temp_id: temp_id.into() }
}

fn react(room_id: RoomId, sender_id: UserId, temp_id: &str, message_id: MessageId) -> Body {
    let id = id(Kind::Reaction, sender_id, room_id, temp_id);
    let (emoji, action, temp_id) = ("👍".into(), ReactionAction::Added, temp_id.into());
    Body::Reaction { room_id, id, message_id, emoji, action, sender_id, temp_id }
}

fn sender(body: &Body) -> UserId {
    match body {
        Body::Message { sender_id, .. }
        | Body::MessageUpdated { sender_id, .. }
        | Body::MessageDeleted { sender_id, .. }
        | Body::Reaction { sender_id, .. } => *sender_id,
        Body::System { .. } => panic!("nobody sends it"),
    }
}

/// Two changes of an event, in a chain.
async fn write_history(scene: &Scene, event: EventId, owner: UserId) -> Vec<EventChange> {
    let mut hash: Option<String> = None;
    let mut changes = Vec::new();
    for (version, change) in [(1, ChangeKind::EventCreated), (2, ChangeKind::EventConfirmed)] {
        let mut row = EventChange {
            id: ChangeId::random(),
            event_id: event,
            change,
            version,
            actor_id: Some(owner),
            changed_at: Timestamp::from_unix_millis(1_800_000_000_000 + version).unwrap(),
            fields: vec![FieldChange::new("title", Value::Null, json!(version)).sealed([7; 16])],
            added: vec![],
            removed: vec![],
            hash: None,
        };
        let link = Link {
            event_id: event,
            id: row.id,
            change,
            version,
            actor_id: row.actor_id,
            changed_at: row.changed_at,
            fields: &row.fields,
            added: &[],
            removed: &[],
        };
        hash = Some(link.hash(hash.as_deref()));
        row.hash.clone_from(&hash);
        scene.store.write_event_change(&row).await.unwrap();
        changes.push(row);
    }
    changes
}

/// An event as the api leaves it after it was made and confirmed.
async fn make_event(scene: &Scene, pool: &PgPool) {
    let (event, owner) = (EventId::random(), UserId::random());
    let changes = write_history(scene, event, owner).await;
    let hash = changes.last().and_then(|last| last.hash.clone());
    for statement in [
        "INSERT INTO users (id, display_name, created_at, updated_at) VALUES ($2, 'Ann', now(), now())",
        "INSERT INTO rooms (id, room_type, name, created_by, created_at, updated_at)
         VALUES ($1, 'event', 'Lunch', $2, now(), now())",
        "INSERT INTO events (id, owner_id, title, starts_at, ends_at, local_starts_at, local_ends_at, time_zone, version,
             created_at, updated_at)
         VALUES ($1, $2, 'Lunch', now(), now() + interval '1 hour', now(), now() + interval '1 hour', 'UTC', 2, now(),
             now())",
    ] {
        // Each takes both, whether it needs them or not.
        let statement = format!("WITH given AS (SELECT $1::uuid, $2::uuid) {statement}");
        let query = sqlx::query(sqlx::AssertSqlSafe(statement)).bind(event).bind(owner);
        query.execute(pool).await.unwrap();
    }
    sqlx::query("UPDATE events SET history_hash = $2 WHERE id = $1")
        .bind(event)
        .bind(hash)
        .execute(pool)
        .await
        .unwrap();
    sqlx::query("INSERT INTO outbox_lane (id, last_position, pending) VALUES ($1, 2, false)")
        .bind(event)
        .execute(pool)
        .await
        .unwrap();
    for change in changes {
        sqlx::query(
            "INSERT INTO outbox (id, lane_id, position, subject, body, created_at, processed, processed_at)
             VALUES ($1, $2, $3, $4, '{}', now(), true, now())",
        )
        .bind(change.id)
        .bind(event)
        .bind(change.version)
        .bind(change.change.subject())
        .execute(pool)
        .await
        .unwrap();
    }
}
