//! The store for those who outgrow one machine: CQL, on ScyllaDB or Cassandra.

use std::time::Duration;

use schema::{
    clock::Timestamp,
    frame::history::HistoryItem,
    id::{ChangeId, EventId, MessageId, RoomId, UserId},
};

use crate::{Entry, EventChange, Found, Head, LogRow, MessageStore, Outcome, Page, StoreError, Window};

/// Messages in a CQL cluster.
#[derive(Debug)]
pub struct ScyllaStore {}

fn not_yet<T>() -> Result<T, StoreError> {
    Err(StoreError::Refused("the CQL store is not written yet".into()))
}

/// Creates the keyspace and its tables where they are missing.
pub async fn migrate(_nodes: &[String], _keyspace: &str, _replication_factor: u32) -> Result<(), StoreError> {
    not_yet()
}

impl ScyllaStore {
    /// Connects to a cluster.
    pub async fn connect(_nodes: &[String], _keyspace: &str, _within: Duration) -> Result<Self, StoreError> {
        not_yet()
    }
}

#[async_trait::async_trait]
impl MessageStore for ScyllaStore {
    async fn write(&self, _: &[Entry]) -> Result<Vec<Outcome>, StoreError> { not_yet() }
    async fn write_skip(&self, _: RoomId, _: u64, _: Timestamp) -> Result<(), StoreError> { not_yet() }
    async fn history(&self, _: RoomId, _: UserId, _: Window, _: usize) -> Result<Page, StoreError> { not_yet() }
    async fn item(&self, _: RoomId, _: UserId, _: MessageId) -> Result<Option<HistoryItem>, StoreError> { not_yet() }
    async fn by_user(&self, _: UserId, _: Option<u64>, _: usize) -> Result<Vec<HistoryItem>, StoreError> { not_yet() }
    async fn log(&self, _: RoomId, _: u64, _: usize) -> Result<Vec<LogRow>, StoreError> { not_yet() }
    async fn find(&self, _: &[MessageId]) -> Result<Vec<Found>, StoreError> { not_yet() }
    async fn heads(&self, _: &[RoomId]) -> Result<Vec<Head>, StoreError> { not_yet() }
    async fn last_seq(&self, _: RoomId) -> Result<u64, StoreError> { not_yet() }
    async fn unread(&self, _: RoomId, _: UserId, _: u64) -> Result<u32, StoreError> { not_yet() }
    async fn write_event_change(&self, _: &EventChange) -> Result<(), StoreError> { not_yet() }
    async fn event_history(&self, _: EventId, _: Option<(Timestamp, ChangeId)>, _: usize) -> Result<Vec<EventChange>, StoreError> { not_yet() }
    async fn high_water(&self) -> Result<u64, StoreError> { not_yet() }
    async fn raise_high_water(&self, _: u64) -> Result<(), StoreError> { not_yet() }
    async fn ping(&self) -> Result<(), StoreError> { not_yet() }
}
