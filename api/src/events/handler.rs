//! HTTP in, HTTP out.

use warp::{
    http::{HeaderMap, HeaderValue, header},
    reply::Response,
};

use super::{chain, model::Event, service};
use crate::{
    error::ApiError,
    http::{Body, EventInPath, Identity, Query, created, gone, ok},
    idempotency::IdempotencyKey,
    state::AppState,
};

type Answer = Result<Response, ApiError>;
type Caller = Result<Identity, ApiError>;

pub(super) async fn list(caller: Caller, query: Query, state: AppState) -> Answer {
    Ok(ok(&service::list(&state, caller?, &query).await?))
}

pub(super) async fn create(caller: Caller, headers: HeaderMap, body: Body, state: AppState) -> Answer {
    let caller = caller?;
    let key = IdempotencyKey::read(&headers, "event", body.bytes())?;
    let event = service::create(&state, caller, body.form()?, key).await?;
    Ok(tagged(created(&event), &event))
}

pub(super) async fn show(id: EventInPath, caller: Caller, state: AppState) -> Answer {
    let event = service::show(&state, caller?, id.of_mine()?).await?;
    Ok(tagged(ok(&event), &event))
}

pub(super) async fn change(id: EventInPath, caller: Caller, headers: HeaderMap, body: Body, state: AppState) -> Answer {
    let event = service::change(&state, caller?, id.of_mine()?, if_match(&headers), body.form()).await?;
    Ok(tagged(ok(&event), &event))
}

pub(super) async fn delete(id: EventInPath, caller: Caller, headers: HeaderMap, state: AppState) -> Answer {
    service::delete(&state, caller?, id.of_mine()?, if_match(&headers)).await?;
    Ok(gone())
}

pub(super) async fn confirm(id: EventInPath, caller: Caller, state: AppState) -> Answer {
    let event = service::confirm(&state, caller?, id.of_mine()?).await?;
    Ok(tagged(ok(&event), &event))
}

pub(super) async fn cancel(id: EventInPath, caller: Caller, state: AppState) -> Answer {
    let event = service::cancel(&state, caller?, id.of_mine()?).await?;
    Ok(tagged(ok(&event), &event))
}

pub(super) async fn complete(id: EventInPath, caller: Caller, state: AppState) -> Answer {
    let event = service::complete(&state, caller?, id.of_mine()?).await?;
    Ok(tagged(ok(&event), &event))
}

pub(super) async fn history(id: EventInPath, caller: Caller, query: Query, state: AppState) -> Answer {
    Ok(ok(&service::history(&state, caller?, id.of_mine()?, &query).await?))
}

pub(super) async fn verify(id: EventInPath, caller: Caller, state: AppState) -> Answer {
    Ok(ok(&chain::verify(&state, caller?, id.of_mine()?).await?))
}

fn tagged(mut response: Response, event: &Event) -> Response {
    let tag = HeaderValue::from_str(&event.etag()).expect("a quoted number is a header's value");
    response.headers_mut().insert(header::ETAG, tag);
    response
}

/// A condition that can not be read holds for no version.
fn if_match(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::IF_MATCH).map(|value| value.to_str().unwrap_or_default())
}
