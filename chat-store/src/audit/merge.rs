//! One page out of two: what the log has, and what history shows.

use std::collections::BTreeMap;

use schema::id::RoomId;

use super::Audited;
use crate::{LogRow, item::Item};

type Key = (RoomId, u64);

/// Joins a page of the log and one of history, each ascending and of at most `limit`, by room and seq; and says where
/// the next pages begin, if there may be more. What lies beyond the end of one that is full is left to them.
pub(crate) fn merge(log: Vec<(RoomId, LogRow)>, history: Vec<Item>, limit: usize) -> (Vec<Audited>, Option<Key>) {
    // What is full may go on; the other has told all up to there.
    let full = |is_full: bool, last: Option<Key>| last.filter(|_| is_full);
    let ends = [
        full(log.len() >= limit, log.last().map(|(room, row)| (*room, row.seq))),
        full(history.len() >= limit, history.last().map(|item| (item.room_id, item.seq))),
    ];
    let end = ends.into_iter().flatten().min();
    let mut merged: BTreeMap<Key, Audited> = BTreeMap::new();
    for (room, row) in log {
        let seq = row.seq;
        merged.entry((room, seq)).or_insert_with(|| Audited::at(room, seq)).row = Some(row);
    }
    for item in history {
        let (room, seq) = (item.room_id, item.seq);
        merged.entry((room, seq)).or_insert_with(|| Audited::at(room, seq)).item = Some(item);
    }
    let rows = merged.into_iter().filter(|(key, _)| end.is_none_or(|end| *key <= end)).map(|(_, row)| row);
    (rows.collect(), end)
}

impl Audited {
    /// Nothing is known of it yet.
    const fn at(room_id: RoomId, seq: u64) -> Self {
        Self {
            room_id,
            seq,
            row: None,
            item: None,
            place: None,
            changes: Vec::new(),
            reactions: Vec::new(),
            kept: None,
            beside: Vec::new(),
        }
    }
}
