//! How much of a room a reader has not seen: derived from the mark, never counted up.

use ops::database::Pool;
use schema::id::{RoomId, UserId};

use crate::{StoreError, column, store::UNREAD_MAX};

pub(super) async fn count(pool: &Pool, room: RoomId, reader: UserId, mark: u64) -> Result<u32, StoreError> {
    let (count,): (i64,) = sqlx::query_as(
        "SELECT count(*) FROM (
             SELECT 1 FROM chat_messages_by_event
             WHERE event_id = $1 AND seq > $2 AND kind = 'message' AND deleted_seq IS NULL AND sender IS DISTINCT FROM $3
             LIMIT $4
         ) AS unread",
    )
    .bind(room)
    .bind(column::of_seq(mark))
    .bind(reader)
    .bind(i64::from(UNREAD_MAX))
    .fetch_one(pool)
    .await?;
    Ok(u32::try_from(count).unwrap_or(UNREAD_MAX))
}
