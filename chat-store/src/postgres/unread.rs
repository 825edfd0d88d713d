//! How much of a room its readers have not seen: derived from their marks, never counted up.

use ops::{
    database::Pool,
    mutant::{self, Mutant},
};
use schema::id::{RoomId, UserId};
use uuid::Uuid;

use crate::{StoreError, column, store::UNREAD_MAX};

pub(super) async fn count(pool: &Pool, readers: &[(RoomId, UserId, u64)]) -> Result<Vec<u32>, StoreError> {
    let counts: Vec<i64> = sqlx::query_scalar(
        "SELECT (SELECT count(*) FROM (
             SELECT 1 FROM chat_messages_by_event
             WHERE event_id = reader.room AND seq > reader.mark AND kind = 'message' AND deleted_seq IS NULL
                 AND sender IS DISTINCT FROM reader.id
             LIMIT $4
         ) AS unread)
         FROM unnest($1::uuid[], $2::uuid[], $3::bigint[]) WITH ORDINALITY AS reader (room, id, mark, place)
         ORDER BY place",
    )
    .bind(readers.iter().map(|(room, _, _)| room.as_uuid()).collect::<Vec<Uuid>>())
    .bind(readers.iter().map(|(_, reader, _)| except(*reader)).collect::<Vec<Uuid>>())
    .bind(readers.iter().map(|(_, _, mark)| column::of_seq(*mark)).collect::<Vec<i64>>())
    .bind(i64::from(UNREAD_MAX))
    .fetch_all(pool)
    .await?;
    Ok(counts.into_iter().map(|count| u32::try_from(count).unwrap_or(UNREAD_MAX)).collect())
}

/// Whose messages a reader does not count: their own.
fn except(reader: UserId) -> Uuid {
    if mutant::is(Mutant::CounterUnread) { Uuid::nil() } else { reader.as_uuid() }
}
