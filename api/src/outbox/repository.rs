//! SQL of the outbox.

use ops::{clock::Clock, database::Pool};
use schema::{clock::Timestamp, id::ChangeId, postgres::OUTBOX_CHANNEL, subject::ChatSubject};
use serde_json::Value;
use sqlx::{PgConnection, Postgres, Transaction};
use time::OffsetDateTime;
use uuid::Uuid;

use super::round::Lane;

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

impl Row {
    /// Whether the log takes it; anything else goes to whoever listens now.
    pub(super) fn is_for_log(&self) -> bool {
        ChatSubject::begins(&self.subject)
    }
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

/// A lane that this transaction has locked.
#[derive(Debug)]
pub(super) struct LockedLane {
    /// Which.
    pub(super) id: Uuid,
    tx: Transaction<'static, Postgres>,
    clock: Clock,
}

/// Rows of one lane in one transaction.
const ROWS_AT_ONCE: i64 = 100;

impl LockedLane {
    /// Locks the first lane after `after` that has something to publish, but for those that are `deferred` or locked by
    /// another.
    pub(super) async fn take(pg: &Pool, deferred: &[Uuid], after: Uuid, clock: Clock) -> sqlx::Result<Option<Self>> {
        let mut tx = pg.begin().await?;
        let id: Option<Uuid> = sqlx::query_scalar(
            "SELECT id FROM outbox_lane WHERE pending AND id <> ALL($1) AND id > $2 ORDER BY id LIMIT 1
             FOR UPDATE SKIP LOCKED",
        )
        .bind(deferred)
        .bind(after)
        .fetch_optional(&mut *tx)
        .await?;
        Ok(id.map(|id| Self { id, tx, clock }))
    }

    /// Lets it go.
    pub(super) async fn commit(self) -> sqlx::Result<()> {
        self.tx.commit().await
    }
}

impl Lane for LockedLane {
    type Away = sqlx::Error;

    async fn list(&mut self) -> sqlx::Result<Vec<Row>> {
        sqlx::query_as(
            "SELECT id, subject, headers, body, created_at FROM outbox
             WHERE lane_id = $1 AND NOT processed ORDER BY position LIMIT $2",
        )
        .bind(self.id)
        .bind(ROWS_AT_ONCE)
        .fetch_all(&mut *self.tx)
        .await
    }

    async fn set_processed(&mut self, rows: &[ChangeId]) -> sqlx::Result<()> {
        let rows: Vec<Uuid> = rows.iter().map(|row| row.as_uuid()).collect();
        sqlx::query("UPDATE outbox SET processed = true, processed_at = $2, error = NULL WHERE id = ANY($1)")
            .bind(rows)
            .bind(self.clock.now().as_datetime())
            .execute(&mut *self.tx)
            .await
            .map(drop)
    }

    async fn set_error(&mut self, row: ChangeId, error: &str) -> sqlx::Result<()> {
        sqlx::query("UPDATE outbox SET retry_count = retry_count + 1, error = $2 WHERE id = $1")
            .bind(row)
            .bind(error)
            .execute(&mut *self.tx)
            .await
            .map(drop)
    }

    /// Nobody can have appended meanwhile, since it is locked.
    async fn settle(&mut self) -> sqlx::Result<()> {
        sqlx::query(
            "UPDATE outbox_lane SET pending = EXISTS (SELECT FROM outbox WHERE lane_id = $1 AND NOT processed)
             WHERE id = $1",
        )
        .bind(self.id)
        .execute(&mut *self.tx)
        .await
        .map(drop)
    }
}

/// How many rows wait, and since when the oldest does.
pub(super) async fn backlog(pg: &Pool) -> sqlx::Result<(i64, Option<OffsetDateTime>)> {
    sqlx::query_as("SELECT count(*), min(created_at) FROM outbox WHERE NOT processed").fetch_one(pg).await
}
