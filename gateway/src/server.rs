//! A gateway's life: connect, bind, serve, drain.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use deadpool_redis::Runtime;
use ops::{lifecycle::Lifecycle, log_health, probe, telemetry::Metrics};
use secrecy::ExposeSecret as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    changes,
    config::{Config, Subscribe},
    drain, feed, listener, marks,
    measure::Measure,
    overload, presence, publisher, readiness, recheck, resync, saved, soon,
    state::{Gateway, Parts},
    tokens::Tokens,
    typing, updates, wheel,
};

/// How long the tasks may take to end once the sockets are gone.
const TASKS_WITHIN: Duration = Duration::from_secs(5);

/// A gateway that is running.
#[derive(Debug)]
pub struct Server {
    /// Its parts.
    pub gateway: Arc<Gateway>,
    /// Where sockets come in.
    pub address: SocketAddr,
    /// The operators' port.
    pub ops_address: SocketAddr,
    is_drained: CancellationToken,
}

/// Runs a gateway until it is told to stop, or dies; says whether it ended in good order.
pub async fn serve(config: Config, metrics: Metrics, lifecycle: Lifecycle) -> anyhow::Result<bool> {
    lifecycle.stop_on_signals()?;
    let server = Server::start(config, metrics, lifecycle).await?;
    Ok(server.run().await)
}

impl Server {
    /// Connects and binds; returns when sockets are taken.
    pub async fn start(config: Config, metrics: Metrics, lifecycle: Lifecycle) -> anyhow::Result<Self> {
        let listener = listener::bind(config.listen)?;
        let ops_listener = TcpListener::bind(config.ops_listen).await?;
        let (address, ops_address) = (listener.local_addr()?, ops_listener.local_addr()?);
        let gateway = Arc::new(Gateway::new(parts(config, &metrics, lifecycle).await?));
        tracing::info!(gateway.id = gateway.id.as_str(), %address, "gateway");
        let is_drained = CancellationToken::new();
        let probes = probe::serve(ops_listener, readiness::of(&gateway), metrics);
        let until_drained = is_drained.clone();
        gateway.lifecycle.spawn(async move {
            tokio::select! {
                () = probes => {}
                () = until_drained.cancelled() => {}
            }
        });
        let life = &gateway.lifecycle;
        life.spawn_vital("listener", listener::run(Arc::clone(&gateway), listener, is_drained.clone()));
        life.spawn_vital("changes", changes::run(Arc::clone(&gateway)));
        let store = Arc::clone(&gateway.store);
        let mark = move || {
            let store = Arc::clone(&store);
            async move { store.high_water().await.ok() }
        };
        let (health, stopping) = (Arc::clone(&gateway.health), life.stopping().clone());
        life.spawn_vital("log health", log_health::watch(health, mark, stopping));
        life.spawn_vital("read marks", marks::run(Arc::clone(&gateway)));
        life.spawn_vital("overload", overload::run(Arc::clone(&gateway)));
        life.spawn_vital("publisher", publisher::run(Arc::clone(&gateway)));
        life.spawn_vital("publisher answers", publisher::run_answers(Arc::clone(&gateway)));
        life.spawn_vital("recheck", recheck::run(Arc::clone(&gateway)));
        life.spawn_vital("resync", resync::run(Arc::clone(&gateway)));
        life.spawn_vital("saved reports", saved::hear(Arc::clone(&gateway)));
        life.spawn_vital("saved questions", saved::ask(Arc::clone(&gateway)));
        life.spawn_vital("soon", soon::run(Arc::clone(&gateway)));
        life.spawn_vital("typing", typing::run(Arc::clone(&gateway)));
        life.spawn_vital("presence", presence::run(Arc::clone(&gateway)));
        life.spawn_vital("last seen", presence::write_last_seen(Arc::clone(&gateway)));
        life.spawn_vital("room hints", updates::hear(Arc::clone(&gateway)));
        life.spawn_vital("room updates", updates::run(Arc::clone(&gateway)));
        life.spawn_vital("wheel", wheel::run(Arc::clone(&gateway)));
        if gateway.config.subscribe == Subscribe::All {
            life.spawn_vital("feed", feed::hear_all(Arc::clone(&gateway)));
        }
        Ok(Self { gateway, address, ops_address, is_drained })
    }

    /// Serves until the process stops, then drains; says whether no vital task died.
    pub async fn run(self) -> bool {
        drain::run(&self.gateway).await;
        self.is_drained.cancel();
        if !self.gateway.lifecycle.drain(TASKS_WITHIN).await {
            tracing::warn!("some tasks did not end in time");
        }
        !self.gateway.lifecycle.has_failed()
    }
}

async fn parts(config: Config, metrics: &Metrics, lifecycle: Lifecycle) -> anyhow::Result<Parts> {
    let pg = config.database.pool()?;
    ops::database::watch(&pg, &lifecycle);
    let broker = config.broker.connect("gateway").await?;
    let store = chat_store::connect(&config.store, &pg).await?;
    let redis = deadpool_redis::Config::from_url(config.redis_url.expose_secret());
    let redis = redis.create_pool(Some(Runtime::Tokio1))?;
    let clock = config.common.clock.clock();
    let tokens = Tokens::new(&config.tokens, clock, redis.clone(), config.redis_prefix.clone())?;
    let measure = metrics.hold(Measure::new);
    Ok(Parts { config, broker, store, pg, tokens, redis, lifecycle, measure })
}
