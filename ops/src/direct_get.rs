//! Direct gets of many messages of a stream at once: of one subject, or the newest of many. The client library has
//! neither, so the requests are made here by hand, and nowhere else.

use std::time::Duration;

use async_nats::{Client, Message};
use bytes::Bytes;
use futures_util::StreamExt as _;

/// How long one answer may take.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// The most subjects of one request for the newest of each; the server answers 413 above 1,024.
pub const SUBJECTS_MAX: usize = 1_000;

/// Why a stream could not be read: NATS is away, or answered what it never should.
#[derive(Debug, thiserror::Error)]
#[error("the stream can not be read: {0}")]
pub struct StreamAway(String);

impl StreamAway {
    /// For this reason.
    pub fn new(why: impl std::fmt::Display) -> Self {
        Self(why.to_string())
    }

    /// Nothing was heard in time.
    pub fn silent() -> Self {
        Self("no answer in time".into())
    }
}

/// Where direct gets of `stream` are asked for.
pub fn subject(stream: &str) -> String {
    format!("$JS.API.DIRECT.GET.{stream}")
}

/// All answers to a batched `request`, up to the server's end mark.
pub async fn batch(client: &Client, stream: &str, request: Bytes) -> Result<Vec<Message>, StreamAway> {
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(inbox.clone()).await.map_err(StreamAway::new)?;
    client.publish_with_reply(subject(stream), inbox, request).await.map_err(StreamAway::new)?;
    let mut messages = Vec::new();
    loop {
        let answer = tokio::time::timeout(ANSWER_WITHIN, answers.next()).await;
        let message = answer.map_err(|_elapsed| StreamAway::silent())?.ok_or_else(StreamAway::silent)?;
        match message.status.map(|status| status.as_u16()) {
            None => messages.push(message),
            Some(204 | 404) => return Ok(messages),
            Some(_) => return Err(StreamAway::new(message.description.unwrap_or_default())),
        }
    }
}
