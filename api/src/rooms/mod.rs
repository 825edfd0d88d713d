//! Rooms: where messages go, who is in them, and what is new there.

mod handler;
mod model;
mod presence;
mod repository;
mod service;

pub(crate) use model::Member;
pub(crate) use service::member;

use warp::{Filter, filters::BoxedFilter, reply::Response};

use crate::{
    http::{RoomInPath, answer, caller, query, with},
    state::AppState,
};

/// `/rooms`, but for what is said there.
pub(crate) fn routes(state: &AppState) -> BoxedFilter<(Response,)> {
    let list = warp::path!("rooms")
        .and(warp::get())
        .and(caller(state))
        .and(query())
        .and(with(state))
        .then(handler::list)
        .map(answer);
    let show = warp::path!("rooms" / RoomInPath)
        .and(warp::get())
        .and(caller(state))
        .and(with(state))
        .then(handler::show)
        .map(answer);
    let members = warp::path!("rooms" / RoomInPath / "members")
        .and(warp::get())
        .and(caller(state))
        .and(query())
        .and(with(state))
        .then(handler::members)
        .map(answer);
    let presence = warp::path!("rooms" / RoomInPath / "presence")
        .and(warp::get())
        .and(caller(state))
        .and(with(state))
        .then(handler::presence)
        .map(answer);
    list.or(show).unify().or(members).unify().or(presence).unify().boxed()
}
