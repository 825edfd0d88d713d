//! What became of a message whose answer was lost.

use schema::{
    envelope::Kind,
    id::{MessageId, RoomId},
    text::TempId,
};
use serde::Serialize;

use super::log;
use crate::{
    error::ApiError,
    http::{Identity, Query},
    rooms::member,
    state::AppState,
};

/// The answer.
#[derive(Debug, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub(super) enum Status {
    /// It is in the store.
    Saved {
        /// Which message.
        id: MessageId,
        /// Where it stands.
        seq: u64,
    },
    /// It is not there, and will not come.
    Absent,
    /// The store has not caught up, or it is not known whether it has: ask again.
    Unknown,
}

/// What became of what the caller named `temp_id` in `room_id`.
pub(super) async fn of(state: &AppState, caller: Identity, query: &Query) -> Result<Status, ApiError> {
    let room: RoomId = query.text("room_id").and_then(|text| text.parse().ok()).ok_or_else(ApiError::not_a_member)?;
    member(state, caller, room).await?;
    let temp_id = query.text("temp_id").ok_or_else(|| ApiError::field("temp_id", "required"))?;
    let temp_id = TempId::parse(temp_id).map_err(|_malformed| ApiError::field("temp_id", "invalid"))?;
    let id = MessageId::of(Kind::Message, caller.user_id, room, &temp_id);
    // In this order: what is above the last seq was not sent when the caller asked, and what is up to the floor is
    // seen by the look that comes after.
    let last_seq = log::last_seq(&state.broker).await;
    let settled_seq = state.settled.get().await;
    let found = state.store.find(&[id]).await?;
    Ok(match found.first() {
        Some(found) => Status::Saved { id, seq: found.seq },
        None if last_seq.is_ok_and(|last_seq| settled_seq >= last_seq) => Status::Absent,
        None => Status::Unknown,
    })
}
