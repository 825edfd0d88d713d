//! Catching up on all rooms at once, for a phone that was away.

mod handler;
mod service;

use warp::{Filter, filters::BoxedFilter, reply::Response};

use crate::{
    http::{answer, caller, query, with},
    state::AppState,
};

/// `/sync`.
pub(crate) fn routes(state: &AppState) -> BoxedFilter<(Response,)> {
    warp::path!("sync")
        .and(warp::get())
        .and(caller(state))
        .and(query())
        .and(with(state))
        .then(handler::sync)
        .map(answer)
        .boxed()
}
