//! The query of an address. Unknown parameters are ignored; of a repeated one the first counts.

use std::str::FromStr;

use schema::clock::Timestamp;
use warp::{Filter, Rejection};

use crate::error::ApiError;

/// The parameters, as text.
#[derive(Debug)]
pub(crate) struct Query(Vec<(String, String)>);

/// Reads the query.
pub(crate) fn query() -> impl Filter<Extract = (Query,), Error = Rejection> + Copy {
    warp::query::<Vec<(String, String)>>().map(Query)
}

impl Query {
    /// The parameter's text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The parameter, read.
    pub(crate) fn get<T: FromStr>(&self, name: &str) -> Result<Option<T>, ApiError> {
        let read = |text: &str| text.parse().map_err(|_malformed| ApiError::field(name, "invalid"));
        self.text(name).map(read).transpose()
    }

    /// The parameter, read as a time.
    pub(crate) fn time(&self, name: &str) -> Result<Option<Timestamp>, ApiError> {
        let read = |text| Timestamp::parse(text).map_err(|_malformed| ApiError::field(name, "not_a_time"));
        self.text(name).map(read).transpose()
    }

    #[cfg(test)]
    pub(crate) fn of(pairs: &[(&str, &str)]) -> Self {
        Self(pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    }
}
