//! HTTP in, HTTP out.

use warp::{http::HeaderMap, reply::Response};

use super::service::{self, Made};
use crate::{
    error::ApiError,
    http::{Body, Identity, Query, SlotInPath, created, gone, ok},
    idempotency::IdempotencyKey,
    state::AppState,
};

type Answer = Result<Response, ApiError>;
type Caller = Result<Identity, ApiError>;

pub(super) async fn list(caller: Caller, query: Query, state: AppState) -> Answer {
    Ok(ok(&service::list(&state, caller?, &query).await?))
}

pub(super) async fn create(caller: Caller, headers: HeaderMap, body: Body, state: AppState) -> Answer {
    let caller = service::may_offer(caller?)?;
    let key = IdempotencyKey::read(&headers, "open_slots", body.bytes())?;
    Ok(match service::create(&state, caller, body.form()?, key).await? {
        Made::One(slot) => created(&slot),
        Made::Series(slots) => created(&slots),
    })
}

pub(super) async fn show(id: SlotInPath, caller: Caller, state: AppState) -> Answer {
    Ok(ok(&service::show(&state, caller?, id.or_not_found()?).await?))
}

pub(super) async fn change(id: SlotInPath, caller: Caller, body: Body, state: AppState) -> Answer {
    Ok(ok(&service::change(&state, caller?, id.or_not_found()?, body.form()).await?))
}

pub(super) async fn delete(id: SlotInPath, caller: Caller, state: AppState) -> Answer {
    service::delete(&state, caller?, id.or_not_found()?).await?;
    Ok(gone())
}
