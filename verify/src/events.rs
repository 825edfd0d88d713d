//! Every change of an event is in its history once, and the history is as it was written; as many as the outbox has
//! published, and as the event's own row has counted.

use chat_store::chain;
use schema::id::{EventId, RoomId};
use uuid::Uuid;

use crate::{Check, Parts, VerifyError, finding::Place};

/// Events of one page.
const EVENTS_PAGE: i64 = 200;
/// The most changes of one event that are held: its chain is checked as a whole.
const CHANGES_MAX: usize = 10_000;

/// An event, and what the outbox has of it.
#[derive(Clone, Debug, sqlx::FromRow)]
struct Row {
    id: Uuid,
    version: i64,
    history_hash: Option<String>,
    changes: i64,
    published: i64,
}

impl Check<'_> {
    /// Walks the events.
    pub(crate) async fn events(&mut self) -> Result<(), VerifyError> {
        let only = self.scope.room.map(RoomId::as_uuid);
        let mut after = Uuid::nil();
        loop {
            let rows = rows(self.parts, after, only).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.id;
            for row in &rows {
                self.checked.events += 1;
                let (changes, wrong) = judge(self.parts, row).await?;
                self.checked.event_changes += changes;
                for (kind, detail) in wrong {
                    self.findings.add(kind, Place::Event { event_id: EventId::from_uuid(row.id) }, detail);
                }
            }
            self.tell("events");
        }
    }
}

async fn rows(parts: &Parts, after: Uuid, only: Option<Uuid>) -> Result<Vec<Row>, VerifyError> {
    let rows = sqlx::query_as(
        "SELECT events.id, events.version, events.history_hash, sent.changes, sent.published
         FROM events CROSS JOIN LATERAL (
             SELECT count(*) AS changes, count(*) FILTER (WHERE processed) AS published
             FROM outbox WHERE lane_id = events.id AND subject LIKE 'event.%'
         ) sent
         WHERE events.id > $1 AND ($2::uuid IS NULL OR events.id = $2) ORDER BY events.id LIMIT $3",
    )
    .bind(after)
    .bind(only)
    .bind(EVENTS_PAGE)
    .fetch_all(&parts.pg)
    .await?;
    Ok(rows)
}

/// What is wrong with an event, looked at once more.
pub(crate) async fn look_at(parts: &Parts, event: EventId) -> Result<Vec<(&'static str, String)>, VerifyError> {
    let rows = rows(parts, Uuid::nil(), Some(event.as_uuid())).await?;
    match rows.first() {
        Some(row) => Ok(judge(parts, row).await?.1),
        None => Ok(Vec::new()),
    }
}

/// How many changes the history has, and what is wrong.
async fn judge(parts: &Parts, row: &Row) -> Result<(u64, Vec<(&'static str, String)>), VerifyError> {
    let event = EventId::from_uuid(row.id);
    let changes = chain::read(parts.store.as_ref(), event, CHANGES_MAX).await?;
    let count = u64::try_from(changes.len()).unwrap_or(u64::MAX);
    let mut wrong = Vec::new();
    if changes.len() >= CHANGES_MAX {
        wrong.push((
            "history_too_long",
            format!("more than {CHANGES_MAX} changes: `history/verify` of the api checks it"),
        ));
        return Ok((count, wrong));
    }
    if row.changes != row.version {
        let detail = format!("version {}, but the outbox has {} of its changes", row.version, row.changes);
        wrong.push(("outbox_row_missing", detail));
    }
    for fault in chain::faults(&changes, row.history_hash.as_deref(), row.version) {
        wrong.push(("history_broken", format!("{} at version {}", fault.what, fault.version)));
    }
    let stored = changes.last().map_or(0, |last| last.version);
    if stored < row.published {
        let detail = format!("{} changes are published, the history ends at {stored}", row.published);
        wrong.push(("history_behind", detail));
    }
    Ok((count, wrong))
}
