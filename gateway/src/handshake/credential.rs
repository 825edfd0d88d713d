//! The credential of a handshake: one of four places, and one that is there must be good.

use schema::problem::Code;

use super::{Refusal, head::Head};
use crate::{admission::CannotCheck, socket::Identity, state::Gateway};

/// What the client shows.
#[derive(Debug)]
pub(super) enum Credential {
    /// An access token.
    Token(String),
    /// A ticket of one use.
    Ticket(String),
}

impl Credential {
    /// Looks in the header, the address and the subprotocols; none = a first frame `auth` will come.
    pub(super) fn find(head: &Head, allows_query_token: bool) -> Result<Option<Self>, Refusal> {
        if let Some(value) = head.header("authorization") {
            let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
            if !scheme.eq_ignore_ascii_case("bearer") {
                return Err(refused("Authorization is not of the form: Bearer <token>"));
            }
            return Ok(Some(Self::Token(token.trim().into())));
        }
        if let Some(ticket) = head.query("ticket") {
            return Ok(Some(Self::Ticket(ticket)));
        }
        if let Some(token) = head.list("sec-websocket-protocol").find_map(|offered| offered.strip_prefix("bearer.")) {
            return Ok(Some(Self::Token(token.into())));
        }
        match head.query("token") {
            Some(token) if allows_query_token => Ok(Some(Self::Token(token))),
            Some(_) => Err(refused("tokens are not taken in the address: use a ticket or a header")),
            None => Ok(None),
        }
    }

    /// Whose it is.
    pub(super) async fn identify(&self, gateway: &Gateway) -> Result<Identity, Refusal> {
        let identity = match self {
            Self::Token(token) => gateway.tokens.identify(token, &gateway.gate).await,
            Self::Ticket(ticket) => gateway.tokens.redeem(ticket).await,
        };
        let identity = identity.map_err(|code| Refusal::new(code, code.title()))?;
        check_session(gateway, identity).await?;
        Ok(identity)
    }
}

/// Refuses a session that was signed out. While PostgreSQL is away the token's own end is what counts:
/// joining a room asks again.
pub(crate) async fn check_session(gateway: &Gateway, identity: Identity) -> Result<(), Refusal> {
    let Some(sid) = identity.sid else { return Ok(()) };
    match gateway.admission.is_revoked(sid).await {
        Ok(true) => Err(Refusal::new(Code::InvalidToken, "the session was signed out")),
        // Not known: PostgreSQL is away, and has been warned of.
        Ok(false) | Err(CannotCheck) => Ok(()),
    }
}

fn refused(detail: &str) -> Refusal {
    Refusal::new(Code::InvalidToken, detail)
}
