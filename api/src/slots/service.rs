//! The rules of slots: who offers, who changes, and how one is sold once.

use schema::{
    clock::Timestamp,
    id::{EventId, SlotId, UserId},
    problem::Code,
    text::ServiceName,
};
use serde_json::Value;
use sqlx::PgConnection;
use time::PrimitiveDateTime;
use uuid::Uuid;

use super::{model::Slot, repeat::Repeat, repository};
use crate::{
    error::ApiError,
    http::{Form, Identity, List, Paging, Query, flag, instant, text},
    idempotency::IdempotencyKey,
    money::{Money, currency_code},
    state::AppState,
    zone::{self, Zone},
};

/// The longest notice that an owner can ask for: ninety days.
const FREE_UNTIL_HOURS_MAX: i64 = 90 * 24;
/// The longest slot, in milliseconds: a month.
const LENGTH_MAX: i64 = 31 * 24 * 3_600_000;

/// What a request made.
pub(super) enum Made {
    One(Box<Slot>),
    Series(List<Slot>),
}

/// Slots by their beginning, everybody's.
pub(super) async fn list(state: &AppState, caller: Identity, query: &Query) -> Result<List<Slot>, ApiError> {
    let paging: Paging<(Timestamp, SlotId)> = Paging::read(query)?;
    let filter = repository::Filter {
        owner: query.get("owner_id")?,
        from: query.time("from")?,
        to: query.time("to")?,
        service: match query.text("service") {
            None => None,
            Some(text) => {
                Some(ServiceName::parse(text).map_err(|_unfit| ApiError::field("service", "invalid"))?.into())
            }
        },
        is_available: query.get("is_available")?,
        price_min: query.get("price_min")?,
        price_max: query.get("price_max")?,
        currency: match query.text("currency") {
            None => None,
            Some(text) => Some(currency_code(text).ok_or_else(|| ApiError::field("currency", "not_a_currency"))?),
        },
    };
    let slots = repository::list(&state.pg, &filter, paging.after, paging.fetch_sql()).await?;
    Ok(paging.page(slots, |last| (last.starts_at, last.id)).map(|slot| slot.shown_to(caller)))
}

pub(super) async fn show(state: &AppState, caller: Identity, id: SlotId) -> Result<Slot, ApiError> {
    let slot = repository::find(&state.pg, id).await?.ok_or_else(not_found)?;
    Ok(slot.shown_to(caller))
}

/// The caller, if they may offer time.
pub(super) fn may_offer(caller: Identity) -> Result<Identity, ApiError> {
    if caller.is_business || caller.is_admin {
        Ok(caller)
    } else {
        Err(ApiError::refused(Code::Forbidden, "only business accounts offer time: change your role to business"))
    }
}

/// Offers one slot, or those of a rule.
pub(super) async fn create(
    state: &AppState,
    caller: Identity,
    form: Form,
    key: Option<IdempotencyKey>,
) -> Result<Made, ApiError> {
    let (slots, is_series) = read_new(caller.user_id, state.clock.now(), form)?;
    let Some(first) = slots.first() else { return Err(ApiError::Internal("a rule made no slot".into())) };
    let (made, now) = (first.series_id.unwrap_or(first.id.as_uuid()), first.created_at);
    let mut tx = state.pg.begin().await?;
    let slots = match key {
        Some(key) => match key.claim(&mut tx, caller.user_id, made, now).await? {
            Some(made) => {
                drop(tx);
                return told(repository::list_made(&state.pg, made).await?, is_series);
            }
            None => slots,
        },
        None => slots,
    };
    repository::insert(&mut tx, &slots).await?;
    tx.commit().await?;
    told(slots, is_series)
}

fn told(mut slots: Vec<Slot>, is_series: bool) -> Result<Made, ApiError> {
    if is_series {
        return Ok(Made::Series(List::whole(slots)));
    }
    let slot = slots.pop().ok_or_else(|| ApiError::refused(Code::NotFound, "the slot was deleted since"))?;
    Ok(Made::One(Box::new(slot)))
}

/// Changes a slot that nobody has; one that is sold can only be looked at.
pub(super) async fn change(
    state: &AppState,
    caller: Identity,
    id: SlotId,
    form: Result<Form, ApiError>,
) -> Result<Slot, ApiError> {
    let mut tx = state.pg.begin().await?;
    let before = find_run(&mut tx, caller, id).await?;
    let mut slot = read_change(&before, form?)?;
    if slot == before {
        return Ok(before);
    }
    refuse_sold(&before)?;
    slot.version += 1;
    slot.updated_at = state.clock.now();
    repository::update(&mut tx, &slot).await?;
    tx.commit().await?;
    Ok(slot)
}

