//! What happened to an event, for ever.

use ::scylla::value::CqlTimestamp;
use schema::{
    change::{ChangeKind, FieldChange},
    clock::Timestamp,
    id::{ChangeId, EventId, UserId},
};
use uuid::Uuid;

use super::{ScyllaStore, error, value::timestamp};
use crate::{EventChange, StoreError, column};

const TABLE: &str = "event_history";

/// Writes a change; the same one again changes nothing.
pub(super) async fn write(store: &ScyllaStore, change: &EventChange) -> Result<(), StoreError> {
    let uuids = |users: &[UserId]| users.iter().map(|user| user.as_uuid()).collect::<Vec<_>>();
    let values = (
        change.event_id.as_uuid(),
        CqlTimestamp(change.changed_at.unix_millis()),
        change.id.as_uuid(),
        change.change.subject(),
        change.version,
        column::of_user(change.actor_id),
        serde_json::to_string(&change.fields).expect("strings and JSON values serialise"),
        uuids(&change.added),
        uuids(&change.removed),
        change.hash.as_deref(),
    );
    store.session.execute_unpaged(&store.statements.event_insert, values).await.map_err(error::execution)?;
    Ok(())
}

#[derive(::scylla::DeserializeRow)]
struct Row {
    changed_at: CqlTimestamp,
    change_id: Uuid,
    change: Option<String>,
    version: Option<i64>,
    actor_id: Option<Uuid>,
    fields: Option<String>,
    added: Option<Vec<Uuid>>,
    removed: Option<Vec<Uuid>>,
    hash: Option<String>,
}

/// The event's changes, newest first.
pub(super) async fn read(
    store: &ScyllaStore,
    event: EventId,
    before: Option<(Timestamp, ChangeId)>,
    limit: usize,
) -> Result<Vec<EventChange>, StoreError> {
    let statements = &store.statements;
    let limit = column::of_limit(limit);
    let rows: Vec<Row> = match before {
        None => store.rows(&statements.event_newest, (event.as_uuid(), limit)).await?,
        Some((at, id)) => {
            let key = (event.as_uuid(), CqlTimestamp(at.unix_millis()), id.as_uuid(), limit);
            store.rows(&statements.event_before, key).await?
        }
    };
    rows.into_iter().map(|row| decode(event, row)).collect()
}

fn decode(event_id: EventId, row: Row) -> Result<EventChange, StoreError> {
    let absent = |column| move || column::corrupt(TABLE, column, row.change_id);
    let fields: Option<Vec<FieldChange>> = row.fields.as_deref().and_then(|fields| serde_json::from_str(fields).ok());
    let users = |uuids: Option<Vec<Uuid>>| uuids.unwrap_or_default().into_iter().map(UserId::from_uuid).collect();
    Ok(EventChange {
        id: ChangeId::from_uuid(row.change_id),
        event_id,
        change: row.change.as_deref().and_then(ChangeKind::parse).ok_or_else(absent("change"))?,
        version: row.version.ok_or_else(absent("version"))?,
        actor_id: row.actor_id.map(UserId::from_uuid),
        changed_at: timestamp(row.changed_at, TABLE, row.change_id)?,
        fields: fields.ok_or_else(absent("fields"))?,
        added: users(row.added),
        removed: users(row.removed),
        hash: row.hash,
    })
}
