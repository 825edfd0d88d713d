//! Where ids stand.

use ops::database::Pool;
use schema::{
    envelope::Kind,
    id::{MessageId, RoomId, UserId},
};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{Found, StoreError, column};

const TABLE: &str = "chat_message_ids";

#[derive(sqlx::FromRow)]
struct Row {
    message_id: Uuid,
    event_id: Uuid,
    seq: i64,
    kind: String,
    sender: Option<Uuid>,
    created_at: OffsetDateTime,
    is_deleted: bool,
}

/// Those of `ids` that stand somewhere; a refused change stands nowhere, its seq is a skip.
pub(super) async fn by_ids(pool: &Pool, ids: &[MessageId]) -> Result<Vec<Found>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT ids.message_id, ids.event_id, ids.seq, ids.kind, ids.sender, ids.created_at,
             items.deleted_seq IS NOT NULL AS is_deleted
         FROM chat_message_ids ids JOIN room_log_by_event log ON log.event_id = ids.event_id AND log.seq = ids.seq
         LEFT JOIN chat_messages_by_event items ON items.event_id = ids.event_id AND items.seq = ids.seq
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
            kind: Kind::parse(&row.kind).ok_or_else(|| column::corrupt(TABLE, "kind", row.message_id))?,
            sender: row.sender.map(UserId::from_uuid),
            created_at: row.created_at.into(),
            is_deleted: row.is_deleted,
        })
    };
    rows.into_iter().map(decode).collect()
}
