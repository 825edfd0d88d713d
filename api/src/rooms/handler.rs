//! HTTP in, HTTP out.

use warp::reply::Response;

use super::{presence, reading, service};
use crate::{
    error::ApiError,
    http::{Body, Identity, Query, RoomInPath, ok},
    state::AppState,
};

type Answer = Result<Response, ApiError>;
type Caller = Result<Identity, ApiError>;

pub(super) async fn list(caller: Caller, query: Query, state: AppState) -> Answer {
    Ok(ok(&service::list(&state, caller?, &query).await?))
}

pub(super) async fn show(id: RoomInPath, caller: Caller, state: AppState) -> Answer {
    Ok(ok(&service::show(&state, caller?, id.of_mine()?).await?))
}

pub(super) async fn members(id: RoomInPath, caller: Caller, query: Query, state: AppState) -> Answer {
    Ok(ok(&service::members(&state, caller?, id.of_mine()?, &query).await?))
}

pub(super) async fn presence(id: RoomInPath, caller: Caller, state: AppState) -> Answer {
    Ok(ok(&presence::presence(&state, caller?, id.of_mine()?).await?))
}

pub(super) async fn read(id: RoomInPath, caller: Caller, body: Body, state: AppState) -> Answer {
    Ok(ok(&reading::read(&state, caller?, id.of_mine()?, body.form_if_any()).await?))
}

pub(super) async fn read_marks(id: RoomInPath, caller: Caller, state: AppState) -> Answer {
    Ok(ok(&reading::read_marks(&state, caller?, id.of_mine()?).await?))
}
