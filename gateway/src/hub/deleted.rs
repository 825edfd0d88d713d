//! Messages of a room that were deleted, as far as the log was looked through: a replay out of the stream, which still
//! holds their text, does not show it.

use foldhash::{HashSet, HashSetExt as _};
use schema::id::MessageId;

/// Messages kept at most; of more the log is read again.
const IDS_MAX: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct Deleted {
    ids: HashSet<MessageId>,
    /// Every deletion above this seq is known.
    from: u64,
}

impl Deleted {
    /// Everything below `seq` is to be looked through again.
    pub(super) fn forget(&mut self, seq: u64) {
        self.ids = HashSet::new();
        self.from = seq;
    }

    /// The room's newest seq deletes this message.
    pub(super) fn note(&mut self, message: MessageId, seq: u64) {
        if self.ids.len() >= IDS_MAX {
            self.forget(seq.saturating_sub(1));
        }
        self.ids.insert(message);
    }

    /// These are the deletions between `from` and what was known before.
    pub(super) fn learn(&mut self, from: u64, messages: &HashSet<MessageId>) {
        if from < self.from && self.ids.len() + messages.len() <= IDS_MAX {
            self.ids.extend(messages);
            self.from = from;
        }
    }

    /// Down to which seq every deletion is known.
    pub(super) const fn from(&self) -> u64 {
        self.from
    }

    pub(super) fn has(&self, message: MessageId) -> bool {
        self.ids.contains(&message)
    }
}
