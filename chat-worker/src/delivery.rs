//! One attempt of the broker to hand a message over, and all that is known of the message.

use async_nats::{HeaderMap, Subject, jetstream};
use bytes::Bytes;
use schema::{clock::Timestamp, header, id::RoomId, subject::ChatSubject};

/// A message of a stream, as it was delivered.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The stream that holds it.
    pub stream: &'static str,
    /// Where it stands there.
    pub seq: u64,
    /// When the stream stored it: the one time of the message, the same at every delivery.
    pub logged_at: Timestamp,
    /// How often it was delivered, this time included.
    pub deliveries: u32,
    /// What it was published on.
    pub subject: Subject,
    /// Its headers.
    pub headers: Option<HeaderMap>,
    /// Its body.
    pub payload: Bytes,
}

impl Delivery {
    /// Reads what the broker says of a message; `None` when it was not delivered by a consumer.
    pub fn read(stream: &'static str, message: &jetstream::Message) -> Option<Self> {
        let info = message.info().ok()?;
        Some(Self {
            stream,
            seq: info.stream_sequence,
            logged_at: Timestamp::new(info.published),
            deliveries: u32::try_from(info.delivered).unwrap_or(u32::MAX),
            subject: message.subject.clone(),
            headers: message.headers.clone(),
            payload: message.payload.clone(),
        })
    }

    /// Whether its sender claims a role in the room.
    pub fn is_by_role(&self) -> bool {
        self.headers.as_ref().is_some_and(|headers| headers.get(header::TIMINGLE_MODERATOR).is_some())
    }

    /// The room in the subject; `None` when it is no room's.
    pub fn room(&self) -> Option<RoomId> {
        ChatSubject::parse(&self.subject).map(|subject| subject.0)
    }
}
