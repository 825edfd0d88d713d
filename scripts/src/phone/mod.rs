//! A phone: the client that the demo and the tests talk through, as an app would.
//!
//! It knows the protocol and nothing of our code: none of the crates' types are used here, so a name that changes on the
//! wire breaks this phone as it would break everybody's. It keeps the rules a client has to keep (the holes rule, resends
//! of what was not saved, coming back with jitter), and beside them a ledger of all that it meant, was told and heard,
//! which the [`audit`] holds against what the servers keep.

mod account;
pub mod audit;
mod frame;
mod handle;
mod intent;
mod ledger;
mod rest;
mod session;
mod socket;
mod view;

pub use account::{Account, Item, Page, Reaction};
pub use frame::{Action, Incoming, LogFrame, Signal, Word};
pub use handle::Phone;
pub use intent::{Intent, Outcome};
pub use ledger::{End, Heard, Ledger};
pub use rest::{Answer, Rest};
pub use socket::{Credential, Goodbye, OpenError, Socket, Spoken};
pub use view::{Shown, View};
