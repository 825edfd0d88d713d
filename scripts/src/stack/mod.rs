//! Real servers, started and stopped from Rust.
//!
//! Two kinds of users: a crate's tests take [`NatsServer`] (one of their own) and [`test_env`] (the shared ones); `cargo x up`
//! and the end-to-end test start a whole stack. Everything in here blocks underneath, on threads meant for it, so a
//! paused tokio clock does not disturb it.

mod nats;
mod nats_server;
mod port;
mod test_env;

pub use nats_server::NatsServer;
pub use port::PortLease;
pub use test_env::test_env;
