//! Real servers, started and stopped from Rust.
//!
//! Two kinds of users: a crate's tests take [`NatsServer`] (one of their own) and [`test_env`] (the shared ones); `cargo x
//! up` and the end-to-end test start a whole stack. Everything in here blocks underneath, on threads meant for it, so a
//! paused tokio clock does not disturb it.
//!
//! All that is known of a stack lies in its run folder. That is how a later command, in another process, restarts or
//! ends what an earlier one started, and why it never touches a process that only has the same number.

mod assembly;
mod handle;
mod identity;
mod layout;
mod nats_server;
mod plan;
mod port;
mod process;
mod ready;
mod run_dir;
mod server;
mod service;
mod shared;
mod signing_key;
mod test_env;
mod test_stack;

pub use handle::Stack;
pub use nats_server::NatsServer;
pub use plan::{Plan, Ports, Store};
pub use port::PortLease;
pub(crate) use test_env::POOLER_PORT;
pub use test_env::{test_env, test_pooler_port};
pub use test_stack::TestStack;

/// The URL for a user of the nats-server on a port.
pub fn nats_url(user: &str, port: u16) -> String {
    server::nats::url(user, port)
}

/// The URL of a stack's PostgreSQL on a port.
pub fn postgres_url(port: u16) -> String {
    server::postgres::url(port)
}

/// The URL of a stack's Redis on a port.
pub fn redis_url(port: u16) -> String {
    server::redis::url(port)
}

/// The value of `CQL_NODES` for a stack's Cassandra on a port.
pub fn cql_nodes(port: u16) -> String {
    server::cassandra::nodes(port)
}

pub use assembly::start;
pub(crate) use assembly::{check, ensure_pooler, start_test_servers};
