//! What `cargo x bench` runs beside the product: the floor program, the least any gateway can cost, and the load
//! generator, which checks inside each run that everybody got everything once and in order.
//!
//! Both are one thread around epoll, so that a core of their own is enough for them. The plan of a run and its report are
//! JSON; `scripts` writes the one and reads the other.

pub mod floor;
pub mod frame;
pub mod hostile;
pub mod load;
pub mod plan;
pub mod report;
pub mod rest;
