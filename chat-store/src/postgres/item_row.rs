//! One row of history, written under the lock on its id.

use schema::id::RoomId;
use sqlx::PgConnection;

use crate::{StoreError, column, item::Item};

/// Writes an item as it was said, unless it is there.
pub(super) async fn insert(tx: &mut PgConnection, item: &Item) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO chat_messages_by_event (
             event_id, seq, kind, id, created_at, sender, sender_id, sender_name,
             temp_id, content, message_type, reply_to_id, change, actor_id, data
         ) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
         ON CONFLICT (event_id, seq) DO NOTHING",
    )
    .bind(item.room_id)
    .bind(column::of_seq(item.seq))
    .bind(item.kind.as_str())
    .bind(item.id)
    .bind(item.created_at.as_datetime())
    .bind(item.sender)
    .bind(item.sender_id)
    .bind(item.sender_name.as_deref())
    .bind(item.temp_id.as_deref())
    .bind(item.content.as_deref())
    .bind(item.message_type.as_deref())
    .bind(item.reply_to_id)
    .bind(item.change.as_deref())
    .bind(item.actor_id)
    .bind(item.data.as_deref())
    .execute(tx)
    .await?;
    Ok(())
}

/// Takes an item out of history.
pub(super) async fn delete(tx: &mut PgConnection, room: RoomId, seq: u64) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM chat_messages_by_event WHERE event_id = $1 AND seq = $2")
        .bind(room)
        .bind(column::of_seq(seq))
        .execute(tx)
        .await?;
    Ok(())
}
