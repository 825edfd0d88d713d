//! Money for slots that have a price: asked for when the slot is booked, taken by a provider, paid back when the
//! booking is called off in time.
//!
//! The provider is told from here, outside of every transaction and under a key that makes a repeat harmless; what it
//! says comes to the webhook. What could not be told at once is told again by [`run`].

mod handler;
mod model;
mod notice;
mod provider;
mod repository;
mod service;
mod stripe;
mod upkeep;

pub(crate) use provider::{PaymentSettings, Provider};
pub(crate) use service::{call_off, is_open, request, start};
pub(crate) use upkeep::run;

use warp::{Filter, filters::BoxedFilter, reply::Response};

use crate::{
    http::{PaymentInPath, answer, body, caller, headers, visitor, with},
    state::AppState,
};

/// `/payments/*`.
pub(crate) fn routes(state: &AppState) -> BoxedFilter<(Response,)> {
    let show = warp::path!("payments" / PaymentInPath)
        .and(warp::get())
        .and(caller(state))
        .and(with(state))
        .then(handler::show)
        .map(answer);
    let refund = warp::path!("payments" / PaymentInPath / "refund")
        .and(warp::post())
        .and(caller(state))
        .and(headers())
        .and(body())
        .and(with(state))
        .then(handler::refund)
        .map(answer);
    let webhook = warp::path!("payments" / "webhook")
        .and(warp::post())
        .and(visitor(state))
        .and(headers())
        .and(body())
        .and(with(state))
        .then(handler::webhook)
        .map(answer);
    webhook.or(show).unify().or(refund).unify().boxed()
}
