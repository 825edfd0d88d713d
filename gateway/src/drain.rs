//! The end of a gateway: no new sockets, no new messages, open ones answered, then everybody is sent
//! elsewhere, a few at a time.

use std::{sync::Arc, time::Duration};

use async_nats::client::FlushError;
use rand::RngExt as _;
use schema::frame::{close::CloseReason, limit, server::ServerFrame};
use tokio::time::Instant;

use crate::{presence, state::Gateway};

/// How long open publishes may take to be answered.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);
/// Between two batches of closes.
const BATCH_EVERY: Duration = Duration::from_millis(100);
/// How long NATS may take for what is said last.
const LAST_WORDS_WITHIN: Duration = Duration::from_secs(2);
/// Clients come back spread over so many milliseconds.
const COME_BACK_WITHIN_MS: u64 = 5_000;

/// Waits for the stop signal, then drains.
pub(crate) async fn run(gateway: &Arc<Gateway>) {
    gateway.lifecycle.stopping().cancelled().await;
    until(ANSWERS_WITHIN, || gateway.publisher.is_idle()).await;
    let sockets = gateway.sockets.all();
    tracing::info!(sockets = sockets.len(), "draining");
    let batches = (gateway.config.drain_within.as_millis() / BATCH_EVERY.as_millis()).max(1);
    let batch = sockets.len().div_ceil(usize::try_from(batches).unwrap_or(1)).max(1);
    for sockets in sockets.chunks(batch) {
        for socket in sockets {
            let after_ms = rand::rng().random_range(0..COME_BACK_WITHIN_MS);
            socket.say(&ServerFrame::Reconnect { after_ms });
            socket.close(CloseReason::Restarting);
        }
        tokio::time::sleep(BATCH_EVERY).await;
    }
    // Who came in while the batches went out.
    gateway.sockets.all().iter().for_each(|socket| socket.close(CloseReason::Restarting));
    until(limit::CLOSE_WITHIN + Duration::from_secs(1), || gateway.sockets.is_empty()).await;
    // Without a link to NATS this would wait for one.
    match tokio::time::timeout(LAST_WORDS_WITHIN, last_words(gateway)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "nats: the last words were not sent"),
        Err(_elapsed) => tracing::warn!("nats: the last words were not sent in time"),
    }
}

/// Other gateways hear who is gone from here.
async fn last_words(gateway: &Arc<Gateway>) -> Result<(), FlushError> {
    presence::finish(gateway).await;
    gateway.broker.client.flush().await
}

async fn until(at_most: Duration, is_reached: impl Fn() -> bool) {
    let deadline = Instant::now() + at_most;
    while !is_reached() && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
