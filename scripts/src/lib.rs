//! What stands behind `cargo x`, and what starts real servers for the crates' tests.
//!
//! Nothing here is part of the product: the three processes never depend on this crate.

pub mod stack;
mod tool;
mod workspace;
