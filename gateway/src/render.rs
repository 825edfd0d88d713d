//! From a message of the log to the frame that phones get: checked once, for all sockets.

use async_nats::HeaderMap;
use bytes::Bytes;
use schema::{
    clock::Timestamp,
    envelope::{self, Head, Kind},
    erasure,
    frame::server::ServerFrame,
    header,
    id::{MessageId, RoomId},
    subject::GatewayId,
};

use crate::{
    codec::{Opcode, encode},
    measure::Measure,
};

/// One message of a room's log, however it came.
#[derive(Clone, Debug)]
pub struct LogMessage {
    /// Where it stands.
    pub seq: u64,
    /// The room's seq before it, where the server says it: on live copies. 0 = the history before it
    /// has aged out.
    pub prev: Option<u64>,
    /// When the log stored it.
    pub logged_at: Timestamp,
    /// Its headers.
    pub headers: Option<HeaderMap>,
    /// Its body.
    pub body: Bytes,
}

impl LogMessage {
    /// Reads a republished copy or the answer of a direct get; `None` when the server's headers are
    /// missing: then it is neither.
    pub fn read(headers: Option<HeaderMap>, body: Bytes) -> Option<Self> {
        let map = headers.as_ref()?;
        let number = |name| map.get(name).and_then(|value| value.as_str().parse().ok());
        let seq = number(header::NATS_SEQUENCE)?;
        let prev = number(header::NATS_LAST_SEQUENCE);
        let logged_at = Timestamp::parse(map.get(header::NATS_TIME_STAMP)?.as_str()).ok()?;
        Some(Self { seq, prev, logged_at, headers, body })
    }

    /// Whether its sender said that it may be in the log already.
    pub fn is_resend(&self) -> bool {
        self.headers.as_ref().is_some_and(|map| map.get(header::TIMINGLE_RESEND).is_some())
    }

    /// Whether it takes a message back.
    pub fn is_deletion(&self) -> bool {
        envelope::first_type(&self.body) == Some(b"message_deleted")
    }

    /// Whether this gateway published it.
    pub fn is_from(&self, gateway: &GatewayId) -> bool {
        let named = self.headers.as_ref().and_then(|map| map.get(header::TIMINGLE_GATEWAY));
        named.is_some_and(|named| named.as_str() == gateway.as_str())
    }

    /// Its id, as its publisher gave it.
    pub fn id(&self) -> Option<MessageId> {
        self.headers.as_ref()?.get(header::NATS_MSG_ID)?.as_str().parse().ok()
    }
}

/// An encoded log frame and its place.
#[derive(Clone, Debug)]
pub(crate) struct Rendered {
    /// The frame as it goes on the wire.
    pub bytes: Bytes,
    /// What it is; none for a `skip`.
    pub head: Option<Head>,
    /// Where it stands.
    pub seq: u64,
    /// The seq that it says comes before it.
    pub prev: u64,
    room_id: RoomId,
    /// Body and time, to say it again with another `prev`; none for a `skip`.
    source: Option<(Bytes, Timestamp)>,
}

impl Rendered {
    /// Checks and encodes a message; what can not be shown becomes a `skip`.
    pub(crate) fn new(room_id: RoomId, message: &LogMessage, prev: u64, measure: &Measure) -> Self {
        match envelope::check(room_id, message.headers.as_ref(), &message.body) {
            Ok(head) => Self::show(room_id, head, message.seq, prev, message.body.clone(), message.logged_at),
            Err(reason) => {
                tracing::warn!(room.id = %room_id, seq = message.seq, %reason, "envelope refused");
                measure.envelopes_refused.increment(1);
                Self::skip(room_id, message.seq, prev)
            }
        }
    }

    /// Encodes a body that was checked before.
    pub(crate) fn show(room_id: RoomId, head: Head, seq: u64, prev: u64, body: Bytes, logged_at: Timestamp) -> Self {
        let bytes = encode(Opcode::Text, &envelope::splice(&body, seq, prev, logged_at));
        Self { bytes, head: Some(head), seq, prev, room_id, source: Some((body, logged_at)) }
    }

    /// A seq that can not be shown.
    pub(crate) fn skip(room_id: RoomId, seq: u64, prev: u64) -> Self {
        let bytes = encode(Opcode::Text, &ServerFrame::Skip { room_id, seq, prev }.to_json());
        Self { bytes, head: None, seq, prev, room_id, source: None }
    }

    /// When the log stored it; none for a `skip`.
    pub(crate) fn logged_at(&self) -> Option<Timestamp> {
        self.source.as_ref().map(|(_, logged_at)| *logged_at)
    }

    /// The message whose text it carries, if it carries one.
    pub(crate) fn text_of(&self) -> Option<MessageId> {
        let head = self.head?;
        match head.kind {
            Kind::Message => Some(head.id),
            Kind::MessageUpdated => head.target,
            Kind::MessageDeleted | Kind::Reaction | Kind::System => None,
        }
    }

    /// Takes out the text of a message that was deleted.
    pub(crate) fn erase(&mut self) {
        if let (Some((body, at)), Some(head)) = (&self.source, self.head) {
            let erased = erasure::erase(&String::from_utf8_lossy(body)).into();
            *self = Self::show(self.room_id, head, self.seq, self.prev, erased, *at);
        }
    }

    /// The same frame after another seq.
    pub(crate) fn with_prev(&self, prev: u64) -> Bytes {
        match (&self.source, self.head) {
            _ if prev == self.prev => self.bytes.clone(),
            (Some((body, at)), Some(head)) => Self::show(self.room_id, head, self.seq, prev, body.clone(), *at).bytes,
            _ => Self::skip(self.room_id, self.seq, prev).bytes,
        }
    }
}
