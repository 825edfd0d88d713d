//! Every way a request fails, and the only file that knows what a failure looks like in HTTP.

use std::{borrow::Cow, error::Error as StdError, fmt::Write as _, time::Duration};

use chat_store::StoreError;
use schema::problem::{Code, FieldError, Problem};
use warp::{
    Reply,
    http::{HeaderValue, StatusCode, header},
    reply::Response,
};

use crate::http::request;

type Source = Box<dyn StdError + Send + Sync>;

/// Why a request is not answered as it hoped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// The caller did or asked something that is not to be had.
    #[error("{code}: {detail}")]
    Refused {
        /// What clients match on.
        code: Code,
        /// What was wrong this time; never a secret.
        detail: Cow<'static, str>,
    },
    /// Some fields of the request do not hold what they must.
    #[error("fields: {0:?}")]
    Fields(Vec<FieldError>),
    /// The caller is too fast.
    #[error("too fast, {retry_after:?}")]
    TooFast {
        /// When the same request may pass.
        retry_after: Duration,
    },
    /// A part that this needs is away; the same request may succeed later.
    #[error("{part} is away")]
    Unavailable {
        /// Which part.
        part: &'static str,
        /// Its own words, for the log.
        #[source]
        source: Source,
    },
    /// A defect on our side.
    #[error("internal")]
    Internal(#[source] Source),
}

/// When a caller may come back to a part that is away.
const RETRY_AFTER: Duration = Duration::from_secs(1);

impl ApiError {
    /// Refuses with `code`.
    pub(crate) fn refused(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::Refused { code, detail: detail.into() }
    }

    /// The room or event is not the caller's, or there is none: the same answer to both.
    pub(crate) fn not_a_member() -> Self {
        Self::refused(Code::NotAMember, "you are not in it, or it does not exist")
    }

    /// The credential does not count.
    pub(crate) fn invalid_token() -> Self {
        Self::refused(Code::InvalidToken, "a valid bearer token is required")
    }

    /// One field does not hold what it must.
    pub(crate) fn field(field: &str, code: &str) -> Self {
        Self::Fields(vec![FieldError { field: field.into(), code: code.into() }])
    }

    /// A form said that nothing is wrong, and yet a field is not there.
    pub(crate) fn unread_form() -> Self {
        Self::Internal("a form finished without its fields".into())
    }

    /// `part` is away.
    pub(crate) fn unavailable(part: &'static str, source: impl Into<Source>) -> Self {
        Self::Unavailable { part, source: source.into() }
    }

    /// What clients match on.
    pub(crate) fn code(&self) -> Code {
        match self {
            Self::Refused { code, .. } => *code,
            Self::Fields(_) => Code::InvalidFields,
            Self::TooFast { .. } => Code::RateLimited,
            Self::Unavailable { .. } => Code::Unavailable,
            Self::Internal(_) => Code::Internal,
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::Refused { detail, .. } => detail.clone().into_owned(),
            Self::Fields(errors) => {
                let names: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
                format!("look at {}", names.join(", "))
            }
            Self::TooFast { retry_after } => format!("try again in {} s", whole_seconds(*retry_after)),
            Self::Unavailable { .. } => "try again soon".into(),
            Self::Internal(_) => "it was logged under request_id".into(),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TooFast { retry_after } => Some(*retry_after),
            Self::Unavailable { .. } => Some(RETRY_AFTER),
            Self::Refused { code, .. } => (code.http_status() == 503).then_some(RETRY_AFTER),
            Self::Fields(_) | Self::Internal(_) => None,
        }
    }

    /// Logs it, once, with the chain of causes.
    fn log(&self, request_id: &str) {
        let code = self.code();
        match self {
            Self::Internal(source) => {
                tracing::error!(request.id = request_id, %code, cause = chain(&**source), "defect");
            }
            Self::Unavailable { part, source } => {
                tracing::warn!(request.id = request_id, %code, part, cause = chain(&**source), "away");
            }
            Self::Refused { .. } | Self::Fields(_) | Self::TooFast { .. } => {
                tracing::debug!(request.id = request_id, %code, detail = self.detail(), "refused");
            }
        }
    }
}

impl Reply for ApiError {
    fn into_response(self) -> Response {
        let request_id = request::id();
        self.log(&request_id);
        let (code, retry_after) = (self.code(), self.retry_after());
        let mut problem = Problem::new(code, self.detail(), request_id);
        problem.errors = match self {
            Self::Fields(errors) => errors,
            _ => FIELDS.iter().filter(|(of, ..)| *of == code).map(field_error).collect(),
        };
        let mut response = warp::reply::json(&problem).into_response();
        *response.status_mut() = StatusCode::from_u16(problem.status).expect("codes have statuses of HTTP");
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(Problem::CONTENT_TYPE));
        if let Some(wait) = retry_after {
            headers.insert(header::RETRY_AFTER, whole_seconds(wait).into());
        }
        if problem.status == 401 {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// Rounded up: who waits that long has waited long enough.
pub(crate) fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

/// What is wrong with which field, where a code of its own says so.
const FIELDS: [(Code, &str, &str); 4] = [
    (Code::InvalidTempId, "temp_id", "invalid"),
    (Code::InvalidContent, "content", "invalid"),
    (Code::ContentTooLong, "content", "too_long"),
    (Code::IdempotencyKeyReused, "Idempotency-Key", "reused"),
];

fn field_error((_, field, code): &(Code, &str, &str)) -> FieldError {
    FieldError { field: (*field).to_owned(), code: (*code).to_owned() }
}

fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        write!(text, ": {cause}").expect("a String takes all that is written");
        next = cause.source();
    }
    text
}

impl From<sqlx::Error> for ApiError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(refusal) if refusal.code().is_some_and(|code| is_passing(&code)) => {
                Self::unavailable("postgres", error)
            }
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            // A connection that ends in the middle of an answer looks like broken protocol.
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::unavailable("postgres", error),
            _ => Self::Internal(error.into()),
        }
    }
}

/// Classes of SQLSTATE that say nothing against the statement: connection, rollback, resources, operator.
fn is_passing(code: &str) -> bool {
    ["08", "40", "53", "57", "25006"].iter().any(|class| code.starts_with(class))
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => Self::unavailable("store", error),
            StoreError::Corrupt { .. } | StoreError::Refused(_) => Self::Internal(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_by_itself_is_no_defect() {
        assert!(is_passing("57P01"), "administrator's shutdown");
        assert!(is_passing("40P01"), "deadlock");
        assert!(!is_passing("42P01"), "a missing table");
        assert!(!is_passing("23505"), "a duplicate key");
    }

    #[test]
    fn a_wait_is_rounded_up() {
        assert_eq!(whole_seconds(Duration::from_millis(1)), 1);
        assert_eq!(whole_seconds(Duration::from_secs(2)), 2);
    }
}
