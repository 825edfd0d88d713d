//! A person.

use schema::{clock::Timestamp, id::UserId};
use serde::Serialize;
use sqlx::{Row as _, postgres::PgRow};

/// A person as they see themselves.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct User {
    /// Who.
    pub(crate) id: UserId,
    /// How they sign in.
    pub(crate) email: Option<String>,
    /// What others see of them.
    pub(crate) display_name: String,
    /// `user`, `business` or `admin`.
    pub(crate) role: String,
    /// What they say about themselves just now.
    pub(crate) status_text: Option<String>,
    /// When they came.
    pub(crate) created_at: Timestamp,
}

/// A person as others see them.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Profile {
    id: UserId,
    display_name: String,
    status_text: Option<String>,
}

impl From<User> for Profile {
    fn from(user: User) -> Self {
        Self { id: user.id, display_name: user.display_name, status_text: user.status_text }
    }
}

impl sqlx::FromRow<'_, PgRow> for User {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            email: row.try_get("email")?,
            display_name: row.try_get("display_name")?,
            role: row.try_get("role")?,
            status_text: row.try_get("status_text")?,
            created_at: Timestamp::new(row.try_get("created_at")?),
        })
    }
}
