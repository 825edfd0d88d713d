//! The log of a room: every seq of it, skips included.

use ops::database::Pool;
use schema::{
    clock::Timestamp,
    erasure,
    id::{MessageId, RoomId},
};
use sqlx::{PgConnection, PgExecutor};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{Entry, LogRow, StoreError, column, error::OTHER_AT_SEQ};

const TABLE: &str = "room_log_by_event";

/// Writes the seq of `entry` unless it is there, as what it was or as a skip.
pub(super) async fn insert(db: impl PgExecutor<'_>, entry: &Entry, body: &str) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO room_log_by_event (event_id, seq, kind, id, created_at, body) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (event_id, seq) DO NOTHING",
    )
    .bind(entry.room_id)
    .bind(column::of_seq(entry.seq))
    .bind(entry.body.kind().as_str())
    .bind(entry.body.id())
    .bind(entry.logged_at.as_datetime())
    .bind(body)
    .execute(db)
    .await?;
    Ok(())
}

/// Writes a skip, also over what was there.
pub(super) async fn write_skip(
    db: impl PgExecutor<'_>,
    room: RoomId,
    seq: u64,
    logged_at: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO room_log_by_event (event_id, seq, created_at) VALUES ($1, $2, $3)
         ON CONFLICT (event_id, seq) DO UPDATE SET kind = NULL, id = NULL, body = NULL",
    )
    .bind(room)
    .bind(column::of_seq(seq))
    .bind(logged_at.as_datetime())
    .execute(db)
    .await?;
    Ok(())
}

/// Takes a skip away.
pub(super) async fn lift_skip(db: impl PgExecutor<'_>, room: RoomId, seq: u64) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM room_log_by_event WHERE event_id = $1 AND seq = $2 AND kind IS NULL")
        .bind(room)
        .bind(column::of_seq(seq))
        .execute(db)
        .await?;
    Ok(())
}

/// Refuses when something else stands at the seq of `entry`.
pub(super) async fn expect_id(db: impl PgExecutor<'_>, entry: &Entry) -> Result<(), StoreError> {
    let row: Option<(Option<Uuid>,)> =
        sqlx::query_as("SELECT id FROM room_log_by_event WHERE event_id = $1 AND seq = $2")
            .bind(entry.room_id)
            .bind(column::of_seq(entry.seq))
            .fetch_optional(db)
            .await?;
    let is_own = row.is_some_and(|(id,)| id == Some(entry.body.id().as_uuid()));
    if is_own { Ok(()) } else { Err(StoreError::Refused(OTHER_AT_SEQ.into())) }
}

/// Turns a seq that is there into a skip.
pub(super) async fn withdraw(db: impl PgExecutor<'_>, room: RoomId, seq: u64) -> Result<(), StoreError> {
    sqlx::query("UPDATE room_log_by_event SET kind = NULL, id = NULL, body = NULL WHERE event_id = $1 AND seq = $2")
        .bind(room)
        .bind(column::of_seq(seq))
        .execute(db)
        .await?;
    Ok(())
}

/// Blanks the text at `seqs`, because the message they belong to was deleted at `erased_seq`.
pub(super) async fn erase(
    tx: &mut PgConnection,
    room: RoomId,
    seqs: &[u64],
    erased_seq: u64,
) -> Result<(), StoreError> {
    let seqs: Vec<i64> = seqs.iter().copied().map(column::of_seq).collect();
    let rows: Vec<(i64, String)> = sqlx::query_as(
        "SELECT seq, body FROM room_log_by_event
         WHERE event_id = $1 AND seq = ANY($2) AND erased_seq IS NULL AND body IS NOT NULL",
    )
    .bind(room)
    .bind(seqs)
    .fetch_all(&mut *tx)
    .await?;
    let (seqs, bodies): (Vec<i64>, Vec<String>) =
        rows.into_iter().map(|(seq, body)| (seq, erasure::erase(&body))).unzip();
    sqlx::query(
        "UPDATE room_log_by_event log SET body = erased.body, erased_seq = $4
         FROM unnest($2::bigint[], $3::text[]) AS erased (seq, body) WHERE log.event_id = $1 AND log.seq = erased.seq",
    )
    .bind(room)
    .bind(seqs)
    .bind(bodies)
    .bind(column::of_seq(erased_seq))
    .execute(tx)
    .await?;
    Ok(())
}

