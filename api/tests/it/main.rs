//! The API against a real PostgreSQL, Redis and nats-server.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helpers may panic: that is how a test fails"
)]

mod auth;
mod authorisation;
mod bad_input;
mod changes;
mod describe;
mod events;
mod first_admin;
mod gate;
mod harness;
mod logs;
mod messages;
mod metrics;
mod outage;
mod outbox;
mod participants;
mod payments;
mod presence;
mod rate;
mod reading;
mod rooms;
mod sign_in;
mod slots;
mod tokens;
mod users;
mod worker;
