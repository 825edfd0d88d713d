//! What is wrong, and where; bounded, because a store that lost a table has as many faults as rows.

use std::{collections::BTreeMap, time::Duration};

use schema::{
    clock::Timestamp,
    id::{EventId, MessageId, RoomId, UserId},
};
use serde::Serialize;
use uuid::Uuid;

use crate::report::{Checked, Report};

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The word for it.
    pub kind: &'static str,
    /// Where.
    #[serde(flatten)]
    pub place: Place,
    /// What more is known.
    pub detail: String,
}

/// Where something is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Place {
    /// At a seq of a room, as the log has it.
    Logged {
        /// The room.
        room_id: RoomId,
        /// The seq.
        seq: u64,
    },
    /// At a seq of a room, as the store has it.
    Stored {
        /// The room.
        room_id: RoomId,
        /// The seq.
        seq: u64,
    },
    /// Where an id is said to stand.
    Id {
        /// The id.
        message_id: MessageId,
        /// The room.
        room_id: RoomId,
        /// The seq.
        seq: u64,
        /// When the log stored it there.
        created_at: Timestamp,
    },
    /// Somebody's read mark.
    Mark {
        /// The room.
        room_id: RoomId,
        /// Who.
        user_id: UserId,
    },
    /// An event.
    Event {
        /// The event.
        event_id: EventId,
    },
    /// The outbox rows of one changed thing.
    Lane {
        /// The event, room or person.
        lane_id: Uuid,
    },
    /// A whole stream.
    Stream {
        /// Its name.
        stream: &'static str,
    },
}

/// Findings that are kept and looked at again; more are only counted.
pub(crate) const FINDINGS_MAX: usize = 100;

/// What was found so far.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) kept: Vec<Finding>,
    more: u64,
    by_kind: BTreeMap<&'static str, u64>,
}

impl Findings {
    pub(crate) fn add(&mut self, kind: &'static str, place: Place, detail: impl Into<String>) {
        *self.by_kind.entry(kind).or_default() += 1;
        if self.kept.len() < FINDINGS_MAX {
            self.kept.push(Finding { kind, place, detail: detail.into() });
        } else {
            self.more += 1;
        }
    }

    /// Takes back what turned out to be in order.
    pub(crate) fn clear(&mut self, finding: &Finding) {
        self.kept.retain(|kept| kept != finding);
        if let Some(count) = self.by_kind.get_mut(finding.kind) {
            *count = count.saturating_sub(1);
        }
        self.by_kind.retain(|_, count| *count > 0);
    }

    pub(crate) fn report(self, checked: Checked, settled_seq: u64, took: Duration) -> Report {
        let Self { kept: findings, more, by_kind } = self;
        let clean = findings.is_empty() && more == 0;
        Report { clean, settled_seq, checked, findings, more, by_kind, seconds: took.as_secs_f64() }
    }
}