/// Withdraws a slot that nobody has.
pub(super) async fn delete(state: &AppState, caller: Identity, id: SlotId) -> Result<(), ApiError> {
    let mut tx = state.pg.begin().await?;
    let slot = find_run(&mut tx, caller, id).await?;
    refuse_sold(&slot)?;
    repository::delete(&mut tx, id, state.clock.now()).await?;
    tx.commit().await?;
    Ok(())
}

/// A slot that somebody wants to book, as it was before the transaction of [`take`].
pub(crate) struct Wanted {
    id: SlotId,
    seller: UserId,
    was_available: bool,
}

/// The slot that `caller` wants to book. Asked before the transaction of [`take`]: a request has one connection.
pub(crate) async fn want(state: &AppState, caller: Identity, id: SlotId) -> Result<Wanted, ApiError> {
    let slot = repository::find(&state.pg, id).await?.ok_or_else(|| ApiError::field("slot_id", "unknown_slot"))?;
    if slot.owner_id == caller.user_id {
        return Err(ApiError::refused(Code::Forbidden, "nobody books their own time"));
    }
    Ok(Wanted { id, seller: slot.owner_id, was_available: slot.is_available })
}

/// Whether this user sold the slot.
pub(crate) async fn is_seller(tx: &mut PgConnection, id: SlotId, user: UserId) -> Result<bool, ApiError> {
    Ok(repository::find_owner(tx, id).await? == Some(user))
}

/// Sells a slot to `event`, in the transaction that makes the event: however many ask, one has it.
pub(crate) async fn take(
    tx: &mut PgConnection,
    wanted: Wanted,
    event: EventId,
    now: Timestamp,
) -> Result<Slot, ApiError> {
    let taken = || ApiError::refused(Code::SlotTaken, "it is booked, closed or over");
    // Most of those who come too late need not stand in line.
    if !wanted.was_available {
        return Err(taken());
    }
    repository::lock_owner(tx, wanted.seller).await?;
    match repository::take(tx, wanted.id, event, now).await {
        Ok(Some(slot)) => Ok(slot),
        Ok(None) => Err(taken()),
        Err(error) if is_overlap(&error) => {
            Err(ApiError::refused(Code::SlotTaken, "its owner is booked at this time by another slot"))
        }
        Err(error) => Err(error.into()),
    }
}

/// Takes a slot back from an event that was called off or deleted; by its owner's policy it is offered again. Says
/// whether what was paid for it goes back.
pub(crate) async fn release(
    tx: &mut PgConnection,
    id: SlotId,
    event: EventId,
    canceller: UserId,
    now: Timestamp,
) -> Result<bool, ApiError> {
    let slot = repository::find_for_update(tx, id).await?.filter(|slot| slot.event_id == Some(event));
    let Some(slot) = slot else { return Ok(false) };
    let is_sellers = slot.owner_id == canceller;
    let is_in_time = slot.is_freed_at(now);
    // Who offers time and calls a booking off does not want it back: they can open it again.
    repository::release(tx, id, event, is_in_time && !is_sellers, now).await?;
    Ok(is_in_time || is_sellers)
}

/// Takes a slot back from an event that was not paid: it is offered again.
pub(crate) async fn reopen(tx: &mut PgConnection, id: SlotId, event: EventId, now: Timestamp) -> Result<(), ApiError> {
    repository::release(tx, id, event, true, now).await?;
    Ok(())
}

async fn find_run(tx: &mut PgConnection, caller: Identity, id: SlotId) -> Result<Slot, ApiError> {
    let slot = repository::find_for_update(tx, id).await?.ok_or_else(not_found)?;
    if slot.is_run_by(caller) {
        Ok(slot)
    } else {
        Err(ApiError::refused(Code::Forbidden, "only the slot's owner may do this"))
    }
}

fn refuse_sold(slot: &Slot) -> Result<(), ApiError> {
    match slot.event_id {
        Some(_) => Err(ApiError::refused(Code::SlotTaken, "it is booked: cancel its event first")),
        None => Ok(()),
    }
}

fn is_overlap(error: &sqlx::Error) -> bool {
    let constraint = error.as_database_error().and_then(sqlx::error::DatabaseError::constraint);
    constraint == Some("open_slots_overlap_excl")
}

fn not_found() -> ApiError {
    ApiError::refused(Code::NotFound, "no slot has this id")
}

