//! What every feature's HTTP has in common: who calls, with what body and query, and what each answer carries.

mod address;
mod body;
mod caller;
mod form;
mod page;
mod path;
mod query;
mod recover;
pub(crate) mod request;

pub(crate) use address::TrustedProxy;
pub(crate) use body::{Body, body};
pub(crate) use caller::{Identity, Visitor, caller, visitor};
pub(crate) use form::{Form, any_text, flag, id, ids, instant, text};
pub(crate) use page::{List, Paging, limit};
pub(crate) use path::{EmojiInPath, EventInPath, MessageInPath, PaymentInPath, RoomInPath, SlotInPath, UserInPath};
pub(crate) use query::{Query, query};
pub(crate) use recover::recover;
pub(crate) use request::Traced;

use bytes::Bytes;
use warp::{
    Filter, Reply,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    reply::Response,
};

use crate::state::AppState;

/// Gives each request the state.
pub(crate) fn with(
    state: &AppState,
) -> impl Filter<Extract = (AppState,), Error = std::convert::Infallible> + Clone + use<> {
    let state = state.clone();
    warp::any().map(move || state.clone())
}

/// Gives each request its headers.
pub(crate) fn headers() -> impl Filter<Extract = (HeaderMap,), Error = std::convert::Infallible> + Copy {
    warp::header::headers_cloned()
}

/// Turns what a handler says into an answer, so that all routes are of one type.
pub(crate) fn answer(reply: impl Reply) -> Response {
    reply.into_response()
}

/// 200 with `value` as JSON.
pub(crate) fn ok(value: &impl serde::Serialize) -> Response {
    warp::reply::json(value).into_response()
}

/// 200 with JSON that is there already.
pub(crate) fn encoded(json: Bytes) -> Response {
    let mut response = Response::new(json.into());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// 201 with `value` as JSON.
pub(crate) fn created(value: &impl serde::Serialize) -> Response {
    let mut response = ok(value);
    *response.status_mut() = StatusCode::CREATED;
    response
}

/// 204.
pub(crate) fn gone() -> Response {
    StatusCode::NO_CONTENT.into_response()
}
