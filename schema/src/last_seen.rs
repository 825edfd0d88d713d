//! When somebody was last in a room: gateways write it into Redis, the API reads it.

use std::time::Duration;

use crate::id::{RoomId, UserId};

/// For how long it is known.
pub const KEPT_FOR: Duration = Duration::from_hours(30 * 24);

/// The Redis key of the time, which is written as a [`crate::clock::Timestamp`]. By room, because
/// presence is: who is seen in one room is not thereby seen in another. The braces keep a room's keys
/// together in a cluster, so that one question reads them all.
pub fn redis_key(prefix: &str, room: RoomId, user: UserId) -> String {
    format!("{prefix}:seen:{{{room}}}:{user}")
}
