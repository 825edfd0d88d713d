//! What this crate promises to the others, tried with real servers.

mod nats_server;
mod permissions;
mod settings;
