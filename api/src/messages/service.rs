//! The rules of messages: who may read, what a page holds, and that a message is said once however often it is sent.

use bytes::Bytes;
use chat_store::{Found, Window};
use schema::{
    envelope::{Body, Headers},
    frame::history::HistoryItem,
    header,
    id::{MessageId, RoomId},
    problem::Code,
    subject::ChatSubject,
};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use warp::http::HeaderMap;

use super::{
    log::{self, Logged},
    model::{self, NewMessage},
    pages::Wanted,
    publish::{self, publish, unknown},
    stored::find,
};
use crate::{
    error::ApiError,
    http::{Form, Identity, List, Paging, Query, limit},
    idempotency::IdempotencyKey,
    rooms::{self, member},
    state::AppState,
};

/// While the worker's oldest message is older than this, a resend waits: its first copy may still be on its way.
const RESEND_LAG_MAX: Duration = Duration::from_secs(90);

/// A page of a room's history, encoded.
pub(super) async fn history(
    state: &AppState,
    caller: Identity,
    room: RoomId,
    query: &Query,
) -> Result<Bytes, ApiError> {
    member(state, caller, room).await?;
    let limit = limit(query)?;
    let window = window(state, room, query).await?;
    state.pages.get(Wanted { room, window, limit }, caller.user_id).await
}

/// One message of a room.
pub(super) async fn show(
    state: &AppState,
    caller: Identity,
    room: RoomId,
    message: Result<MessageId, ApiError>,
) -> Result<HistoryItem, ApiError> {
    member(state, caller, room).await?;
    let id = message?;
    let mut item = state.store.item(room, caller.user_id, id).await?;
    // Who was told its id a moment ago reads it.
    if item.is_none() && find(state, id).await?.is_some_and(|found| found.room_id == room) {
        item = state.store.item(room, caller.user_id, id).await?;
    }
    item.ok_or_else(|| ApiError::refused(Code::NotFound, "the room has no such message"))
}

/// What the caller wrote, newest first.
pub(super) async fn mine(state: &AppState, caller: Identity, query: &Query) -> Result<List<HistoryItem>, ApiError> {
    let paging: Paging<u64> = Paging::read(query)?;
    let items = state.store.by_user(caller.user_id, paging.after, paging.fetch()).await?;
    Ok(paging.page(items, HistoryItem::seq))
}

/// Says something. However often it is sent, it is said once, and every answer is the same.
pub(super) async fn say(
    state: &AppState,
    caller: Identity,
    room: RoomId,
    form: Result<Form, ApiError>,
    headers: &HeaderMap,
) -> Result<HistoryItem, ApiError> {
    let deadline = Instant::now() + publish::BUDGET;
    let place = speaker(state, caller, room).await?;
    let new = NewMessage::read(form?)?;
    let is_resend = new.is_resend;
    // Not of the request's bytes: with `resend` it is the same message.
    let key = IdempotencyKey::read(headers, format_args!("message in {room}"), &new.fingerprint())?;
    let body = new.into_body(room, caller.user_id, place.display_name);
    if let Some(key) = key {
        // The temp_id, and so the message, is the same under the same key: what it has made is found below.
        let mut tx = state.pg.begin().await?;
        key.claim(&mut tx, caller.user_id, body.id().as_uuid(), state.clock.now()).await?;
        tx.commit().await?;
    }
    if let Some(found) = find_same(state, &body).await?
        && let Some(item) = state.store.item(found.room_id, caller.user_id, found.id).await?
    {
        return Ok(item);
    }
    let logged = into_log(state, caller, &body, is_resend, false, deadline).await?;
    metrics::counter!("api_messages_total", "duplicate" => if logged.is_duplicate { "yes" } else { "no" }).increment(1);
    model::item(logged.body, logged.seq, logged.created_at)
        .ok_or_else(|| ApiError::Internal("a message's id stands at another kind of envelope".into()))
}

