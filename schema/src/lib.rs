//! What two parties must agree on, and nothing else: ids, bounded texts, socket frames, log
//! envelopes, subjects, streams, problem codes, token claims and the databases' tables.
//!
//! A file enters this crate only when two crates, or a crate and someone outside, must agree on it.

pub mod change;
pub mod clock;
pub mod envelope;
pub mod erasure;
pub mod frame;
pub mod header;
pub mod history;
pub mod id;
pub mod last_seen;
pub mod mark;
pub mod moved;
pub mod postgres;
pub mod problem;
pub mod saved;
pub mod scylla;
pub mod signal;
pub mod stream;
pub mod subject;
pub mod text;
pub mod ticket;
pub mod token;
