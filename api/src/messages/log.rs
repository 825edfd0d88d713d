//! Reads single messages of the stream `CHAT_MESSAGES`, past all consumers.

use std::time::Duration;

use async_nats::jetstream::{
    message::StreamMessage,
    stream::{DirectGetErrorKind, Stream},
};
use ops::broker::Broker;
use schema::{clock::Timestamp, envelope::Body, stream::CHAT_MESSAGES, subject::ChatSubject};
use time::OffsetDateTime;

use crate::error::ApiError;

/// What the log holds at a seq.
pub(super) struct Logged {
    pub(super) body: Body,
    pub(super) seq: u64,
    pub(super) created_at: Timestamp,
    /// Whether it was there before it was published.
    pub(super) is_duplicate: bool,
}

/// How long one question may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// A replica may not have yet what its leader has acknowledged.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// The message at `seq`, which was acknowledged: whoever does not have it yet is asked again.
pub(super) async fn acknowledged(broker: &Broker, seq: u64) -> Result<Logged, ApiError> {
    loop {
        match ask(broker, |stream| async move { stream.direct_get(seq).await }).await? {
            Some(message) => return read(&message),
            None => tokio::time::sleep(ASK_AGAIN).await,
        }
    }
}

/// When the first message above `floor` was stored; `None` when there is none.
pub(super) async fn first_above(broker: &Broker, floor: u64) -> Result<Option<Timestamp>, ApiError> {
    let found =
        ask(
            broker,
            |stream| async move { stream.direct_get_next_for_subject(ChatSubject::ALL, Some(floor + 1)).await },
        )
        .await?;
    found.map(|message| logged_at(&message)).transpose()
}

/// The greatest seq that was ever given.
pub(super) async fn last_seq(broker: &Broker) -> Result<u64, ApiError> {
    let asked = tokio::time::timeout(ANSWER_WITHIN, broker.js.get_stream(CHAT_MESSAGES)).await;
    let stream = asked.map_err(away)?.map_err(away)?;
    Ok(stream.cached_info().state.last_sequence)
}

async fn ask<F, A>(broker: &Broker, question: F) -> Result<Option<StreamMessage>, ApiError>
where
    F: FnOnce(Stream<()>) -> A,
    A: Future<Output = Result<StreamMessage, async_nats::jetstream::stream::DirectGetError>>,
{
    let stream = broker.js.get_stream_no_info(CHAT_MESSAGES).await.map_err(away)?;
    match tokio::time::timeout(ANSWER_WITHIN, question(stream)).await.map_err(away)? {
        Ok(message) => Ok(Some(message)),
        Err(error) if error.kind() == DirectGetErrorKind::NotFound => Ok(None),
        Err(error) => Err(away(error)),
    }
}

fn read(message: &StreamMessage) -> Result<Logged, ApiError> {
    let body = serde_json::from_slice(&message.payload).map_err(|error| ApiError::Internal(error.into()))?;
    Ok(Logged { body, seq: message.sequence, created_at: logged_at(message)?, is_duplicate: false })
}

fn logged_at(message: &StreamMessage) -> Result<Timestamp, ApiError> {
    let nanos = i128::from(message.time.unix_timestamp()) * 1_000_000_000 + i128::from(message.time.nanosecond());
    OffsetDateTime::from_unix_timestamp_nanos(nanos)
        .map(Timestamp::new)
        .map_err(|error| ApiError::Internal(error.into()))
}

fn away(error: impl std::error::Error + Send + Sync + 'static) -> ApiError {
    ApiError::unavailable("nats", error)
}
