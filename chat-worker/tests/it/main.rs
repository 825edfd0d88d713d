//! The worker against a real nats-server of each test's own and real stores.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

mod broker_faults;
mod changes;
mod dead;
mod event_changes;
mod harness;
mod loss;
mod marks;
mod outage;
mod poison;
mod process;
mod simulation;
mod storing;
mod suspects;
mod together;
mod unreliable;
mod verify;
mod world;
