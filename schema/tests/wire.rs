//! Golden words: everything that leaves one program and enters another, letter by letter.
//!
//! Phones in people's pockets, rows in stores and messages in the log were written by older versions of this code. A
//! failing comparison or snapshot in here is a broken phone or an unreadable log: change the code, not the expectation,
//! unless the protocol's version changes with it.

mod wire {
    mod client;
    mod id;
    mod log;
    mod record;
    mod sample;
    mod server;
    mod subject;
    mod table;
}
