//! Tells an outage from a refusal: the first is waited for, the second is not.

use std::error::Error;

use ::scylla::errors::{
    BadQuery, DbError, ExecutionError, NewSessionError, PrepareError, RequestAttemptError, UseKeyspaceError,
};

use crate::StoreError;

/// What an answer to a statement means.
pub(super) fn execution(error: ExecutionError) -> StoreError {
    let is_refusal = match &error {
        ExecutionError::BadQuery(
            BadQuery::SerializationError(_) | BadQuery::PartitionKeyExtraction | BadQuery::ValuesTooLongForKey(..),
        ) => true,
        ExecutionError::LastAttemptError(attempt) => is_refused(attempt),
        ExecutionError::PrepareError(PrepareError::AllAttemptsFailed { first_attempt }) => is_refused(first_attempt),
        // The pool, the network, time; and what later versions of the driver may add.
        _ => false,
    };
    told(error, is_refusal)
}

/// What an answer to a preparation means.
pub(super) fn preparation(error: PrepareError) -> StoreError {
    let is_refusal = matches!(&error, PrepareError::AllAttemptsFailed { first_attempt } if is_refused(first_attempt));
    told(error, is_refusal)
}

/// Why a session could not be made.
pub(super) fn session(error: NewSessionError) -> StoreError {
    let is_refusal = match &error {
        NewSessionError::EmptyKnownNodesList
        | NewSessionError::IllegalConfig(_)
        | NewSessionError::UseKeyspaceError(UseKeyspaceError::BadKeyspaceName(_)) => true,
        NewSessionError::UseKeyspaceError(UseKeyspaceError::RequestError(attempt)) => is_refused(attempt),
        _ => false,
    };
    told(error, is_refusal)
}

/// An answer does not have the columns it must have: the tables are not ours.
pub(super) fn shape(error: impl Error + Send + Sync + 'static) -> StoreError {
    StoreError::Refused(Box::new(error))
}

fn told(error: impl Error + Send + Sync + 'static, is_refusal: bool) -> StoreError {
    if is_refusal { StoreError::Refused(Box::new(error)) } else { StoreError::Unavailable(Box::new(error)) }
}

fn is_refused(attempt: &RequestAttemptError) -> bool {
    match attempt {
        RequestAttemptError::SerializationError(_) => true,
        RequestAttemptError::DbError(answer, _) => matches!(
            answer,
            DbError::SyntaxError
                | DbError::Invalid
                | DbError::AlreadyExists { .. }
                | DbError::FunctionFailure { .. }
                | DbError::AuthenticationError
                | DbError::Unauthorized
                | DbError::ConfigError
                | DbError::ProtocolError
        ),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn check(error: ExecutionError, is_refusal: bool) {
        assert_eq!(matches!(execution(error), StoreError::Refused(_)), is_refusal);
    }

    #[test]
    fn a_timeout_is_an_outage_and_an_invalid_statement_is_not() {
        let answer = |answer| ExecutionError::LastAttemptError(RequestAttemptError::DbError(answer, String::new()));
        check(ExecutionError::RequestTimeout(Duration::from_secs(1)), false);
        check(ExecutionError::EmptyPlan, false);
        check(answer(DbError::Overloaded), false);
        check(answer(DbError::ServerError), false);
        check(answer(DbError::Invalid), true);
        check(answer(DbError::Unauthorized), true);
    }
}
