//! Messages of rooms, and what happens to them: from `CHAT_MESSAGES` to the message store.

use std::sync::Arc;

use chat_store::{Entry, MessageStore, Outcome, StoreError};
use ops::{
    clock::Clock,
    mutant::{self, Mutant},
    telemetry::HOP,
};
use schema::{
    envelope::{self, Headers, Kind},
    header,
    id::RoomId,
    problem::Code,
    saved::{Refused, Saved},
    stream,
    subject::{ChatSubject, GatewayId},
};
use uuid::Uuid;

use super::{Job, WriteError};
use crate::{
    delivery::Delivery, high_water::HighWater, moderators::Moderators, moved::Hints, report::Reporter,
    together::Together, verdict::Reason,
};

/// Stores log frames and tells the gateways they came from.
pub struct MessageJob {
    /// Where they rest.
    pub store: Arc<dyn MessageStore>,
    /// Tells their senders.
    pub reporter: Reporter,
    /// Tells who has the room in a list.
    pub hints: Hints,
    /// How far the log is stored, or about to be.
    pub high_water: Arc<HighWater>,
    /// Writes what many rooms say at once.
    pub together: Together,
    /// Who runs which room.
    pub moderators: Moderators,
}

impl Job for MessageJob {
    type Item = Entry;
    const STREAM: &'static str = stream::CHAT_MESSAGES;
    const ROWS_MAX: usize = 32;

    fn lane(&self, delivery: &Delivery) -> Uuid {
        delivery.room().map_or(Uuid::nil(), RoomId::as_uuid)
    }

    fn read(&self, delivery: &Delivery) -> Result<Entry, Reason> {
        if mutant::is(Mutant::CreatedAtNow) {
            return Ok(Entry { logged_at: Clock::default().now(), ..read(delivery)? });
        }
        read(delivery)
    }

    async fn write(&self, items: &[Entry]) -> Result<Vec<Outcome>, WriteError> {
        // A change takes a transaction of its own, for which other rooms need not wait.
        let is_quick = items.iter().all(|entry| entry.body.target().is_none());
        if is_quick && self.store.writes_rooms_together() {
            return Ok(self.together.write(items).await?);
        }
        self.write_alone(items).await
    }

    async fn write_alone(&self, items: &[Entry]) -> Result<Vec<Outcome>, WriteError> {
        if items.iter().any(|entry| entry.is_moderator) {
            let checked = self.moderators.check(items).await.map_err(WriteError::Roles)?;
            return Ok(self.together.write_alone(&checked).await?);
        }
        Ok(self.together.write_alone(items).await?)
    }

    async fn skip(&self, delivery: &Delivery) -> Result<(), StoreError> {
        // A subject without a room has no log that could miss a number.
        let Some(room) = delivery.room() else { return Ok(()) };
        self.high_water.cover(delivery.seq).await?;
        self.high_water.under(self.store.write_skip(room, delivery.seq, delivery.logged_at)).await
    }

    fn saved(&self, delivery: &Delivery, entry: &Entry, seq: u64) {
        tracing::debug!(target: HOP, { message.id = %entry.body.id() }, "in the store");
        match entry.body.kind() {
            Kind::Message | Kind::MessageUpdated | Kind::MessageDeleted | Kind::System => {
                self.hints.room(entry.room_id);
            }
            Kind::Reaction => {}
        }
        if let Some(gateway) = gateway(delivery) {
            self.reporter.saved(gateway, Saved { id: entry.body.id(), room_id: entry.room_id, seq });
        }
    }

    fn refused(&self, delivery: &Delivery, entry: Option<&Entry>, code: Code) {
        if let (Some(gateway), Some(entry)) = (gateway(delivery), entry) {
            let refused = Refused { id: entry.body.id(), room_id: entry.room_id, seq: delivery.seq, code };
            self.reporter.refused(gateway, refused);
        }
    }
}

/// The entry that a message of the log is.
pub(crate) fn read(delivery: &Delivery) -> Result<Entry, Reason> {
    let room_id = delivery.room().ok_or(Reason::NotARoom)?;
    let (Headers { sender, is_moderator, .. }, body) =
        envelope::read(ChatSubject(room_id), delivery.headers.as_ref(), &delivery.payload)
            .map_err(Reason::Malformed)?;
    Ok(Entry {
        room_id,
        seq: delivery.seq,
        logged_at: delivery.logged_at,
        sender,
        is_moderator,
        raw: delivery.payload.clone(),
        body,
    })
}

fn gateway(delivery: &Delivery) -> Option<GatewayId> {
    GatewayId::parse(delivery.headers.as_ref()?.get(header::TIMINGLE_GATEWAY)?.as_str()).ok()
}

impl std::fmt::Debug for MessageJob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MessageJob")
    }
}
