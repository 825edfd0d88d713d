//! Who is in an event. The table is its room's list of members, so the two can not differ.

mod attendance;
pub(super) mod handler;
mod repository;
mod service;

pub(super) use service::{check, join};
