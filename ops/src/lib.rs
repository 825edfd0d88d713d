//! How every process looks to an operator: settings, logs, probes, metrics, life and death.
//!
//! The three processes share it; it imports none of them.

pub mod broker;
pub mod clock;
pub mod database;
pub mod direct_get;
pub mod http;
pub mod lifecycle;
pub mod log_health;
pub mod mutant;
pub mod probe;
pub mod settings;
pub mod stored;
pub mod telemetry;
pub mod together;
