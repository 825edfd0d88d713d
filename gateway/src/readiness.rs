//! What a gateway needs to be of use to newcomers.

use std::sync::Arc;

use ops::probe::{Importance, Readiness};

use crate::state::Gateway;

/// The checks behind `/readyz`.
pub(crate) fn of(gateway: &Arc<Gateway>) -> Readiness {
    let (nats, log, pg, store, redis) =
        (Arc::clone(gateway), Arc::clone(gateway), Arc::clone(gateway), Arc::clone(gateway), Arc::clone(gateway));
    Readiness::new(gateway.lifecycle.clone())
        .with("nats", Importance::Needed, move || {
            let is_connected = nats.broker.is_connected();
            async move { if is_connected { Ok(()) } else { Err("not connected".into()) } }
        })
        .with("log", Importance::Needed, move || {
            let gateway = Arc::clone(&log);
            async move { gateway.health.verdict() }
        })
        .with("postgres", Importance::Needed, move || {
            let gateway = Arc::clone(&pg);
            async move { gateway.admission.ping().await.map_err(|error| error.to_string()) }
        })
        .with("store", Importance::Degrading, move || {
            let gateway = Arc::clone(&store);
            async move { gateway.store.ping().await.map_err(|error| error.to_string()) }
        })
        .with("redis", Importance::Degrading, move || {
            let gateway = Arc::clone(&redis);
            async move { gateway.tokens.ping_redis().await }
        })
}
