//! `chat-worker reopen-log`: after the log's numbers went back, lets them go on far above every number that
//! was ever given.
//!
//! What the stream still holds is stored first. Then the stream is purged up to a number
//! [`SEQ_GAP`] above the mark: it is empty, and its next message gets that number.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use async_nats::jetstream;
use schema::stream::{CHAT_MESSAGES, SEQ_GAP};

use crate::{backlog::Backlog, config::Config, high_water::HighWater};

/// How long the command waits until the workers have stored what the stream holds.
const STORED_WITHIN: Duration = Duration::from_mins(2);
/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Opens the log if it is behind.
pub async fn run(config: &Config) -> anyhow::Result<()> {
    let pool = config.database.pool()?;
    let store = chat_store::connect(&config.store, &pool).await?;
    let broker = config.broker.connect("worker").await?;
    let high_water = HighWater::new(store);
    let backlog = Backlog::new(CHAT_MESSAGES, schema::subject::ChatSubject::ALL);
    let deadline = Instant::now() + STORED_WITHIN;
    loop {
        let Some(mark) = high_water.compare(&broker.js).await? else {
            tracing::info!("the log is not behind: nothing to do");
            return Ok(());
        };
        let held = held(&broker.js).await?;
        let pending = backlog.look(&broker.js, config.common.clock.clock()).await?.pending;
        if pending == 0 {
            return reopen(&broker.js, mark, held).await;
        }
        anyhow::ensure!(Instant::now() < deadline, "{pending} messages are not stored yet: does a worker run?");
        tracing::info!(pending, "waiting until the workers have stored what the log holds");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// How many messages the log holds.
pub async fn held(js: &jetstream::Context) -> anyhow::Result<u64> {
    Ok(js.get_stream(CHAT_MESSAGES).await?.cached_info().state.messages)
}

/// Lets the numbers of an emptied log go on [`SEQ_GAP`] above `mark`. Of what it holds `held` messages were there before
/// all of it was found to be stored: what is dropped beyond them is said.
pub async fn reopen(js: &jetstream::Context, mark: u64, held: u64) -> anyhow::Result<()> {
    let first = mark + SEQ_GAP;
    let stream = js.get_stream(CHAT_MESSAGES).await?;
    let purge = stream.purge().sequence(first).await;
    let purged = purge.context("NATS_URL must name a user that may purge (the operator's)")?.purged;
    if purged > held {
        tracing::error!(messages = purged - held, "sent although the log was behind, and dropped with it");
    }
    let last = js.get_stream(CHAT_MESSAGES).await?.cached_info().state.last_sequence;
    anyhow::ensure!(last + 1 >= first, "the broker goes on at {}, not at {first}", last + 1);
    tracing::info!(mark, first, "the log is open again");
    Ok(())
}
