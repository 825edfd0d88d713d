//! SQL of the outbox.

use ops::database::Pool;
use schema::{clock::Timestamp, id::ChangeId, postgres::OUTBOX_CHANNEL};
use serde_json::Value;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

/// A row to be appended.
pub(super) struct NewRow {
    pub(super) id: ChangeId,
    pub(super) subject: String,
    pub(super) headers: Value,
    pub(super) body: String,
    pub(super) created_at: Timestamp,
}

/// A row to be published.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct Row {
    pub(super) id: ChangeId,
    pub(super) subject: String,
    pub(super) headers: Value,
    pub(super) body: String,
    pub(super) created_at: OffsetDateTime,
}

/// Appends `row` at the lane's end, which stays locked until the transaction ends, and wakes the relays then.
pub(super) async fn append(tx: &mut PgConnection, lane: Uuid, row: NewRow) -> sqlx::Result<()> {
    sqlx::query(
        "WITH lane AS (
             INSERT INTO outbox_lane (id, last_position, pending) VALUES ($1, 1, true)
             ON CONFLICT (id) DO UPDATE SET last_position = outbox_lane.last_position + 1, pending = true
             RETURNING id, last_position
         ), appended AS (
             INSERT INTO outbox (id, lane_id, position, subject, headers, body, created_at)
             SELECT $2, id, last_position, $3, $4, $5, $6 FROM lane
             RETURNING id
         )
         SELECT pg_notify($7, '') FROM appended",
    )
    .bind(lane)
    .bind(row.id)
    .bind(row.subject)
    .bind(row.headers)
    .bind(row.body)
    .bind(row.created_at.as_datetime())
    .bind(OUTBOX_CHANNEL)
    .execute(tx)
    .await?;
    Ok(())
}

/// Locks a lane that has something to publish, but for those that are `deferred` or locked by another.
pub(super) async fn lock_lane(tx: &mut PgConnection, deferred: &[Uuid]) -> sqlx::Result<Option<Uuid>> {
    sqlx::query_scalar("SELECT id FROM outbox_lane WHERE pending AND id <> ALL($1) LIMIT 1 FOR UPDATE SKIP LOCKED")
        .bind(deferred)
        .fetch_optional(tx)
        .await
}

/// The lane's oldest unpublished rows, in order.
pub(super) async fn list_unpublished(tx: &mut PgConnection, lane: Uuid, limit: i64) -> sqlx::Result<Vec<Row>> {
    sqlx::query_as(
        "SELECT id, subject, headers, body, created_at FROM outbox
         WHERE lane_id = $1 AND NOT processed ORDER BY position LIMIT $2",
    )
    .bind(lane)
    .bind(limit)
    .fetch_all(tx)
    .await
}

/// Marks rows as published.
pub(super) async fn set_processed(tx: &mut PgConnection, rows: &[Uuid], now: Timestamp) -> sqlx::Result<()> {
    sqlx::query("UPDATE outbox SET processed = true, processed_at = $2, error = NULL WHERE id = ANY($1)")
        .bind(rows)
        .bind(now.as_datetime())
        .execute(tx)
        .await?;
    Ok(())
}

/// Notes why a row could not be published this time.
pub(super) async fn set_error(tx: &mut PgConnection, row: ChangeId, error: &str) -> sqlx::Result<()> {
    sqlx::query("UPDATE outbox SET retry_count = retry_count + 1, error = $2 WHERE id = $1")
        .bind(row)
        .bind(error)
        .execute(tx)
        .await?;
    Ok(())
}

/// Says whether the lane has something left; nobody can have appended meanwhile, since it is locked.
pub(super) async fn settle_lane(tx: &mut PgConnection, lane: Uuid) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE outbox_lane SET pending = EXISTS (SELECT FROM outbox WHERE lane_id = $1 AND NOT processed)
         WHERE id = $1",
    )
    .bind(lane)
    .execute(tx)
    .await?;
    Ok(())
}

/// How many rows wait, and since when the oldest does.
pub(super) async fn backlog(pg: &Pool) -> sqlx::Result<(i64, Option<OffsetDateTime>)> {
    sqlx::query_as("SELECT count(*), min(created_at) FROM outbox WHERE NOT processed").fetch_one(pg).await
}
