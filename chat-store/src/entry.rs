//! What the worker hands to the store: one seq of the log, and what becomes of it.

use bytes::Bytes;
use schema::{
    clock::Timestamp,
    envelope::Body,
    id::{RoomId, UserId},
    problem::Code,
};

/// One seq of a room's log.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The room, from the subject.
    pub room_id: RoomId,
    /// Where it stands: the stream sequence.
    pub seq: u64,
    /// When the log stored it; never `now()`, so that a redelivery writes the same row.
    pub logged_at: Timestamp,
    /// Who really sent it; none = the system.
    pub sender: Option<UserId>,
    /// Whether the sender deletes by their role in the room; whoever hands it over has looked.
    pub is_moderator: bool,
    /// The body as it was published.
    pub raw: Bytes,
    /// The same, read.
    pub body: Body,
}

/// How far somebody has read a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadMark {
    /// The room.
    pub room_id: RoomId,
    /// Who; their true id.
    pub user_id: UserId,
    /// Up to which seq.
    pub seq: u64,
    /// When the stream of marks stored it.
    pub read_at: Timestamp,
}

/// What became of an entry before it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Before {
    /// Nothing, or it was stored.
    Nothing,
    /// It was given up: a skip stands at its seq, which makes way if the entry can be stored now.
    GivenUp,
}

/// What became of one entry. All three are final: the delivery can be acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It stands in the store, from now on or already.
    Stored,
    /// Its id stands at a lower seq with the same content; this seq is a `skip`.
    Duplicate {
        /// The seq that counts.
        first_seq: u64,
    },
    /// It may never be stored: `temp_id_reused` (its id says something else at a lower seq),
    /// `not_a_member` (it changes what its sender may not), `invalid_content` (U+0000) or
    /// `invalid_frame` (its bytes are not UTF-8). Its seq is a `skip`.
    Refused(Code),
}
