//! Streams and their durable consumers, as values; [`ensure`] makes the server agree with them.

use std::time::Duration;

use async_nats::jetstream::{
    self,
    consumer::{self, AckPolicy, DeliverPolicy, pull},
    context::{CreateStreamErrorKind, GetStreamErrorKind},
    stream::{Config, ConsumerError, DiscardPolicy, Republish, StorageType},
};

use crate::subject::{ChatSubject, DeadSubject, LiveChatSubject, LiveMarkSubject, MarkSubject};

/// The log of every room.
pub const CHAT_MESSAGES: &str = "CHAT_MESSAGES";
/// How far everybody has read.
pub const CHAT_MARKS: &str = "CHAT_MARKS";
/// What happened to events, rooms and sessions.
pub const EVENTS: &str = "EVENTS";
/// What could not be stored.
pub const CHAT_DEAD: &str = "CHAT_DEAD";
/// The durable consumer on each of the first three.
pub const WORKER: &str = "chat-worker";

/// Inside this window a second message with the same `Nats-Msg-Id` is not stored.
pub const DUPLICATE_WINDOW: Duration = Duration::from_mins(2);
/// How far above the high-water mark a new stream begins: no number is ever given twice.
pub const SEQ_GAP: u64 = 1_000_000;
/// How long the worker may take before a message is delivered again; it says `Progress` before.
pub const ACK_WAIT: Duration = Duration::from_secs(10);
/// Deliveries that may wait for their ack, over all workers.
pub const ACK_PENDING_MAX: i64 = 4_096;

/// What of the streams is the operator's choice.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// How long a room's log is kept.
    pub chat_age_max: Duration,
    /// How large the log of all rooms may grow; then new messages are refused.
    pub chat_bytes_max: i64,
    /// Copies of each stream.
    pub replicas: usize,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { chat_age_max: Duration::from_hours(72), chat_bytes_max: 8 << 30, replicas: 1 }
    }
}

fn base(name: &str, subjects: &[&str], sizes: Sizes) -> Config {
    Config {
        name: name.into(),
        subjects: subjects.iter().copied().map(Into::into).collect(),
        storage: StorageType::File,
        num_replicas: sizes.replicas,
        duplicate_window: DUPLICATE_WINDOW,
        allow_direct: true,
        max_messages: -1,
        max_messages_per_subject: -1,
        max_bytes: -1,
        max_consumers: -1,
        ..Config::default()
    }
}

/// The log of every room; the server republishes what it has stored.
pub fn chat_messages(sizes: Sizes) -> Config {
    Config {
        max_age: sizes.chat_age_max,
        max_bytes: sizes.chat_bytes_max,
        max_message_size: 128 * 1024,
        discard: DiscardPolicy::New,
        republish: Some(Republish {
            source: ChatSubject::ALL.into(),
            destination: LiveChatSubject::ALL.replace('*', "{{wildcard(1)}}"),
            headers_only: false,
        }),
        ..base(CHAT_MESSAGES, &[ChatSubject::ALL], sizes)
    }
}

/// The newest read mark of every member of every room.
pub fn chat_marks(sizes: Sizes) -> Config {
    Config {
        max_messages_per_subject: 1,
        discard: DiscardPolicy::Old,
        max_message_size: 1024,
        republish: Some(Republish {
            source: MarkSubject::ALL.into(),
            destination: LiveMarkSubject::ALL.replacen('*', "{{wildcard(1)}}", 1).replacen(".*", ".{{wildcard(2)}}", 1),
            headers_only: false,
        }),
        ..base(CHAT_MARKS, &[MarkSubject::ALL], sizes)
    }
}

/// What happened to events, rooms and sessions, for a week.
pub fn events(sizes: Sizes) -> Config {
    Config {
        max_age: Duration::from_hours(7 * 24),
        discard: DiscardPolicy::Old,
        max_message_size: 128 * 1024,
        ..base(EVENTS, &["event.*", "room.*", "user.*"], sizes)
    }
}

/// What could not be stored, until an operator has looked.
pub fn chat_dead(sizes: Sizes) -> Config {
    Config { discard: DiscardPolicy::Old, max_message_size: 160 * 1024, ..base(CHAT_DEAD, &[DeadSubject::ALL], sizes) }
}

/// The worker's durable consumer: any number of workers share it, and it never gives a message up.
pub fn worker() -> pull::Config {
    pull::Config {
        durable_name: Some(WORKER.into()),
        ack_policy: AckPolicy::Explicit,
        deliver_policy: DeliverPolicy::All,
        ack_wait: ACK_WAIT,
        max_deliver: -1,
        max_ack_pending: ACK_PENDING_MAX,
        max_waiting: 512,
        ..pull::Config::default()
    }
}

