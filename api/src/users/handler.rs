//! HTTP in, HTTP out.

use warp::reply::Response;

use super::service;
use crate::{
    error::ApiError,
    http::{Body, Identity, UserInPath, ok},
    state::AppState,
};

type Answer = Result<Response, ApiError>;

pub(super) async fn me(caller: Result<Identity, ApiError>, state: AppState) -> Answer {
    Ok(ok(&service::me(&state, caller?).await?))
}

pub(super) async fn change(caller: Result<Identity, ApiError>, body: Body, state: AppState) -> Answer {
    Ok(ok(&service::change(&state, caller?, body.form()?).await?))
}

pub(super) async fn show(id: UserInPath, caller: Result<Identity, ApiError>, state: AppState) -> Answer {
    caller?;
    Ok(ok(&service::profile(&state, id.or_not_found()?).await?))
}
