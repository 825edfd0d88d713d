//! HTTP in, HTTP out.

use schema::problem::Code;
use serde_json::json;
use warp::{http::HeaderMap, reply::Response};

use super::{notice, service};
use crate::{
    error::ApiError,
    http::{Body, Identity, PaymentInPath, Visitor, ok},
    idempotency::IdempotencyKey,
    state::AppState,
};

type Answer = Result<Response, ApiError>;
type Caller = Result<Identity, ApiError>;

pub(super) async fn show(id: PaymentInPath, caller: Caller, state: AppState) -> Answer {
    Ok(ok(&service::show(&state, caller?, id.or_not_found()?).await?))
}

pub(super) async fn refund(
    id: PaymentInPath,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
    state: AppState,
) -> Answer {
    let (caller, id) = (caller?, id.or_not_found()?);
    let key = IdempotencyKey::read(&headers, format_args!("refund of {id}"), body.bytes());
    Ok(ok(&service::refund(&state, caller, id, body.form_if_any(), key).await?))
}

pub(super) async fn webhook(
    visitor: Result<Visitor, ApiError>,
    headers: HeaderMap,
    body: Body,
    state: AppState,
) -> Answer {
    let Some(secret) = &state.payment_webhook_secret else {
        return Err(ApiError::refused(Code::NotFound, "PAYMENT_WEBHOOK_SECRET is not set"));
    };
    // Who signs is the provider, whose notices come as they come; others are counted.
    if let Err(refused) = notice::check_signature(&headers, body.bytes(), secret, state.clock.now()) {
        visitor?;
        return Err(refused);
    }
    service::hear(&state, notice::read(body.bytes())?).await?;
    Ok(ok(&json!({"received": true})))
}
