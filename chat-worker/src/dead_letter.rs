//! What can not be stored is kept as it was, with the reason, until an operator has looked.

use std::borrow::Cow;

use async_nats::{HeaderMap, jetstream};
use schema::{header, id::RoomId, subject::DeadSubject};
use uuid::Uuid;

use crate::{delivery::Delivery, verdict::Reason};

/// Writes to `CHAT_DEAD`.
#[derive(Debug)]
pub struct DeadLetters {
    js: jetstream::Context,
}

/// `CHAT_DEAD` did not confirm: the message must be delivered again.
#[derive(Debug, thiserror::Error)]
#[error("CHAT_DEAD did not take the message")]
pub struct NotBuried(#[from] jetstream::context::PublishError);

/// The server acts on headers that begin so: of a buried message they are kept under another name, or
/// one of them (an expected sequence, a rollup) would have the burial refused for ever.
pub(crate) const OBEYED: &str = "Nats-";
pub(crate) const KEPT_AS: &str = "Timingle-Dead-Nats-";

/// The name under which a header of a buried message is kept.
pub(crate) fn kept_as(name: &str) -> Cow<'_, str> {
    match name.strip_prefix(OBEYED) {
        Some(rest) => format!("{KEPT_AS}{rest}").into(),
        None => name.into(),
    }
}

impl DeadLetters {
    /// Buries on this broker.
    pub const fn new(js: jetstream::Context) -> Self {
        Self { js }
    }

    /// Buries a message and waits for the stream's word that it has it. Burying it again, at a later
    /// delivery, is the same burial.
    pub async fn bury(&self, delivery: &Delivery, reason: Reason) -> Result<(), NotBuried> {
        let room = delivery.room().unwrap_or(RoomId::from_uuid(Uuid::nil()));
        let subject = DeadSubject(room).to_string();
        let headers = headers(delivery, reason);
        self.js.publish_with_headers(subject, headers, delivery.payload.clone()).await?.await?;
        Ok(())
    }
}

/// The headers of a burial.
pub(crate) fn headers(delivery: &Delivery, reason: Reason) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, values) in delivery.headers.iter().flat_map(HeaderMap::iter) {
        let name: &str = name.as_ref();
        for value in values {
            map.append(kept_as(name).as_ref(), value.clone());
        }
    }
    let Delivery { stream, seq, logged_at, deliveries, subject, .. } = delivery;
    // The time is in it because a log that was restored may give a number a second time.
    map.insert(header::NATS_MSG_ID, format!("{stream}.{seq}.{}", logged_at.unix_millis()));
    map.insert(header::DEAD_REASON, reason.as_str());
    map.insert(header::DEAD_SEQ, seq.to_string());
    map.insert(header::DEAD_TIME, logged_at.to_string());
    map.insert(header::DEAD_DELIVERIES, deliveries.to_string());
    map.insert(header::DEAD_SUBJECT, subject.as_str());
    map
}
