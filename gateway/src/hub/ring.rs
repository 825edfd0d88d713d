//! The room's newest log frames, so that a socket that is nearly caught up needs no broker, and what its
//! newest ids are, so that a second seq of an id is known for what it is and who wrote what without a question.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;
use chat_store::Found;
use ops::mutant::{self, Mutant};
use schema::{
    envelope::Kind,
    id::{MessageId, RoomId},
};

use crate::render::Rendered;

/// Frames kept at most.
const FRAMES_MAX: usize = 64;
/// Bytes of frames kept at most.
const BYTES_MAX: usize = 32 * 1024;
/// Ids kept at most.
const IDS_MAX: usize = 200;
/// In a room that is quiet for so long the frames are given up: it has nobody who is nearly caught up.
const QUIET_MAX: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(super) struct Ring {
    frames: VecDeque<Rendered>,
    bytes: usize,
    ids: VecDeque<Found>,
    pushed_at: Option<Instant>,
}

impl Ring {
    pub(super) fn push(&mut self, room_id: RoomId, frame: Rendered) {
        if let (Some(head), Some(created_at)) = (frame.head, frame.logged_at()) {
            if self.ids.len() == IDS_MAX {
                self.ids.pop_front();
            }
            let (id, kind, sender) = (head.id, head.kind, head.sender);
            self.ids.push_back(Found { id, room_id, seq: frame.seq, kind, sender, created_at, is_deleted: false });
            if let (Kind::MessageDeleted, Some(target)) = (kind, head.target) {
                self.forget_text(target);
            }
        }
        if self.frames.back().is_some_and(|before| frame.prev > before.seq) {
            // What lies between was never here: who lacks it has to read it.
            self.frames.clear();
            self.bytes = 0;
        }
        self.bytes += frame.bytes.len();
        self.frames.push_back(frame);
        while self.frames.len() > FRAMES_MAX || self.bytes > BYTES_MAX {
            self.bytes -= self.frames.pop_front().map_or(0, |oldest| oldest.bytes.len());
        }
        self.pushed_at = Some(Instant::now());
    }

    /// The frames above `cursor`, if none of them is missing; the first as a replay after `cursor`.
    pub(super) fn after(&self, cursor: u64) -> Option<Vec<Bytes>> {
        let mut newer = self.frames.iter().skip_while(|frame| frame.seq <= cursor);
        let first = newer.next().filter(|first| first.prev <= cursor)?;
        let first = if mutant::is(Mutant::DuplicateReplay) { newer.next().unwrap_or(first) } else { first };
        Some(std::iter::once(first.with_prev(cursor)).chain(newer.map(|frame| frame.bytes.clone())).collect())
    }

    /// Whether `id` stands at a lower seq already.
    pub(super) fn has_before(&self, id: MessageId, seq: u64) -> bool {
        self.ids.iter().any(|known| known.id == id && known.seq < seq)
    }

    /// What is known of an id that was shown lately.
    pub(super) fn find(&self, id: MessageId) -> Option<Found> {
        self.ids.iter().find(|known| known.id == id).copied()
    }

    /// The message was deleted: who catches up from here does not hear what it said.
    fn forget_text(&mut self, message: MessageId) {
        self.ids.iter_mut().filter(|known| known.id == message).for_each(|known| known.is_deleted = true);
        for frame in self.frames.iter_mut().filter(|frame| frame.text_of() == Some(message)) {
            self.bytes -= frame.bytes.len();
            frame.erase();
            self.bytes += frame.bytes.len();
        }
    }

    /// Gives up what a quiet room needs no more; says whether it did.
    pub(super) fn trim(&mut self) -> bool {
        let is_quiet = self.pushed_at.is_some_and(|at| at.elapsed() > QUIET_MAX);
        if is_quiet {
            self.frames = VecDeque::new();
            self.bytes = 0;
            self.pushed_at = None;
        }
        is_quiet
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_missed_is_not_passed_over() {
        let room = RoomId::random();
        let mut ring = Ring::default();
        for (seq, prev) in [(5, 3), (6, 5), (10, 9)] {
            ring.push(room, Rendered::skip(room, seq, prev));
        }
        let after = |cursor| ring.after(cursor).map(|frames| frames.len());
        assert_eq!((after(4), after(6), after(8)), (None, None, None), "of 7 to 9 nothing is here");
        assert_eq!((after(9), after(10)), (Some(1), None));
    }
}
