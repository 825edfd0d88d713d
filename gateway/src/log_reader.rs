//! Reads the log directly: batches of one room, and the tops of many rooms at once.

use std::collections::HashMap;

use async_nats::{Client, Message};
use bytes::Bytes;
use ops::direct_get;
use schema::{header, id::RoomId, stream, subject::ChatSubject};
use serde_json::json;

use crate::render::LogMessage;

/// Reads the log of rooms.
#[derive(Clone, Debug)]
pub struct LogReader {
    client: Client,
}

/// Why the log could not be read: NATS is away, or answered what it never should.
pub(crate) type LogAway = direct_get::StreamAway;

/// A stretch of one room's log.
#[derive(Debug, Default)]
pub struct LogPage {
    /// Its messages, ascending in seq.
    pub messages: Vec<LogMessage>,
    /// How many more the room has above them.
    pub pending: u64,
}

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
            page.messages.push(LogMessage::read(message.headers, message.payload).ok_or_else(headless)?);
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
        for chunk in rooms.chunks(direct_get::SUBJECTS_MAX) {
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

    async fn ask(&self, request: &serde_json::Value) -> Result<Option<Message>, LogAway> {
        let asked = self.client.request(direct_get::subject(stream::CHAT_MESSAGES), Bytes::from(request.to_string()));
        let answer = tokio::time::timeout(direct_get::ANSWER_WITHIN, asked).await;
        let answer = answer.map_err(|_elapsed| LogAway::silent())?.map_err(LogAway::new)?;
        match answer.status.map(|status| status.as_u16()) {
            None => Ok(Some(answer)),
            Some(404) => Ok(None),
            Some(_) => Err(LogAway::new(answer.description.unwrap_or_default())),
        }
    }

    async fn batch(&self, request: &serde_json::Value) -> Result<Vec<Message>, LogAway> {
        direct_get::batch(&self.client, stream::CHAT_MESSAGES, request.to_string().into()).await
    }
}

/// Where a message of the log is: its room and its seq.
fn place(message: &Message) -> Result<(RoomId, u64), LogAway> {
    let map = message.headers.as_ref();
    let room = map.and_then(|map| map.get(header::NATS_SUBJECT));
    let room = room.and_then(|subject| ChatSubject::parse(subject.as_str()));
    let seq = map.and_then(|map| map.get(header::NATS_SEQUENCE)).and_then(|seq| seq.as_str().parse().ok());
    let (Some(ChatSubject(room)), Some(seq)) = (room, seq) else { return Err(headless()) };
    Ok((room, seq))
}

fn headless() -> LogAway {
    LogAway::new("an answer without the server's headers")
}
