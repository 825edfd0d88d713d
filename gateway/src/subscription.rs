//! Subscriptions: made as soon as NATS takes them, and heard until the process stops.

use std::time::Duration;

use async_nats::{Message, Subscriber, subject::ToSubject};
use futures_util::{Stream, StreamExt as _};

use crate::state::Gateway;

/// Between two tries to subscribe.
const RETRY_AFTER: Duration = Duration::from_millis(250);

/// Tries until NATS takes the subscription.
pub(crate) async fn subscribe(gateway: &Gateway, subject: impl ToSubject + Send) -> Subscriber {
    let subject = subject.to_subject();
    loop {
        match gateway.broker.client.subscribe(subject.clone()).await {
            Ok(subscriber) => return subscriber,
            Err(error) => tracing::warn!(%subject, %error, "subscribe failed: trying again"),
        }
        tokio::time::sleep(RETRY_AFTER).await;
    }
}

/// Hands over every message of what is being subscribed to, until the process stops or the client ends it for good.
pub(crate) async fn hear<S: Stream<Item = Message> + Send + Unpin>(
    gateway: &Gateway,
    subscribing: impl Future<Output = S> + Send,
    mut take: impl FnMut(Message) + Send,
) {
    let listening = async {
        let mut live = subscribing.await;
        while let Some(message) = live.next().await {
            take(message);
        }
    };
    tokio::select! {
        () = listening => {}
        () = gateway.lifecycle.stopping().cancelled() => {}
    }
}
