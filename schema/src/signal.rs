//! What gateways tell each other about a room and nobody stores.

use serde::{Deserialize, Serialize};

use crate::id::UserId;

/// The body of a message on `live.chat.signal.<room>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Signal {
    /// Somebody types, or has stopped.
    Typing {
        /// Who, as the room sees them.
        user_id: UserId,
        /// Whether they type.
        active: bool,
    },
}
