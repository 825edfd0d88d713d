//! SQL of refresh tokens: the mirror that recognises a token, and never makes one work.

use ops::database::Pool;
use schema::{
    clock::Timestamp,
    id::{SessionId, UserId},
};
use sqlx::PgConnection;

use super::refresh_token::Hash;

pub(super) async fn insert(tx: &mut PgConnection, hash: &Hash, sid: SessionId, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query("INSERT INTO refresh_tokens (hash, session_id, created_at) VALUES ($1, $2, $3)")
        .bind(&hash[..])
        .bind(sid)
        .bind(now.as_datetime())
        .execute(tx)
        .await?;
    Ok(())
}

/// Mirrors `successor` of the token `presented`, if that one is of this session and the session lives; answers whose
/// it is.
pub(super) async fn extend(
    pg: &Pool,
    sid: SessionId,
    presented: &Hash,
    successor: &Hash,
    now: Timestamp,
    expires_at: Timestamp,
) -> sqlx::Result<Option<UserId>> {
    sqlx::query_scalar(
        "WITH alive AS (
             UPDATE sessions SET last_used_at = $4, expires_at = $5
             WHERE id = $1 AND revoked_at IS NULL AND expires_at > $4
               AND EXISTS (SELECT FROM refresh_tokens WHERE hash = $2 AND session_id = $1)
             RETURNING id, user_id
         ), mirrored AS (
             INSERT INTO refresh_tokens (hash, session_id, created_at) SELECT $3, id, $4 FROM alive
         )
         SELECT user_id FROM alive",
    )
    .bind(sid)
    .bind(&presented[..])
    .bind(&successor[..])
    .bind(now.as_datetime())
    .bind(expires_at.as_datetime())
    .fetch_optional(pg)
    .await
}

/// Forgets a successor that was never handed out.
pub(super) async fn delete(pg: &Pool, hash: &Hash) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM refresh_tokens WHERE hash = $1").bind(&hash[..]).execute(pg).await?;
    Ok(())
}

/// Whose session a token is or was of.
pub(super) async fn find_session(pg: &Pool, hash: &Hash) -> sqlx::Result<Option<(SessionId, UserId)>> {
    sqlx::query_as(
        "SELECT s.id, s.user_id FROM refresh_tokens t JOIN sessions s ON s.id = t.session_id WHERE t.hash = $1",
    )
    .bind(&hash[..])
    .fetch_optional(pg)
    .await
}
