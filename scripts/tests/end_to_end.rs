//! Whole stacks, real servers, and phones that talk through them: what the project promises to the people who use it.

#[path = "end_to_end/crash.rs"]
mod crash;
#[path = "end_to_end/drill.rs"]
mod drill;
#[path = "end_to_end/house.rs"]
mod house;
#[path = "end_to_end/membership.rs"]
mod membership;
#[path = "end_to_end/resume.rs"]
mod resume;
#[path = "end_to_end/retry.rs"]
mod retry;
#[path = "end_to_end/start.rs"]
mod start;
#[path = "end_to_end/talk.rs"]
mod talk;
#[path = "end_to_end/trace.rs"]
mod trace;
