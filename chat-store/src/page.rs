//! What the store answers.

use schema::{
    change::{ChangeKind, FieldChange},
    clock::Timestamp,
    envelope::Kind,
    frame::history::HistoryItem,
    id::{ChangeId, EventId, MessageId, RoomId, UserId},
};

/// Which part of a room's history is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Window {
    /// The newest items.
    Newest,
    /// The newest items below this seq.
    Before(u64),
    /// The oldest items above this seq.
    After(u64),
    /// This seq in the middle (itself included when it is an item).
    Around(u64),
}

/// A stretch of history, ascending in seq.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The items.
    pub items: Vec<HistoryItem>,
    /// Whether older items follow.
    pub has_more_before: bool,
    /// Whether newer items follow.
    pub has_more_after: bool,
}

/// One seq of the log, for resume, sync and verify.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRow {
    /// Where it stands.
    pub seq: u64,
    /// Its frame; none = a `skip`.
    pub kind: Option<Kind>,
    /// Its id; none = a `skip`.
    pub id: Option<MessageId>,
    /// When the log stored it.
    pub created_at: Timestamp,
    /// The envelope's body as it was published; none = a `skip`. Of a message that was deleted since
    /// it is given with `"content":null`.
    pub body: Option<String>,
}

/// Where a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The message.
    pub id: MessageId,
    /// Its room.
    pub room_id: RoomId,
    /// Its seq.
    pub seq: u64,
    /// What kind of log frame it is.
    pub kind: Kind,
    /// Who really sent it; none = the system.
    pub sender: Option<UserId>,
    /// When the log stored it.
    pub created_at: Timestamp,
    /// Whether it was taken back.
    pub is_deleted: bool,
}

/// The top of a room, for the room list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The room.
    pub room_id: RoomId,
    /// The greatest seq that is a message or system frame.
    pub seq: u64,
    /// When the log stored it.
    pub created_at: Timestamp,
    /// That item, in its present state.
    pub last_message: Option<HistoryItem>,
}

/// One row of an event's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventChange {
    /// The outbox row.
    pub id: ChangeId,
    /// Which event.
    pub event_id: EventId,
    /// What happened.
    pub change: ChangeKind,
    /// The event's version after it.
    pub version: i64,
    /// Who did it; none = the system.
    pub actor_id: Option<UserId>,
    /// When.
    pub changed_at: Timestamp,
    /// Old and new values.
    pub fields: Vec<FieldChange>,
    /// Who came in.
    pub added: Vec<UserId>,
    /// Who left.
    pub removed: Vec<UserId>,
    /// Over this change and the one before it; none of those that were made before there was a chain.
    pub hash: Option<String>,
}
