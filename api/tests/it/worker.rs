//! A worker that is as simple as can be: it stores what the log says, so that the API has something to read.

use std::sync::Arc;

use async_nats::jetstream::{self, consumer::pull};
use chat_store::{Entry, EventChange, MessageStore};
use futures_util::StreamExt as _;
use schema::{
    change::Change,
    clock::Timestamp,
    envelope,
    stream::{CHAT_MESSAGES, EVENTS, WORKER},
    subject::ChatSubject,
};
use tokio_util::sync::CancellationToken;

/// Stores until `stopping`.
pub(crate) async fn run(js: jetstream::Context, store: Arc<dyn MessageStore>, stopping: CancellationToken) {
    tokio::select! {
        () = stopping.cancelled() => {}
        () = messages(&js, &*store) => {}
        () = changes(&js, &*store) => {}
    }
}

async fn messages(js: &jetstream::Context, store: &dyn MessageStore) {
    let mut deliveries = deliveries(js, CHAT_MESSAGES).await;
    while let Some(delivery) = deliveries.next().await {
        let Ok(message) = delivery else { continue };
        store.write(&[entry(&message)]).await.unwrap();
        message.ack().await.unwrap();
    }
}

/// What a delivery says.
pub(crate) fn entry(message: &jetstream::Message) -> Entry {
    let (seq, logged_at) = {
        let info = message.info().unwrap();
        let millis = i64::try_from(info.published.unix_timestamp_nanos() / 1_000_000).unwrap();
        (info.stream_sequence, Timestamp::from_unix_millis(millis).unwrap())
    };
    let subject = ChatSubject::parse(&message.subject).unwrap();
    let (headers, body) = envelope::read(subject, message.headers.as_ref(), &message.payload).unwrap();
    Entry {
        room_id: subject.0,
        seq,
        logged_at,
        sender: headers.sender,
        is_moderator: headers.is_moderator,
        raw: message.payload.clone(),
        body,
    }
}

async fn changes(js: &jetstream::Context, store: &dyn MessageStore) {
    let mut deliveries = deliveries(js, EVENTS).await;
    while let Some(delivery) = deliveries.next().await {
        let Ok(message) = delivery else { continue };
        let change: Change = serde_json::from_slice(&message.payload).unwrap();
        if let Some(event_id) = change.event_id {
            let row = EventChange {
                id: change.id,
                event_id,
                change: change.change,
                version: change.version,
                actor_id: change.actor_id,
                changed_at: change.changed_at,
                fields: change.fields,
                added: change.added,
                removed: change.removed,
                hash: change.hash,
            };
            store.write_event_change(&row).await.unwrap();
        }
        message.ack().await.unwrap();
    }
}

async fn deliveries(js: &jetstream::Context, stream: &str) -> pull::Stream {
    let consumer = js.get_consumer_from_stream::<pull::Config, _, _>(WORKER, stream).await.unwrap();
    consumer.messages().await.unwrap()
}
