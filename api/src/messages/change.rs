//! Edits, deletions and reactions: they take the way of a message, once it is known that the caller may make them.

use chat_store::{Deed, Found, Permit};
use schema::{
    envelope::{Body, Kind, ReactionAction},
    frame::history::HistoryItem,
    id::{MessageId, RoomId},
    problem::Code,
    text::{Emoji, TempId},
};
use tokio::time::Instant;

use super::{
    model::{self, NewContent},
    publish,
    service::{find_same, into_log, speaker},
    stored::find,
};
use crate::{
    error::ApiError,
    http::{Form, Identity},
    rooms::{Role, member},
    state::AppState,
};

type Message = Result<MessageId, ApiError>;

/// Replaces what a message says.
pub(super) async fn edit(
    state: &AppState,
    caller: Identity,
    room: RoomId,
    message: Message,
    form: Result<Form, ApiError>,
) -> Result<HistoryItem, ApiError> {
    let deadline = Instant::now() + publish::BUDGET;
    speaker(state, caller, room).await?;
    let message_id = message?;
    let new = match form.and_then(NewContent::read) {
        Ok(new) => new,
        Err(error) => return Err(refusal(state, caller, room, message_id, error).await),
    };
    let temp_id = new.temp_id.unwrap_or_else(made_up);
    let body = Body::MessageUpdated {
        room_id: room,
        id: MessageId::of(Kind::MessageUpdated, caller.user_id, room, &temp_id),
        message_id,
        content: new.content.into(),
        sender_id: caller.user_id,
        temp_id: temp_id.into(),
    };
    let same = match find_same(state, &body).await {
        Ok(same) => same,
        Err(error) => return Err(refusal(state, caller, room, message_id, error).await),
    };
    if same.is_none() {
        may(state, caller, room, message_id, Deed::Edit).await?;
        let logged = into_log(state, caller, &body, false, false, deadline).await?;
        return Ok(model::edited(item(state, caller, room, message_id).await?, logged.body, logged.created_at));
    }
    item(state, caller, room, message_id).await
}

/// Why an edit is refused: whose message it is counts before what is wrong with the new text.
async fn refusal(state: &AppState, caller: Identity, room: RoomId, message: MessageId, error: ApiError) -> ApiError {
    may(state, caller, room, message, Deed::Edit).await.err().unwrap_or(error)
}

/// Takes a message back.
pub(super) async fn delete(state: &AppState, caller: Identity, room: RoomId, message: Message) -> Result<(), ApiError> {
    let deadline = Instant::now() + publish::BUDGET;
    speaker(state, caller, room).await?;
    let message_id = message?;
    let target = changeable(state, message_id).await?;
    let is_moderator = permitted(state, caller, room, &target, Deed::Delete).await?;
    if target.is_deleted {
        return Ok(());
    }
    // A message is deleted once: sent again, it is the same deletion.
    let temp_id = TempId::parse(&message_id.to_string()).expect("an id has 36 printable characters");
    let body = Body::MessageDeleted {
        room_id: room,
        id: MessageId::of(Kind::MessageDeleted, caller.user_id, room, &temp_id),
        message_id,
        sender_id: caller.user_id,
        temp_id: temp_id.into(),
    };
    into_log(state, caller, &body, false, is_moderator, deadline).await.map(drop)
}

/// Puts an emoji under a message, or takes it away; answers the message as it is then.
pub(super) async fn react(
    state: &AppState,
    caller: Identity,
    room: RoomId,
    message: Message,
    emoji: Result<Emoji, ApiError>,
    action: ReactionAction,
) -> Result<HistoryItem, ApiError> {
    let deadline = Instant::now() + publish::BUDGET;
    speaker(state, caller, room).await?;
    let (message_id, emoji) = (message?, emoji?);
    let deed = match action {
        ReactionAction::Added => Deed::React,
        ReactionAction::Removed => Deed::Unreact,
    };
    may(state, caller, room, message_id, deed).await?;
    let temp_id = made_up();
    let body = Body::Reaction {
        room_id: room,
        id: MessageId::of(Kind::Reaction, caller.user_id, room, &temp_id),
        message_id,
        emoji: emoji.clone().into(),
        action,
        sender_id: caller.user_id,
        temp_id: temp_id.into(),
    };
    into_log(state, caller, &body, false, false, deadline).await?;
    Ok(model::reacted(item(state, caller, room, message_id).await?, &emoji, action))
}

async fn may(state: &AppState, caller: Identity, room: RoomId, id: MessageId, deed: Deed) -> Result<(), ApiError> {
    let target = changeable(state, id).await?;
    permitted(state, caller, room, &target, deed).await.map(drop)
}

/// What is to be changed.
async fn changeable(state: &AppState, id: MessageId) -> Result<Found, ApiError> {
    find(state, id).await?.ok_or_else(|| ApiError::refused(Code::NotFound, "the room has no such message"))
}

/// Whether the caller may; true if it is their role that lets them.
async fn permitted(
    state: &AppState,
    caller: Identity,
    room: RoomId,
    target: &Found,
    deed: Deed,
) -> Result<bool, ApiError> {
    match target.permits(deed, room, caller.user_id) {
        Permit::Granted => Ok(false),
        Permit::ByRole if member(state, caller, room).await?.role != Role::Member => Ok(true),
        Permit::ByRole => {
            Err(ApiError::refused(Code::Forbidden, "only its author, or who runs the room, deletes a message"))
        }
        Permit::Refused(code, detail) => Err(ApiError::refused(code, detail)),
    }
}

async fn item(state: &AppState, caller: Identity, room: RoomId, id: MessageId) -> Result<HistoryItem, ApiError> {
    let found = state.store.item(room, caller.user_id, id).await?;
    found.ok_or_else(|| ApiError::refused(Code::NotFound, "the room has no such message"))
}

/// A name for what the caller gave none.
fn made_up() -> TempId {
    TempId::parse(&MessageId::random().to_string()).expect("an id has 36 printable characters")
}
