//! `chat-worker migrate`: tables, streams and consumers are brought up to date, once, before the processes
//! start. Every step may run again at any time.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use chat_store::StoreKind;

use crate::{config::Config, streams::Streams};

/// How often a server that does not answer is asked again.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Does all of it, waiting for each server for as long as the settings say.
pub async fn run(config: &Config) -> anyhow::Result<()> {
    let deadline = Instant::now() + config.migrate_wait;
    let pool = config.database.pool()?;
    let direct = config.database.direct_pool()?;
    retry("postgres", deadline, async || Ok(schema::postgres::MIGRATOR.run(&direct).await?)).await?;
    tracing::info!("postgres: tables are up to date");
    if config.store.store == StoreKind::Scylla {
        let store = &config.store;
        let factor = config.cql_replication_factor;
        retry("scylla", deadline, async || {
            Ok(chat_store::scylla::migrate(&store.cql_nodes, &store.cql_keyspace, factor).await?)
        })
        .await?;
        tracing::info!("scylla: tables are up to date");
    }
    let store = retry("message store", deadline, async || Ok(chat_store::connect(&config.store, &pool).await?)).await?;
    let broker = config.broker.connect("worker").await?;
    let streams = Streams::new(broker.js.clone(), store, config.streams.sizes());
    retry("nats", deadline, async || Ok(streams.ensure().await?)).await?;
    tracing::info!("nats: streams are up to date");
    Ok(())
}

/// Tries `step` until it succeeds or the deadline has passed, and says each time what it waits for.
async fn retry<T, F>(server: &'static str, deadline: Instant, mut step: impl FnMut() -> F) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<T>>,
{
    loop {
        match step().await {
            Ok(value) => return Ok(value),
            Err(error) if Instant::now() >= deadline => return Err(error.context(format!("{server}: gave up"))),
            Err(error) => tracing::warn!(server, error = format!("{error:#}"), "not yet: trying again"),
        }
        tokio::time::sleep(ASK_AGAIN_AFTER).await;
    }
}
