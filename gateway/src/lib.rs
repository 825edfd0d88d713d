//! Holds the sockets: publishes what they say to the log, and shows what the log says to everybody in
//! the room.
//!
//! The way of a message: `connection` reads a frame, `command::send` checks it, `publisher` puts it
//! into the log; the log republishes it, `feed` hears that and closes gaps, `hub` writes it to the
//! sockets; `saved` tells the sender when the worker has stored it.

mod admission;
mod budget;
mod changes;
pub mod codec;
mod command;
pub mod config;
mod connection;
mod drain;
mod erased;
mod feed;
mod file_limit;
mod gate;
mod handshake;
mod hub;
mod listener;
mod log_reader;
mod marks;
mod measure;
mod outbox;
mod overload;
mod presence;
mod publisher;
mod rate;
mod readiness;
mod recheck;
mod render;
mod replay;
mod resync;
mod saved;
mod server;
#[cfg(test)]
mod simulation;
mod socket;
mod sockets;
mod soon;
mod state;
mod subscription;
mod tokens;
mod typing;
mod updates;
mod upstream;
mod wheel;

pub use server::{Server, serve};
pub use state::Gateway;
