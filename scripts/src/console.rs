//! The only place that writes to the terminal.
//!
//! What a command was asked for goes to standard output; what it is doing meanwhile goes to standard error, so that
//! `cargo x status | grep …` sees an answer and nothing else. A reader that has gone away (`| head`) is no error: there
//! is nobody left to tell.

use std::{
    fmt::Display,
    io::{self, Write},
};

/// A line of the answer.
pub fn answer(line: impl Display) {
    drop(writeln!(io::stdout(), "{line}"));
}

/// A piece of a log, as it is.
pub fn raw(bytes: &[u8]) {
    drop(io::stdout().write_all(bytes));
}

/// What is being done now: a verb, set apart, and what it is done to.
pub fn step(verb: &str, what: impl Display) {
    drop(writeln!(io::stderr(), "{verb:>12} {what}"));
}

/// Something the reader should know, though the work goes on.
pub fn note(what: impl Display) {
    step("note", what);
}

/// Why the command failed, with every cause.
pub fn failure(error: &anyhow::Error) {
    drop(writeln!(io::stderr(), "error: {error:#}"));
}
