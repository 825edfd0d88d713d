//! The log of a run, and the store below it.

use async_nats::HeaderMap;
use bytes::Bytes;
use chat_store::{Found, LogRow};
use schema::{
    clock::Timestamp,
    envelope::{self, Body, Head, Headers, Kind, MessageType},
    erasure, header,
    id::{MessageId, RoomId, UserId},
};

use crate::{log_reader::LogPage, render::LogMessage};

/// What is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// A message that nobody has said before.
    New,
    /// The newest message of the room once more, as who is not sure sends it.
    Again,
    /// The newest message of the room is taken back.
    TakenBack,
    /// Something that is no envelope.
    Poison,
}

/// The stream; its store has everything, and blanks what was deleted.
#[derive(Debug, Default)]
pub(super) struct Log {
    entries: Vec<Stored>,
    /// Below it the stream has given everything up.
    first_seq: u64,
    last_seq: u64,
}

#[derive(Debug)]
struct Stored {
    room: RoomId,
    message: LogMessage,
    /// What it is; none of what is no envelope.
    head: Option<Head>,
}

/// A number as the text of an id.
pub(super) fn id<T: std::str::FromStr>(number: u64) -> T
where
    T::Err: std::fmt::Debug,
{
    format!("00000000-0000-0000-0000-{number:012x}").parse().unwrap()
}

impl Log {
    /// Stores something under the next seq, `jump` numbers on; answers its live copy.
    pub(super) fn append(&mut self, room: RoomId, said: Said, jump: u64) -> LogMessage {
        let prev = self.top(room);
        self.last_seq += 1 + jump;
        let seq = self.last_seq;
        let newest = self.newest_message(room);
        let (message, body, is_resend) = match (said, newest) {
            (Said::Again, Some((message, body))) => (message, body, true),
            (Said::TakenBack, Some((message, _))) => (id(seq), deletion(room, message, seq), false),
            (Said::Poison, _) => (id(seq), Bytes::from_static(b"{\"type\":\"message\",\"oh"), false),
            (Said::New | Said::Again | Said::TakenBack, _) => (id(seq), new_message(room, seq), false),
        };
        let headers = Headers { sender: Some(author()), gateway: None, is_resend, is_moderator: false };
        let logged_at = Timestamp::from_unix_millis(i64::try_from(seq).unwrap()).unwrap();
        let headers = Some(headers.to_map(message));
        let message = LogMessage { seq, prev: Some(prev), logged_at, headers, body };
        let head = envelope::check(room, message.headers.as_ref(), &message.body).ok();
        self.entries.push(Stored { room, message: message.clone(), head });
        message
    }

    /// The stream gives up everything below `seq`.
    pub(super) fn age(&mut self, seq: u64) {
        self.first_seq = self.first_seq.max(seq.min(self.last_seq + 1));
    }

    pub(super) const fn first_seq(&self) -> u64 {
        self.first_seq
    }

    pub(super) const fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// The last seq of a room, wherever it is.
    pub(super) fn top(&self, room: RoomId) -> u64 {
        self.of(room).last().map_or(0, |stored| stored.message.seq)
    }

    /// The last seq of a room in the stream.
    pub(super) fn stream_top(&self, room: RoomId) -> u64 {
        Some(self.top(room)).filter(|top| *top >= self.first_seq).unwrap_or(0)
    }

    /// What a batched direct get answers.
    pub(super) fn page(&self, room: RoomId, after: u64, limit: usize) -> LogPage {
        let above = self.of(room).map(|stored| &stored.message);
        let above = above.filter(|message| message.seq > after && message.seq >= self.first_seq);
        let above: Vec<_> = above.map(|message| LogMessage { prev: None, ..message.clone() }).collect();
        let pending = u64::try_from(above.len().saturating_sub(limit)).unwrap();
        LogPage { messages: above.into_iter().take(limit).collect(), pending }
    }

    /// What the store answers of a room's log.
    pub(super) fn rows(&self, room: RoomId, after: u64, limit: usize) -> Vec<LogRow> {
        self.of(room).filter(|stored| stored.message.seq > after).take(limit).map(|stored| self.row(stored)).collect()
    }

