//! What was said: history out of the message store, and saying or changing something the same way as on the socket.

mod change;
mod handler;
mod log;
mod model;
mod pages;
mod publish;
mod service;
mod settled;
mod status;
mod stored;

pub(crate) use pages::Pages;
pub(crate) use settled::SettledSeq;
pub(crate) use stored::find;

use warp::{Filter, filters::BoxedFilter, reply::Response};

use crate::{
    http::{EmojiInPath, MessageInPath, RoomInPath, answer, body, caller, headers, query, with},
    state::AppState,
};

/// `/rooms/{id}/messages`, `/users/me/messages` and `/messages/status`.
pub(crate) fn routes(state: &AppState) -> BoxedFilter<(Response,)> {
    let in_room = || warp::path!("rooms" / RoomInPath / "messages");
    let history =
        in_room().and(warp::get()).and(caller(state)).and(query()).and(with(state)).then(handler::history).map(answer);
    let say = in_room()
        .and(warp::post())
        .and(caller(state))
        .and(headers())
        .and(body())
        .and(with(state))
        .then(handler::say)
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
    let one = one(state).or(reactions(state)).unify();
    history.or(say).unify().or(one).unify().or(mine).unify().or(status).unify().boxed()
}

/// One message.
fn one(state: &AppState) -> BoxedFilter<(Response,)> {
    let path = || warp::path!("rooms" / RoomInPath / "messages" / MessageInPath);
    let show = path().and(warp::get()).and(caller(state)).and(with(state)).then(handler::show).map(answer);
    let edit =
        path().and(warp::patch()).and(caller(state)).and(body()).and(with(state)).then(handler::edit).map(answer);
    let delete = path().and(warp::delete()).and(caller(state)).and(with(state)).then(handler::delete).map(answer);
    show.or(edit).unify().or(delete).unify().boxed()
}

/// What stands under it.
fn reactions(state: &AppState) -> BoxedFilter<(Response,)> {
    let path = || warp::path!("rooms" / RoomInPath / "messages" / MessageInPath / "reactions" / EmojiInPath);
    let react = path().and(warp::put()).and(caller(state)).and(with(state)).then(handler::react).map(answer);
    let unreact = path().and(warp::delete()).and(caller(state)).and(with(state)).then(handler::unreact).map(answer);
    react.or(unreact).unify().boxed()
}
