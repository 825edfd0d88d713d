//! Edits and deletions, kept by the message they change.

use ops::mutant::{self, Mutant};
use schema::{
    envelope::{Body, Kind},
    id::{MessageId, RoomId, UserId},
};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{Entry, StoreError, column, standing::Change};

const TABLE: &str = "chat_message_changes";

#[derive(sqlx::FromRow)]
struct Row {
    seq: i64,
    event_id: Uuid,
    kind: String,
    sender: Option<Uuid>,
    is_moderator: bool,
    created_at: OffsetDateTime,
    content: Option<String>,
    is_refused: bool,
}

/// A change, and whether it was refused before.
pub(super) struct Stored {
    pub(super) change: Change,
    pub(super) is_refused: bool,
}

/// All changes of a message, by the lock on its id.
pub(super) async fn list(tx: &mut PgConnection, message: MessageId) -> Result<Vec<Stored>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT seq, event_id, kind, sender, is_moderator, created_at, content, is_refused FROM chat_message_changes
         WHERE message_id = $1",
    )
    .bind(message)
    .fetch_all(tx)
    .await?;
    let decode = |row: Row| {
        let change = Change {
            room_id: RoomId::from_uuid(row.event_id),
            seq: column::seq(row.seq, TABLE, message)?,
            kind: Kind::parse(&row.kind).ok_or_else(|| column::corrupt(TABLE, "kind", message))?,
            sender: row.sender.map(UserId::from_uuid),
            is_moderator: row.is_moderator,
            created_at: row.created_at.into(),
            content: row.content,
        };
        Ok(Stored { change, is_refused: row.is_refused })
    };
    rows.into_iter().map(decode).collect()
}

/// Keeps an edit or deletion unless it is kept already.
pub(super) async fn insert(tx: &mut PgConnection, message: MessageId, entry: &Entry) -> Result<(), StoreError> {
    let content = match &entry.body {
        Body::MessageUpdated { content, .. } => Some(content.as_str()),
        Body::Message { .. } | Body::MessageDeleted { .. } | Body::Reaction { .. } | Body::System { .. } => None,
    };
    if mutant::is(Mutant::EditByArrival) {
        sqlx::query("DELETE FROM chat_message_changes WHERE message_id = $1").bind(message).execute(&mut *tx).await?;
    }
    sqlx::query(
        "INSERT INTO chat_message_changes (message_id, seq, event_id, kind, sender, created_at, content, is_moderator)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (message_id, seq) DO NOTHING",
    )
    .bind(message)
    .bind(column::of_seq(entry.seq))
    .bind(entry.room_id)
    .bind(entry.body.kind().as_str())
    .bind(entry.sender)
    .bind(entry.logged_at.as_datetime())
    .bind(content)
    .bind(entry.is_moderator)
    .execute(tx)
    .await?;
    Ok(())
}

/// Marks a change as refused, for good.
pub(super) async fn refuse(tx: &mut PgConnection, message: MessageId, seq: u64) -> Result<(), StoreError> {
    sqlx::query("UPDATE chat_message_changes SET is_refused = true, content = NULL WHERE message_id = $1 AND seq = $2")
        .bind(message)
        .bind(column::of_seq(seq))
        .execute(tx)
        .await?;
    Ok(())
}

/// Forgets what the edits of a deleted message said.
pub(super) async fn blank(tx: &mut PgConnection, message: MessageId) -> Result<(), StoreError> {
    sqlx::query("UPDATE chat_message_changes SET content = NULL WHERE message_id = $1 AND content IS NOT NULL")
        .bind(message)
        .execute(tx)
        .await?;
    Ok(())
}

/// Takes a change back: its seq was the second of its id.
pub(super) async fn delete(tx: &mut PgConnection, message: MessageId, seq: u64) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM chat_message_changes WHERE message_id = $1 AND seq = $2")
        .bind(message)
        .bind(column::of_seq(seq))
        .execute(tx)
        .await?;
    Ok(())
}
