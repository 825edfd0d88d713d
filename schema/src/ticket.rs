//! A socket ticket: the API writes it into Redis, a gateway takes it out, once.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::id::{SessionId, UserId};

/// What the ticket stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// Who asked for it.
    pub user_id: UserId,
    /// With which session.
    pub sid: SessionId,
    /// When the access token ends that it was asked with (seconds since 1970).
    pub exp: i64,
}

impl Ticket {
    /// How long it can be used.
    pub const SECONDS_MAX: u64 = 30;

    /// The Redis key: a hash, so that who reads the database holds no credential.
    pub fn redis_key(prefix: &str, ticket: &str) -> String {
        format!("{prefix}:ticket:{}", hex::encode(Sha256::digest(ticket.as_bytes())))
    }
}
