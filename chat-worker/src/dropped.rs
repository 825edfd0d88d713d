//! Messages that leave a stream while a worker has them. The broker then ends their delivery by itself, and the
//! consumer's floor goes over them as over what was stored: only its word tells the two apart.

use std::sync::Arc;

use async_nats::Client;
use futures_util::StreamExt as _;
use ops::lifecycle::Lifecycle;
use schema::{stream::WORKER, subject::terminated};
use serde::Deserialize;

use crate::backlog::Backlog;

/// nats-server's word that a message will not be delivered again.
#[derive(Debug, Deserialize)]
struct Terminated {
    stream_seq: u64,
    #[serde(default)]
    reason: String,
}

/// Its reasons where nobody has asked for it.
const LEFT_THE_STREAM: [&str; 2] = ["Message deleted by stream limits", "Unacknowledged message was deleted"];

/// Tells `backlog` of them until the process stops. Every worker hears of all, whoever had them.
pub async fn watch(client: Client, backlog: Arc<Backlog>, lifecycle: Lifecycle) {
    let mut advisories = match client.subscribe(terminated(backlog.stream(), WORKER)).await {
        Ok(advisories) => advisories,
        Err(error) => return tracing::error!(%error, "nobody hears of messages that age out in a worker's hands"),
    };
    loop {
        let message = tokio::select! {
            Some(message) = advisories.next() => message,
            () = lifecycle.stopping().cancelled() => return,
        };
        if let Some(seq) = parse(&message.payload) {
            backlog.note_dropped(seq);
        }
    }
}

/// The seq of a message that has left its stream.
fn parse(advisory: &[u8]) -> Option<u64> {
    let Terminated { stream_seq, reason } = serde_json::from_slice(advisory).ok()?;
    LEFT_THE_STREAM.contains(&reason.as_str()).then_some(stream_seq)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_worker_ends_itself_has_not_left_the_stream() {
        let left = br#"{"stream_seq":7,"reason":"Unacknowledged message was deleted","deliveries":3}"#;
        assert_eq!(parse(left), Some(7));
        for other in [br#"{"stream_seq":7}"#.as_slice(), br#"{"stream_seq":7,"reason":"bad"}"#, b"{", b""] {
            assert_eq!(parse(other), None);
        }
    }
}
