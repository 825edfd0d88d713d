//! The rules of events. Each change commits together with the word of it.

use schema::{
    change::ChangeKind,
    clock::Timestamp,
    id::{ChangeId, EventId, PaymentId, SlotId, UserId},
    problem::Code,
    text::{Description, Location, Title},
};
use serde::Serialize;
use sqlx::PgConnection;

use super::{
    change,
    model::{BadTransition, Event, Status},
    new::NewEvent,
    participant, repository,
};
use crate::{
    error::ApiError,
    http::{Form, Identity, List, Paging, Query, id, ids, instant, text},
    idempotency::IdempotencyKey,
    payments, slots,
    state::AppState,
    zone::{self, Zone},
};

/// The longest text to look for, in characters.
const SEARCH_CHARS_MAX: usize = 100;
/// The most people in one event beside its owner.
pub(super) const PARTICIPANTS_MAX: usize = 500;

impl From<BadTransition> for ApiError {
    fn from(error: BadTransition) -> Self {
        Self::refused(Code::BadTransition, error.to_string())
    }
}

/// The caller's events, by their beginning.
pub(super) async fn list(state: &AppState, caller: Identity, query: &Query) -> Result<List<Event>, ApiError> {
    let paging: Paging<(Timestamp, EventId)> = Paging::read(query)?;
    let status = match query.text("status").map(Status::parse) {
        None => None,
        Some(Some(status)) => Some(status),
        Some(None) => return Err(ApiError::field("status", "invalid")),
    };
    let is_owner = match query.text("role") {
        None => None,
        Some("owner") => Some(true),
        Some("participant") => Some(false),
        Some(_) => return Err(ApiError::field("role", "invalid")),
    };
    let text = query.text("q").map(str::trim).filter(|text| !text.is_empty());
    if text.is_some_and(|text| text.chars().count() > SEARCH_CHARS_MAX || text.contains('\0')) {
        return Err(ApiError::field("q", "invalid"));
    }
    let text = text.map(str::to_owned);
    let filter = repository::Filter { from: query.time("from")?, to: query.time("to")?, status, is_owner, text };
    let events = repository::list(&state.pg, caller.user_id, &filter, paging.after, paging.fetch_sql()).await?;
    Ok(paging.page(events, |last| (last.starts_at, last.id)))
}

/// One event of the caller's.
pub(super) async fn show(state: &AppState, caller: Identity, id: EventId) -> Result<Event, ApiError> {
    repository::find(&state.pg, id, caller).await?.ok_or_else(ApiError::not_a_member)
}

/// Makes an event; who makes it owns it and is in it.
pub(super) async fn create(
    state: &AppState,
    caller: Identity,
    form: Form,
    key: Option<IdempotencyKey>,
) -> Result<Event, ApiError> {
    let new = read_new(form)?;
    let (id, now) = (EventId::random(), state.clock.now());
    let wanted = match new.slot_id {
        Some(slot) => Some(slots::want(state, caller, slot).await),
        None => None,
    };
    let mut tx = state.pg.begin().await?;
    if let Some(key) = key
        && let Some(made) = key.claim(&mut tx, caller.user_id, id.as_uuid(), now).await?
    {
        drop(tx);
        return show(state, caller, EventId::from_uuid(made)).await;
    }
    participant::check(&mut tx, &new.participant_ids).await?;
    let slot = match wanted {
        // Refused only now: who sends a booking again is told of it even if its slot was withdrawn since.
        Some(wanted) => Some(slots::take(&mut tx, wanted?, id, now).await?),
        None => None,
    };
    let mut event = new.into_event(id, caller.user_id, slot.as_ref(), now)?;
    repository::insert(&mut tx, &event).await?;
    if let Some(slot) = &slot {
        event.payment_id = payments::request(state, &mut tx, slot, id, caller.user_id, now).await?;
    }
    participant::join(&mut tx, &event, &event.participant_ids, now).await?;
    let added = event.participant_ids.clone();
    let fields = event.changes_since(None);
    change::tell_members(&mut tx, &event, ChangeKind::EventCreated, caller.user_id, fields, (added, vec![])).await?;
    tx.commit().await?;
    payments::start(state, event.payment_id).await;
    Ok(event)
}

