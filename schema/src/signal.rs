//! What gateways tell each other about a room and nobody stores.

use serde::{Deserialize, Serialize};

use crate::{id::UserId, subject::GatewayId};

/// The body of a message on `live.chat.signal.<room>`. People are named as the room sees them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Signal {
    /// Somebody types, or has stopped.
    Typing {
        /// Who.
        user_id: UserId,
        /// Whether they type.
        active: bool,
    },
    /// Who has come to a gateway, and who is no longer there.
    PresenceChanged {
        /// Which gateway.
        gateway: GatewayId,
        /// Who has a seat there now and had none.
        came: Vec<UserId>,
        /// Who has none there any more.
        gone: Vec<UserId>,
    },
    /// Everybody who has a seat at a gateway; nobody, when it has given the room up. It takes the place
    /// of what the gateway said before, once all parts were heard in their order.
    PresenceAll {
        /// Which gateway.
        gateway: GatewayId,
        /// Which part this is, from 1.
        part: u32,
        /// How many there are.
        parts: u32,
        /// The people of this part.
        users: Vec<UserId>,
    },
    /// Who is there? Gateways answer with [`Signal::PresenceAll`]; where the question came with a reply
    /// subject, there, with [`PresenceAnswer`].
    PresenceAsked {
        /// Which gateway asks; none when it is an API.
        gateway: Option<GatewayId>,
    },
}

impl Signal {
    /// The most people that one signal names: about 20 KB.
    pub const USERS_MAX: usize = 500;
}

/// Who is in a room, on all gateways together, as far as the one that answers knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PresenceAnswer {
    /// Who is online.
    pub online: Vec<UserId>,
}

impl PresenceAnswer {
    /// The most people that an answer names: it stays below the broker's `max_payload`.
    pub const USERS_MAX: usize = 5_000;
}
