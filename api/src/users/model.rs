//! A person.

use schema::{clock::Timestamp, id::UserId};
use serde::Serialize;
use sqlx::{Row as _, postgres::PgRow};

/// What an account may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum Role {
    /// What everybody may.
    User,
    /// Offers time, too.
    Business,
    /// Everything.
    Admin,
}

impl Role {
    /// The name on every wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Business => "business",
            Self::Admin => "admin",
        }
    }

    /// As [`Self::parse`], for a command line.
    pub(crate) fn parse_argument(text: &str) -> Result<Self, &'static str> {
        Self::parse(text).ok_or("a role is user, business or admin")
    }

    /// The inverse of [`Self::as_str`].
    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::User, Self::Business, Self::Admin].into_iter().find(|role| role.as_str() == text)
    }
}

/// An e-mail address as accounts have it: one account, however it is spelled.
pub(crate) fn one_spelling(email: &str) -> String {
    email.trim().to_lowercase()
}

/// A person as they see themselves.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct User {
    /// Who.
    pub(crate) id: UserId,
    /// How they sign in.
    pub(crate) email: Option<String>,
    /// What others see of them.
    pub(crate) display_name: String,
    /// What they may do beside what everybody may.
    pub(crate) role: Role,
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
