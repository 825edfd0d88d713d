//! A change and the word of it commit together; a relay then brings the word to the broker, however long that takes.
//!
//! One *lane* per changed thing keeps its rows in order: writers lock the lane's row, so positions are commit order, and
//! the relay locks it too, so two relays never publish one lane at once. A log that takes nothing keeps back the lane's
//! lines in rooms and nothing else. A row is published under its own id, so a second publish is the same message.

mod relay;
mod repository;
mod round;
mod writer;

pub(crate) use relay::Relay;
pub(crate) use writer::{NewChange, append_change, append_system};
