//! Holds what phones wrote down against what the servers keep: nothing lost, nothing twice, one order for everybody.
//!
//! A1 every `sent` is in history exactly once. A2 no `failed` is. A3 what nobody knows of is there once or not at all.
//! A4 history ascends, is the same for all readers, and keeps each sender's order. A5 what a phone shows is the history
//! since it joined. A6 nothing was given up that was not broken on purpose. Beside them, what the server must not do on
//! any socket (`Wire`), and what the log and the store's tables must agree on (`Log`).

mod kept;
mod reader;
mod sender;
#[cfg(test)]
mod tests;

use std::fmt;

use uuid::Uuid;

use super::{account::Item, ledger::Ledger};

/// Which promise was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// Every `sent` is in history exactly once.
    A1,
    /// No `failed` is in history.
    A2,
    /// What nobody knows of is in history once or not at all.
    A3,
    /// History ascends, is the same for all readers, and keeps each sender's order.
    A4,
    /// What a phone shows is the history since it joined.
    A5,
    /// Nothing was given up but what was broken on purpose.
    A6,
    /// What is unread, counted anew, is what the api says.
    A7,
    /// Every change of an event is in its history and left the outbox.
    A8,
    /// Nothing aged out of the log unstored.
    A9,
    /// Who was taken out of a room hears nothing of it a second later.
    A10,
    /// The log, the store's tables and history say the same.
    Log,
    /// A phone was told something the protocol does not allow.
    Wire,
}

/// A broken promise.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Which.
    pub rule: Rule,
    /// Where and how.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.what)
    }
}

/// One reader's history of one room.
#[derive(Clone, Debug)]
pub struct History {
    /// Who read it, and how.
    pub reader: String,
    /// Which room.
    pub room: Uuid,
    /// All of it, in the order it was answered.
    pub items: Vec<Item>,
}

/// A line of a room's log: `None` is a seq that can not be shown.
pub type Line = (u64, Option<Uuid>);

/// A room's log as something keeps it.
#[derive(Clone, Debug)]
pub struct Log {
    /// The stream or a table.
    pub keeper: String,
    /// Which room.
    pub room: Uuid,
    /// Every seq with its id.
    pub lines: Vec<Line>,
}

/// Everything there is to look at, after the fault has healed and the queues are empty.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// The phones' ledgers.
    pub ledgers: Vec<Ledger>,
    /// History, by reader and room.
    pub histories: Vec<History>,
    /// The log, by keeper and room; may be left out.
    pub logs: Vec<Log>,
    /// What was given up.
    pub dead: Vec<Letter>,
    /// What had to be.
    pub poison: Vec<Letter>,
}

/// A message of the log that can not be stored.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Letter {
    /// Where it stands.
    pub seq: u64,
    /// Its bytes.
    pub body: Vec<u8>,
}

/// Every broken promise; none, if all is well.
pub fn audit(evidence: &Evidence) -> Vec<Violation> {
    let mut violations = Vec::new();
    sender::check(evidence, &mut violations);
    reader::check(evidence, &mut violations);
    kept::check(evidence, &mut violations);
    violations
}

impl Evidence {
    /// The first history of the room: the one the others are compared with.
    fn history(&self, room: Uuid) -> Option<&History> {
        self.histories.iter().find(|history| history.room == room)
    }
}
