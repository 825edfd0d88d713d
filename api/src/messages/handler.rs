//! HTTP in, HTTP out.

use schema::envelope::ReactionAction;
use warp::{http::HeaderMap, reply::Response};

use super::{change, service, status};
use crate::{
    error::ApiError,
    http::{Body, EmojiInPath, Identity, MessageInPath, Query, RoomInPath, created, encoded, gone, ok},
    state::AppState,
};

type Answer = Result<Response, ApiError>;
type Caller = Result<Identity, ApiError>;

pub(super) async fn history(room: RoomInPath, caller: Caller, query: Query, state: AppState) -> Answer {
    Ok(encoded(service::history(&state, caller?, room.of_mine()?, &query).await?))
}

pub(super) async fn say(room: RoomInPath, caller: Caller, headers: HeaderMap, body: Body, state: AppState) -> Answer {
    Ok(created(&service::say(&state, caller?, room.of_mine()?, body.form(), &headers).await?))
}

pub(super) async fn show(room: RoomInPath, message: MessageInPath, caller: Caller, state: AppState) -> Answer {
    Ok(ok(&service::show(&state, caller?, room.of_mine()?, message.or_not_found()).await?))
}

pub(super) async fn edit(
    room: RoomInPath,
    message: MessageInPath,
    caller: Caller,
    body: Body,
    state: AppState,
) -> Answer {
    let edited = change::edit(&state, caller?, room.of_mine()?, message.or_not_found(), body.form()).await?;
    Ok(ok(&edited))
}

pub(super) async fn delete(room: RoomInPath, message: MessageInPath, caller: Caller, state: AppState) -> Answer {
    change::delete(&state, caller?, room.of_mine()?, message.or_not_found()).await?;
    Ok(gone())
}

pub(super) async fn react(
    room: RoomInPath,
    message: MessageInPath,
    emoji: EmojiInPath,
    caller: Caller,
    state: AppState,
) -> Answer {
    let (message, emoji, added) = (message.or_not_found(), emoji.or_refused(), ReactionAction::Added);
    Ok(ok(&change::react(&state, caller?, room.of_mine()?, message, emoji, added).await?))
}

pub(super) async fn unreact(
    room: RoomInPath,
    message: MessageInPath,
    emoji: EmojiInPath,
    caller: Caller,
    state: AppState,
) -> Answer {
    let (message, emoji, removed) = (message.or_not_found(), emoji.or_refused(), ReactionAction::Removed);
    change::react(&state, caller?, room.of_mine()?, message, emoji, removed).await?;
    Ok(gone())
}

pub(super) async fn mine(caller: Caller, query: Query, state: AppState) -> Answer {
    Ok(ok(&service::mine(&state, caller?, &query).await?))
}

pub(super) async fn status(caller: Caller, query: Query, state: AppState) -> Answer {
    Ok(ok(&status::of(&state, caller?, &query).await?))
}
