//! Tells an outage from a refusal: the first is waited for, the second is not.

use sqlx::error::DatabaseError;

use crate::StoreError;

/// SQLSTATEs of answers that the same statement may not get again: connection trouble (08), rollbacks by
/// deadlock or serialisation (40), missing resources (53), an operator's intervention (57), a lock that was
/// not to be had (55), trouble of the machine (58), a server that can not write now (25006: a standby).
const TRANSIENT: [&str; 7] = ["08", "40", "53", "55", "57", "58", "25006"];

/// SQLSTATE `deadlock_detected`.
const DEADLOCK: &str = "40P01";

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(answer) if !is_transient(answer.as_ref()) => Self::Refused(Box::new(error)),
            sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::ColumnIndexOutOfBounds { .. }
            | sqlx::Error::Decode(_)
            | sqlx::Error::Encode(_)
            | sqlx::Error::RowNotFound
            | sqlx::Error::TypeNotFound { .. }
            | sqlx::Error::Configuration(_) => Self::Refused(Box::new(error)),
            // The pool, the network, a server that goes away; and what later versions of sqlx may add.
            _ => Self::Unavailable(Box::new(error)),
        }
    }
}

/// Whether this transaction lost to another one and can simply be done again.
pub(super) fn is_deadlock(error: &StoreError) -> bool {
    let StoreError::Unavailable(source) = error else { return false };
    let answer = source.downcast_ref::<sqlx::Error>().and_then(sqlx::Error::as_database_error);
    answer.and_then(DatabaseError::code).is_some_and(|code| code == DEADLOCK)
}

fn is_transient(answer: &dyn DatabaseError) -> bool {
    answer.code().is_none_or(|code| TRANSIENT.iter().any(|class| code.starts_with(class)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_without_a_connection_is_an_outage_and_a_row_that_does_not_decode_is_not() {
        assert!(matches!(StoreError::from(sqlx::Error::PoolTimedOut), StoreError::Unavailable(_)));
        assert!(matches!(StoreError::from(sqlx::Error::PoolClosed), StoreError::Unavailable(_)));
        assert!(matches!(StoreError::from(sqlx::Error::RowNotFound), StoreError::Refused(_)));
    }
}
