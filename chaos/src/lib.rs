//! What `cargo x chaos` runs: people talk while everything under them breaks, by a schedule that a seed decides; and when
//! all is mended, what the phones were told is held against what the servers keep.

mod audit;
pub mod evidence;
mod fault;
mod house;
mod link;
mod mutant;
mod people;
mod report;
mod run;
mod scene;
mod schedule;

pub use fault::Kind;
pub use mutant::hunt;
pub use people::Person;
pub use report::Report;
pub use run::{Wish, run};
