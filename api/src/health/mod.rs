//! Whether the process lives, for everybody; and what it needs, for operators.

use ops::{
    lifecycle::Lifecycle,
    probe::{Importance, Readiness},
};
use serde_json::json;
use warp::{Filter, filters::BoxedFilter, reply::Response};

use crate::{http::ok, state::AppState};

/// `GET /health`.
pub(crate) fn routes() -> BoxedFilter<(Response,)> {
    warp::path!("health").and(warp::get()).map(|| ok(&json!({"status": "ok"}))).boxed()
}

/// What `/readyz` asks. Without Redis refreshing stops and rates are counted by each process alone: worse, not dead.
pub(crate) fn readiness(state: &AppState, lifecycle: Lifecycle) -> Readiness {
    let (pg, nats, store, redis) = (state.clone(), state.clone(), state.clone(), state.clone());
    Readiness::new(lifecycle)
        .with("postgres", Importance::Needed, move || {
            let state = pg.clone();
            async move { sqlx::query("SELECT 1").execute(&state.pg).await.map(drop).map_err(|error| error.to_string()) }
        })
        .with("nats", Importance::Needed, move || {
            let is_connected = nats.broker.is_connected();
            async move { if is_connected { Ok(()) } else { Err("not connected".to_owned()) } }
        })
        .with("store", Importance::Needed, move || {
            let state = store.clone();
            async move { state.store.ping().await.map_err(|error| error.to_string()) }
        })
        .with("redis", Importance::Degrading, move || {
            let state = redis.clone();
            async move { state.redis.ping().await.map_err(|error| error.to_string()) }
        })
}
