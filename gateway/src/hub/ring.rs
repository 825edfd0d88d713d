//! The room's newest log frames, so that a socket that is nearly caught up needs no broker, and its
//! newest ids, so that a second seq of an id is known for what it is.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;
use schema::id::MessageId;

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
    ids: VecDeque<(MessageId, u64)>,
    pushed_at: Option<Instant>,
}

impl Ring {
    pub(super) fn push(&mut self, frame: Rendered) {
        if let Some(id) = frame.id {
            if self.ids.len() == IDS_MAX {
                self.ids.pop_front();
            }
            self.ids.push_back((id, frame.seq));
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
        Some(std::iter::once(first.with_prev(cursor)).chain(newer.map(|frame| frame.bytes.clone())).collect())
    }

    /// Whether `id` stands at a lower seq already.
    pub(super) fn has_before(&self, id: MessageId, seq: u64) -> bool {
        self.ids.iter().any(|(known, at)| *known == id && *at < seq)
    }

    /// Gives up what a quiet room needs no more.
    pub(super) fn trim(&mut self) {
        if self.pushed_at.is_some_and(|at| at.elapsed() > QUIET_MAX) {
            self.frames = VecDeque::new();
            self.bytes = 0;
            self.pushed_at = None;
        }
    }
}