/// What was published at a seq; `None` for a skip.
pub(super) async fn body(db: impl PgExecutor<'_>, room: RoomId, seq: u64) -> Result<Option<String>, StoreError> {
    let row: Option<(Option<String>,)> =
        sqlx::query_as("SELECT body FROM room_log_by_event WHERE event_id = $1 AND seq = $2")
            .bind(room)
            .bind(column::of_seq(seq))
            .fetch_optional(db)
            .await?;
    Ok(row.and_then(|(body,)| body))
}

#[derive(sqlx::FromRow)]
struct Row {
    seq: i64,
    kind: Option<String>,
    id: Option<Uuid>,
    created_at: OffsetDateTime,
    body: Option<String>,
}

/// Every seq above `after`, ascending.
pub(super) async fn read(pool: &Pool, room: RoomId, after: u64, limit: usize) -> Result<Vec<LogRow>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT seq, kind, id, created_at, body FROM room_log_by_event
         WHERE event_id = $1 AND seq > $2 ORDER BY seq LIMIT $3",
    )
    .bind(room)
    .bind(column::of_seq(after))
    .bind(column::of_limit(limit))
    .fetch_all(pool)
    .await?;
    rows.into_iter().map(|row| decode(row, room)).collect()
}

fn decode(row: Row, room: RoomId) -> Result<LogRow, StoreError> {
    Ok(LogRow {
        seq: column::seq(row.seq, TABLE, room)?,
        kind: column::kind(row.kind.as_deref(), TABLE, room)?,
        id: row.id.map(MessageId::from_uuid),
        created_at: row.created_at.into(),
        body: row.body,
    })
}

#[derive(sqlx::FromRow)]
struct PlacedRow {
    event_id: Uuid,
    #[sqlx(flatten)]
    row: Row,
}

impl PlacedRow {
    fn decode(self) -> Result<(RoomId, LogRow), StoreError> {
        let room = RoomId::from_uuid(self.event_id);
        Ok((room, decode(self.row, room)?))
    }
}

/// Every seq above `above`, by room and seq, after `after`.
pub(super) async fn list_from(
    tx: &mut PgConnection,
    after: (Uuid, i64),
    above: u64,
    limit: usize,
) -> Result<Vec<(RoomId, LogRow)>, StoreError> {
    let rows: Vec<PlacedRow> = sqlx::query_as(
        "SELECT event_id, seq, kind, id, created_at, body FROM room_log_by_event
         WHERE (event_id, seq) > ($1, $2) AND seq > $3 ORDER BY event_id, seq LIMIT $4",
    )
    .bind(after.0)
    .bind(after.1)
    .bind(column::of_seq(above))
    .bind(column::of_limit(limit))
    .fetch_all(tx)
    .await?;
    rows.into_iter().map(PlacedRow::decode).collect()
}

/// What stands at these places, in no order.
pub(super) async fn list_at(pool: &Pool, rooms: &[Uuid], seqs: &[i64]) -> Result<Vec<(RoomId, LogRow)>, StoreError> {
    let rows: Vec<PlacedRow> = sqlx::query_as(
        "SELECT event_id, seq, kind, id, created_at, body FROM room_log_by_event
         JOIN unnest($1::uuid[], $2::bigint[]) AS wanted (event_id, seq) USING (event_id, seq)",
    )
    .bind(rooms)
    .bind(seqs)
    .fetch_all(pool)
    .await?;
    rows.into_iter().map(PlacedRow::decode).collect()
}

/// The greatest seq of the room; 0 without any.
pub(super) async fn last_seq(pool: &Pool, room: RoomId) -> Result<u64, StoreError> {
    let (seq,): (Option<i64>,) =
        sqlx::query_as("SELECT max(seq) FROM room_log_by_event WHERE event_id = $1").bind(room).fetch_one(pool).await?;
    column::seq(seq.unwrap_or(0), TABLE, room)
}
