//! HTTP in, HTTP out.

use serde_json::json;
use warp::reply::Response;

use super::{google, phone, service, ticket};
use crate::{
    error::ApiError,
    http::{Body, Form, Identity, Visitor, any_text, created, ok},
    state::AppState,
};

type Answer = Result<Response, ApiError>;

pub(super) async fn register(visitor: Result<Visitor, ApiError>, body: Body, state: AppState) -> Answer {
    visitor?;
    Ok(created(&service::register(&state, body.form()?).await?))
}

pub(super) async fn login(visitor: Result<Visitor, ApiError>, body: Body, state: AppState) -> Answer {
    let visitor = visitor?;
    Ok(ok(&service::login(&state, &visitor, body.form()?).await?))
}

pub(super) async fn google(visitor: Result<Visitor, ApiError>, body: Body, state: AppState) -> Answer {
    let visitor = visitor?;
    Ok(ok(&google::sign_in(&state, &visitor, body.form()).await?))
}

pub(super) async fn start_by_phone(visitor: Result<Visitor, ApiError>, body: Body, state: AppState) -> Answer {
    visitor?;
    Ok(ok(&phone::start(&state, body.form()).await?))
}

pub(super) async fn verify_phone(visitor: Result<Visitor, ApiError>, body: Body, state: AppState) -> Answer {
    let visitor = visitor?;
    Ok(ok(&phone::verify(&state, &visitor, body.form()).await?))
}

pub(super) async fn refresh(visitor: Result<Visitor, ApiError>, body: Body, state: AppState) -> Answer {
    visitor?;
    let token = refresh_token(body.form()?)?;
    Ok(ok(&service::refresh(&state, &token).await?))
}

pub(super) async fn logout(visitor: Result<Visitor, ApiError>, body: Body, state: AppState) -> Answer {
    let visitor = visitor?;
    let mut form = body.form_if_any()?;
    let presented = form.optional("refresh_token", any_text);
    form.finish()?;
    let revoked = service::logout(&state, visitor.token.as_deref(), presented.as_deref()).await?;
    Ok(ok(&json!({"revoked": revoked})))
}

pub(super) async fn logout_all(visitor: Result<Visitor, ApiError>, state: AppState) -> Answer {
    let token = visitor?.token.ok_or_else(ApiError::invalid_token)?;
    let revoked = service::logout_all(&state, &token).await?;
    Ok(ok(&json!({"revoked": revoked})))
}

pub(super) async fn ticket(caller: Result<Identity, ApiError>, state: AppState) -> Answer {
    Ok(ok(&ticket::issue(&state, caller?).await?))
}

pub(super) fn keys(state: &AppState) -> Response {
    ok(state.signing_key.public_keys())
}

fn refresh_token(mut form: Form) -> Result<String, ApiError> {
    let token = form.required("refresh_token", any_text);
    form.finish()?;
    token.ok_or_else(ApiError::invalid_token)
}
