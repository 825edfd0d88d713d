//! HTTP in, HTTP out.

use warp::reply::Response;

use super::service;
use crate::{
    error::ApiError,
    http::{Identity, Query, ok},
    state::AppState,
};

pub(super) async fn sync(
    caller: Result<Identity, ApiError>,
    query: Query,
    state: AppState,
) -> Result<Response, ApiError> {
    Ok(ok(&service::sync(&state, caller?, &query).await?))
}
