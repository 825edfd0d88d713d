//! RFC 6455 as a server speaks it, and no more: no extensions, whole messages in, any frame out.
//!
//! Written by hand because a server frame is unmasked: one encoding serves every member of a room, and
//! one read buffer serves every socket of a worker thread. The usual crates own both.

mod accept;
mod frame;
mod head;
mod message;
mod reader;

pub use accept::accept_key;
pub use frame::{Opcode, close_frame, encode, first_frame_len};
pub use reader::{Incoming, Reader, Rules};
