//! An event that is to be made: of what its maker says, and of the slot it takes.

use schema::{
    clock::Timestamp,
    id::{EventId, SlotId, UserId},
    text::{Description, Location, Title},
};

use super::{
    model::{Event, Status},
    service::out_of_range,
};
use crate::{error::ApiError, slots::Slot, zone::Zone};

/// What its maker says.
#[derive(Clone, Debug)]
pub(super) struct NewEvent {
    pub(super) slot_id: Option<SlotId>,
    /// Title and times are there unless there is a slot.
    pub(super) title: Option<Title>,
    pub(super) description: Option<Description>,
    pub(super) location: Option<Location>,
    pub(super) starts_at: Option<Timestamp>,
    pub(super) ends_at: Option<Timestamp>,
    pub(super) zone: Option<Zone>,
    pub(super) participant_ids: Vec<UserId>,
}

impl NewEvent {
    /// The event; with a slot its time is the slot's, and who sold it is in it.
    pub(super) fn into_event(
        self,
        id: EventId,
        maker: UserId,
        slot: Option<&Slot>,
        now: Timestamp,
    ) -> Result<Event, ApiError> {
        let mut people = vec![maker];
        people.extend(slot.map(|slot| slot.owner_id));
        people.extend(self.participant_ids);
        let mut participant_ids = Vec::new();
        for person in people {
            if !participant_ids.contains(&person) {
                participant_ids.push(person);
            }
        }
        let times = if let Some(slot) = slot {
            for (field, said, sold) in
                [("starts_at", self.starts_at, slot.starts_at), ("ends_at", self.ends_at, slot.ends_at)]
            {
                if said.is_some_and(|said| said != sold) {
                    return Err(ApiError::field(field, "not_the_slots"));
                }
            }
            Times {
                starts_at: slot.starts_at,
                ends_at: slot.ends_at,
                local_starts_at: slot.local_starts_at,
                local_ends_at: slot.local_ends_at,
                time_zone: slot.time_zone.clone(),
            }
        } else {
            let (starts_at, ends_at) = self.starts_at.zip(self.ends_at).ok_or_else(ApiError::unread_form)?;
            let zone = self.zone.or_else(|| Zone::parse("UTC")).ok_or_else(ApiError::unread_form)?;
            Times {
                starts_at,
                ends_at,
                local_starts_at: zone.wall_clock(starts_at).ok_or_else(|| out_of_range("starts_at"))?,
                local_ends_at: zone.wall_clock(ends_at).ok_or_else(|| out_of_range("ends_at"))?,
                time_zone: zone.name().to_owned(),
            }
        };
        let title = match (self.title, slot) {
            (Some(title), _) => title,
            (None, Some(slot)) => Title::parse(slot.service.as_str()).map_err(|_never| ApiError::unread_form())?,
            (None, None) => return Err(ApiError::unread_form()),
        };
        let Times { starts_at, ends_at, local_starts_at, local_ends_at, time_zone } = times;
        Ok(Event {
            id,
            room_id: id.into(),
            owner_id: maker,
            title,
            description: self.description,
            location: self.location,
            starts_at,
            ends_at,
            local_starts_at,
            local_ends_at,
            time_zone,
            status: Status::Proposed,
            slot_id: slot.map(|slot| slot.id),
            payment_id: None,
            participant_ids,
            version: 1,
            created_at: now,
            updated_at: now,
        })
    }
}

struct Times {
    starts_at: Timestamp,
    ends_at: Timestamp,
    local_starts_at: time::PrimitiveDateTime,
    local_ends_at: time::PrimitiveDateTime,
    time_zone: String,
}
