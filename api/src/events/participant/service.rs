//! The rules of participation: the owner adds and removes, everybody answers and leaves for themselves.

use schema::{
    change::{ChangeKind, FieldChange},
    clock::Timestamp,
    id::{EventId, UserId},
    problem::Code,
};
use serde_json::{Value, json};
use sqlx::PgConnection;

use super::repository::{self, Participant};
use crate::{
    error::ApiError,
    events::{
        change,
        model::Event,
        repository as events,
        service::{PARTICIPANTS_MAX, find_owned, show, touch},
    },
    http::{Form, Identity, List, Paging, Query, id},
    idempotency::IdempotencyKey,
    slots,
    state::AppState,
};

/// Refuses people who have no account.
pub(in crate::events) async fn check(tx: &mut PgConnection, users: &[UserId]) -> Result<(), ApiError> {
    if users.is_empty() || repository::list_unknown(tx, users).await?.is_empty() {
        Ok(())
    } else {
        Err(ApiError::field("participant_ids", "unknown_user"))
    }
}

/// Puts `users` into a new event.
pub(in crate::events) async fn join(
    tx: &mut PgConnection,
    event: &Event,
    users: &[UserId],
    now: Timestamp,
) -> Result<(), ApiError> {
    repository::insert(tx, event.id, users, event.owner_id, now).await?;
    Ok(())
}

/// Who is in the event, in the order they came.
pub(super) async fn list(
    state: &AppState,
    caller: Identity,
    event: EventId,
    query: &Query,
) -> Result<List<Participant>, ApiError> {
    show(state, caller, event).await?;
    let paging: Paging<(Timestamp, UserId)> = Paging::read(query)?;
    let found = repository::list(&state.pg, event, paging.after, paging.fetch_sql()).await?;
    Ok(paging.page(found, |last| (last.joined_at, last.user_id)))
}

/// Puts one more person into the event.
pub(super) async fn add(
    state: &AppState,
    caller: Identity,
    event: EventId,
    form: Result<Form, ApiError>,
    key: Result<Option<IdempotencyKey>, ApiError>,
) -> Result<Participant, ApiError> {
    let mut tx = state.pg.begin().await?;
    let mut event = find_owned(&mut tx, event, caller).await?;
    let mut form = form?;
    let user: Option<UserId> = form.required("user_id", id);
    form.finish()?;
    let user = user.ok_or_else(|| ApiError::field("user_id", "required"))?;
    if let Some(key) = key?
        && key.claim(&mut tx, caller.user_id, user.as_uuid(), state.clock.now()).await?.is_some()
    {
        let added = repository::find(&mut tx, event.id, user).await?;
        return added.ok_or_else(|| ApiError::refused(Code::Conflict, "this person was added, and has left since"));
    }
    if !repository::list_unknown(&mut tx, &[user]).await?.is_empty() {
        return Err(ApiError::field("user_id", "unknown_user"));
    }
    if event.participant_ids.contains(&user) {
        return Err(ApiError::refused(Code::AlreadyParticipant, "this person is in the event already"));
    }
    // The owner is not counted.
    if event.participant_ids.len() > PARTICIPANTS_MAX {
        return Err(ApiError::refused(Code::Conflict, format!("an event has at most {PARTICIPANTS_MAX} participants")));
    }
    touch(state, &mut event);
    repository::insert(&mut tx, event.id, &[user], event.owner_id, event.updated_at).await?;
    tell(&mut tx, &mut event, caller.user_id, vec![], (vec![user], vec![])).await?;
    let added = repository::find(&mut tx, event.id, user).await?;
    tx.commit().await?;
    added.ok_or_else(|| ApiError::Internal("a participant was lost while being added".into()))
}

/// Takes somebody out of the event: anybody oneself, the owner anybody but themselves.
pub(super) async fn remove(
    state: &AppState,
    caller: Identity,
    event: EventId,
    user: Result<UserId, ApiError>,
) -> Result<(), ApiError> {
    let mut tx = state.pg.begin().await?;
    let found = events::find_for_update(&mut tx, event, caller).await?;
    let mut event = found.ok_or_else(ApiError::not_a_member)?;
    let is_own = user.as_ref().is_ok_and(|user| *user == caller.user_id);
    if !is_own && event.owner_id != caller.user_id && !caller.is_admin {
        return Err(ApiError::refused(Code::Forbidden, "only the event's owner may remove others"));
    }
    let user = user?;
    if user == event.owner_id {
        return Err(ApiError::refused(Code::Conflict, "the owner can not leave: cancel or delete the event"));
    }
    if let Some(slot) = event.slot_id
        && slots::is_seller(&mut tx, slot, user).await?
    {
        return Err(ApiError::refused(Code::Conflict, "who sold its slot stays: cancel the event"));
    }
    if !repository::delete(&mut tx, event.id, user).await? {
        return Err(ApiError::refused(Code::NotFound, "this person is not in the event"));
    }
    touch(state, &mut event);
    tell(&mut tx, &mut event, caller.user_id, vec![], (vec![], vec![user])).await?;
    tx.commit().await?;
    Ok(())
}

/// Says whether the caller will come.
pub(super) async fn respond(
    state: &AppState,
    caller: Identity,
    event: EventId,
    form: Result<Form, ApiError>,
) -> Result<Participant, ApiError> {
    let mut tx = state.pg.begin().await?;
    let found = events::find_for_update(&mut tx, event, caller).await?;
    let mut event = found.ok_or_else(ApiError::not_a_member)?;
    let before = repository::find(&mut tx, event.id, caller.user_id).await?.ok_or_else(ApiError::not_a_member)?;
    let mut form = form?;
    let answer = form.required("answer", answer);
    form.finish()?;
    let answer = answer.ok_or_else(|| ApiError::field("answer", "required"))?;
    if before.answer.as_deref() == Some(answer) {
        return Ok(before);
    }
    touch(state, &mut event);
    repository::set_answer(&mut tx, event.id, caller.user_id, answer).await?;
    let fields = vec![FieldChange::new("answer", json!(before.answer), json!(answer))];
    tell(&mut tx, &mut event, caller.user_id, fields, (vec![], vec![])).await?;
    tx.commit().await?;
    Ok(Participant { answer: Some(answer.to_owned()), ..before })
}

pub(super) async fn tell(
    tx: &mut PgConnection,
    event: &mut Event,
    actor: UserId,
    fields: Vec<FieldChange>,
    who: (Vec<UserId>, Vec<UserId>),
) -> Result<(), ApiError> {
    events::update(tx, event).await?;
    change::tell_members(tx, event, ChangeKind::EventParticipantsChanged, actor, fields, who).await
}

fn answer(value: &Value) -> Result<&'static str, &'static str> {
    let text = value.as_str().ok_or("not_a_string")?;
    ["accepted", "declined", "tentative"].into_iter().find(|known| *known == text).ok_or("invalid")
}
