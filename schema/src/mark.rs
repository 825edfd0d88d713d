//! How far somebody has read, on the stream `CHAT_MARKS`: it keeps the newest of each member, so what is published there
//! must never be lower than what stands there, whoever else publishes at the same time.

use std::error::Error;

use async_nats::jetstream::{
    self, ErrorCode,
    context::{PublishError, PublishErrorKind},
    message::PublishMessage,
    stream::DirectGetErrorKind,
};
use serde::{Deserialize, Serialize};

use crate::{
    id::{RoomId, UserId},
    stream::CHAT_MARKS,
    subject::MarkSubject,
};

/// The body of a message on `chat.mark.<room>.<user>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mark {
    /// Everything up to this seq was read.
    pub seq: u64,
}

/// How often somebody else may be faster before a publish is given up.
const TRIES_MAX: usize = 16;

/// Why a mark was not raised; it may be tried again at any time.
#[derive(Debug, thiserror::Error)]
pub enum RaiseError {
    /// The server did not answer, or refused.
    #[error("the stream of marks does not answer")]
    Away(#[source] Box<dyn Error + Send + Sync>),
    /// Others raise the same mark all the time.
    #[error("the mark moves too fast")]
    Contended,
}

fn away(error: impl Error + Send + Sync + 'static) -> RaiseError {
    RaiseError::Away(Box::new(error))
}

impl Mark {
    /// The JSON that is published.
    pub fn to_bytes(self) -> bytes::Bytes {
        serde_json::to_vec(&self).expect("a number serialises").into()
    }

    /// Raises the mark of `user` in `room` to this one, with the stream's word that it has it; answers what stands
    /// there then: this one, or a higher one that was there.
    pub async fn raise(self, js: &jetstream::Context, room: RoomId, user: UserId) -> Result<Self, RaiseError> {
        let subject = MarkSubject(room, user).to_string();
        for _ in 0..TRIES_MAX {
            let (known, at) = newest(js, &subject).await?;
            if known >= self {
                return Ok(known);
            }
            // Only if nobody else has raised it since it was read.
            let publish = PublishMessage::build().payload(self.to_bytes()).expected_last_subject_sequence(at);
            let published = js.send_publish(subject.clone(), publish).await.map_err(away)?.await;
            match published {
                Ok(_ack) => return Ok(self),
                Err(error) if is_contended(&error) => {}
                Err(error) => return Err(away(error)),
            }
        }
        Err(RaiseError::Contended)
    }
}

/// What stands under a subject, and the seq it has in the stream of marks; 0 and 0 for nothing.
async fn newest(js: &jetstream::Context, subject: &str) -> Result<(Mark, u64), RaiseError> {
    let stream = js.get_stream_no_info(CHAT_MARKS).await.map_err(away)?;
    match stream.direct_get_last_for_subject(subject).await {
        // What is no mark is overwritten.
        Ok(message) => Ok((serde_json::from_slice(&message.payload).unwrap_or(Mark { seq: 0 }), message.sequence)),
        Err(error) if error.kind() == DirectGetErrorKind::NotFound => Ok((Mark { seq: 0 }, 0)),
        Err(error) => Err(away(error)),
    }
}

fn is_contended(error: &PublishError) -> bool {
    let refusal = error.source().and_then(|source| source.downcast_ref::<jetstream::Error>());
    let code = refusal.map(jetstream::Error::error_code);
    error.kind() == PublishErrorKind::WrongLastSequence || code == Some(ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT)
}
