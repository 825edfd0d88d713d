//! The API against a real PostgreSQL, Redis and nats-server.

mod auth;
mod bad_input;
mod events;
mod gate;
mod harness;
mod logs;
mod messages;
mod outage;
mod outbox;
mod participants;
mod rate;
mod rooms;
mod tokens;
mod users;
mod worker;
