//! How columns hold what the contract speaks of: both databases have signed integers and plain UUIDs.

use std::fmt;

use schema::{envelope::Kind, id::UserId};
use uuid::Uuid;

use crate::StoreError;

/// A seq as a column holds it. A stream that counted past 2^63 would have run for a million years.
pub(crate) fn of_seq(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

/// The inverse of [`of_seq`].
pub(crate) fn seq(value: i64, table: &'static str, id: impl fmt::Display) -> Result<u64, StoreError> {
    u64::try_from(value).map_err(|_negative| corrupt(table, "seq", id))
}

/// A sender as a column holds it; none = the system.
pub(crate) fn of_user(user: Option<UserId>) -> Option<Uuid> {
    user.map(UserId::as_uuid)
}

/// The kind of a log frame; none = a skip.
pub(crate) fn kind(text: Option<&str>, table: &'static str, id: impl fmt::Display) -> Result<Option<Kind>, StoreError> {
    let Some(text) = text else { return Ok(None) };
    Kind::parse(text).map(Some).ok_or_else(|| corrupt(table, "kind", id))
}

/// A row holds what no version of this program has written.
pub(crate) fn corrupt(table: &'static str, column: &'static str, id: impl fmt::Display) -> StoreError {
    StoreError::Corrupt { table, column, id: id.to_string() }
}

/// A limit as a statement takes it.
pub(crate) fn of_limit(limit: usize) -> i32 {
    i32::try_from(limit).unwrap_or(i32::MAX)
}
