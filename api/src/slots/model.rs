//! A slot.

use schema::{
    clock::Timestamp,
    id::{EventId, SlotId, UserId},
    text::ServiceName,
};
use serde::Serialize;
use sqlx::{Row as _, postgres::PgRow};
use time::{OffsetDateTime, PrimitiveDateTime};
use uuid::Uuid;

use crate::{http::Identity, money::Money, zone::wall_clock};

/// A bookable stretch of somebody's time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Slot {
    pub(crate) id: SlotId,
    pub(crate) owner_id: UserId,
    /// The slots that one rule made.
    pub(crate) series_id: Option<Uuid>,
    pub(crate) service: ServiceName,
    pub(crate) starts_at: Timestamp,
    pub(crate) ends_at: Timestamp,
    /// The time on the wall that is offered, where it is offered.
    #[serde(serialize_with = "wall_clock")]
    pub(crate) local_starts_at: PrimitiveDateTime,
    #[serde(serialize_with = "wall_clock")]
    pub(crate) local_ends_at: PrimitiveDateTime,
    pub(crate) time_zone: String,
    pub(crate) price: Option<Money>,
    /// A booking that is called off so many hours before it begins frees the slot; none: no booking does.
    pub(crate) free_until_hours: Option<i32>,
    pub(crate) is_available: bool,
    /// Who has it; only its owner is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) event_id: Option<EventId>,
    pub(crate) version: i64,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

impl Slot {
    /// The slot as `caller` may see it.
    pub(super) fn shown_to(mut self, caller: Identity) -> Self {
        if !self.is_run_by(caller) {
            self.event_id = None;
        }
        self
    }

    /// Whether `caller` decides about it.
    pub(super) fn is_run_by(&self, caller: Identity) -> bool {
        self.owner_id == caller.user_id || caller.is_admin
    }

    /// Whether a booking that is called off at `now` frees it.
    pub(super) fn is_freed_at(&self, now: Timestamp) -> bool {
        self.free_until_hours.is_some_and(|hours| {
            let last = self.starts_at.unix_millis() - i64::from(hours) * 3_600_000;
            now.unix_millis() <= last
        })
    }
}

impl sqlx::FromRow<'_, PgRow> for Slot {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        let instant = |column| row.try_get::<OffsetDateTime, _>(column).map(Timestamp::new);
        let (amount, currency): (Option<i64>, Option<String>) =
            (row.try_get("price_amount")?, row.try_get("price_currency")?);
        Ok(Self {
            id: row.try_get("id")?,
            owner_id: row.try_get("owner_id")?,
            series_id: row.try_get("series_id")?,
            service: row.try_get("service")?,
            starts_at: instant("starts_at")?,
            ends_at: instant("ends_at")?,
            local_starts_at: row.try_get("local_starts_at")?,
            local_ends_at: row.try_get("local_ends_at")?,
            time_zone: row.try_get("time_zone")?,
            price: amount.zip(currency).map(|(amount, currency)| Money { amount, currency }),
            free_until_hours: row.try_get("free_until_hours")?,
            is_available: row.try_get("is_available")?,
            event_id: row.try_get("event_id")?,
            version: row.try_get("version")?,
            created_at: instant("created_at")?,
            updated_at: instant("updated_at")?,
        })
    }
}
