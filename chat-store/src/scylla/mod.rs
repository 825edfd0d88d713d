//! The store for those who outgrow one machine: CQL, on ScyllaDB or Cassandra.
//!
//! No transaction, no lock, no lightweight transaction: every write is idempotent and commutes by its write
//! timestamp (`statement`), and what depends on more than one entry is settled by whoever sees them all
//! (`claim`).

mod audit;
mod bucket;
mod claim;
mod connect;
mod error;
mod event_history;
mod find;
mod high_water;
mod history;
mod item_row;
mod log;
mod mark;
mod mutation;
mod reaction;
mod settle;
mod statement;
mod unread;
mod value;
mod write;

use std::time::Duration;

use ::scylla::{
    client::session::Session, deserialize::row::DeserializeRow, serialize::row::SerializeRow,
    statement::prepared::PreparedStatement,
};
use schema::{
    clock::Timestamp,
    frame::history::HistoryItem,
    id::{ChangeId, EventId, MessageId, RoomId, UserId},
};

pub use self::connect::migrate;
use self::statement::Statements;
use crate::{
    AuditPage, Entry, EventChange, Found, Head, IdPage, LogRow, MarkRow, MessageStore, Outcome, Page, ReadMark,
    StoreError, Window,
};

/// Messages in a CQL cluster.
#[derive(Debug)]
pub struct ScyllaStore {
    session: Session,
    statements: Statements,
}

impl ScyllaStore {
    /// Connects to a cluster whose keyspace has its tables ([`migrate`]).
    pub async fn connect(nodes: &[String], keyspace: &str, within: Duration) -> Result<Self, StoreError> {
        let session = Box::pin(connect::connect(nodes, Some(keyspace), within)).await?;
        let statements = Statements::prepare(&session).await?;
        Ok(Self { session, statements })
    }

    /// All rows that a statement of bounded size answers.
    async fn rows<R>(&self, statement: &PreparedStatement, values: impl SerializeRow) -> Result<Vec<R>, StoreError>
    where
        R: for<'row> DeserializeRow<'row, 'row>,
    {
        let answer = self.session.execute_unpaged(statement, values).await.map_err(error::execution)?;
        let rows = answer.into_rows_result().map_err(error::shape)?;
        rows.rows::<R>().map_err(error::shape)?.collect::<Result<_, _>>().map_err(error::shape)
    }
}

#[async_trait::async_trait]
impl MessageStore for ScyllaStore {
    async fn write(&self, entries: &[Entry]) -> Result<Vec<Outcome>, StoreError> {
        write::write(self, entries).await
    }

    /// Rooms are partitions, and a call waits for the slowest of them.
    fn writes_rooms_together(&self) -> bool {
        false
    }

    async fn write_skip(&self, room: RoomId, seq: u64, logged_at: Timestamp) -> Result<(), StoreError> {
        write::write_skip(self, room, seq, logged_at).await
    }

    async fn redrive(&self, entry: &Entry) -> Result<Outcome, StoreError> {
        write::redrive(self, entry).await
    }

    async fn history(&self, room: RoomId, reader: UserId, window: Window, limit: usize) -> Result<Page, StoreError> {
        history::page(self, room, reader, window, limit).await
    }

    async fn item(&self, room: RoomId, reader: UserId, id: MessageId) -> Result<Option<HistoryItem>, StoreError> {
        history::item(self, room, reader, id).await
    }

    async fn by_user(&self, user: UserId, before: Option<u64>, limit: usize) -> Result<Vec<HistoryItem>, StoreError> {
        history::by_user(self, user, before, limit).await
    }

    async fn log(&self, room: RoomId, after: u64, limit: usize) -> Result<Vec<LogRow>, StoreError> {
        log::read(self, room, after, limit).await
    }

    async fn find(&self, ids: &[MessageId]) -> Result<Vec<Found>, StoreError> {
        find::by_ids(self, ids).await
    }

    async fn heads(&self, rooms: &[RoomId]) -> Result<Vec<Head>, StoreError> {
        history::heads(self, rooms).await
    }

    async fn last_seq(&self, room: RoomId) -> Result<u64, StoreError> {
        log::last_seq(self, room).await
    }

    async fn write_marks(&self, marks: &[ReadMark]) -> Result<(), StoreError> {
        mark::write(self, marks).await
    }

    async fn read_marks(&self, readers: &[(RoomId, UserId)]) -> Result<Vec<ReadMark>, StoreError> {
        mark::read(self, readers).await
    }

    async fn unread(&self, readers: &[(RoomId, UserId, u64)]) -> Result<Vec<u32>, StoreError> {
        unread::count(self, readers).await
    }

    async fn write_event_change(&self, change: &EventChange) -> Result<(), StoreError> {
        event_history::write(self, change).await
    }

    async fn event_history(
        &self,
        event: EventId,
        before: Option<(Timestamp, ChangeId)>,
        limit: usize,
    ) -> Result<Vec<EventChange>, StoreError> {
        event_history::read(self, event, before, limit).await
    }

    async fn audit(&self, after: Option<(RoomId, u64)>, above: u64, limit: usize) -> Result<AuditPage, StoreError> {
        audit::page(self, after, above, limit).await
    }

    async fn log_at(&self, places: &[(RoomId, u64, Timestamp)]) -> Result<Vec<Option<LogRow>>, StoreError> {
        audit::log_at(self, places).await
    }

    async fn audit_ids(&self, after: Option<MessageId>, limit: usize) -> Result<IdPage, StoreError> {
        audit::ids(self, after, limit).await
    }

    async fn audit_marks(&self, after: Option<(RoomId, UserId)>, limit: usize) -> Result<Vec<MarkRow>, StoreError> {
        audit::marks(self, after, limit).await
    }

    async fn high_water(&self) -> Result<u64, StoreError> {
        high_water::read(self).await
    }

    async fn raise_high_water(&self, seq: u64) -> Result<(), StoreError> {
        high_water::raise(self, seq).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        let _rows: Vec<(String,)> = self.rows(&self.statements.ping, ()).await?;
        Ok(())
    }
}
