//! From an access token to a caller: the signature first, then whether its session still lives.

use schema::problem::Code;

use super::{repository, session::Standing};
use crate::{error::ApiError, http::Identity, state::AppState};

/// Who holds `token`.
pub(crate) async fn identify(state: &AppState, token: &str) -> Result<Identity, ApiError> {
    let claims = state
        .signing_key
        .verify(&state.tokens, state.clock, token)
        .map_err(|_why_is_not_said| ApiError::invalid_token())?;
    let standing = match state.sessions.get(claims.sid) {
        Some(standing) => standing,
        None => {
            let ticket = state.sessions.begin();
            let found = repository::find_standing(&state.pg, claims.sid, claims.sub).await?;
            let standing = found.unwrap_or(Standing::Unknown);
            state.sessions.put(ticket, claims.sid, standing);
            standing
        }
    };
    match standing {
        Standing::Alive { is_admin } => {
            Ok(Identity { user_id: claims.sub, sid: claims.sid, is_admin, expires_at: claims.exp })
        }
        Standing::Revoked => Err(ApiError::refused(Code::SessionRevoked, "the session was signed out")),
        Standing::Unknown => Err(ApiError::invalid_token()),
    }
}