/// Changes an event's fields.
pub(super) async fn change(
    state: &AppState,
    caller: Identity,
    id: EventId,
    if_match: Option<&str>,
    form: Result<Form, ApiError>,
) -> Result<Event, ApiError> {
    let mut tx = state.pg.begin().await?;
    let before = find_owned(&mut tx, id, caller).await?;
    let mut event = read_change(&before, form?)?;
    check_version(&before, if_match)?;
    let times = |event: &Event| (event.starts_at, event.ends_at, event.time_zone.clone());
    if before.slot_id.is_some() && times(&event) != times(&before) {
        return Err(ApiError::refused(Code::Conflict, "its time is that of its slot: cancel it and book another"));
    }
    if !before.status.is_open() {
        let detail = format!("an event that is {} is not changed any more", before.status);
        return Err(ApiError::refused(Code::BadTransition, detail));
    }
    let fields = event.changes_since(Some(&before));
    if fields.is_empty() {
        return Ok(before);
    }
    touch(state, &mut event);
    repository::update(&mut tx, &event).await?;
    change::tell(&mut tx, &event, ChangeKind::EventUpdated, Some(caller.user_id), fields).await?;
    tx.commit().await?;
    Ok(event)
}

/// Deletes an event; its room is archived.
pub(super) async fn delete(
    state: &AppState,
    caller: Identity,
    id: EventId,
    if_match: Option<&str>,
) -> Result<(), ApiError> {
    let mut tx = state.pg.begin().await?;
    let mut event = find_owned(&mut tx, id, caller).await?;
    check_version(&event, if_match)?;
    touch(state, &mut event);
    repository::delete(&mut tx, &event).await?;
    let refund = free_slot(&mut tx, &event, caller.user_id).await?;
    let nobody = (vec![], vec![]);
    change::tell_members(&mut tx, &event, ChangeKind::EventDeleted, caller.user_id, vec![], nobody).await?;
    tx.commit().await?;
    payments::start(state, refund).await;
    Ok(())
}

/// Confirms an event.
pub(super) async fn confirm(state: &AppState, caller: Identity, id: EventId) -> Result<Event, ApiError> {
    step(state, caller, id, ChangeKind::EventConfirmed, Status::confirm).await
}

/// Calls an event off.
pub(super) async fn cancel(state: &AppState, caller: Identity, id: EventId) -> Result<Event, ApiError> {
    step(state, caller, id, ChangeKind::EventCancelled, Status::cancel).await
}

/// Says that an event has taken place.
pub(super) async fn complete(state: &AppState, caller: Identity, id: EventId) -> Result<Event, ApiError> {
    step(state, caller, id, ChangeKind::EventCompleted, Status::complete).await
}

async fn step(
    state: &AppState,
    caller: Identity,
    id: EventId,
    kind: ChangeKind,
    next: fn(Status) -> Result<Status, BadTransition>,
) -> Result<Event, ApiError> {
    let mut tx = state.pg.begin().await?;
    let before = find_run(&mut tx, id, caller).await?;
    let status = next(before.status)?;
    if status == before.status {
        // Asked twice is done once.
        return Ok(before);
    }
    if status != Status::Cancelled && payments::is_open(&mut tx, id).await? {
        return Err(ApiError::refused(Code::Conflict, "its slot is not paid yet"));
    }
    let event = change::step(&mut tx, &before, status, kind, Some(caller.user_id), state.clock.now()).await?;
    let refund = match event.status {
        Status::Cancelled => free_slot(&mut tx, &event, caller.user_id).await?,
        Status::Proposed | Status::Confirmed | Status::Completed => None,
    };
    tx.commit().await?;
    payments::start(state, refund).await;
    Ok(event)
}

/// Every change of an event, newest first, as the worker has stored them.
pub(super) async fn history(
    state: &AppState,
    caller: Identity,
    id: EventId,
    query: &Query,
) -> Result<List<impl Serialize + use<>>, ApiError> {
    show(state, caller, id).await?;
    let paging: Paging<(Timestamp, ChangeId)> = Paging::read(query)?;
    let changes = state.store.event_history(id, paging.after, paging.fetch()).await?;
    Ok(paging.page(changes, |last| (last.changed_at, last.id)).map(super::model::ToldChange::from))
}

/// The event, locked, if the caller may change it.
pub(super) async fn find_owned(tx: &mut PgConnection, id: EventId, caller: Identity) -> Result<Event, ApiError> {
    let event = repository::find_for_update(tx, id, caller).await?.ok_or_else(ApiError::not_a_member)?;
    if event.owner_id == caller.user_id || caller.is_admin {
        Ok(event)
    } else {
        Err(ApiError::refused(Code::Forbidden, "only the event's owner may do this"))
    }
}

