//! What was said: history out of the message store, and saying something the same way as on the socket.

mod handler;
mod log;
mod model;
mod pages;
mod publish;
mod service;
mod settled;
mod status;

pub(crate) use pages::Pages;
pub(crate) use settled::SettledSeq;

use warp::{Filter, filters::BoxedFilter, reply::Response};

use crate::{
    http::{MessageInPath, RoomInPath, answer, body, caller, query, with},
    state::AppState,
};

/// `/rooms/{id}/messages`, `/users/me/messages` and `/messages/status`.
pub(crate) fn routes(state: &AppState) -> BoxedFilter<(Response,)> {
    let in_room = || warp::path!("rooms" / RoomInPath / "messages");
    let history =
        in_room().and(warp::get()).and(caller(state)).and(query()).and(with(state)).then(handler::history).map(answer);
    let say =
        in_room().and(warp::post()).and(caller(state)).and(body()).and(with(state)).then(handler::say).map(answer);
    let show = warp::path!("rooms" / RoomInPath / "messages" / MessageInPath)
        .and(warp::get())
        .and(caller(state))
        .and(with(state))
        .then(handler::show)
        .map(answer);
    let mine = warp::path!("users" / "me" / "messages")
        .and(warp::get())
        .and(caller(state))
        .and(query())
        .and(with(state))
        .then(handler::mine)
        .map(answer);
    let status = warp::path!("messages" / "status")
        .and(warp::get())
        .and(caller(state))
        .and(query())
        .and(with(state))
        .then(handler::status)
        .map(answer);
    history.or(say).unify().or(show).unify().or(mine).unify().or(status).unify().boxed()
}
