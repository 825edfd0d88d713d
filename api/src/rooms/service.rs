//! The rules of rooms: who may look, and in which order a list shows them.

use std::collections::HashMap;

use chat_store::Head;
use schema::{
    clock::Timestamp,
    id::{RoomId, UserId},
    problem::Code,
};

use super::{
    model::{Listed, Member, Room, Summary},
    repository,
};
use crate::{
    error::ApiError,
    http::{Identity, List, Paging, Query},
    marks,
    state::AppState,
};

/// Where a room stands in its member's list: the newest activity first, and one order for those of the same instant.
type Place = (Timestamp, RoomId);

/// Rooms whose tops are asked for in one question.
const HEADS_AT_ONCE: usize = 500;

/// The caller's place in `room`.
pub(crate) async fn member(state: &AppState, caller: Identity, room: RoomId) -> Result<Member, ApiError> {
    let mut found = state.members.find(room, caller.user_id).await?;
    if found.is_none() && caller.is_admin {
        tracing::info!(security = "admin_access", user.id = %caller.user_id, room.id = %room, "an admin looks");
        found = repository::find_as_admin(&state.pg, room, caller.user_id).await?;
    }
    found.ok_or_else(ApiError::not_a_member)
}

/// Every room that the caller is in, archived ones too.
pub(crate) async fn all_of(state: &AppState, caller: Identity) -> Result<Vec<RoomId>, ApiError> {
    Ok(repository::list_all_ids(&state.pg, caller.user_id).await?)
}

/// The caller's rooms, newest activity first.
pub(super) async fn list(state: &AppState, caller: Identity, query: &Query) -> Result<List<Summary>, ApiError> {
    let paging: Paging<Place> = Paging::read(query)?;
    let mine = repository::list_mine(&state.pg, caller.user_id).await?;
    let ids: Vec<RoomId> = mine.iter().map(|(id, _)| *id).collect();
    let mut heads: HashMap<RoomId, Head> = HashMap::new();
    for chunk in ids.chunks(HEADS_AT_ONCE) {
        heads.extend(state.store.heads(chunk).await?.into_iter().map(|head| (head.room_id, head)));
    }
    let activity = |id: RoomId, made: time::OffsetDateTime| {
        heads.get(&id).map_or_else(|| Timestamp::new(made), |head| head.created_at)
    };
    let mut places: Vec<Place> = mine.iter().map(|(id, made)| (activity(*id, *made), *id)).collect();
    places.sort_unstable_by(|a, b| b.cmp(a));
    if let Some(after) = paging.after {
        places.retain(|place| *place < after);
    }
    places.truncate(paging.fetch());
    let page = paging.page(places, |last| *last);
    let ids: Vec<RoomId> = page.items().iter().map(|(_, id)| *id).collect();
    let rooms = repository::list_by_ids(&state.pg, &ids).await?;
    let unread = unread(state, caller.user_id, &ids, &heads).await?;
    let mut by_id: HashMap<RoomId, Summary> = HashMap::new();
    for room in rooms {
        by_id.insert(room.id, summarise(room, &heads, &unread));
    }
    Ok(page.filter_map(|(_, id)| by_id.remove(&id)))
}

/// One room.
pub(super) async fn show(state: &AppState, caller: Identity, room: RoomId) -> Result<Summary, ApiError> {
    let found = repository::find(&state.pg, room, caller).await?.ok_or_else(ApiError::not_a_member)?;
    let heads = state.store.heads(&[room]).await?.into_iter().map(|head| (head.room_id, head)).collect();
    let unread = unread(state, caller.user_id, &[room], &heads).await?;
    Ok(summarise(found, &heads, &unread))
}

/// Who is in a room.
pub(super) async fn members(
    state: &AppState,
    caller: Identity,
    room: RoomId,
    query: &Query,
) -> Result<List<Listed>, ApiError> {
    let place = member(state, caller, room).await?;
    if place.is_blind {
        // Until aliases are shown here: names would give away who is who.
        return Err(ApiError::refused(Code::Forbidden, "members of a blind room are not listed"));
    }
    let paging: Paging<(Timestamp, UserId)> = Paging::read(query)?;
    let found = repository::list_members(&state.pg, room, paging.after, paging.fetch_sql()).await?;
    Ok(paging.page(found, |last| (last.joined_at, last.user_id)))
}

/// What is unread in rooms, each a number of its own only if something is: of all of them in one question.
async fn unread(
    state: &AppState,
    reader: UserId,
    rooms: &[RoomId],
    heads: &HashMap<RoomId, Head>,
) -> Result<HashMap<RoomId, u32>, ApiError> {
    let whose: Vec<(RoomId, UserId)> =
        rooms.iter().filter(|room| heads.contains_key(room)).map(|room| (*room, reader)).collect();
    let marks = marks::newest(state, &whose).await?;
    let mark = |who: &(RoomId, UserId)| (who.0, who.1, marks.get(who).map_or(0, |(seq, _)| *seq));
    let readers: Vec<(RoomId, UserId, u64)> = whose.iter().map(mark).collect();
    let counts = state.store.unread(&readers).await?;
    Ok(whose.into_iter().map(|(room, _)| room).zip(counts).collect())
}

fn summarise(room: Room, heads: &HashMap<RoomId, Head>, unread: &HashMap<RoomId, u32>) -> Summary {
    let head = heads.get(&room.id);
    Summary {
        last_message_at: head.map(|head| head.created_at),
        last_message: head.and_then(|head| head.last_message.clone()),
        unread_count: unread.get(&room.id).copied().unwrap_or(0),
        room,
    }
}
