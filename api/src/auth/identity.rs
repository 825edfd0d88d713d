//! From an access token to a caller: the signature first, then whether its session still lives.

use schema::{
    id::{SessionId, UserId},
    problem::Code,
};

use super::{repository, session::Standing};
use crate::{error::ApiError, http::Identity, state::AppState, users::Role};

/// Who holds `token`.
pub(crate) async fn identify(state: &AppState, token: &str) -> Result<Identity, ApiError> {
    let claims = state
        .signing_key
        .verify(&state.tokens, state.clock, token)
        .map_err(|_why_is_not_said| ApiError::invalid_token())?;
    match standing(state, claims.sid, claims.sub).await? {
        Standing::Alive { role } => Ok(Identity {
            user_id: claims.sub,
            sid: claims.sid,
            is_admin: role == Role::Admin,
            is_business: role == Role::Business,
            expires_at: claims.exp,
        }),
        Standing::Revoked => Err(ApiError::refused(Code::SessionRevoked, "the session was signed out")),
        Standing::Unknown => Err(ApiError::invalid_token()),
    }
}

async fn standing(state: &AppState, sid: SessionId, user: UserId) -> Result<Standing, ApiError> {
    if let Some(standing) = state.sessions.get(sid) {
        return Ok(standing);
    }
    let look_up = state.sessions.begin();
    let standing = repository::find_standing(&state.pg, sid, user).await?.unwrap_or(Standing::Unknown);
    state.sessions.put(look_up, sid, standing);
    Ok(standing)
}
