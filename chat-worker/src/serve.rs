//! `chat-worker run`: the life of the process.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use chat_store::MessageStore;
use ops::{
    database::{self, Pool},
    lifecycle::Lifecycle,
    probe::{self, Importance, Readiness},
    telemetry::Metrics,
};
use tokio::net::TcpListener;

use crate::{
    config::Config,
    worker::{Parts, Worker},
};

/// How long what is in flight may take once the process is told to stop.
const DRAIN_WITHIN: Duration = Duration::from_secs(25);
/// How often a store that was never reached is tried again.
const CONNECT_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Runs until told to stop.
pub async fn run(config: &Config, metrics: Metrics) -> anyhow::Result<()> {
    let lifecycle = Lifecycle::new();
    lifecycle.stop_on_signals()?;
    let ops = std::net::TcpListener::bind(config.ops_listen).with_context(|| format!("{}", config.ops_listen))?;
    ops.set_nonblocking(true)?;
    let pool = config.database.pool()?;
    database::watch(&pool, &lifecycle);
    let broker = config.broker.connect("worker").await?;
    let Some(store) = reach_store(config, &pool, &ops, &lifecycle, metrics.clone()).await? else {
        return Ok(());
    };
    let parts = Parts {
        broker,
        store,
        pg: pool,
        sizes: config.streams.sizes(),
        work: config.work,
        clock: config.common.clock.clock(),
    };
    let worker = Worker::start(&parts, &lifecycle);
    let readiness = worker.readiness(Readiness::new(lifecycle.clone()));
    tracing::info!(ops = %config.ops_listen, "the worker runs");
    // The port is none of the lifecycle's tasks: operators watch the drain through it.
    tokio::select! {
        () = probe::serve(TcpListener::from_std(ops)?, readiness, metrics) => {}
        () = worker.drained(&lifecycle, DRAIN_WITHIN) => {}
    }
    anyhow::ensure!(!lifecycle.has_failed(), "a vital task has ended");
    Ok(())
}

/// Connects to the store, however long it takes; the process is there, and red. `None` when told to stop.
async fn reach_store(
    config: &Config,
    pool: &Pool,
    ops: &std::net::TcpListener,
    lifecycle: &Lifecycle,
    metrics: Metrics,
) -> anyhow::Result<Option<Arc<dyn MessageStore>>> {
    let readiness =
        Readiness::new(lifecycle.clone()).with("store", Importance::Needed, || async { Err("not reached yet".into()) });
    let connect = async {
        loop {
            match chat_store::connect(&config.store, pool).await {
                Ok(store) => break store,
                Err(error) => tracing::warn!(%error, "the message store was not reached: trying again"),
            }
            tokio::time::sleep(CONNECT_AGAIN_AFTER).await;
        }
    };
    tokio::select! {
        biased;
        () = lifecycle.stopping().cancelled() => Ok(None),
        store = connect => Ok(Some(store)),
        () = probe::serve(TcpListener::from_std(ops.try_clone()?)?, readiness, metrics) => Ok(None),
    }
}