fn read_new(owner_id: UserId, now: Timestamp, mut form: Form) -> Result<(Vec<Slot>, bool), ApiError> {
    let service = form.required("service", text(ServiceName::parse));
    let starts_at = form.required("starts_at", instant);
    let ends_at = form.required("ends_at", instant);
    let zone = form.optional("time_zone", zone::read).or_else(|| Zone::parse("UTC"));
    let price = form.optional("price", Money::read);
    let hours = form.change("free_until_hours", hours).unwrap_or(Some(0));
    let is_available = form.optional("is_available", flag).unwrap_or(true);
    let repeat = form.optional("repeat", Repeat::read);
    if let (Some(starts_at), Some(ends_at)) = (starts_at, ends_at) {
        check_length(&mut form, starts_at, ends_at);
    }
    form.finish()?;
    let (Some(service), Some(starts_at), Some(ends_at), Some(zone)) = (service, starts_at, ends_at, zone) else {
        return Err(ApiError::unread_form());
    };
    let series_id = repeat.is_some().then(Uuid::now_v7);
    let first = wall(&zone, starts_at)?;
    let beginnings = match &repeat {
        Some(repeat) => repeat.beginnings(first).map_err(|code| ApiError::field("repeat", code))?,
        None => vec![first],
    };
    let length = ends_at.unix_millis() - starts_at.unix_millis();
    let one = |local: PrimitiveDateTime| {
        // A rule keeps the time on the wall at which slots begin, and how long they are.
        let starts_at = if repeat.is_some() { of_wall(&zone, local)? } else { starts_at };
        let ends_at = Timestamp::from_unix_millis(starts_at.unix_millis().saturating_add(length))
            .map_err(|_end_of_time| ApiError::field("repeat", "out_of_range"))?;
        let (local_starts_at, local_ends_at) = (wall(&zone, starts_at)?, wall(&zone, ends_at)?);
        Ok(Slot {
            id: SlotId::random(),
            owner_id,
            series_id,
            service: service.clone(),
            starts_at,
            ends_at,
            local_starts_at,
            local_ends_at,
            time_zone: zone.name().to_owned(),
            price: price.clone(),
            free_until_hours: hours,
            is_available,
            event_id: None,
            version: 1,
            created_at: now,
            updated_at: now,
        })
    };
    let slots = beginnings.into_iter().map(one).collect::<Result<Vec<_>, ApiError>>()?;
    Ok((slots, repeat.is_some()))
}

fn read_change(before: &Slot, mut form: Form) -> Result<Slot, ApiError> {
    let mut slot = before.clone();
    slot.service = form.optional("service", text(ServiceName::parse)).unwrap_or(slot.service);
    slot.starts_at = form.optional("starts_at", instant).unwrap_or(slot.starts_at);
    slot.ends_at = form.optional("ends_at", instant).unwrap_or(slot.ends_at);
    slot.price = form.change("price", Money::read).unwrap_or(slot.price);
    slot.free_until_hours = form.change("free_until_hours", hours).unwrap_or(slot.free_until_hours);
    slot.is_available = form.optional("is_available", flag).unwrap_or(slot.is_available);
    let zone = form.optional("time_zone", zone::read);
    check_length(&mut form, slot.starts_at, slot.ends_at);
    form.finish()?;
    if zone.is_some() || (slot.starts_at, slot.ends_at) != (before.starts_at, before.ends_at) {
        let zone = zone.or_else(|| Zone::parse(&slot.time_zone));
        let zone = zone.ok_or_else(|| ApiError::field("time_zone", "unknown"))?;
        slot.local_starts_at = wall(&zone, slot.starts_at)?;
        slot.local_ends_at = wall(&zone, slot.ends_at)?;
        zone.name().clone_into(&mut slot.time_zone);
    }
    Ok(slot)
}

fn check_length(form: &mut Form, starts_at: Timestamp, ends_at: Timestamp) {
    if ends_at <= starts_at {
        form.refuse("ends_at", "not_after_start");
    } else if ends_at.unix_millis() - starts_at.unix_millis() > LENGTH_MAX {
        form.refuse("ends_at", "too_late");
    }
}

fn hours(value: &Value) -> Result<i32, &'static str> {
    let hours = value.as_i64().ok_or("not_a_number")?;
    let hours = (0..=FREE_UNTIL_HOURS_MAX).contains(&hours).then_some(hours).ok_or("out_of_range")?;
    i32::try_from(hours).map_err(|_too_many| "out_of_range")
}

fn wall(zone: &Zone, at: Timestamp) -> Result<PrimitiveDateTime, ApiError> {
    zone.wall_clock(at).ok_or_else(|| ApiError::field("starts_at", "out_of_range"))
}

fn of_wall(zone: &Zone, local: PrimitiveDateTime) -> Result<Timestamp, ApiError> {
    zone.instant(local).ok_or_else(|| ApiError::field("repeat", "out_of_range"))
}
