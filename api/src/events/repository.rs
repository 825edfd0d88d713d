//! SQL of events.

use ops::database::Pool;
use schema::{
    clock::Timestamp,
    id::{EventId, UserId},
};
use sqlx::PgConnection;

use super::model::{Event, Status};
use crate::http::Identity;

/// What an event's row holds, with its participants.
macro_rules! select_event {
    ($rest:literal) => {
        concat!(
            "SELECT e.id, e.owner_id, e.title, e.description, e.location, e.starts_at, e.ends_at,
                    e.local_starts_at, e.local_ends_at, e.time_zone, e.status, e.slot_id, e.version,
                    e.created_at, e.updated_at,
                    ARRAY(SELECT p.user_id FROM room_members p WHERE p.room_id = e.id
                          ORDER BY p.joined_at, p.user_id) AS participant_ids,
                    (SELECT y.id FROM payments y WHERE y.event_id = e.id) AS payment_id
             FROM events e ",
            $rest
        )
    };
}

/// Which events a list shows.
#[derive(Debug, Default)]
pub(super) struct Filter {
    /// Those that end after this.
    pub(super) from: Option<Timestamp>,
    /// Those that begin before this.
    pub(super) to: Option<Timestamp>,
    /// Those in this state.
    pub(super) status: Option<Status>,
    /// Those that the caller owns, or those that they do not.
    pub(super) is_owner: Option<bool>,
    /// Those that hold this text in title, description or location.
    pub(super) text: Option<String>,
}

/// The event, if `caller` may see it.
pub(super) async fn find(pg: &Pool, id: EventId, caller: Identity) -> sqlx::Result<Option<Event>> {
    sqlx::query_as(select_event!(
        "WHERE e.id = $1 AND e.deleted_at IS NULL
         AND ($3 OR EXISTS (SELECT FROM room_members m WHERE m.room_id = e.id AND m.user_id = $2))"
    ))
    .bind(id)
    .bind(caller.user_id)
    .bind(caller.is_admin)
    .fetch_optional(pg)
    .await
}

/// As [`find`]; the row stays locked until the transaction ends.
pub(super) async fn find_for_update(
    tx: &mut PgConnection,
    id: EventId,
    caller: Identity,
) -> sqlx::Result<Option<Event>> {
    let event = lock(tx, id).await?;
    Ok(event.filter(|event| caller.is_admin || event.participant_ids.contains(&caller.user_id)))
}

/// As [`find_for_update`], whoever asks.
pub(super) async fn lock(tx: &mut PgConnection, id: EventId) -> sqlx::Result<Option<Event>> {
    // First the lock, then the look: what another transaction changed while we waited is seen.
    sqlx::query("SELECT FROM events WHERE id = $1 FOR UPDATE").bind(id).execute(&mut *tx).await?;
    sqlx::query_as(select_event!("WHERE e.id = $1 AND e.deleted_at IS NULL")).bind(id).fetch_optional(tx).await
}

/// The events `user` is in, by their beginning.
pub(super) async fn list(
    pg: &Pool,
    user: UserId,
    filter: &Filter,
    after: Option<(Timestamp, EventId)>,
    limit: i64,
) -> sqlx::Result<Vec<Event>> {
    sqlx::query_as(select_event!(
        "JOIN room_members m ON m.room_id = e.id AND m.user_id = $1
         WHERE e.deleted_at IS NULL
           AND ($2::timestamptz IS NULL OR e.ends_at > $2)
           AND ($3::timestamptz IS NULL OR e.starts_at < $3)
           AND ($4::text IS NULL OR e.status = $4)
           AND ($5::boolean IS NULL OR (e.owner_id = $1) = $5)
           AND ($6::text IS NULL OR strpos(lower(concat_ws(' ', e.title, e.description, e.location)), lower($6)) > 0)
           AND ($7::timestamptz IS NULL OR (e.starts_at, e.id) > ($7, $8))
         ORDER BY e.starts_at, e.id LIMIT $9"
    ))
    .bind(user)
    .bind(filter.from.map(Timestamp::as_datetime))
    .bind(filter.to.map(Timestamp::as_datetime))
    .bind(filter.status.map(Status::as_str))
    .bind(filter.is_owner)
    .bind(&filter.text)
    .bind(after.map(|(at, _)| at.as_datetime()))
    .bind(after.map(|(_, id)| id))
    .bind(limit)
    .fetch_all(pg)
    .await
}

