//! SQL of an event's participants.

use ops::database::Pool;
use schema::{
    clock::Timestamp,
    id::{EventId, UserId},
};
use serde::Serialize;
use sqlx::{PgConnection, Row as _, postgres::PgRow};
use time::OffsetDateTime;

/// Somebody in an event.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Participant {
    pub(super) user_id: UserId,
    pub(super) display_name: String,
    pub(super) role: String,
    /// `pending`, `accepted`, `declined` or `tentative`.
    pub(super) answer: Option<String>,
    /// `checked_in` or `no_show`.
    pub(super) attendance: Option<String>,
    pub(super) attendance_reason: Option<String>,
    pub(super) attendance_at: Option<Timestamp>,
    pub(super) joined_at: Timestamp,
}

impl sqlx::FromRow<'_, PgRow> for Participant {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            user_id: row.try_get("user_id")?,
            display_name: row.try_get("display_name")?,
            role: row.try_get("role")?,
            answer: row.try_get("answer")?,
            attendance: row.try_get("attendance")?,
            attendance_reason: row.try_get("attendance_reason")?,
            attendance_at: row.try_get::<Option<OffsetDateTime>, _>("attendance_at")?.map(Timestamp::new),
            joined_at: Timestamp::new(row.try_get("joined_at")?),
        })
    }
}

/// Which of `users` have no account.
pub(super) async fn list_unknown(tx: &mut PgConnection, users: &[UserId]) -> sqlx::Result<Vec<UserId>> {
    sqlx::query_scalar(
        "SELECT wanted.id FROM unnest($1::uuid[]) AS wanted (id)
         WHERE NOT EXISTS (SELECT FROM users u WHERE u.id = wanted.id AND u.deleted_at IS NULL)",
    )
    .bind(users)
    .fetch_all(tx)
    .await
}

/// Puts `users` into the event; `owner` comes as its owner, who has accepted.
pub(super) async fn insert(
    tx: &mut PgConnection,
    event: EventId,
    users: &[UserId],
    owner: UserId,
    now: Timestamp,
) -> sqlx::Result<u64> {
    let inserted = sqlx::query(
        "INSERT INTO room_members (room_id, user_id, role, answer, joined_at)
         SELECT $1, id, CASE WHEN id = $3 THEN 'owner' ELSE 'member' END,
                CASE WHEN id = $3 THEN 'accepted' ELSE 'pending' END, $4
         FROM unnest($2::uuid[]) AS added (id)
         ON CONFLICT (room_id, user_id) DO NOTHING",
    )
    .bind(event)
    .bind(users)
    .bind(owner)
    .bind(now.as_datetime())
    .execute(tx)
    .await?;
    Ok(inserted.rows_affected())
}

pub(super) async fn delete(tx: &mut PgConnection, event: EventId, user: UserId) -> sqlx::Result<bool> {
    let deleted = sqlx::query("DELETE FROM room_members WHERE room_id = $1 AND user_id = $2")
        .bind(event)
        .bind(user)
        .execute(tx)
        .await?;
    Ok(deleted.rows_affected() == 1)
}

pub(super) async fn set_answer(tx: &mut PgConnection, event: EventId, user: UserId, answer: &str) -> sqlx::Result<()> {
    sqlx::query("UPDATE room_members SET answer = $3 WHERE room_id = $1 AND user_id = $2")
        .bind(event)
        .bind(user)
        .bind(answer)
        .execute(tx)
        .await?;
    Ok(())
}

/// Says whether they came, or takes it back.
pub(super) async fn set_attendance(tx: &mut PgConnection, event: EventId, of: &Participant) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE room_members SET attendance = $3, attendance_reason = $4, attendance_at = $5
         WHERE room_id = $1 AND user_id = $2",
    )
    .bind(event)
    .bind(of.user_id)
    .bind(&of.attendance)
    .bind(&of.attendance_reason)
    .bind(of.attendance_at.map(Timestamp::as_datetime))
    .execute(tx)
    .await?;
    Ok(())
}

pub(super) async fn find(tx: &mut PgConnection, event: EventId, user: UserId) -> sqlx::Result<Option<Participant>> {
    sqlx::query_as(
        "SELECT m.user_id, u.display_name, m.role, m.answer, m.attendance, m.attendance_reason, m.attendance_at,
                m.joined_at
         FROM room_members m JOIN users u ON u.id = m.user_id WHERE m.room_id = $1 AND m.user_id = $2",
    )
    .bind(event)
    .bind(user)
    .fetch_optional(tx)
    .await
}

/// The event's participants in the order they came.
pub(super) async fn list(
    pg: &Pool,
    event: EventId,
    after: Option<(Timestamp, UserId)>,
    limit: i64,
) -> sqlx::Result<Vec<Participant>> {
    sqlx::query_as(
        "SELECT m.user_id, u.display_name, m.role, m.answer, m.attendance, m.attendance_reason, m.attendance_at,
                m.joined_at
         FROM room_members m JOIN users u ON u.id = m.user_id
         WHERE m.room_id = $1 AND ($2::timestamptz IS NULL OR (m.joined_at, m.user_id) > ($2, $3))
         ORDER BY m.joined_at, m.user_id LIMIT $4",
    )
    .bind(event)
    .bind(after.map(|(at, _)| at.as_datetime()))
    .bind(after.map(|(_, user)| user))
    .bind(limit)
    .fetch_all(pg)
    .await
}
