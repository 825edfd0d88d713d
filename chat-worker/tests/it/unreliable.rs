//! A store that fails on demand: the real one, with faults in front.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use chat_store::{
    AuditPage, Entry, EventChange, Found, Head, IdPage, LogRow, MarkRow, MessageStore, Outcome, Page, ReadMark,
    StoreError, Window,
};
use schema::{
    clock::Timestamp,
    frame::history::HistoryItem,
    id::{ChangeId, EventId, MessageId, RoomId, UserId},
};

/// What goes wrong with a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The store answers that it is away.
    Unavailable,
    /// The store answers that it will not.
    Refused,
    /// The writing task dies.
    Panic,
    /// It is only slow.
    Slow(Duration),
    /// It does not begin before [`Faults::release`].
    Held,
    /// It is written, but the answer never comes.
    AnswerLost,
}

type Rule = Box<dyn Fn(&[Entry]) -> Option<Fault> + Send>;

/// The faults of one store, and what was asked of it. Shared by test and store.
#[derive(Default)]
pub(crate) struct Faults {
    rule: Mutex<Option<Rule>>,
    is_down: AtomicBool,
    released: tokio::sync::Notify,
    attempts: Mutex<Vec<(Instant, Vec<u64>)>>,
    written: Mutex<HashMap<RoomId, Vec<u64>>>,
}

impl Faults {
    pub(crate) fn on_write(&self, rule: impl Fn(&[Entry]) -> Option<Fault> + Send + 'static) {
        *self.rule.lock().unwrap() = Some(Box::new(rule));
    }

    /// Every call fails, as if the machine were gone.
    pub(crate) fn set_down(&self, is_down: bool) {
        self.is_down.store(is_down, Ordering::SeqCst);
    }

    pub(crate) fn release(&self) {
        *self.rule.lock().unwrap() = None;
        self.released.notify_waiters();
    }

    /// When writes were tried that held `seq`.
    pub(crate) fn attempts(&self, seq: u64) -> Vec<Instant> {
        let attempts = self.attempts.lock().unwrap();
        attempts.iter().filter(|(_, seqs)| seqs.contains(&seq)).map(|(at, _)| *at).collect()
    }

    /// The seqs of each write that was tried.
    pub(crate) fn groups(&self) -> Vec<Vec<u64>> {
        self.attempts.lock().unwrap().iter().map(|(_, seqs)| seqs.clone()).collect()
    }

    /// The seqs written in `room`, in the order of their writes.
    pub(crate) fn written(&self, room: RoomId) -> Vec<u64> {
        self.written.lock().unwrap().get(&room).cloned().unwrap_or_default()
    }

    fn check_up(&self) -> Result<(), StoreError> {
        if self.is_down.load(Ordering::SeqCst) { Err(StoreError::Unavailable("down".into())) } else { Ok(()) }
    }
}

pub(crate) struct UnreliableStore {
    pub(crate) inner: Arc<dyn MessageStore>,
    pub(crate) faults: Arc<Faults>,
}

#[async_trait::async_trait]
impl MessageStore for UnreliableStore {
    async fn write(&self, entries: &[Entry]) -> Result<Vec<Outcome>, StoreError> {
        let seqs = entries.iter().map(|entry| entry.seq).collect();
        self.faults.attempts.lock().unwrap().push((Instant::now(), seqs));
        self.faults.check_up()?;
        let released = self.faults.released.notified();
        let fault = self.faults.rule.lock().unwrap().as_ref().and_then(|rule| rule(entries));
        match fault {
            Some(Fault::Unavailable) => return Err(StoreError::Unavailable("a fault".into())),
            Some(Fault::Refused) => return Err(StoreError::Refused("a fault".into())),
            Some(Fault::Panic) => panic!("a fault"),
            Some(Fault::Slow(by)) => tokio::time::sleep(by).await,
            Some(Fault::Held) => released.await,
            Some(Fault::AnswerLost) | None => {}
        }
        let outcomes = self.inner.write(entries).await?;
        if fault == Some(Fault::AnswerLost) {
            std::future::pending::<()>().await;
        }
        let mut written = self.faults.written.lock().unwrap();
        for entry in entries {
            written.entry(entry.room_id).or_default().push(entry.seq);
        }
        Ok(outcomes)
    }

