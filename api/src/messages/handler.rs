//! HTTP in, HTTP out.

use warp::reply::Response;

use super::{service, status};
use crate::{
    error::ApiError,
    http::{Body, Identity, MessageInPath, Query, RoomInPath, created, encoded, ok},
    state::AppState,
};

type Answer = Result<Response, ApiError>;
type Caller = Result<Identity, ApiError>;

pub(super) async fn history(room: RoomInPath, caller: Caller, query: Query, state: AppState) -> Answer {
    Ok(encoded(service::history(&state, caller?, room.of_mine()?, &query).await?))
}

pub(super) async fn say(room: RoomInPath, caller: Caller, body: Body, state: AppState) -> Answer {
    Ok(created(&service::say(&state, caller?, room.of_mine()?, body.form()).await?))
}

pub(super) async fn show(room: RoomInPath, message: MessageInPath, caller: Caller, state: AppState) -> Answer {
    Ok(ok(&service::show(&state, caller?, room.of_mine()?, message.or_not_found()).await?))
}

pub(super) async fn mine(caller: Caller, query: Query, state: AppState) -> Answer {
    Ok(ok(&service::mine(&state, caller?, &query).await?))
}

pub(super) async fn status(caller: Caller, query: Query, state: AppState) -> Answer {
    Ok(ok(&status::of(&state, caller?, &query).await?))
}
