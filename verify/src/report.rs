//! What a run came to.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::finding::Finding;

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Whether nothing is wrong.
    pub clean: bool,
    /// Up to this seq everything was judged.
    pub settled_seq: u64,
    /// How much was looked at.
    pub checked: Checked,
    /// What is wrong, as far as it is listed.
    pub findings: Vec<Finding>,
    /// How much more is wrong; that was looked at once only.
    pub more: u64,
    /// All of it, by the word for it.
    pub by_kind: BTreeMap<&'static str, u64>,
    /// How long it took.
    pub seconds: f64,
}

/// How much was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Messages of the stream.
    pub stream_messages: u64,
    /// Seqs of the store.
    pub log_rows: u64,
    /// Ids.
    pub ids: u64,
    /// Read marks.
    pub read_marks: u64,
    /// Events.
    pub events: u64,
    /// Changes of events.
    pub event_changes: u64,
    /// Rows of the outbox.
    pub outbox_rows: u64,
}
