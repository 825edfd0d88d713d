//! How far people have read: from `CHAT_MARKS` to the message store, where the greatest mark stays.

use std::sync::Arc;

use chat_store::{MessageStore, Outcome, ReadMark, StoreError};
use schema::{mark::Mark, problem::Code, stream, subject::MarkSubject};
use uuid::Uuid;

use super::{Job, WriteError};
use crate::{delivery::Delivery, moved::Hints, verdict::Reason};

/// Writes marks.
pub struct ReadMarkJob {
    store: Arc<dyn MessageStore>,
    hints: Hints,
}

impl ReadMarkJob {
    /// Stores into `store`.
    pub fn new(store: Arc<dyn MessageStore>, hints: Hints) -> Self {
        Self { store, hints }
    }
}

impl Job for ReadMarkJob {
    type Item = ReadMark;
    const STREAM: &'static str = stream::CHAT_MARKS;
    const ROWS_MAX: usize = 256;

    fn lane(&self, delivery: &Delivery) -> Uuid {
        MarkSubject::parse(&delivery.subject).map_or(Uuid::nil(), |MarkSubject(room, _)| room.as_uuid())
    }

    fn read(&self, delivery: &Delivery) -> Result<ReadMark, Reason> {
        read(delivery)
    }

    async fn write(&self, items: &[ReadMark]) -> Result<Vec<Outcome>, WriteError> {
        self.store.write_marks(items).await?;
        Ok(vec![Outcome::Stored; items.len()])
    }

    async fn skip(&self, _delivery: &Delivery) -> Result<(), StoreError> {
        // Nobody counts this stream's numbers.
        Ok(())
    }

    fn saved(&self, _delivery: &Delivery, mark: &ReadMark, _seq: u64) {
        self.hints.mark(mark.room_id, mark.user_id);
    }

    fn refused(&self, _delivery: &Delivery, _mark: Option<&ReadMark>, _code: Code) {}
}

/// Reads what `CHAT_MARKS` holds.
pub(crate) fn read(delivery: &Delivery) -> Result<ReadMark, Reason> {
    let MarkSubject(room_id, user_id) = MarkSubject::parse(&delivery.subject).ok_or(Reason::NotAMark)?;
    let Mark { seq } = serde_json::from_slice(&delivery.payload).map_err(|_other_json| Reason::NotAMark)?;
    Ok(ReadMark { room_id, user_id, seq, read_at: delivery.logged_at })
}

impl std::fmt::Debug for ReadMarkJob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ReadMarkJob")
    }
}
