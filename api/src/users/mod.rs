//! People as others see them, and as they see themselves.

mod handler;
mod model;
mod repository;
mod service;

pub use model::Role;
pub(crate) use model::{User, one_spelling};
pub use service::grant;
pub(crate) use service::own_role;

use warp::{Filter, filters::BoxedFilter, reply::Response};

use crate::{
    http::{UserInPath, answer, body, caller, with},
    state::AppState,
};

/// `/users/*`, but for what somebody wrote: that is a matter of messages.
pub(crate) fn routes(state: &AppState) -> BoxedFilter<(Response,)> {
    let me =
        warp::path!("users" / "me").and(warp::get()).and(caller(state)).and(with(state)).then(handler::me).map(answer);
    let change = warp::path!("users" / "me")
        .and(warp::patch())
        .and(caller(state))
        .and(body())
        .and(with(state))
        .then(handler::change)
        .map(answer);
    let other = warp::path!("users" / UserInPath)
        .and(warp::get())
        .and(caller(state))
        .and(with(state))
        .then(handler::show)
        .map(answer);
    me.or(change).unify().or(other).unify().boxed()
}