    fn row(&self, stored: &Stored) -> LogRow {
        let head = stored.head.filter(|_| !self.is_second(stored));
        let is_deleted = self.deleted_at(stored).is_some();
        let text = String::from_utf8_lossy(&stored.message.body).into_owned();
        LogRow {
            seq: stored.message.seq,
            kind: head.map(|head| head.kind),
            id: head.map(|head| head.id),
            created_at: stored.message.logged_at,
            body: head.map(|_| if is_deleted { erasure::erase(&text) } else { text }),
        }
    }

    /// Where the store has these ids.
    pub(super) fn find(&self, ids: &[MessageId]) -> Vec<Found> {
        let first = |id: &MessageId| {
            let stored = self.entries.iter().find(|stored| stored.head.is_some_and(|head| head.id == *id))?;
            let (kind, seq, created_at) = (stored.head?.kind, stored.message.seq, stored.message.logged_at);
            let (sender, is_deleted) = (Some(author()), self.deleted_at(stored).is_some());
            Some(Found { id: *id, room_id: stored.room, seq, kind, sender, created_at, is_deleted })
        };
        ids.iter().filter_map(first).collect()
    }

    /// All seqs of a room above `since`, as far as `to`.
    pub(super) fn seqs(&self, room: RoomId, since: u64, to: u64) -> Vec<u64> {
        self.of(room).map(|stored| stored.message.seq).filter(|seq| *seq > since && *seq <= to).collect()
    }

    /// The kind of frame at `seq`; `None` where only a `skip` can stand.
    pub(super) fn kind(&self, seq: u64) -> Option<Kind> {
        Some(self.at(seq).head?.kind)
    }

    /// Whether an earlier seq has the same id.
    pub(super) fn is_repeat(&self, seq: u64) -> bool {
        self.is_second(self.at(seq))
    }

    /// The seq that deletes the message at `seq`.
    pub(super) fn deletion_of(&self, seq: u64) -> Option<u64> {
        self.deleted_at(self.at(seq))
    }

    fn at(&self, seq: u64) -> &Stored {
        let at = self.entries.binary_search_by_key(&seq, |stored| stored.message.seq);
        &self.entries[at.expect("the log has what was shown")]
    }

    fn of(&self, room: RoomId) -> impl DoubleEndedIterator<Item = &Stored> {
        self.entries.iter().filter(move |stored| stored.room == room)
    }

    fn is_second(&self, stored: &Stored) -> bool {
        let Some(head) = stored.head else { return false };
        let mut earlier = self.of(stored.room).take_while(|other| other.message.seq < stored.message.seq);
        earlier.any(|other| other.head.is_some_and(|other| other.id == head.id))
    }

    fn deleted_at(&self, stored: &Stored) -> Option<u64> {
        let head = stored.head?;
        let is_it = |other: &&Stored| other.head.is_some_and(|other| other.target == Some(head.id));
        self.of(stored.room).find(is_it).map(|other| other.message.seq)
    }

    fn newest_message(&self, room: RoomId) -> Option<(MessageId, Bytes)> {
        let is_message = |stored: &Stored| stored.head.is_some_and(|head| head.kind == Kind::Message);
        // Nobody sends again what was taken back, nor takes it back twice.
        let newest = self.of(room).rev().find(|stored| is_message(stored) && self.deleted_at(stored).is_none())?;
        Some((newest.head?.id, newest.message.body.clone()))
    }
}

/// What the server sends of a message.
pub(super) fn server_headers(message: &LogMessage) -> HeaderMap {
    let mut headers = message.headers.clone().unwrap_or_default();
    headers.insert(header::NATS_SEQUENCE, message.seq.to_string());
    headers.insert(header::NATS_LAST_SEQUENCE, message.prev.unwrap_or(0).to_string());
    headers.insert(header::NATS_TIME_STAMP, message.logged_at.to_string());
    headers
}

fn author() -> UserId {
    id(0xa)
}

fn new_message(room: RoomId, seq: u64) -> Bytes {
    let body = Body::Message {
        room_id: room,
        id: id(seq),
        sender_id: author(),
        sender_name: "Ann".into(),
        temp_id: format!("a-{seq}"),
        content: format!("said {seq}"),
        message_type: MessageType::Text,
        reply_to_id: None,
    };
    body.to_bytes()
}

fn deletion(room: RoomId, message: MessageId, seq: u64) -> Bytes {
    let temp_id = format!("a-{seq}");
    Body::MessageDeleted { room_id: room, id: id(seq), message_id: message, sender_id: author(), temp_id }.to_bytes()
}
