//! The worker's hint to every gateway: what is new in the message store. One message for many rooms; it may be lost.

use serde::{Deserialize, Serialize};

use crate::id::{RoomId, UserId};

/// Somebody's mark in a room was raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marked {
    /// Where.
    pub room_id: RoomId,
    /// Who.
    pub user_id: UserId,
}

/// The body of a message on [`crate::subject::MOVED`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// Rooms whose history has changed.
    #[serde(default)]
    pub rooms: Vec<RoomId>,
    /// Marks that were raised.
    #[serde(default)]
    pub marks: Vec<Marked>,
}

impl Moved {
    /// The most names in one message: it stays well under the broker's payload limit.
    pub const NAMES_MAX: usize = 1_000;
}
