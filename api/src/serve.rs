//! Binds the ports and starts what the process does.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use hyper_util::service::TowerToHyperService;
use ops::{
    database,
    http::{self, HttpLimits},
    lifecycle::Lifecycle,
    log_health, probe,
    telemetry::Metrics,
};
use tokio::net::TcpListener;

use crate::{auth::FirstAdmin, config::Config, health, http::Traced, outbox, payments, route, state::AppState};

/// A server that has its ports and is not serving yet.
#[derive(Debug)]
pub struct Api {
    listener: TcpListener,
    ops_listener: TcpListener,
    state: AppState,
    relay: outbox::Relay,
    first_admin: FirstAdmin,
    limits: HttpLimits,
}

/// How long to wait before the message store is tried again at the start.
const STORE_RETRY: Duration = Duration::from_secs(1);

impl Api {
    /// Connects and binds; a message store that is not there yet is waited for.
    pub async fn bind(config: &Config, lifecycle: &Lifecycle) -> anyhow::Result<Self> {
        let listener = bind(config.listen, "API_LISTEN").await?;
        let ops_listener = bind(config.ops_listen, "API_OPS_LISTEN").await?;
        let state = loop {
            match AppState::connect(config, lifecycle).await {
                Ok(state) => break state,
                Err(error) if error.is::<chat_store::StoreError>() && !lifecycle.is_stopping() => {
                    tracing::warn!("the message store is not there yet: {error:#}");
                    tokio::time::sleep(STORE_RETRY).await;
                }
                Err(error) => return Err(error),
            }
        };
        let relay = outbox::Relay::new(&state, config.database.direct_options()?);
        let has_limits = config.common.limits.are_on();
        let unlimited = HttpLimits { connections_per_ip_max: usize::MAX, ..HttpLimits::default() };
        let limits = if has_limits { HttpLimits::default() } else { unlimited };
        let first_admin = config.first_admin.clone();
        Ok(Self { listener, ops_listener, state, relay, first_admin, limits })
    }

    /// Where users are answered.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Where operators are answered.
    pub fn ops_address(&self) -> std::io::Result<SocketAddr> {
        self.ops_listener.local_addr()
    }

    /// Serves until `lifecycle` stops.
    pub fn run(self, lifecycle: &Lifecycle, metrics: Metrics) {
        tracing::info!(address = ?self.address().ok(), ops_address = ?self.ops_address().ok(), "serving");
        let readiness = health::readiness(&self.state, lifecycle.clone());
        spawn_apart(probe::serve(self.ops_listener, readiness, metrics));
        database::watch(&self.state.pg, lifecycle);
        let (first_admin, stopping) = (self.first_admin.make(self.state.clone()), lifecycle.stopping().clone());
        lifecycle.spawn(async move { stopping.run_until_cancelled(first_admin).await.unwrap_or_default() });
        let state = self.state.clone();
        let mark = move || {
            let state = state.clone();
            async move { state.store.high_water().await.ok() }
        };
        let watch = log_health::watch(Arc::clone(&self.state.log), mark, lifecycle.stopping().clone());
        lifecycle.spawn_vital("log health", watch);
        lifecycle.spawn_vital("payments", payments::run(self.state.clone(), lifecycle.stopping().clone()));
        lifecycle.spawn_vital("outbox relay", self.relay.run(lifecycle.stopping().clone()));
        let service = Traced(TowerToHyperService::new(warp::service(route::routes(&self.state))));
        lifecycle.spawn_vital("listener", http::serve(self.listener, service, self.limits, lifecycle.clone()));
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "operators watch the drain through this port: it must outlive the lifecycle"
)]
fn spawn_apart(task: impl Future<Output = ()> + Send + 'static) {
    drop(tokio::task::spawn(task));
}

async fn bind(address: SocketAddr, variable: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("{variable}: cannot listen on {address}"))
}