    fn writes_rooms_together(&self) -> bool {
        self.inner.writes_rooms_together()
    }

    async fn write_skip(&self, room: RoomId, seq: u64, logged_at: Timestamp) -> Result<(), StoreError> {
        self.faults.check_up()?;
        self.inner.write_skip(room, seq, logged_at).await
    }

    async fn redrive(&self, entry: &Entry) -> Result<Outcome, StoreError> {
        self.faults.check_up()?;
        self.inner.redrive(entry).await
    }

    async fn history(&self, room: RoomId, reader: UserId, window: Window, limit: usize) -> Result<Page, StoreError> {
        self.inner.history(room, reader, window, limit).await
    }

    async fn item(&self, room: RoomId, reader: UserId, id: MessageId) -> Result<Option<HistoryItem>, StoreError> {
        self.inner.item(room, reader, id).await
    }

    async fn by_user(&self, user: UserId, before: Option<u64>, limit: usize) -> Result<Vec<HistoryItem>, StoreError> {
        self.inner.by_user(user, before, limit).await
    }

    async fn log(&self, room: RoomId, after: u64, limit: usize) -> Result<Vec<LogRow>, StoreError> {
        self.inner.log(room, after, limit).await
    }

    async fn find(&self, ids: &[MessageId]) -> Result<Vec<Found>, StoreError> {
        self.inner.find(ids).await
    }

    async fn heads(&self, rooms: &[RoomId]) -> Result<Vec<Head>, StoreError> {
        self.inner.heads(rooms).await
    }

    async fn last_seq(&self, room: RoomId) -> Result<u64, StoreError> {
        self.inner.last_seq(room).await
    }

    async fn write_marks(&self, marks: &[ReadMark]) -> Result<(), StoreError> {
        self.inner.write_marks(marks).await
    }

    async fn read_marks(&self, readers: &[(RoomId, UserId)]) -> Result<Vec<ReadMark>, StoreError> {
        self.inner.read_marks(readers).await
    }

    async fn unread(&self, readers: &[(RoomId, UserId, u64)]) -> Result<Vec<u32>, StoreError> {
        self.inner.unread(readers).await
    }

    async fn write_event_change(&self, change: &EventChange) -> Result<(), StoreError> {
        self.faults.check_up()?;
        self.inner.write_event_change(change).await
    }

    async fn event_history(
        &self,
        event: EventId,
        before: Option<(Timestamp, ChangeId)>,
        limit: usize,
    ) -> Result<Vec<EventChange>, StoreError> {
        self.inner.event_history(event, before, limit).await
    }

    async fn audit(&self, after: Option<(RoomId, u64)>, above: u64, limit: usize) -> Result<AuditPage, StoreError> {
        self.inner.audit(after, above, limit).await
    }

    async fn log_at(&self, places: &[(RoomId, u64, Timestamp)]) -> Result<Vec<Option<LogRow>>, StoreError> {
        self.inner.log_at(places).await
    }

    async fn audit_ids(&self, after: Option<MessageId>, limit: usize) -> Result<IdPage, StoreError> {
        self.inner.audit_ids(after, limit).await
    }

    async fn audit_marks(&self, after: Option<(RoomId, UserId)>, limit: usize) -> Result<Vec<MarkRow>, StoreError> {
        self.inner.audit_marks(after, limit).await
    }

    async fn high_water(&self) -> Result<u64, StoreError> {
        self.faults.check_up()?;
        self.inner.high_water().await
    }

    async fn raise_high_water(&self, seq: u64) -> Result<(), StoreError> {
        self.faults.check_up()?;
        // Never done when it is first polled, as it can be with a store on the same machine that is quick.
        tokio::task::yield_now().await;
        self.inner.raise_high_water(seq).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.faults.check_up()?;
        self.inner.ping().await
    }
}
