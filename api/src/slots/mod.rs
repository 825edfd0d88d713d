//! Time that somebody offers. Who books a slot makes an event with it: `events` asks here for the slot, in its own
//! transaction.

mod handler;
mod model;
mod repeat;
mod repository;
mod service;

pub(crate) use model::Slot;
pub(crate) use service::{is_seller, release, reopen, take, want};

use warp::{Filter, filters::BoxedFilter, reply::Response};

use crate::{
    http::{SlotInPath, answer, body, caller, headers, query, with},
    state::AppState,
};

/// `/open_slots/*`.
pub(crate) fn routes(state: &AppState) -> BoxedFilter<(Response,)> {
    let path = || warp::path!("open_slots" / SlotInPath);
    let list = warp::path!("open_slots")
        .and(warp::get())
        .and(caller(state))
        .and(query())
        .and(with(state))
        .then(handler::list)
        .map(answer);
    let create = warp::path!("open_slots")
        .and(warp::post())
        .and(caller(state))
        .and(headers())
        .and(body())
        .and(with(state))
        .then(handler::create)
        .map(answer);
    let show = path().and(warp::get()).and(caller(state)).and(with(state)).then(handler::show).map(answer);
    let change =
        path().and(warp::patch()).and(caller(state)).and(body()).and(with(state)).then(handler::change).map(answer);
    let delete = path().and(warp::delete()).and(caller(state)).and(with(state)).then(handler::delete).map(answer);
    list.or(create).unify().or(show).unify().or(change).unify().or(delete).unify().boxed()
}
