//! A ticket for the socket: browsers can not send a header with it, and a token does not belong in an address.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use deadpool_redis::redis::cmd;
use schema::ticket::Ticket;
use serde::Serialize;

use crate::{error::ApiError, http::Identity, random, state::AppState};

/// A ticket as its holder gets it.
#[derive(Serialize)]
pub(super) struct Issued {
    ticket: String,
    expires_in: u64,
}

/// Issues a ticket that lets `caller` in once, within 30 s.
pub(super) async fn issue(state: &AppState, caller: Identity) -> Result<Issued, ApiError> {
    let ticket = BASE64_URL_SAFE_NO_PAD.encode(random::bytes::<32>()?);
    let stands_for = Ticket { user_id: caller.user_id, sid: caller.sid, exp: caller.expires_at };
    let value = serde_json::to_string(&stands_for).map_err(|error| ApiError::Internal(error.into()))?;
    let key = Ticket::redis_key(state.redis.prefix(), &ticket);
    let set = cmd("SET").arg(key).arg(value).arg("EX").arg(Ticket::SECONDS_MAX).to_owned();
    state.redis.command::<()>(&set).await.map_err(|error| ApiError::unavailable("redis", error))?;
    Ok(Issued { ticket, expires_in: Ticket::SECONDS_MAX })
}
