//! Where ids stand.

use ops::database::Pool;
use schema::id::{MessageId, RoomId, UserId};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{Found, StoreError, column};

const TABLE: &str = "chat_message_ids";

#[derive(sqlx::FromRow)]
struct Row {
    message_id: Uuid,
    event_id: Uuid,
    seq: i64,
    sender: Option<Uuid>,
    created_at: OffsetDateTime,
}

/// Those of `ids` that stand somewhere; a refused change stands nowhere, its seq is a skip.
pub(super) async fn by_ids(pool: &Pool, ids: &[MessageId]) -> Result<Vec<Found>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT ids.message_id, ids.event_id, ids.seq, ids.sender, ids.created_at
         FROM chat_message_ids ids JOIN room_log_by_event log ON log.event_id = ids.event_id AND log.seq = ids.seq
         WHERE ids.message_id = ANY($1) AND log.kind IS NOT NULL",
    )
    .bind(ids)
    .fetch_all(pool)
    .await?;
    let decode = |row: Row| {
        Ok(Found {
            id: MessageId::from_uuid(row.message_id),
            room_id: RoomId::from_uuid(row.event_id),
            seq: column::seq(row.seq, TABLE, row.message_id)?,
            sender: row.sender.map(UserId::from_uuid),
            created_at: row.created_at.into(),
        })
    };
    rows.into_iter().map(decode).collect()
}
