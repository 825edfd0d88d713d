//! Messages that leave a stream while a worker has them. The broker then ends their delivery by itself, and the
//! consumer's floor goes over them as over what was stored: only its word tells the two apart.

use std::sync::Arc;

use async_nats::Client;
use futures_util::StreamExt as _;
use ops::lifecycle::Lifecycle;
use schema::{stream::WORKER, subject::ended};
use serde::Deserialize;

use crate::backlog::Backlog;

/// nats-server's word that a delivery has ended for good.
#[derive(Debug, Deserialize)]
struct Ended {
    stream_seq: u64,
    #[serde(default)]
    reason: String,
}

/// Its reasons where nobody has asked for it.
const LEFT_THE_STREAM: [&str; 2] = ["Message deleted by stream limits", "Unacknowledged message was deleted"];

/// Tells `backlog` of them until the process stops.
pub async fn watch(client: Client, backlog: Arc<Backlog>, lifecycle: Lifecycle) {
    // One of all workers hears of each: added up, they are right.
    let subscribed = client.queue_subscribe(ended(backlog.stream(), WORKER), WORKER.into()).await;
    let mut told = match subscribed {
        Ok(told) => told,
        Err(error) => return tracing::error!(%error, "nobody hears of messages that age out in a worker's hands"),
    };
    loop {
        let message = tokio::select! {
            Some(message) = told.next() => message,
            () = lifecycle.stopping().cancelled() => return,
        };
        if let Some(seq) = dropped(&message.payload) {
            backlog.dropped(seq);
        }
    }
}

fn dropped(payload: &[u8]) -> Option<u64> {
    let ended: Ended = serde_json::from_slice(payload).ok()?;
    LEFT_THE_STREAM.contains(&ended.reason.as_str()).then_some(ended.stream_seq)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_worker_ends_itself_is_not_dropped() {
        let left = br#"{"stream_seq":7,"reason":"Unacknowledged message was deleted","deliveries":3}"#;
        assert_eq!(dropped(left), Some(7));
        for other in [br#"{"stream_seq":7}"#.as_slice(), br#"{"stream_seq":7,"reason":"bad"}"#, b"{", b""] {
            assert_eq!(dropped(other), None);
        }
    }
}
