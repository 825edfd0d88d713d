//! The one contract of all message stores.

use schema::{
    clock::Timestamp,
    frame::history::HistoryItem,
    id::{ChangeId, EventId, MessageId, RoomId, UserId},
};

use crate::{
    AuditPage, Entry, EventChange, Found, Head, IdPage, LogRow, MarkRow, Outcome, Page, ReadMark, StoreError, Window,
};

/// Up to what unread messages are counted: a phone shows 99+.
pub(crate) const UNREAD_MAX: u32 = 100;

/// Keeps what the log has said, and answers what it says now.
#[async_trait::async_trait]
pub trait MessageStore: Send + Sync + 'static {
    /// Writes entries, of one room or of many, in any order, any number of times; one outcome each, in
    /// their order. Many at once cost little more than one. When it answers with an error, any part may have been written: write all again.
    async fn write(&self, entries: &[Entry]) -> Result<Vec<Outcome>, StoreError>;

    /// Whether entries of many rooms in one call of [`Self::write`] cost it much less than a call for each room.
    fn writes_rooms_together(&self) -> bool;

    /// Writes that `seq` of `room` can not be shown (it does not decode, or was refused).
    async fn write_skip(&self, room: RoomId, seq: u64, logged_at: Timestamp) -> Result<(), StoreError>;

    /// Writes an entry that was given up, over the `skip` that was written at its seq. Whatever else keeps it from being
    /// stored still does: then the skip stays, and the outcome says why. Safe to repeat, but not beside a worker that still
    /// holds the entry.
    async fn redrive(&self, entry: &Entry) -> Result<Outcome, StoreError>;

    /// A page of history for `reader`, in its present state. `limit` is 1 to 100.
    async fn history(&self, room: RoomId, reader: UserId, window: Window, limit: usize) -> Result<Page, StoreError>;

    /// One item of history for `reader`.
    async fn item(&self, room: RoomId, reader: UserId, id: MessageId) -> Result<Option<HistoryItem>, StoreError>;

    /// What `user` wrote, newest first, below `before` if given.
    async fn by_user(&self, user: UserId, before: Option<u64>, limit: usize) -> Result<Vec<HistoryItem>, StoreError>;

    /// The log of a room above `after`, ascending, every seq of it.
    async fn log(&self, room: RoomId, after: u64, limit: usize) -> Result<Vec<LogRow>, StoreError>;

    /// Where these messages stand; those that are not there are left out.
    async fn find(&self, ids: &[MessageId]) -> Result<Vec<Found>, StoreError>;

    /// The tops of these rooms; rooms without an item are left out.
    async fn heads(&self, rooms: &[RoomId]) -> Result<Vec<Head>, StoreError>;

    /// The greatest seq of the room's log, skips included; 0 for an empty room.
    async fn last_seq(&self, room: RoomId) -> Result<u64, StoreError>;

    /// Writes how far people have read, in any order, any number of times: the highest seq counts.
    async fn write_marks(&self, marks: &[ReadMark]) -> Result<(), StoreError>;

    /// How far people have read rooms; those who never said so are left out.
    async fn read_marks(&self, readers: &[(RoomId, UserId)]) -> Result<Vec<ReadMark>, StoreError>;

    /// For each room, reader and their mark: how many messages of others, not deleted, stand in the room above it,
    /// counted to 100. Many readers of one room cost little more than one.
    async fn unread(&self, readers: &[(RoomId, UserId, u64)]) -> Result<Vec<u32>, StoreError>;

    /// Writes one change of an event, any number of times.
    async fn write_event_change(&self, change: &EventChange) -> Result<(), StoreError>;

    /// An event's changes, newest first, older than `before` if given.
    async fn event_history(
        &self,
        event: EventId,
        before: Option<(Timestamp, ChangeId)>,
        limit: usize,
    ) -> Result<Vec<EventChange>, StoreError>;

    /// Seqs above `above` with everything that the tables say of each, after `after`, in the store's own order of rooms;
    /// about `limit` of them, and no room is ever held as a whole.
    async fn audit(&self, after: Option<(RoomId, u64)>, above: u64, limit: usize) -> Result<AuditPage, StoreError>;

    /// What the log has at these places (room, seq, time of the log), in their order; `None` where it has nothing.
    async fn log_at(&self, places: &[(RoomId, u64, Timestamp)]) -> Result<Vec<Option<LogRow>>, StoreError>;

    /// Ids after `after`, in the store's own order, and whether the log has them where they stand.
    async fn audit_ids(&self, after: Option<MessageId>, limit: usize) -> Result<IdPage, StoreError>;

    /// Read marks after `after`, in the store's own order; none after the last.
    async fn audit_marks(&self, after: Option<(RoomId, UserId)>, limit: usize) -> Result<Vec<MarkRow>, StoreError>;

    /// The greatest seq ever stored; 0 for a new store.
    async fn high_water(&self) -> Result<u64, StoreError>;

    /// Raises the high-water mark to `seq`; never lowers it. What is written after that is never there without it, but
    /// it may be gone after a crash that nothing written survived.
    async fn raise_high_water(&self, seq: u64) -> Result<(), StoreError>;

    /// Answers when the store does.
    async fn ping(&self) -> Result<(), StoreError>;
}
