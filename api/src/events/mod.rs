//! Appointments: who is in them, what state they are in, and every change they went through.
//!
//! An event's room has the event's own id, and its participants are exactly that room's members.

mod booking;
mod chain;
mod change;
mod handler;
mod model;
mod new;
mod participant;
mod repository;
mod service;

pub(crate) use booking::Booking;

use warp::{Filter, filters::BoxedFilter, reply::Response};

use crate::{
    http::{EventInPath, UserInPath, answer, body, caller, headers, query, with},
    state::AppState,
};

/// `/events/*`.
pub(crate) fn routes(state: &AppState) -> BoxedFilter<(Response,)> {
    collection(state).or(one(state)).unify().or(actions(state)).unify().or(participants(state)).unify().boxed()
}

fn collection(state: &AppState) -> BoxedFilter<(Response,)> {
    let list = warp::path!("events")
        .and(warp::get())
        .and(caller(state))
        .and(query())
        .and(with(state))
        .then(handler::list)
        .map(answer);
    let create = warp::path!("events")
        .and(warp::post())
        .and(caller(state))
        .and(headers())
        .and(body())
        .and(with(state))
        .then(handler::create)
        .map(answer);
    list.or(create).unify().boxed()
}

fn one(state: &AppState) -> BoxedFilter<(Response,)> {
    let path = || warp::path!("events" / EventInPath);
    let show = path().and(warp::get()).and(caller(state)).and(with(state)).then(handler::show).map(answer);
    let change = path()
        .and(warp::patch())
        .and(caller(state))
        .and(headers())
        .and(body())
        .and(with(state))
        .then(handler::change)
        .map(answer);
    let delete =
        path().and(warp::delete()).and(caller(state)).and(headers()).and(with(state)).then(handler::delete).map(answer);
    show.or(change).unify().or(delete).unify().boxed()
}

fn actions(state: &AppState) -> BoxedFilter<(Response,)> {
    let posted = || warp::post().and(caller(state)).and(with(state));
    let confirm = warp::path!("events" / EventInPath / "confirm").and(posted()).then(handler::confirm).map(answer);
    let cancel = warp::path!("events" / EventInPath / "cancel").and(posted()).then(handler::cancel).map(answer);
    let complete = warp::path!("events" / EventInPath / "complete").and(posted()).then(handler::complete).map(answer);
    let history = warp::path!("events" / EventInPath / "history")
        .and(warp::get())
        .and(caller(state))
        .and(query())
        .and(with(state))
        .then(handler::history)
        .map(answer);
    let verify = warp::path!("events" / EventInPath / "history" / "verify")
        .and(warp::get())
        .and(caller(state))
        .and(with(state))
        .then(handler::verify)
        .map(answer);
    confirm.or(cancel).unify().or(complete).unify().or(history).unify().or(verify).unify().boxed()
}

fn participants(state: &AppState) -> BoxedFilter<(Response,)> {
    let path = || warp::path!("events" / EventInPath / "participants");
    let list = path()
        .and(warp::get())
        .and(caller(state))
        .and(query())
        .and(with(state))
        .then(participant::handler::list)
        .map(answer);
    let add = path()
        .and(warp::post())
        .and(caller(state))
        .and(headers())
        .and(body())
        .and(with(state))
        .then(participant::handler::add)
        .map(answer);
    let respond = warp::path!("events" / EventInPath / "participants" / "me")
        .and(warp::put())
        .and(caller(state))
        .and(body())
        .and(with(state))
        .then(participant::handler::respond)
        .map(answer);
    let leave = warp::path!("events" / EventInPath / "participants" / "me")
        .and(warp::delete())
        .and(caller(state))
        .and(with(state))
        .then(participant::handler::leave)
        .map(answer);
    let remove = warp::path!("events" / EventInPath / "participants" / UserInPath)
        .and(warp::delete())
        .and(caller(state))
        .and(with(state))
        .then(participant::handler::remove)
        .map(answer);
    let mark = warp::path!("events" / EventInPath / "participants" / UserInPath / "attendance")
        .and(warp::put())
        .and(caller(state))
        .and(body())
        .and(with(state))
        .then(participant::handler::mark)
        .map(answer);
    list.or(add).unify().or(respond).unify().or(leave).unify().or(remove).unify().or(mark).unify().boxed()
}
