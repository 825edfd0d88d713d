//! Who people are: sign-up, sign-in, tokens and their end.
//!
//! An access token is a signed statement that lives 15 minutes; the session it names is looked up at most every half
//! second, so a sign-out counts within one. A refresh token is a secret that works once.

mod code_sender;
mod first_admin;
mod google;
mod handler;
mod identities;
mod identity;
mod identity_repository;
mod password;
mod phone;
mod phone_codes;
mod published_keys;
mod refresh_repository;
mod refresh_token;
mod repository;
mod service;
mod session;
mod sign_in_delay;
mod signing;
mod ticket;

pub use first_admin::FirstAdmin;
pub(crate) use google::Google;
pub(crate) use identity::identify;
pub(crate) use password::Passwords;
pub(crate) use phone_codes::PhoneCodes;
pub(crate) use refresh_token::RefreshTokens;
pub(crate) use session::SessionCache;
pub(crate) use sign_in_delay::SignInDelay;
pub(crate) use signing::{SigningKey, TokenRules};

use warp::{Filter, filters::BoxedFilter, reply::Response};

use crate::{
    http::{answer, body, caller, visitor, with},
    state::AppState,
};

/// `/auth/*` and `/ws/ticket`.
pub(crate) fn routes(state: &AppState) -> BoxedFilter<(Response,)> {
    let posted = || warp::post().and(visitor(state)).and(body()).and(with(state));
    let register = warp::path!("auth" / "register").and(posted()).then(handler::register).map(answer);
    let login = warp::path!("auth" / "login").and(posted()).then(handler::login).map(answer);
    let refresh = warp::path!("auth" / "refresh").and(posted()).then(handler::refresh).map(answer);
    let logout = warp::path!("auth" / "logout").and(posted()).then(handler::logout).map(answer);
    let logout_all = warp::path!("auth" / "logout-all")
        .and(warp::post())
        .and(visitor(state))
        .and(with(state))
        .then(handler::logout_all)
        .map(answer);
    let ticket = warp::path!("ws" / "ticket")
        .and(warp::post())
        .and(caller(state))
        .and(with(state))
        .then(handler::ticket)
        .map(answer);
    let google = warp::path!("auth" / "google").and(posted()).then(handler::google).map(answer);
    let start = warp::path!("auth" / "phone" / "start").and(posted()).then(handler::start_by_phone).map(answer);
    let verify = warp::path!("auth" / "phone" / "verify").and(posted()).then(handler::verify_phone).map(answer);
    let sign_in = register.or(login).unify().or(refresh).unify().boxed();
    let vouched = google.or(start).unify().or(verify).unify().boxed();
    let rest = logout.or(logout_all).unify().or(ticket).unify().boxed();
    sign_in.or(vouched).unify().or(rest).unify().boxed()
}

/// `/.well-known/jwks.json`.
pub(crate) fn key_routes(state: &AppState) -> BoxedFilter<(Response,)> {
    warp::path!(".well-known" / "jwks.json")
        .and(warp::get())
        .and(with(state))
        .map(|state| handler::keys(&state))
        .boxed()
}
