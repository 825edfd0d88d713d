//! The default store: PostgreSQL, beside users and events.
//!
//! New messages, which are nearly all there is, are written by one statement for a whole batch
//! (`batch`); whatever meets something that is there already takes the slow way under row locks
//! (`settle`).

mod audit;
mod batch;
mod change;
mod claim;
mod error;
mod event_history;
mod find;
mod high_water;
mod history;
mod item_row;
mod log;
mod mark;
mod reaction;
mod restate;
mod settle;
mod unread;

use ops::database::Pool;
use schema::{
    clock::Timestamp,
    frame::history::HistoryItem,
    id::{ChangeId, EventId, MessageId, RoomId, UserId},
};

use crate::{
    AuditPage, Entry, EventChange, Found, Head, IdPage, LogRow, MarkRow, MessageStore, Outcome, Page, ReadMark,
    StoreError, Window, entry::Before, storable,
};

/// Messages in PostgreSQL.
#[derive(Clone, Debug)]
pub struct PostgresStore {
    pool: Pool,
}

impl PostgresStore {
    /// Takes the pool that the process has anyway; its tables come with `schema::postgres::MIGRATOR`.
    pub fn new(pool: impl Into<Pool>) -> Self {
        Self { pool: pool.into() }
    }

    /// Asks over one connection.
    async fn answer(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1").execute(&self.pool).await?;
        Ok(())
    }
}

#[async_trait::async_trait]
impl MessageStore for PostgresStore {
    async fn write(&self, entries: &[Entry]) -> Result<Vec<Outcome>, StoreError> {
        batch::write(&self.pool, entries).await
    }

    /// One statement, and one wait for the disk, for all that is new.
    fn writes_rooms_together(&self) -> bool {
        true
    }

    async fn write_skip(&self, room: RoomId, seq: u64, logged_at: Timestamp) -> Result<(), StoreError> {
        log::write_skip(&self.pool, room, seq, logged_at).await
    }

    async fn redrive(&self, entry: &Entry) -> Result<Outcome, StoreError> {
        match storable::text_of(entry) {
            Ok(text) => settle::settle(&self.pool, entry, text, Before::GivenUp).await,
            Err(refusal) => Ok(refusal),
        }
    }

    async fn history(&self, room: RoomId, reader: UserId, window: Window, limit: usize) -> Result<Page, StoreError> {
        history::page(&self.pool, room, reader, window, limit).await
    }

    async fn item(&self, room: RoomId, reader: UserId, id: MessageId) -> Result<Option<HistoryItem>, StoreError> {
        history::item(&self.pool, room, reader, id).await
    }

    async fn by_user(&self, user: UserId, before: Option<u64>, limit: usize) -> Result<Vec<HistoryItem>, StoreError> {
        history::by_user(&self.pool, user, before, limit).await
    }

    async fn log(&self, room: RoomId, after: u64, limit: usize) -> Result<Vec<LogRow>, StoreError> {
        log::read(&self.pool, room, after, limit).await
    }

    async fn find(&self, ids: &[MessageId]) -> Result<Vec<Found>, StoreError> {
        find::by_ids(&self.pool, ids).await
    }

    async fn heads(&self, rooms: &[RoomId]) -> Result<Vec<Head>, StoreError> {
        history::heads(&self.pool, rooms).await
    }

    async fn last_seq(&self, room: RoomId) -> Result<u64, StoreError> {
        log::last_seq(&self.pool, room).await
    }

    async fn write_marks(&self, marks: &[ReadMark]) -> Result<(), StoreError> {
        mark::write(&self.pool, marks).await
    }

    async fn read_marks(&self, readers: &[(RoomId, UserId)]) -> Result<Vec<ReadMark>, StoreError> {
        mark::read(&self.pool, readers).await
    }

    async fn unread(&self, readers: &[(RoomId, UserId, u64)]) -> Result<Vec<u32>, StoreError> {
        unread::count(&self.pool, readers).await
    }

    async fn write_event_change(&self, change: &EventChange) -> Result<(), StoreError> {
        event_history::write(&self.pool, change).await
    }

    async fn event_history(
        &self,
        event: EventId,
        before: Option<(Timestamp, ChangeId)>,
        limit: usize,
    ) -> Result<Vec<EventChange>, StoreError> {
        event_history::read(&self.pool, event, before, limit).await
    }

    async fn audit(&self, after: Option<(RoomId, u64)>, above: u64, limit: usize) -> Result<AuditPage, StoreError> {
        audit::page(&self.pool, after, above, limit).await
    }

    async fn log_at(&self, places: &[(RoomId, u64, Timestamp)]) -> Result<Vec<Option<LogRow>>, StoreError> {
        audit::log_at(&self.pool, places).await
    }

    async fn audit_ids(&self, after: Option<MessageId>, limit: usize) -> Result<IdPage, StoreError> {
        audit::ids(&self.pool, after, limit).await
    }

    async fn audit_marks(&self, after: Option<(RoomId, UserId)>, limit: usize) -> Result<Vec<MarkRow>, StoreError> {
        audit::marks(&self.pool, after, limit).await
    }

    async fn high_water(&self) -> Result<u64, StoreError> {
        high_water::read(&self.pool).await
    }

    async fn raise_high_water(&self, seq: u64) -> Result<(), StoreError> {
        high_water::raise(&self.pool, seq).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        // A server that went away and came back leaves broken connections behind, and each of them says so once.
        for _ in 0..self.pool.connections().num_idle() {
            match self.answer().await {
                Err(StoreError::Unavailable(_)) => {}
                answer => return answer,
            }
        }
        self.answer().await
    }
}
