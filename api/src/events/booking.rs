//! An event that takes a slot, as its payment sees it: confirmed once it is paid, called off if it is not. Nobody does
//! it; the system does.

use schema::{change::ChangeKind, clock::Timestamp, id::EventId};
use sqlx::PgConnection;

use super::{
    change,
    model::{Event, Status},
    repository,
};
use crate::{error::ApiError, slots};

/// The event, locked until the transaction ends; none if it was deleted.
pub(crate) struct Booking(Option<Event>);

impl Booking {
    /// Locks the event.
    pub(crate) async fn lock(tx: &mut PgConnection, id: EventId) -> Result<Self, ApiError> {
        Ok(Self(repository::lock(tx, id).await?))
    }

    /// It is paid. Says whether it takes place; else the money goes back.
    pub(crate) async fn confirm(&self, tx: &mut PgConnection, now: Timestamp) -> Result<bool, ApiError> {
        let Some(before) = &self.0 else { return Ok(false) };
        match before.status {
            Status::Proposed => {
                change::step(tx, before, Status::Confirmed, ChangeKind::EventConfirmed, None, now).await?;
                Ok(true)
            }
            Status::Confirmed | Status::Completed => Ok(true),
            Status::Cancelled => Ok(false),
        }
    }

    /// It is not paid: the slot is to be had again.
    pub(crate) async fn call_off(&self, tx: &mut PgConnection, now: Timestamp) -> Result<(), ApiError> {
        let Some(before) = self.0.as_ref().filter(|event| event.status.is_open()) else { return Ok(()) };
        change::step(tx, before, Status::Cancelled, ChangeKind::EventCancelled, None, now).await?;
        match before.slot_id {
            Some(slot) => slots::reopen(tx, slot, before.id, now).await,
            None => Ok(()),
        }
    }
}
