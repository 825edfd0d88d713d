//! Messages as a stream holds them: their place, their time and their own headers.

use async_nats::{Client, HeaderMap, Message, Subject};
use bytes::Bytes;
use schema::{clock::Timestamp, header};

use crate::direct_get;

/// A message as its stream holds it.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Where it stands.
    pub seq: u64,
    /// When the stream stored it.
    pub stored_at: Timestamp,
    /// What it was published on.
    pub subject: Subject,
    /// Its headers, without those that the server adds to its answers.
    pub headers: HeaderMap,
    /// Its body.
    pub payload: Bytes,
}

/// NATS is away, or answered what it never should.
#[derive(Debug, thiserror::Error)]
#[error("the stream {stream} can not be read: {reason}")]
pub struct ReadError {
    stream: String,
    reason: String,
}

/// What the server adds to its answers.
const ADDED: [&str; 7] = [
    header::NATS_SUBJECT,
    header::NATS_SEQUENCE,
    header::NATS_TIME_STAMP,
    header::NATS_NUM_PENDING,
    header::NATS_LAST_SEQUENCE,
    "Nats-Stream",
    "Nats-UpTo-Sequence",
];

/// At most `limit` messages of `stream` on `subject`, which may have wildcards, at or above the seq `from`; ascending.
pub async fn page(
    client: &Client,
    stream: &str,
    subject: &str,
    from: u64,
    limit: usize,
) -> Result<Vec<Stored>, ReadError> {
    // A subject that is one needs no escapes.
    let request = format!(r#"{{"seq":{},"next_by_subj":"{subject}","batch":{limit}}}"#, from.max(1));
    read(client, stream, request).await.map_err(|reason| ReadError { stream: stream.to_owned(), reason })
}

/// The message at `seq`; `None` when the stream no longer has it, or never had.
pub async fn at(client: &Client, stream: &str, seq: u64) -> Result<Option<Stored>, ReadError> {
    let found = read(client, stream, format!(r#"{{"seq":{seq},"batch":1}}"#)).await;
    let mut found = found.map_err(|reason| ReadError { stream: stream.to_owned(), reason })?;
    Ok(found.pop().filter(|message| message.seq == seq))
}

async fn read(client: &Client, stream: &str, request: String) -> Result<Vec<Stored>, String> {
    let answers = direct_get::batch(client, stream, request.into()).await.map_err(|away| away.to_string())?;
    let all = answers.into_iter().map(|message| stored(message).ok_or("an answer without the server's headers"));
    Ok(all.collect::<Result<_, _>>()?)
}

fn stored(message: Message) -> Option<Stored> {
    let answered = message.headers?;
    let get = |name| answered.get(name).map(async_nats::HeaderValue::as_str);
    let seq = get(header::NATS_SEQUENCE)?.parse().ok()?;
    let stored_at = Timestamp::parse(get(header::NATS_TIME_STAMP)?).ok()?;
    let subject = get(header::NATS_SUBJECT)?.into();
    let mut headers = HeaderMap::new();
    for (name, values) in answered.iter() {
        if !ADDED.contains(&name.as_ref()) {
            for value in values {
                headers.append(name.clone(), value.clone());
            }
        }
    }
    Some(Stored { seq, stored_at, subject, headers, payload: message.payload })
}
