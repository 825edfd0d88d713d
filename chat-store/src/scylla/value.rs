//! How values travel in CQL.

use std::fmt;

use ::scylla::value::{CqlTimestamp, MaybeUnset};
use schema::clock::Timestamp;

use crate::{StoreError, column};

/// A value that is left out when there is none: writing null would leave a tombstone.
pub(super) fn given<T>(value: Option<T>) -> MaybeUnset<T> {
    MaybeUnset::from_option(value)
}

/// A time from its column.
pub(super) fn timestamp(
    value: CqlTimestamp,
    table: &'static str,
    id: impl fmt::Display,
) -> Result<Timestamp, StoreError> {
    Timestamp::from_unix_millis(value.0).map_err(|_out_of_range| column::corrupt(table, "created_at", id))
}
