//! The one page with every route: each feature's own, joined.

use std::convert::Infallible;

use warp::{Filter, filters::BoxedFilter, reply::Response};

use crate::{auth, events, health, http, messages, openapi, payments, rooms, slots, state::AppState, sync, users};

/// Every address the process answers.
pub(crate) fn routes(
    state: &AppState,
) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone + Send + Sync + 'static {
    let versioned: BoxedFilter<(Response,)> = warp::path!("api" / "v1" / ..)
        .and(
            messages::routes(state)
                .or(rooms::routes(state))
                .unify()
                .or(sync::routes(state))
                .unify()
                .or(events::routes(state))
                .unify()
                .or(slots::routes(state))
                .unify()
                .or(payments::routes(state))
                .unify()
                .or(users::routes(state))
                .unify()
                .or(auth::routes(state))
                .unify(),
        )
        .boxed();
    versioned
        .or(health::routes())
        .unify()
        .or(openapi::routes())
        .unify()
        .or(auth::key_routes(state))
        .unify()
        .recover(http::recover)
        .unify()
}
