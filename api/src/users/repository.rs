//! SQL of profiles.

use ops::database::Pool;
use schema::{clock::Timestamp, id::UserId};

use super::{Role, User};

pub(super) async fn find(pg: &Pool, id: UserId) -> sqlx::Result<Option<User>> {
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
    pg: &Pool,
    id: UserId,
    display_name: Option<&str>,
    has_status: bool,
    status_text: Option<&str>,
    role: Option<Role>,
    now: Timestamp,
) -> sqlx::Result<Option<User>> {
    sqlx::query_as(
        "UPDATE users
         SET display_name = coalesce($2, display_name),
             status_text = CASE WHEN $3 THEN $4 ELSE status_text END,
             -- An admin stays one.
             role = CASE WHEN role = 'admin' THEN role ELSE coalesce($5, role) END,
             updated_at = $6
         WHERE id = $1 AND deleted_at IS NULL
         RETURNING id, email, display_name, role, status_text, created_at",
    )
    .bind(id)
    .bind(display_name)
    .bind(has_status)
    .bind(status_text)
    .bind(role)
    .bind(now.as_datetime())
    .fetch_optional(pg)
    .await
}

/// Gives an account a role; answers whose it is.
pub(super) async fn set_role(pg: &Pool, email: &str, role: Role) -> sqlx::Result<Option<UserId>> {
    sqlx::query_scalar(
        "UPDATE users SET role = $2, updated_at = now() WHERE email = $1 AND deleted_at IS NULL RETURNING id",
    )
    .bind(email)
    .bind(role)
    .fetch_optional(pg)
    .await
}
