//! What happened to an event, for ever.

use ops::database::Pool;
use schema::{
    change::{ChangeKind, FieldChange},
    clock::Timestamp,
    id::{ChangeId, EventId, UserId},
};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{EventChange, StoreError, column};

const TABLE: &str = "event_history";

/// Writes a change unless it is there.
pub(super) async fn write(pool: &Pool, change: &EventChange) -> Result<(), StoreError> {
    let fields = serde_json::to_string(&change.fields).expect("strings and JSON values serialise");
    sqlx::query(
        "INSERT INTO event_history
             (event_id, changed_at, change_id, change, version, actor_id, fields, added, removed, hash)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         ON CONFLICT (event_id, changed_at, change_id) DO NOTHING",
    )
    .bind(change.event_id)
    .bind(change.changed_at.as_datetime())
    .bind(change.id)
    .bind(change.change.subject())
    .bind(change.version)
    .bind(change.actor_id)
    .bind(fields)
    .bind(&change.added)
    .bind(&change.removed)
    .bind(&change.hash)
    .execute(pool)
    .await?;
    Ok(())
}

#[derive(sqlx::FromRow)]
struct Row {
    changed_at: OffsetDateTime,
    change_id: Uuid,
    change: String,
    version: i64,
    actor_id: Option<Uuid>,
    fields: String,
    added: Vec<Uuid>,
    removed: Vec<Uuid>,
    hash: Option<String>,
}

/// The event's changes, newest first.
pub(super) async fn read(
    pool: &Pool,
    event: EventId,
    before: Option<(Timestamp, ChangeId)>,
    limit: usize,
) -> Result<Vec<EventChange>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT changed_at, change_id, change, version, actor_id, fields, added, removed, hash
         FROM event_history
         WHERE event_id = $1 AND ($2::timestamptz IS NULL OR (changed_at, change_id) < ($2, $3))
         ORDER BY changed_at DESC, change_id DESC LIMIT $4",
    )
    .bind(event)
    .bind(before.map(|(at, _)| at.as_datetime()))
    .bind(before.map(|(_, id)| id))
    .bind(column::of_limit(limit))
    .fetch_all(pool)
    .await?;
    rows.into_iter().map(|row| decode(event, row)).collect()
}

fn decode(event_id: EventId, row: Row) -> Result<EventChange, StoreError> {
    let fields: Option<Vec<FieldChange>> = serde_json::from_str(&row.fields).ok();
    Ok(EventChange {
        id: ChangeId::from_uuid(row.change_id),
        event_id,
        change: ChangeKind::parse(&row.change).ok_or_else(|| column::corrupt(TABLE, "change", row.change_id))?,
        version: row.version,
        actor_id: row.actor_id.map(UserId::from_uuid),
        changed_at: row.changed_at.into(),
        fields: fields.ok_or_else(|| column::corrupt(TABLE, "fields", row.change_id))?,
        added: row.added.into_iter().map(UserId::from_uuid).collect(),
        removed: row.removed.into_iter().map(UserId::from_uuid).collect(),
        hash: row.hash,
    })
}
