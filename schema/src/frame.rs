//! What moves on the socket: text frames, one JSON object each.

pub mod client;
pub mod close;
pub mod history;
pub mod limit;
pub mod server;