/// The event, locked, if the caller may say where it stands: who sold its slot may, too.
async fn find_run(tx: &mut PgConnection, id: EventId, caller: Identity) -> Result<Event, ApiError> {
    let event = repository::find_for_update(tx, id, caller).await?.ok_or_else(ApiError::not_a_member)?;
    if runs(tx, &event, caller).await? {
        Ok(event)
    } else {
        Err(ApiError::refused(Code::Forbidden, "only the event's owner may do this"))
    }
}

/// Whether the caller says where the event stands, and who came.
pub(super) async fn runs(tx: &mut PgConnection, event: &Event, caller: Identity) -> Result<bool, ApiError> {
    if event.owner_id == caller.user_id || caller.is_admin {
        return Ok(true);
    }
    match event.slot_id {
        Some(slot) => slots::is_seller(tx, slot, caller.user_id).await,
        None => Ok(false),
    }
}

/// Gives back the slot of an event that does not take place, and by its owner's policy what was paid for it; answers the
/// payment of which the provider has to be told.
async fn free_slot(tx: &mut PgConnection, event: &Event, canceller: UserId) -> Result<Option<PaymentId>, ApiError> {
    let Some(slot) = event.slot_id else { return Ok(None) };
    let is_refunded = slots::release(tx, slot, event.id, canceller, event.updated_at).await?;
    payments::call_off(tx, event.id, is_refunded, event.updated_at).await
}

/// Marks `event` as changed now.
pub(super) fn touch(state: &AppState, event: &mut Event) {
    event.version += 1;
    event.updated_at = state.clock.now();
}

fn check_version(event: &Event, if_match: Option<&str>) -> Result<(), ApiError> {
    let Some(wanted) = if_match else { return Ok(()) };
    let etag = event.etag();
    if wanted.split(',').map(str::trim).any(|tag| tag == "*" || tag == etag) {
        Ok(())
    } else {
        Err(ApiError::refused(Code::Stale, "the event changed since it was read"))
    }
}

fn read_new(mut form: Form) -> Result<NewEvent, ApiError> {
    let slot_id: Option<SlotId> = form.optional("slot_id", id);
    let (title, starts_at, ends_at) = if slot_id.is_some() {
        // What is booked says what it is and when.
        (
            form.optional("title", text(Title::parse)),
            form.optional("starts_at", instant),
            form.optional("ends_at", instant),
        )
    } else {
        (
            form.required("title", text(Title::parse)),
            form.required("starts_at", instant),
            form.required("ends_at", instant),
        )
    };
    let description = form.optional("description", text(Description::parse));
    let location = form.optional("location", text(Location::parse));
    let zone = form.optional("time_zone", zone::read);
    let participant_ids: Vec<UserId> = form.optional("participant_ids", ids(PARTICIPANTS_MAX)).unwrap_or_default();
    if let (Some(starts_at), Some(ends_at)) = (starts_at, ends_at)
        && ends_at <= starts_at
    {
        form.refuse("ends_at", "not_after_start");
    }
    form.finish()?;
    Ok(NewEvent { slot_id, title, description, location, starts_at, ends_at, zone, participant_ids })
}

fn read_change(before: &Event, mut form: Form) -> Result<Event, ApiError> {
    if form.has("slot_id") {
        return Err(ApiError::refused(Code::UnsupportedField, "an event keeps its slot: make another event"));
    }
    let mut event = before.clone();
    event.title = form.optional("title", text(Title::parse)).unwrap_or(event.title);
    event.description = form.change("description", text(Description::parse)).unwrap_or(event.description);
    event.location = form.change("location", text(Location::parse)).unwrap_or(event.location);
    event.starts_at = form.optional("starts_at", instant).unwrap_or(event.starts_at);
    event.ends_at = form.optional("ends_at", instant).unwrap_or(event.ends_at);
    let zone = form.optional("time_zone", zone::read);
    if event.ends_at <= event.starts_at {
        form.refuse("ends_at", "not_after_start");
    }
    form.finish()?;
    let has_moved = zone.is_some() || (event.starts_at, event.ends_at) != (before.starts_at, before.ends_at);
    if has_moved {
        let zone = zone.or_else(|| Zone::parse(&event.time_zone));
        let zone = zone.ok_or_else(|| ApiError::field("time_zone", "unknown"))?;
        event.local_starts_at = zone.wall_clock(event.starts_at).ok_or_else(|| out_of_range("starts_at"))?;
        event.local_ends_at = zone.wall_clock(event.ends_at).ok_or_else(|| out_of_range("ends_at"))?;
        zone.name().clone_into(&mut event.time_zone);
    }
    Ok(event)
}

pub(super) fn out_of_range(field: &str) -> ApiError {
    ApiError::field(field, "out_of_range")
}
