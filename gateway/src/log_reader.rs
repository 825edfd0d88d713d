//! Reads the stream directly: batches of one subject, and the tops of many subjects at once.
//!
//! The client library has neither, so the requests are made here by hand, and nowhere else.

use std::{collections::HashMap, time::Duration};

use async_nats::{Client, Message};
use bytes::Bytes;
use futures_util::StreamExt as _;
use schema::{header, id::RoomId, stream, subject::ChatSubject};
use serde_json::json;

use crate::render::LogMessage;

/// Reads the log of rooms.
#[derive(Clone, Debug)]
pub struct LogReader {
    client: Client,
}

/// Why the log could not be read: NATS is away, or answered what it never should.
#[derive(Debug, thiserror::Error)]
#[error("the log can not be read: {0}")]
pub struct LogAway(String);

/// A stretch of one room's log.
#[derive(Debug, Default)]
pub struct LogPage {
    /// Its messages, ascending in seq.
    pub messages: Vec<LogMessage>,
    /// How many more the room has above them.
    pub pending: u64,
}

/// How long one answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// The server answers 413 above 1,024 subjects.
const TOPS_MAX: usize = 1_000;

impl LogReader {
    /// Reads over this connection.
    pub const fn new(client: Client) -> Self {
        Self { client }
    }

    /// At most `limit` messages of `room` above `after`.
    pub async fn page(&self, room: RoomId, after: u64, limit: usize) -> Result<LogPage, LogAway> {
        let subject = ChatSubject(room).to_string();
        let request = json!({ "seq": after + 1, "next_by_subj": subject, "batch": limit });
        let mut page = LogPage::default();
        for message in self.batch(&request).await? {
            let pending = message.headers.as_ref().and_then(|map| map.get(header::NATS_NUM_PENDING));
            page.pending = pending.and_then(|value| value.as_str().parse().ok()).unwrap_or(0);
            page.messages.push(LogMessage::read(message.headers, message.payload).ok_or_else(LogAway::headless)?);
        }
        Ok(page)
    }

    /// The last seq of `room` in the stream; 0 if it has none there.
    pub async fn top(&self, room: RoomId) -> Result<u64, LogAway> {
        Ok(self.tops(&[room]).await?.first().map_or(0, |(_, seq)| *seq))
    }

    /// The last seqs of `rooms` in the stream; rooms without a message there are left out.
    pub async fn tops(&self, rooms: &[RoomId]) -> Result<Vec<(RoomId, u64)>, LogAway> {
        let mut tops = Vec::with_capacity(rooms.len());
        for chunk in rooms.chunks(TOPS_MAX) {
            let subjects: Vec<String> = chunk.iter().map(|room| ChatSubject(*room).to_string()).collect();
            let request = json!({ "multi_last": subjects, "batch": chunk.len() });
            for message in self.batch(&request).await? {
                tops.push(place(&message)?);
            }
        }
        Ok(tops)
    }

    /// Which rooms have something above `after`, and its last seq there, as far as the next `limit` messages say.
    pub async fn moved_since(&self, after: u64, limit: usize) -> Result<HashMap<RoomId, u64>, LogAway> {
        let request = json!({ "seq": after + 1, "next_by_subj": ChatSubject::ALL, "batch": limit });
        // Ascending: the last one of a room is its greatest.
        self.batch(&request).await?.iter().map(place).collect()
    }

    /// The message at `seq` of the stream, whatever its room.
    pub async fn at(&self, seq: u64) -> Result<Option<LogMessage>, LogAway> {
        let answer = self.ask(&json!({ "seq": seq })).await?;
        Ok(answer.and_then(|message| LogMessage::read(message.headers, message.payload)))
    }

    /// The first message of the stream at or above `seq`.
    pub async fn first_from(&self, seq: u64) -> Result<Option<LogMessage>, LogAway> {
        let answer = self.ask(&json!({ "seq": seq, "next_by_subj": ChatSubject::ALL })).await?;
        Ok(answer.and_then(|message| LogMessage::read(message.headers, message.payload)))
    }

    async fn ask(&self, request: &serde_json::Value) -> Result<Option<Message>, LogAway> {
        let asked = self.client.request(Self::subject(), Bytes::from(request.to_string()));
        let answer = tokio::time::timeout(ANSWER_WITHIN, asked).await.map_err(|_elapsed| LogAway::silent())?;
        let answer = answer.map_err(|error| LogAway(error.to_string()))?;
        match answer.status.map(|status| status.as_u16()) {
            None => Ok(Some(answer)),
            Some(404) => Ok(None),
            Some(_) => Err(LogAway(answer.description.unwrap_or_default())),
        }
    }

    /// All answers of a batched request, up to the server's end mark.
    async fn batch(&self, request: &serde_json::Value) -> Result<Vec<Message>, LogAway> {
        let away = |error: &dyn std::fmt::Display| LogAway(error.to_string());
        let inbox = self.client.new_inbox();
        let mut answers = self.client.subscribe(inbox.clone()).await.map_err(|error| away(&error))?;
        let payload = Bytes::from(request.to_string());
        let asked = self.client.publish_with_reply(Self::subject(), inbox, payload).await;
        asked.map_err(|error| away(&error))?;
        let mut messages = Vec::new();
        loop {
            let answer = tokio::time::timeout(ANSWER_WITHIN, answers.next()).await;
            let message = answer.map_err(|_elapsed| LogAway::silent())?.ok_or_else(LogAway::silent)?;
            match message.status.map(|status| status.as_u16()) {
                None => messages.push(message),
                Some(204 | 404) => return Ok(messages),
                Some(_) => return Err(LogAway(message.description.unwrap_or_default())),
            }
        }
    }

    fn subject() -> String {
        format!("$JS.API.DIRECT.GET.{}", stream::CHAT_MESSAGES)
    }
}

/// Where a message of the log is: its room and its seq.
fn place(message: &Message) -> Result<(RoomId, u64), LogAway> {
    let map = message.headers.as_ref();
    let room = map.and_then(|map| map.get(header::NATS_SUBJECT));
    let room = room.and_then(|subject| ChatSubject::parse(subject.as_str()));
    let seq = map.and_then(|map| map.get(header::NATS_SEQUENCE)).and_then(|seq| seq.as_str().parse().ok());
    let (Some(ChatSubject(room)), Some(seq)) = (room, seq) else { return Err(LogAway::headless()) };
    Ok((room, seq))
}

impl LogAway {
    fn silent() -> Self {
        Self("no answer in time".into())
    }

    fn headless() -> Self {
        Self("an answer without the server's headers".into())
    }
}
