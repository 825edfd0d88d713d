//! The worker: takes every message of the log to the message store, in any number of processes.
//!
//! The way of a message is [`consumer`] (pulls, and answers the broker) → [`lane`] (one room in order,
//! rooms in parallel) → [`settle`] (writes, and does what [`verdict`] says) → [`report`] to the sender's
//! gateway, or [`dead_letter`]. What a stream's messages are, and where they are written, is a [`job`].

pub mod backlog;
pub mod breaker;
pub mod conclusion;
pub mod config;
pub mod console;
pub mod consumer;
pub mod dead;
pub mod dead_letter;
pub mod delivery;
pub mod dropped;
pub mod gathering;
pub mod held;
pub mod high_water;
pub mod job;
pub mod lane;
pub mod measure;
pub mod migrate;
pub mod moderators;
pub mod moved;
pub mod reopen;
pub mod report;
pub mod serve;
pub mod settle;
pub mod streams;
pub mod together;
pub mod trace;
pub mod trying;
pub mod verdict;
pub mod verify;
pub mod worker;