/// Puts an envelope into the log; answers what the log holds under its id, which is the same however often it is sent.
pub(super) async fn into_log(
    state: &AppState,
    caller: Identity,
    body: &Body,
    is_resend: bool,
    is_moderator: bool,
    deadline: Instant,
) -> Result<Logged, ApiError> {
    if is_resend {
        refuse_unsettled(state).await?;
    }
    if let Err(code) = state.log.may_send() {
        // The first try of what is sent again may be in the log.
        return Err(if is_resend { unknown() } else { ApiError::refused(code, code.title()) });
    }
    let headers = Headers { sender: Some(caller.user_id), gateway: None, is_resend, is_moderator };
    let mut headers = headers.to_map(body.id());
    headers.insert(header::TIMINGLE_ACCEPTED, state.clock.now().to_string());
    let ack = publish(state, ChatSubject(body.room_id()), headers, body.to_bytes(), is_resend, deadline).await?;
    state.log.saw(ack.sequence);
    // It is in the log; only its time is missing for the answer.
    let read = timeout_at(deadline, log::acknowledged(&state.broker, ack.sequence)).await;
    let Ok(Ok(logged)) = read else {
        return Err(unknown());
    };
    if !logged.body.says_the_same(body) {
        return Err(reused());
    }
    Ok(Logged { is_duplicate: ack.duplicate, ..logged })
}

/// Where the envelope stands, if the store has it already: a repeat at any age gets the answer it would have got.
pub(super) async fn find_same(state: &AppState, body: &Body) -> Result<Option<Found>, ApiError> {
    let found = state.store.find(&[body.id()]).await?;
    let Some(found) = found.first() else { return Ok(None) };
    let logged = state.store.log(found.room_id, found.seq.saturating_sub(1), 1).await?;
    let raw = logged.first().filter(|row| row.seq == found.seq).and_then(|row| row.body.as_deref());
    // The text of a deleted message is gone: there is nothing left to differ from.
    if let Some(Ok(said)) = raw.map(serde_json::from_str::<Body>)
        && !said.says_the_same(body)
    {
        return Err(reused());
    }
    Ok(Some(*found))
}

async fn refuse_unsettled(state: &AppState) -> Result<(), ApiError> {
    let floor = state.settled.get().await;
    let Some(oldest) = log::first_above(&state.broker, floor).await? else { return Ok(()) };
    let age = state.clock.now().unix_millis() - oldest.unix_millis();
    if u128::try_from(age).unwrap_or(0) < RESEND_LAG_MAX.as_millis() {
        Ok(())
    } else {
        Err(ApiError::refused(Code::NotSettled, "the store has not caught up: send it again soon"))
    }
}

/// The caller's place in a room in which something may be said.
pub(super) async fn speaker(state: &AppState, caller: Identity, room: RoomId) -> Result<rooms::Member, ApiError> {
    let place = member(state, caller, room).await?;
    if place.is_archived {
        return Err(ApiError::refused(Code::Forbidden, "the room is archived"));
    }
    if place.is_blind {
        // Until aliases are given: a name would give away who is who.
        return Err(ApiError::refused(Code::Forbidden, "a blind room does not take messages yet"));
    }
    Ok(place)
}

fn reused() -> ApiError {
    ApiError::refused(Code::TempIdReused, "this temp_id already names other content")
}

/// Which part of the history a query names; at most one of the four.
async fn window(state: &AppState, room: RoomId, query: &Query) -> Result<Window, ApiError> {
    let mut named = Vec::new();
    named.extend(query.get("before")?.map(|seq| ("before", Window::Before(seq))));
    named.extend(query.get("after")?.map(|seq| ("after", Window::After(seq))));
    named.extend(query.get("around")?.map(|seq| ("around", Window::Around(seq))));
    if let Some(id) = query.get::<MessageId>("before_id")? {
        let found = find(state, id).await?.filter(|found| found.room_id == room);
        let found = found.ok_or_else(|| ApiError::field("before_id", "unknown"))?;
        named.push(("before_id", Window::Before(found.seq)));
    }
    match named.as_slice() {
        [] => Ok(Window::Newest),
        [(_, window)] => Ok(*window),
        [_, (name, _), ..] => Err(ApiError::field(name, "more_than_one")),
    }
}
