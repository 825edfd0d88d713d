//! The rules of events. Each change commits together with the word of it.

use schema::{
    change::ChangeKind,
    clock::Timestamp,
    id::{ChangeId, EventId, UserId},
    problem::Code,
    text::{Description, Location, Title},
};
use serde::Serialize;
use sqlx::PgConnection;

use super::{
    change,
    idempotency::IdempotencyKey,
    model::{BadTransition, Event, NewEvent, Status},
    participant, repository,
    zone::Zone,
};
use crate::{
    error::ApiError,
    http::{Form, Identity, List, Paging, Query, any_text, ids, instant, text},
    state::AppState,
};

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
    let time = |name: &str| match query.text(name).map(Timestamp::parse) {
        None => Ok(None),
        Some(Ok(at)) => Ok(Some(at)),
        Some(Err(_)) => Err(ApiError::field(name, "not_a_time")),
    };
    let status = match query.text("status").map(Status::parse) {
        None => None,
        Some(Some(status)) => Some(status),
        Some(None) => return Err(ApiError::field("status", "invalid")),
    };
    let filter = repository::Filter { from: time("from")?, to: time("to")?, status };
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
    let now = state.clock.now();
    let mut participant_ids = vec![caller.user_id];
    for id in new.participant_ids {
        if !participant_ids.contains(&id) {
            participant_ids.push(id);
        }
    }
    let id = EventId::random();
    let event = Event {
        id,
        room_id: id.into(),
        owner_id: caller.user_id,
        title: new.title,
        description: new.description,
        location: new.location,
        starts_at: new.starts_at,
        ends_at: new.ends_at,
        local_starts_at: new.zone.wall_clock(new.starts_at).ok_or_else(|| out_of_range("starts_at"))?,
        local_ends_at: new.zone.wall_clock(new.ends_at).ok_or_else(|| out_of_range("ends_at"))?,
        time_zone: new.zone.name().to_owned(),
        status: Status::Proposed,
        slot_id: None,
        participant_ids,
        version: 1,
        created_at: now,
        updated_at: now,
    };
    let mut tx = state.pg.begin().await?;
    if let Some(key) = key
        && let Some(made) = key.claim(&mut tx, caller.user_id, id, now).await?
    {
        drop(tx);
        return show(state, caller, made).await;
    }
    repository::insert(&mut tx, &event).await?;
    participant::join(&mut tx, &event, &event.participant_ids, now).await?;
    let added = event.participant_ids.clone();
    let fields = event.changes_since(None);
    change::tell_members(&mut tx, &event, ChangeKind::EventCreated, caller.user_id, fields, (added, vec![])).await?;
    tx.commit().await?;
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
    change::tell(&mut tx, &event, ChangeKind::EventUpdated, caller.user_id, fields).await?;
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
    let nobody = (vec![], vec![]);
    change::tell_members(&mut tx, &event, ChangeKind::EventDeleted, caller.user_id, vec![], nobody).await?;
    tx.commit().await?;
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
    let before = find_owned(&mut tx, id, caller).await?;
    let status = next(before.status)?;
    if status == before.status {
        // Asked twice is done once.
        return Ok(before);
    }
    let mut event = Event { status, ..before.clone() };
    touch(state, &mut event);
    repository::update(&mut tx, &event).await?;
    let fields = event.changes_since(Some(&before));
    change::tell(&mut tx, &event, kind, caller.user_id, fields).await?;
    tx.commit().await?;
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
    refuse_slot(&form)?;
    let title = form.required("title", text(Title::parse));
    let description = form.optional("description", text(Description::parse));
    let location = form.optional("location", text(Location::parse));
    let starts_at = form.required("starts_at", instant);
    let ends_at = form.required("ends_at", instant);
    let zone = form.optional("time_zone", zone).or_else(|| Zone::parse("UTC"));
    let participant_ids: Vec<UserId> = form.optional("participant_ids", ids(PARTICIPANTS_MAX)).unwrap_or_default();
    if let (Some(starts_at), Some(ends_at)) = (starts_at, ends_at)
        && ends_at <= starts_at
    {
        form.refuse("ends_at", "not_after_start");
    }
    form.finish()?;
    match (title, starts_at, ends_at, zone) {
        (Some(title), Some(starts_at), Some(ends_at), Some(zone)) => {
            Ok(NewEvent { title, description, location, starts_at, ends_at, zone, participant_ids })
        }
        _ => Err(ApiError::Internal("a form finished without its fields".into())),
    }
}

fn read_change(before: &Event, mut form: Form) -> Result<Event, ApiError> {
    refuse_slot(&form)?;
    let mut event = before.clone();
    event.title = form.optional("title", text(Title::parse)).unwrap_or(event.title);
    event.description = form.change("description", text(Description::parse)).unwrap_or(event.description);
    event.location = form.change("location", text(Location::parse)).unwrap_or(event.location);
    event.starts_at = form.optional("starts_at", instant).unwrap_or(event.starts_at);
    event.ends_at = form.optional("ends_at", instant).unwrap_or(event.ends_at);
    let zone = form.optional("time_zone", zone);
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

fn refuse_slot(form: &Form) -> Result<(), ApiError> {
    if form.has("slot_id") {
        return Err(ApiError::refused(Code::UnsupportedField, "slot_id is not taken yet"));
    }
    Ok(())
}

fn zone(value: &serde_json::Value) -> Result<Zone, &'static str> {
    Zone::parse(&any_text(value)?).ok_or("unknown")
}

fn out_of_range(field: &str) -> ApiError {
    ApiError::field(field, "out_of_range")
}
