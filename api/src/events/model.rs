//! An event, and which state follows which.

use chat_store::EventChange;
use schema::{
    change::{ChangeKind, FieldChange},
    clock::Timestamp,
    id::{ChangeId, EventId, PaymentId, RoomId, SlotId, UserId},
    text::{Description, Location, Title},
};
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::{Row as _, postgres::PgRow};
use time::{OffsetDateTime, PrimitiveDateTime};

use crate::zone::wall_clock;

/// Where an event stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub(super) enum Status {
    /// Suggested.
    Proposed,
    /// Agreed.
    Confirmed,
    /// Called off.
    Cancelled,
    /// It has taken place.
    Completed,
}

/// The state does not allow this step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event that is {from} can not become {wanted}")]
pub(super) struct BadTransition {
    from: Status,
    wanted: Status,
}

impl Status {
    /// The name on every wire.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::Confirmed => "confirmed",
            Self::Cancelled => "cancelled",
            Self::Completed => "completed",
        }
    }

    /// The inverse of [`Self::as_str`].
    pub(super) fn parse(text: &str) -> Option<Self> {
        [Self::Proposed, Self::Confirmed, Self::Cancelled, Self::Completed].into_iter().find(|s| s.as_str() == text)
    }

    pub(super) fn confirm(self) -> Result<Self, BadTransition> {
        match self {
            Self::Proposed | Self::Confirmed => Ok(Self::Confirmed),
            Self::Cancelled | Self::Completed => Err(BadTransition { from: self, wanted: Self::Confirmed }),
        }
    }

    pub(super) fn cancel(self) -> Result<Self, BadTransition> {
        match self {
            Self::Proposed | Self::Confirmed | Self::Cancelled => Ok(Self::Cancelled),
            Self::Completed => Err(BadTransition { from: self, wanted: Self::Cancelled }),
        }
    }

    pub(super) fn complete(self) -> Result<Self, BadTransition> {
        match self {
            Self::Confirmed | Self::Completed => Ok(Self::Completed),
            Self::Proposed | Self::Cancelled => Err(BadTransition { from: self, wanted: Self::Completed }),
        }
    }

    /// Whether the event's fields may still be changed.
    pub(super) const fn is_open(self) -> bool {
        match self {
            Self::Proposed | Self::Confirmed => true,
            Self::Cancelled | Self::Completed => false,
        }
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An appointment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Event {
    pub(super) id: EventId,
    pub(super) room_id: RoomId,
    pub(super) owner_id: UserId,
    pub(super) title: Title,
    pub(super) description: Option<Description>,
    pub(super) location: Option<Location>,
    pub(super) starts_at: Timestamp,
    pub(super) ends_at: Timestamp,
    /// The time on the wall that was agreed on, where it was agreed on.
    #[serde(serialize_with = "wall_clock")]
    pub(super) local_starts_at: PrimitiveDateTime,
    #[serde(serialize_with = "wall_clock")]
    pub(super) local_ends_at: PrimitiveDateTime,
    pub(super) time_zone: String,
    pub(super) status: Status,
    pub(super) slot_id: Option<SlotId>,
    pub(super) payment_id: Option<PaymentId>,
    pub(super) participant_ids: Vec<UserId>,
    pub(super) version: i64,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
}

impl Event {
    /// Names the event's present state, for `ETag` and `If-Match`.
    pub(super) fn etag(&self) -> String {
        format!("\"{}\"", self.version)
    }

    /// What its history tells of: names in REST, and values.
    pub(super) fn told_fields(&self) -> [(&'static str, Value); 7] {
        [
            ("title", json!(self.title)),
            ("description", json!(self.description)),
            ("location", json!(self.location)),
            ("starts_at", json!(self.starts_at)),
            ("ends_at", json!(self.ends_at)),
            ("time_zone", json!(self.time_zone)),
            ("status", json!(self.status)),
        ]
    }

    /// What differs from `before`; all of it when there is none.
    pub(super) fn changes_since(&self, before: Option<&Self>) -> Vec<FieldChange> {
        let old = before.map(Self::told_fields);
        let pairs = self.told_fields().into_iter().enumerate().map(|(place, (field, new))| {
            let old = old.as_ref().and_then(|fields| fields.get(place)).map_or(Value::Null, |(_, old)| old.clone());
            FieldChange::new(field, old, new)
        });
        pairs.filter(|change| change.old != change.new).collect()
    }
}

/// A field of a change; what seals it is not told.
#[derive(Debug, Serialize)]
struct ToldField {
    field: String,
    old: Value,
    new: Value,
}

/// A change as an event's history shows it.
#[derive(Debug, Serialize)]
pub(super) struct ToldChange {
    id: ChangeId,
    change: ChangeKind,
    version: i64,
    actor_id: Option<UserId>,
    changed_at: Timestamp,
    fields: Vec<ToldField>,
    added: Vec<UserId>,
    removed: Vec<UserId>,
    hash: Option<String>,
}

impl From<EventChange> for ToldChange {
    fn from(row: EventChange) -> Self {
        Self {
            id: row.id,
            change: row.change,
            version: row.version,
            actor_id: row.actor_id,
            changed_at: row.changed_at,
            fields: row
                .fields
                .into_iter()
                .map(|FieldChange { field, old, new, .. }| ToldField { field, old, new })
                .collect(),
            added: row.added,
            removed: row.removed,
            hash: row.hash,
        }
    }
}

impl sqlx::FromRow<'_, PgRow> for Event {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        let instant = |column| row.try_get::<OffsetDateTime, _>(column).map(Timestamp::new);
        let id: EventId = row.try_get("id")?;
        Ok(Self {
            id,
            room_id: id.into(),
            owner_id: row.try_get("owner_id")?,
            title: row.try_get("title")?,
            description: row.try_get("description")?,
            location: row.try_get("location")?,
            starts_at: instant("starts_at")?,
            ends_at: instant("ends_at")?,
            local_starts_at: row.try_get("local_starts_at")?,
            local_ends_at: row.try_get("local_ends_at")?,
            time_zone: row.try_get("time_zone")?,
            status: row.try_get("status")?,
            slot_id: row.try_get("slot_id")?,
            payment_id: row.try_get("payment_id")?,
            participant_ids: row.try_get("participant_ids")?,
            version: row.try_get("version")?,
            created_at: instant("created_at")?,
            updated_at: instant("updated_at")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancelled_event_cannot_be_confirmed() {
        use Status::{Cancelled, Completed, Confirmed, Proposed};
        let check = |step: fn(Status) -> Result<Status, BadTransition>, allowed: &[Status], wanted: Status| {
            for from in [Proposed, Confirmed, Cancelled, Completed] {
                let expected = if allowed.contains(&from) { Ok(wanted) } else { Err(BadTransition { from, wanted }) };
                assert_eq!(step(from), expected);
            }
        };
        check(Status::confirm, &[Proposed, Confirmed], Confirmed);
        check(Status::cancel, &[Proposed, Confirmed, Cancelled], Cancelled);
        check(Status::complete, &[Confirmed, Completed], Completed);
    }

    #[test]
    fn a_status_is_read_as_it_is_written() {
        for status in [Status::Proposed, Status::Confirmed, Status::Cancelled, Status::Completed] {
            assert_eq!(Status::parse(status.as_str()), Some(status));
            assert_eq!(json!(status), json!(status.as_str()));
        }
        assert_eq!(Status::parse("done"), None);
    }
}
