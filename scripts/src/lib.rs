//! What stands behind `cargo x`, and what starts real servers for the crates' tests.
//!
//! Nothing here is part of the product: the three processes never depend on this crate.

mod bench;
mod command;
pub mod console;
mod demo;
mod interrupt;
pub mod phone;
pub mod simulation;
mod source;
pub mod stack;
mod tidy;
mod tool;
mod workspace;

pub use command::run;
