//! The claims of an access token: the API signs, the gateway verifies. No keys here.

use serde::{Deserialize, Serialize};

use crate::id::{SessionId, UserId};

/// What an access token says (RS256, header `typ` [`TYP`], `kid` of the signing key).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who issued it.
    pub iss: String,
    /// Whom it is for.
    pub aud: String,
    /// Whose it is.
    pub sub: UserId,
    /// The session it belongs to.
    pub sid: SessionId,
    /// When it was signed (seconds since 1970).
    pub iat: i64,
    /// When it ends.
    pub exp: i64,
}

/// The header's `typ` (RFC 9068).
pub const TYP: &str = "at+jwt";
/// The longest token that is looked at.
pub const BYTES_MAX: usize = 4096;
/// How far two clocks may differ.
pub const LEEWAY_SECONDS: u64 = 30;