/// Makes the event and its room; who is in it comes after.
pub(super) async fn insert(tx: &mut PgConnection, event: &Event) -> sqlx::Result<()> {
    sqlx::query(
        "WITH room AS (
             INSERT INTO rooms (id, room_type, name, created_by, created_at, updated_at)
             VALUES ($1, 'event', $3, $2, $14, $14)
         )
         INSERT INTO events (id, owner_id, title, description, location, starts_at, ends_at, local_starts_at,
                             local_ends_at, time_zone, status, slot_id, version, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $14)",
    )
    .bind(event.id)
    .bind(event.owner_id)
    .bind(&event.title)
    .bind(&event.description)
    .bind(&event.location)
    .bind(event.starts_at.as_datetime())
    .bind(event.ends_at.as_datetime())
    .bind(event.local_starts_at)
    .bind(event.local_ends_at)
    .bind(&event.time_zone)
    .bind(event.status.as_str())
    .bind(event.slot_id)
    .bind(event.version)
    .bind(event.created_at.as_datetime())
    .execute(tx)
    .await?;
    Ok(())
}

/// Writes everything of `event` that can change; its room keeps its name.
pub(super) async fn update(tx: &mut PgConnection, event: &Event) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE events SET title = $2, description = $3, location = $4, starts_at = $5, ends_at = $6,
             local_starts_at = $7, local_ends_at = $8, time_zone = $9, status = $10, version = $11, updated_at = $12
         WHERE id = $1",
    )
    .bind(event.id)
    .bind(&event.title)
    .bind(&event.description)
    .bind(&event.location)
    .bind(event.starts_at.as_datetime())
    .bind(event.ends_at.as_datetime())
    .bind(event.local_starts_at)
    .bind(event.local_ends_at)
    .bind(&event.time_zone)
    .bind(event.status.as_str())
    .bind(event.version)
    .bind(event.updated_at.as_datetime())
    .execute(&mut *tx)
    .await?;
    sqlx::query("UPDATE rooms SET name = $2, version = version + 1, updated_at = $3 WHERE id = $1 AND name <> $2")
        .bind(event.room_id)
        .bind(&event.title)
        .bind(event.updated_at.as_datetime())
        .execute(tx)
        .await?;
    Ok(())
}

/// The hash of the event's last change; none before its first.
pub(super) async fn find_history_hash(tx: &mut PgConnection, id: EventId) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar("SELECT history_hash FROM events WHERE id = $1").bind(id).fetch_one(tx).await
}

pub(super) async fn set_history_hash(tx: &mut PgConnection, id: EventId, hash: &str) -> sqlx::Result<()> {
    sqlx::query("UPDATE events SET history_hash = $2 WHERE id = $1").bind(id).bind(hash).execute(tx).await?;
    Ok(())
}

/// The hash and the version of the event's last change.
pub(super) async fn find_chain_end(pg: &Pool, id: EventId) -> sqlx::Result<Option<(Option<String>, i64)>> {
    sqlx::query_as("SELECT history_hash, version FROM events WHERE id = $1").bind(id).fetch_optional(pg).await
}

/// Hides the event and archives its room; what was said stays.
pub(super) async fn delete(tx: &mut PgConnection, event: &Event) -> sqlx::Result<()> {
    sqlx::query("UPDATE events SET deleted_at = $2, updated_at = $2, version = $3 WHERE id = $1")
        .bind(event.id)
        .bind(event.updated_at.as_datetime())
        .bind(event.version)
        .execute(&mut *tx)
        .await?;
    sqlx::query("UPDATE rooms SET is_archived = true, version = version + 1, updated_at = $2 WHERE id = $1")
        .bind(event.room_id)
        .bind(event.updated_at.as_datetime())
        .execute(tx)
        .await?;
    Ok(())
}
