//! Changes of events: from `EVENTS` to each event's history. Rooms and sessions change on the same
//! stream; they have no history and are only acknowledged.

use std::sync::Arc;

use chat_store::{EventChange, MessageStore, Outcome, StoreError};
use schema::{
    change::{Change, ChangeKind},
    id::EventId,
    problem::Code,
    stream,
};
use uuid::Uuid;

use super::{Job, WriteError};
use crate::{delivery::Delivery, verdict::Reason};

/// Writes the history of events.
pub struct EventChangeJob {
    store: Arc<dyn MessageStore>,
}

/// Lanes of this stream: a history is ordered by time and id, whatever the order of its writes.
const LANES: u64 = 16;

impl EventChangeJob {
    /// Stores into `store`.
    pub fn new(store: Arc<dyn MessageStore>) -> Self {
        Self { store }
    }
}

impl Job for EventChangeJob {
    /// `None`: a change without a history.
    type Item = Option<EventChange>;
    const STREAM: &'static str = stream::EVENTS;
    /// The store takes one change at a time.
    const ROWS_MAX: usize = 1;

    fn lane(&self, delivery: &Delivery) -> Uuid {
        Uuid::from_u128(u128::from(delivery.seq % LANES))
    }

    fn read(&self, delivery: &Delivery) -> Result<Option<EventChange>, Reason> {
        read(delivery)
    }

    async fn write(&self, items: &[Option<EventChange>]) -> Result<Vec<Outcome>, WriteError> {
        for change in items.iter().flatten() {
            self.store.write_event_change(change).await?;
        }
        Ok(vec![Outcome::Stored; items.len()])
    }

    async fn skip(&self, _delivery: &Delivery) -> Result<(), StoreError> {
        // Nobody counts this stream's numbers.
        Ok(())
    }

    fn saved(&self, _delivery: &Delivery, _change: &Option<EventChange>, _seq: u64) {}

    fn refused(&self, _delivery: &Delivery, _change: Option<&Option<EventChange>>, _code: Code) {}
}

/// The row that a change is; `None` for one without a history.
pub(crate) fn read(delivery: &Delivery) -> Result<Option<EventChange>, Reason> {
    let change: Change = serde_json::from_slice(&delivery.payload).map_err(|_other_json| Reason::NotAChange)?;
    if ChangeKind::parse(&delivery.subject) != Some(change.change) {
        return Err(Reason::NotAChange);
    }
    if !has_history(change.change) {
        return Ok(None);
    }
    let event_id = change.event_id.ok_or(Reason::NotAChange)?;
    Ok(Some(row(event_id, change)))
}

const fn has_history(kind: ChangeKind) -> bool {
    match kind {
        ChangeKind::EventCreated
        | ChangeKind::EventUpdated
        | ChangeKind::EventConfirmed
        | ChangeKind::EventCancelled
        | ChangeKind::EventCompleted
        | ChangeKind::EventDeleted
        | ChangeKind::EventParticipantsChanged => true,
        ChangeKind::RoomMembersChanged | ChangeKind::UserSessionsRevoked => false,
    }
}

fn row(event_id: EventId, change: Change) -> EventChange {
    EventChange {
        id: change.id,
        event_id,
        change: change.change,
        version: change.version,
        actor_id: change.actor_id,
        changed_at: change.changed_at,
        fields: change.fields,
        added: change.added,
        removed: change.removed,
        hash: change.hash,
    }
}

impl std::fmt::Debug for EventChangeJob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EventChangeJob")
    }
}
