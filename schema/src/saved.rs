//! The worker's report to a gateway: many ids in one message, a hint that may be lost.

use serde::{Deserialize, Serialize};

use crate::{
    id::{MessageId, RoomId},
    problem::Code,
};

/// One message that is in the message store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// The message.
    pub id: MessageId,
    /// Its room.
    pub room_id: RoomId,
    /// Where it stands; for a second copy of an id, where the first stands.
    pub seq: u64,
}

/// One message that will never be in the message store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The message.
    pub id: MessageId,
    /// Its room.
    pub room_id: RoomId,
    /// Where it stands in the log.
    pub seq: u64,
    /// Why.
    pub code: Code,
}

/// The body of a message on `chat.saved.<gateway_id>`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedReport {
    /// What was stored.
    pub saved: Vec<Saved>,
    /// What was refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Refused>,
}

impl SavedReport {
    /// The most ids in one report: it stays well under the broker's payload limit.
    pub const IDS_MAX: usize = 512;
}
