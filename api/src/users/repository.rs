//! SQL of profiles.

use schema::{clock::Timestamp, id::UserId};
use sqlx::PgPool;

use super::User;

pub(super) async fn find(pg: &PgPool, id: UserId) -> sqlx::Result<Option<User>> {
    sqlx::query_as(
        "SELECT id, email, display_name, role, status_text, created_at
         FROM users WHERE id = $1 AND deleted_at IS NULL",
    )
    .bind(id)
    .fetch_optional(pg)
    .await
}

/// Changes what is given; a status is changed only when `has_status` says so, since NULL clears it.
pub(super) async fn change(
    pg: &PgPool,
    id: UserId,
    display_name: Option<&str>,
    has_status: bool,
    status_text: Option<&str>,
    now: Timestamp,
) -> sqlx::Result<Option<User>> {
    sqlx::query_as(
        "UPDATE users
         SET display_name = coalesce($2, display_name),
             status_text = CASE WHEN $3 THEN $4 ELSE status_text END,
             updated_at = $5
         WHERE id = $1 AND deleted_at IS NULL
         RETURNING id, email, display_name, role, status_text, created_at",
    )
    .bind(id)
    .bind(display_name)
    .bind(has_status)
    .bind(status_text)
    .bind(now.as_datetime())
    .fetch_optional(pg)
    .await
}
