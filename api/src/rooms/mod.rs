//! Rooms: where messages go, who is in them, and what is new there.

mod handler;
mod members;
mod model;
mod presence;
mod reading;
mod repository;
mod service;

pub(crate) use members::Members;
pub(crate) use model::{Member, Role};
pub(crate) use service::{all_of, member};

use warp::{Filter, filters::BoxedFilter, reply::Response};

use crate::{
    http::{RoomInPath, answer, body, caller, query, with},
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
    let read = warp::path!("rooms" / RoomInPath / "read")
        .and(warp::post())
        .and(caller(state))
        .and(body())
        .and(with(state))
        .then(handler::read)
        .map(answer);
    let read_marks = warp::path!("rooms" / RoomInPath / "read_marks")
        .and(warp::get())
        .and(caller(state))
        .and(with(state))
        .then(handler::read_marks)
        .map(answer);
    let reading = read.or(read_marks).unify();
    list.or(show).unify().or(members).unify().or(presence).unify().or(reading).unify().boxed()
}
