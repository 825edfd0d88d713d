//! One dead letter, and the message it was.

use async_nats::HeaderMap;
use bytes::Bytes;
use ops::stored::Stored;
use schema::{
    change::ChangeKind,
    clock::Timestamp,
    header,
    id::RoomId,
    stream::{CHAT_MARKS, CHAT_MESSAGES, EVENTS},
    subject::{ChatSubject, DeadSubject, MarkSubject},
};
use serde_json::{Value, json};

use crate::{
    dead_letter::{KEPT_AS, OBEYED},
    delivery::Delivery,
};

/// A dead letter.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    /// Its number in `CHAT_DEAD`.
    pub(super) dead_seq: u64,
    /// When it was buried.
    pub(super) buried_at: Timestamp,
    /// The room it was meant for; none = it was for none.
    pub(super) room: Option<RoomId>,
    /// As it lies there.
    pub(super) headers: HeaderMap,
    /// The original bytes.
    pub(super) payload: Bytes,
}

/// Headers of the burial, not of the message.
const OURS: [&str; 5] =
    [header::DEAD_REASON, header::DEAD_SEQ, header::DEAD_TIME, header::DEAD_DELIVERIES, header::DEAD_SUBJECT];

impl Letter {
    pub(super) fn new(stored: Stored) -> Self {
        let room = DeadSubject::parse(&stored.subject).map(|subject| subject.0).filter(|room| !room.as_uuid().is_nil());
        let Stored { seq: dead_seq, stored_at: buried_at, headers, payload, .. } = stored;
        Self { dead_seq, buried_at, room, headers, payload }
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(async_nats::HeaderValue::as_str)
    }

    /// Why it was given up.
    pub(super) fn reason(&self) -> &str {
        self.text(header::DEAD_REASON).unwrap_or("unknown")
    }

    /// The seq it had in its stream.
    pub(super) fn seq(&self) -> Option<u64> {
        self.text(header::DEAD_SEQ)?.parse().ok()
    }

    /// When its stream stored it.
    pub(super) fn logged_at(&self) -> Option<Timestamp> {
        Timestamp::parse(self.text(header::DEAD_TIME)?).ok()
    }

    /// How often it had been delivered.
    pub(super) fn deliveries(&self) -> Option<u32> {
        self.text(header::DEAD_DELIVERIES)?.parse().ok()
    }

    /// The subject it was published on.
    pub(super) fn subject(&self) -> Option<&str> {
        self.text(header::DEAD_SUBJECT)
    }

    /// The stream it was in; none for what was not buried by a worker.
    pub(super) fn stream(&self) -> Option<&'static str> {
        let subject = self.subject()?;
        if ChatSubject::begins(subject) {
            Some(CHAT_MESSAGES)
        } else if MarkSubject::begins(subject) {
            Some(CHAT_MARKS)
        } else {
            ChangeKind::parse(subject).map(|_| EVENTS)
        }
    }

    /// The message as it was delivered last; none for what was not buried by a worker.
    pub(super) fn delivery(&self) -> Option<Delivery> {
        Some(Delivery {
            stream: self.stream()?,
            seq: self.seq()?,
            logged_at: self.logged_at()?,
            deliveries: self.deliveries()?,
            subject: self.subject()?.into(),
            headers: Some(self.original_headers()),
            payload: self.payload.clone(),
        })
    }

    /// The headers it was published with.
    fn original_headers(&self) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, values) in self.headers.iter() {
            let name: &str = name.as_ref();
            // The burial's own name for the message; the message's is kept under another.
            if OURS.contains(&name) || name == header::NATS_MSG_ID {
                continue;
            }
            let original = name.strip_prefix(KEPT_AS).map(|rest| format!("{OBEYED}{rest}"));
            for value in values {
                map.append(original.as_deref().unwrap_or(name), value.clone());
            }
        }
        map
    }

    /// What is known of it, for programs.
    pub(super) fn to_json(&self) -> Value {
        json!({
            "dead_seq": self.dead_seq,
            "stream": self.stream(),
            "subject": self.subject(),
            "seq": self.seq(),
            "room_id": self.room,
            "reason": self.reason(),
            "deliveries": self.deliveries(),
            "logged_at": self.logged_at(),
            "buried_at": self.buried_at,
            "bytes": self.payload.len(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_is_read_back_as_the_message_it_was() {
        let room = RoomId::random();
        let mut headers = HeaderMap::new();
        for (name, value) in [("Nats-Msg-Id", "a"), ("Timingle-V", "1"), ("X-Custom", "b")] {
            headers.insert(name, value);
        }
        let delivery = Delivery {
            stream: CHAT_MESSAGES,
            seq: 7,
            logged_at: Timestamp::parse("2026-11-21T05:58:48.927Z").unwrap(),
            deliveries: 4,
            subject: ChatSubject(room).to_string().into(),
            headers: Some(headers),
            payload: Bytes::from_static(b"\xff"),
        };
        let stored = Stored {
            seq: 3,
            stored_at: delivery.logged_at,
            subject: DeadSubject(room).to_string().into(),
            headers: crate::dead_letter::headers(&delivery, crate::verdict::Reason::GaveUp),
            payload: delivery.payload.clone(),
        };
        let letter = Letter::new(stored);
        assert_eq!((letter.reason(), letter.room, letter.stream()), ("gave_up", Some(room), Some(CHAT_MESSAGES)));
        let read = letter.delivery().unwrap();
        assert_eq!((read.stream, read.seq, read.logged_at, read.deliveries), (CHAT_MESSAGES, 7, delivery.logged_at, 4));
        assert_eq!((read.headers, read.subject, read.payload), (delivery.headers, delivery.subject, delivery.payload));
    }
}
