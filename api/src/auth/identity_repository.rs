//! SQL of the ways in which somebody else vouches for a person.

use schema::{clock::Timestamp, id::UserId};
use sqlx::PgConnection;

use super::identities::Vouched;
use crate::users::User;

/// Gives `user` this way in, unless somebody has it; answers whether it did. Waits for another that is giving it now.
pub(super) async fn insert(
    tx: &mut PgConnection,
    vouched: &Vouched,
    user: UserId,
    now: Timestamp,
) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "INSERT INTO user_identities (provider, subject, user_id, created_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (provider, subject) DO NOTHING",
    )
    .bind(vouched.provider.as_str())
    .bind(&vouched.subject)
    .bind(user)
    .bind(now.as_datetime())
    .execute(tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Who comes in this way.
pub(super) async fn find_user(tx: &mut PgConnection, vouched: &Vouched) -> sqlx::Result<Option<User>> {
    sqlx::query_as(
        "SELECT u.id, u.email, u.display_name, u.role, u.status_text, u.created_at
         FROM user_identities i JOIN users u ON u.id = i.user_id
         WHERE i.provider = $1 AND i.subject = $2 AND u.deleted_at IS NULL",
    )
    .bind(vouched.provider.as_str())
    .bind(&vouched.subject)
    .fetch_optional(tx)
    .await
}
