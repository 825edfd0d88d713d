//! Where messages rest: one trait, [`MessageStore`], two implementations, one conformance suite.
//!
//! The worker writes, the API reads history, the gateway reads what the stream no longer holds. Every
//! write is idempotent and commutes with every other: any worker may make any of them, in any order,
//! any number of times.

mod audit;
mod column;
mod deed;
mod entry;
mod error;
mod item;
mod page;
mod settings;
mod standing;
mod storable;
mod store;
mod window;

pub mod chain;
pub mod postgres;
pub mod scylla;

pub use audit::{AuditPage, Audited, AuditedId, Fault, IdPage, MarkRow};
pub use deed::{Deed, Permit};
pub use entry::{Entry, Outcome, ReadMark};
pub use error::StoreError;
pub use page::{EventChange, Found, Head, LogRow, Page, Window};
pub use settings::{StoreKind, StoreSettings, connect};
pub use store::MessageStore;
