//! REST: who people are, their events and rooms, the history of what was said.
//!
//! Each feature is a folder named after the address's first segment: `mod.rs` with its routes, `handler.rs` (HTTP in,
//! HTTP out), `service.rs` (the rule and its transaction), `repository.rs` (SQL), `model.rs` (types). A change and the
//! word of it commit together; `outbox` brings the word to the broker.

pub mod config;

mod auth;
mod error;
mod events;
mod health;
mod http;
mod idempotency;
mod limit;
mod marks;
mod messages;
mod money;
mod openapi;
mod outbox;
mod payments;
mod random;
mod redis;
mod rooms;
mod route;
mod serve;
mod slots;
mod state;
mod sync;
mod users;
mod zone;

pub use serve::Api;
pub use users::{Role, grant};
