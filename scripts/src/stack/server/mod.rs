//! The servers we stand on: how each is made ready to start.

pub(super) mod cassandra;
pub(super) mod nats;
pub(super) mod pgbouncer;
pub(super) mod postgres;
pub(super) mod redis;
