//! Publishes an envelope until the log has it, or it is sure that it has not, or patience ends.

use std::time::Duration;

use async_nats::{
    HeaderMap,
    jetstream::{
        ErrorCode,
        context::{PublishError, PublishErrorKind},
        publish::PublishAck,
    },
};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use ops::{
    broker::code_of,
    log_health::is_new,
    mutant::{self, Mutant},
};
use schema::{header, id::MessageId, problem::Code, subject::ChatSubject};
use tokio::time::{Instant, sleep_until};

use crate::{error::ApiError, state::AppState};

/// How long the caller waits at most.
pub(super) const BUDGET: Duration = Duration::from_secs(5);
/// After these the same envelope, with the same id, is published again.
const TRIES: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(250), Duration::from_millis(500), Duration::from_millis(2500)];

/// Publishes; every try has the same id, so the log has it once.
pub(super) async fn publish(
    state: &AppState,
    subject: ChatSubject,
    mut headers: HeaderMap,
    body: Bytes,
    is_resend: bool,
    deadline: Instant,
) -> Result<PublishAck, ApiError> {
    let began = Instant::now();
    let mut tries = TRIES.into_iter().map(|after| began + after).peekable();
    let mut waiting = FuturesUnordered::new();
    // An earlier try of what is sent again may be in the log, whatever becomes of this one.
    let mut may_be_stored = is_resend;
    let above = state.log.greatest();
    loop {
        let next_try = tries.peek().copied().unwrap_or(deadline).min(deadline);
        tokio::select! {
            Some(answer) = waiting.next(), if !waiting.is_empty() => match answer {
                Ok(ack) => return at_its_place(ack, above),
                Err(error) => match judge(error) {
                    Try::Anywhere => may_be_stored = true,
                    // Refused for good, and no other try can be stored.
                    Try::Refused(error) if waiting.is_empty() && !may_be_stored => return Err(error),
                    Try::Nowhere | Try::Refused(_) => {}
                },
            },
            () = sleep_until(next_try) => {
                if mutant::is(Mutant::LatePostIsRefused) && !waiting.is_empty() {
                    return Err(gave_up(false));
                }
                if next_try >= deadline {
                    return Err(gave_up(may_be_stored || !waiting.is_empty()));
                }
                tries.next();
                // Without a connection it would only wait in a queue, and be sent when nobody expects it; over a new one
                // it might get a number that was given before.
                if state.broker.is_connected() && state.log.is_open() {
                    if mutant::is(Mutant::LateTryIsAnother) && !waiting.is_empty() {
                        return Err(publish_another(state, subject, headers, &body).await);
                    }
                    headers.insert(header::TIMINGLE_PUBLISHED, state.clock.now().to_string());
                    let published =
                        state.broker.js.publish_with_headers(subject.to_string(), headers.clone(), body.clone()).await;
                    waiting.push(async move { published?.await });
                }
            }
        }
    }
}

/// [`Mutant::LateTryIsAnother`].
async fn publish_another(state: &AppState, subject: ChatSubject, mut headers: HeaderMap, body: &Bytes) -> ApiError {
    let other = MessageId::random().to_string();
    let id = headers.get(header::NATS_MSG_ID).map_or_else(|| other.clone(), ToString::to_string);
    headers.insert(header::NATS_MSG_ID, other.as_str());
    let body = String::from_utf8_lossy(body).replace(&id, &other);
    drop(state.broker.js.publish_with_headers(subject.to_string(), headers, body.into()).await);
    unknown()
}

/// The log's answer, if the number in it is the message's alone; the log had given all up to `above` before.
fn at_its_place(ack: PublishAck, above: u64) -> Result<PublishAck, ApiError> {
    if ack.duplicate || is_new(ack.sequence, above) { Ok(ack) } else { Err(unknown()) }
}

/// Where a try that failed has left the message.
enum Try {
    /// Nowhere; the next may do better.
    Nowhere,
    /// In the log or not.
    Anywhere,
    /// Nowhere, and the next will do no better.
    Refused(ApiError),
}

fn judge(error: PublishError) -> Try {
    match error.kind() {
        PublishErrorKind::TimedOut | PublishErrorKind::BrokenPipe => Try::Anywhere,
        // Nobody answers for the stream: an election, most likely.
        PublishErrorKind::StreamNotFound | PublishErrorKind::MaxAckPending => Try::Nowhere,
        PublishErrorKind::WrongLastMessageId
        | PublishErrorKind::WrongLastSequence
        | PublishErrorKind::MaxPayloadExceeded => Try::Refused(refused(error)),
        PublishErrorKind::Other => match code_of(&error) {
            // A cluster is still at another try of the same message; or it is no answer of the log's.
            Some(ErrorCode::STREAM_DUPLICATE_MESSAGE_CONFLICT) | None => Try::Anywhere,
            Some(_) => Try::Refused(refused(error)),
        },
    }
}

fn refused(error: PublishError) -> ApiError {
    match code_of(&error) {
        Some(ErrorCode::STREAM_STORE_FAILED) => ApiError::refused(Code::Backlog, "the log is full for now"),
        _ => ApiError::unavailable("log", error),
    }
}

fn gave_up(may_be_stored: bool) -> ApiError {
    if may_be_stored { unknown() } else { ApiError::unavailable("log", "nobody took the message") }
}

/// Nobody knows whether it was said.
pub(super) fn unknown() -> ApiError {
    ApiError::refused(Code::Unknown, "send it again with the same temp_id and resend")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_was_given_before_is_another_messages_place() {
        let is_taken = |seq: u64, is_duplicate: bool| {
            let ack = serde_json::json!({ "stream": "CHAT_MESSAGES", "seq": seq, "duplicate": is_duplicate });
            at_its_place(serde_json::from_value(ack).unwrap(), 10).is_ok()
        };
        assert!(is_taken(11, false));
        assert!(!is_taken(10, false));
        assert!(is_taken(3, true), "an earlier try has it");
    }
}