/// Why a stream is not as it must be.
#[derive(Debug, thiserror::Error)]
pub enum EnsureError {
    /// A setting differs that the server can not change; what to do is the operator's decision.
    #[error("stream {stream}: {field} is {found} and can not be changed to {wanted}")]
    Fixed {
        /// The stream.
        stream: String,
        /// The setting.
        field: &'static str,
        /// What the server has.
        found: String,
        /// What the definition says.
        wanted: String,
    },
    /// The server did not answer, or refused.
    #[error("stream {stream}: {source}")]
    Server {
        /// The stream.
        stream: String,
        /// Its own words.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl EnsureError {
    fn server(stream: &str, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Server { stream: stream.into(), source: Box::new(source) }
    }
}

/// How many messages a stream dropped that nobody had acknowledged.
///
/// A fresh consumer of a stream that begins at 1,000 has its floor at 999: nothing is lost.
pub fn lost(first_seq: u64, ack_floor: u64) -> u64 {
    first_seq.saturating_sub(ack_floor.saturating_add(1))
}

/// Makes sure that all four streams and their consumers are there as defined.
///
/// `high_water` is the greatest seq the message store has ever held: a new `CHAT_MESSAGES` begins
/// [`SEQ_GAP`] above it, so that no seq is given twice.
pub async fn ensure_all(js: &jetstream::Context, sizes: Sizes, high_water: u64) -> Result<(), EnsureError> {
    let first_sequence = (high_water > 0).then_some(high_water + SEQ_GAP);
    ensure(js, Config { first_sequence, ..chat_messages(sizes) }).await?;
    ensure(js, chat_marks(sizes)).await?;
    ensure(js, events(sizes)).await?;
    ensure(js, chat_dead(sizes)).await?;
    for stream in [CHAT_MESSAGES, CHAT_MARKS, EVENTS] {
        ensure_worker(js, stream).await?;
    }
    Ok(())
}

/// Creates the stream, or updates what may change, or fails with the difference.
pub async fn ensure(js: &jetstream::Context, wanted: Config) -> Result<(), EnsureError> {
    let name = wanted.name.clone();
    let found = match js.get_stream(&name).await {
        Ok(stream) => stream.cached_info().config.clone(),
        Err(error) if is_not_found(error.kind()) => {
            return match js.create_stream(wanted.clone()).await {
                Ok(_stream) => Ok(()),
                // Another process was first, with another version of the definition.
                Err(error) if is_taken(error.kind()) => Box::pin(ensure(js, wanted)).await,
                Err(error) => Err(EnsureError::server(&name, error)),
            };
        }
        Err(error) => return Err(EnsureError::server(&name, error)),
    };
    let update = reconcile(&found, wanted)?;
    if update != found {
        js.update_stream(update).await.map_err(|error| EnsureError::server(&name, error))?;
    }
    Ok(())
}

/// Makes sure that `stream` has the worker's consumer.
pub async fn ensure_worker(js: &jetstream::Context, stream: &str) -> Result<(), EnsureError> {
    let stream_handle = js.get_stream(stream).await.map_err(|error| EnsureError::server(stream, error))?;
    stream_handle.create_consumer(worker()).await.map_err(|error| EnsureError::server(stream, error))?;
    Ok(())
}

/// How far the workers are with `stream`: what they have acknowledged, and what is left.
pub async fn ask_worker(js: &jetstream::Context, stream: &str) -> Result<consumer::Info, ConsumerError> {
    let found = js.get_consumer_from_stream::<pull::Config, _, _>(WORKER, stream).await?;
    Ok(found.cached_info().clone())
}

fn is_not_found(kind: GetStreamErrorKind) -> bool {
    matches!(kind, GetStreamErrorKind::JetStream(error) if error.error_code() == jetstream::ErrorCode::STREAM_NOT_FOUND)
}

fn is_taken(kind: CreateStreamErrorKind) -> bool {
    matches!(kind, CreateStreamErrorKind::JetStream(error)
        if error.error_code() == jetstream::ErrorCode::STREAM_NAME_EXIST)
}

/// What to send as an update: the server's own values, with what the definition decides laid over
/// them. `first_seq` above all stays the server's: raising it in an update is accepted without a word
/// and empties the stream at its next restart.
fn reconcile(found: &Config, wanted: Config) -> Result<Config, EnsureError> {
    let fixed = |field, found: String, wanted_value: String| {
        if found == wanted_value {
            return Ok(());
        }
        Err(EnsureError::Fixed { stream: wanted.name.clone(), field, found, wanted: wanted_value })
    };
    fixed("storage", format!("{:?}", found.storage), format!("{:?}", wanted.storage))?;
    fixed("retention", format!("{:?}", found.retention), format!("{:?}", wanted.retention))?;
    Ok(Config {
        subjects: wanted.subjects,
        max_age: wanted.max_age,
        max_bytes: wanted.max_bytes,
        max_messages_per_subject: wanted.max_messages_per_subject,
        max_message_size: wanted.max_message_size,
        discard: wanted.discard,
        duplicate_window: wanted.duplicate_window,
        allow_direct: wanted.allow_direct,
        republish: wanted.republish,
        num_replicas: wanted.num_replicas,
        ..found.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_is_what_was_dropped_above_the_ack_floor() {
        let check = |first_seq, ack_floor, expected| assert_eq!(lost(first_seq, ack_floor), expected);
        check(0, 0, 0); // a stream that has never held anything
        check(1, 0, 0);
        check(1, 500, 0);
        check(1000, 999, 0);
        check(1000, 998, 1);
        check(1000, 0, 999);
        check(501, 500, 0);
    }
}
