//! HTTP in, HTTP out.

use warp::{http::HeaderMap, reply::Response};

use super::{attendance, service};
use crate::{
    error::ApiError,
    http::{Body, EventInPath, Identity, Query, UserInPath, created, gone, ok},
    idempotency::IdempotencyKey,
    state::AppState,
};

type Answer = Result<Response, ApiError>;
type Caller = Result<Identity, ApiError>;

pub(in crate::events) async fn list(id: EventInPath, caller: Caller, query: Query, state: AppState) -> Answer {
    Ok(ok(&service::list(&state, caller?, id.of_mine()?, &query).await?))
}

pub(in crate::events) async fn add(
    id: EventInPath,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
    state: AppState,
) -> Answer {
    let (caller, id) = (caller?, id.of_mine()?);
    let key = IdempotencyKey::read(&headers, format_args!("participant of {id}"), body.bytes());
    Ok(created(&service::add(&state, caller, id, body.form(), key).await?))
}

pub(in crate::events) async fn respond(id: EventInPath, caller: Caller, body: Body, state: AppState) -> Answer {
    Ok(ok(&service::respond(&state, caller?, id.of_mine()?, body.form()).await?))
}

pub(in crate::events) async fn leave(id: EventInPath, caller: Caller, state: AppState) -> Answer {
    let caller = caller?;
    service::remove(&state, caller, id.of_mine()?, Ok(caller.user_id)).await?;
    Ok(gone())
}

pub(in crate::events) async fn remove(id: EventInPath, user: UserInPath, caller: Caller, state: AppState) -> Answer {
    service::remove(&state, caller?, id.of_mine()?, user.or_not_found()).await?;
    Ok(gone())
}

pub(in crate::events) async fn mark(
    id: EventInPath,
    user: UserInPath,
    caller: Caller,
    body: Body,
    state: AppState,
) -> Answer {
    let user = user.or_not_found();
    Ok(ok(&attendance::mark(&state, caller?, id.of_mine()?, user, body.form()).await?))
}
