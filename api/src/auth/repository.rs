//! SQL of users and their sessions.

use ops::database::Pool;
use schema::{
    clock::Timestamp,
    id::{SessionId, UserId},
    text::DisplayName,
};
use sqlx::PgConnection;

use super::session::Standing;
use crate::users::{Role, User};

/// What a sign-in needs to know of an account.
#[derive(sqlx::FromRow)]
pub(super) struct Account {
    pub(super) password_hash: Option<String>,
    #[sqlx(flatten)]
    pub(super) user: User,
}

/// An account that is to be made.
pub(super) struct NewUser<'a> {
    pub(super) email: Option<&'a str>,
    /// None for who signs in by other means.
    pub(super) password_hash: Option<&'a str>,
    pub(super) display_name: &'a DisplayName,
    pub(super) role: Role,
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RevokedFor {
    Logout,
    LogoutAll,
    Reuse,
}

impl RevokedFor {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Logout => "logout",
            Self::LogoutAll => "logout_all",
            Self::Reuse => "reuse",
        }
    }
}

/// Makes an account, unless another has the address.
pub(super) async fn insert_user(
    tx: &mut PgConnection,
    id: UserId,
    new: &NewUser<'_>,
    now: Timestamp,
) -> sqlx::Result<Option<User>> {
    sqlx::query_as(
        "INSERT INTO users (id, email, password_hash, display_name, role, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $6)
         ON CONFLICT ON CONSTRAINT users_email_key DO NOTHING
         RETURNING id, email, display_name, role, status_text, created_at",
    )
    .bind(id)
    .bind(new.email)
    .bind(new.password_hash)
    .bind(new.display_name)
    .bind(new.role)
    .bind(now.as_datetime())
    .fetch_optional(tx)
    .await
}

/// Whether anybody is an admin.
pub(super) async fn has_admin(pg: &Pool) -> sqlx::Result<bool> {
    sqlx::query_scalar("SELECT EXISTS (SELECT FROM users WHERE role = 'admin' AND deleted_at IS NULL)")
        .fetch_one(pg)
        .await
}

pub(super) async fn find_account(pg: &Pool, email: &str) -> sqlx::Result<Option<Account>> {
    sqlx::query_as(
        "SELECT password_hash, id, email, display_name, role, status_text, created_at
         FROM users WHERE email = $1 AND deleted_at IS NULL",
    )
    .bind(email)
    .fetch_optional(pg)
    .await
}

pub(super) async fn find_user(pg: &Pool, id: UserId) -> sqlx::Result<Option<User>> {
    sqlx::query_as(
        "SELECT id, email, display_name, role, status_text, created_at
         FROM users WHERE id = $1 AND deleted_at IS NULL",
    )
    .bind(id)
    .fetch_optional(pg)
    .await
}

/// Keeps a hash of our own in place of one that came with its user.
pub(super) async fn replace_password_hash(
    tx: &mut PgConnection,
    id: UserId,
    imported: &str,
    own: &str,
) -> sqlx::Result<()> {
    sqlx::query("UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2")
        .bind(id)
        .bind(imported)
        .bind(own)
        .execute(tx)
        .await?;
    Ok(())
}

pub(super) async fn find_standing(pg: &Pool, sid: SessionId, user: UserId) -> sqlx::Result<Option<Standing>> {
    let found: Option<(bool, Role)> = sqlx::query_as(
        "SELECT s.revoked_at IS NOT NULL, u.role
         FROM sessions s JOIN users u ON u.id = s.user_id
         WHERE s.id = $1 AND s.user_id = $2 AND u.deleted_at IS NULL",
    )
    .bind(sid)
    .bind(user)
    .fetch_optional(pg)
    .await?;
    Ok(found.map(|(is_revoked, role)| if is_revoked { Standing::Revoked } else { Standing::Alive { role } }))
}

pub(super) async fn insert_session(
    tx: &mut PgConnection,
    sid: SessionId,
    user: UserId,
    now: Timestamp,
    expires_at: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query("INSERT INTO sessions (id, user_id, created_at, last_used_at, expires_at) VALUES ($1, $2, $3, $3, $4)")
        .bind(sid)
        .bind(user)
        .bind(now.as_datetime())
        .bind(expires_at.as_datetime())
        .execute(tx)
        .await?;
    Ok(())
}

/// Signs out one session of `user`, or with none all of them; answers which ones it was.
pub(super) async fn revoke(
    tx: &mut PgConnection,
    user: UserId,
    sid: Option<SessionId>,
    why: RevokedFor,
    now: Timestamp,
) -> sqlx::Result<Vec<SessionId>> {
    sqlx::query_scalar(
        "UPDATE sessions SET revoked_at = $3, revoked_for = $4
         WHERE user_id = $1 AND ($2::uuid IS NULL OR id = $2) AND revoked_at IS NULL RETURNING id",
    )
    .bind(user)
    .bind(sid)
    .bind(now.as_datetime())
    .bind(why.as_str())
    .fetch_all(tx)
    .await
}
