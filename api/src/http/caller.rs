//! Who calls. Both filters always let the request through and hand over a result, so that a bad token can not send the
//! router on to another route.

use std::{convert::Infallible, net::IpAddr};

use ops::http::Peer;
use schema::id::{SessionId, UserId};
use warp::{
    Filter,
    http::{HeaderMap, Method, header},
};

use super::{address, headers, request, with};
use crate::{auth, error::ApiError, limit::Quota, state::AppState};

/// A caller whose access token counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity {
    /// Who.
    pub(crate) user_id: UserId,
    /// On which signed-in device.
    pub(crate) sid: SessionId,
    /// Whether they may do everything.
    pub(crate) is_admin: bool,
    /// Whether they offer their time.
    pub(crate) is_business: bool,
    /// When the token ends (seconds since 1970).
    pub(crate) expires_at: i64,
}

/// A caller who need not say who they are.
#[derive(Clone, Debug)]
pub(crate) struct Visitor {
    /// What is limited as one.
    pub(crate) subscriber: String,
    /// Their token, if they sent one.
    pub(crate) token: Option<String>,
}

/// Finds out who calls, and that they are not too fast.
pub(crate) fn caller(
    state: &AppState,
) -> impl Filter<Extract = (Result<Identity, ApiError>,), Error = Infallible> + Clone + use<> {
    let who = (warp::method().and(warp::ext::optional::<Peer>()).and(headers())).and(with(state));
    who.then(async |method: Method, peer: Option<Peer>, headers: HeaderMap, state: AppState| {
        let identified = match bearer(&headers) {
            Some(token) => auth::identify(&state, token).await,
            None => Err(ApiError::invalid_token()),
        };
        let identity = match identified {
            Err(refusal) if refusal.code().http_status() == 401 => {
                // Tokens are not guessed faster here than passwords are there.
                let rates = [("refused", state.rates.auth)];
                within(state.limiter.take(&format!("address:{}", from(&state, peer, &headers)), &rates).await)?;
                return Err(refusal);
            }
            identified => identified?,
        };
        let (all, write) = (("all", state.rates.user), ("write", state.rates.user_writes));
        let classes = if method.is_safe() { &[all][..] } else { &[all, write] };
        within(state.limiter.take(&format!("user:{}", identity.user_id), classes).await)?;
        Ok(identity)
    })
}

/// Finds out from where somebody calls who may have no token, and that this address is not too fast.
pub(crate) fn visitor(
    state: &AppState,
) -> impl Filter<Extract = (Result<Visitor, ApiError>,), Error = Infallible> + Clone + use<> {
    warp::ext::optional::<Peer>().and(headers()).and(with(state)).then(
        async |peer: Option<Peer>, headers: HeaderMap, state: AppState| {
            let subscriber = from(&state, peer, &headers);
            within(state.limiter.take(&format!("address:{subscriber}"), &[("auth", state.rates.auth)]).await)?;
            Ok(Visitor { subscriber, token: bearer(&headers).map(str::to_owned) })
        },
    )
}

/// What stands for where a request comes from.
fn from(state: &AppState, peer: Option<Peer>, headers: &HeaderMap) -> String {
    let peer = peer.map_or(IpAddr::from([0, 0, 0, 0]), |Peer(address)| address.ip());
    address::subscriber(address::client(peer, headers, &state.trusted_proxies))
}

fn within(quota: Option<Quota>) -> Result<(), ApiError> {
    let Some(quota) = quota else { return Ok(()) };
    request::note_quota(quota);
    quota.check()
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}
