//! What waits for one socket's wire, in order, counted exactly.

use std::{collections::VecDeque, io, sync::Arc, time::Instant};

use bytes::Bytes;
use schema::frame::close::CloseReason;
use tokio::net::TcpStream;

use crate::{
    budget::{Budget, Waiting},
    codec::{close_frame, first_frame_len},
    socket::Class,
};

/// The queue of one socket; empty while the wire takes everything at once.
#[derive(Debug)]
pub(crate) struct Outbox {
    /// Whole frames each, and how they are treated.
    queue: VecDeque<(Bytes, Class)>,
    /// How much of the front of `queue` is on the wire already.
    front_written: usize,
    /// Bytes that wait, replays apart: what the socket's cap is for.
    queued: usize,
    /// All bytes that wait: what the process's budget is for.
    waiting: Waiting,
    /// When the wire last took something; set while it is full.
    stalled_since: Option<Instant>,
    /// Whether what is queued waits for company, and not for the wire. Nobody is slow then: the process's budget does not
    /// hear of it.
    is_corked: bool,
    closing: Option<CloseReason>,
    has_ended: bool,
}

impl Outbox {
    /// Nothing waits yet.
    pub(crate) fn new(budget: Arc<Budget>) -> Self {
        let waiting = Waiting::nothing(budget);
        Self {
            queue: VecDeque::new(),
            front_written: 0,
            queued: 0,
            waiting,
            stalled_since: None,
            is_corked: false,
            closing: None,
            has_ended: false,
        }
    }

    /// Why the socket is closing, if it is.
    pub(crate) const fn closing(&self) -> Option<CloseReason> {
        self.closing
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Bytes that wait, replays apart.
    pub(crate) const fn queued(&self) -> usize {
        self.queued
    }

    /// All bytes that wait.
    pub(crate) const fn waiting(&self) -> usize {
        self.waiting.bytes()
    }

    /// Whether so much waits in all sockets together that signals are not worth their bytes.
    pub(crate) fn is_process_behind(&self) -> bool {
        self.waiting.budget().is_tight()
    }

    /// Since when the wire has taken nothing; none while it takes everything.
    pub(crate) const fn stalled_since(&self) -> Option<Instant> {
        self.stalled_since
    }

    /// Writes `frames` if nothing is queued, and queues what the wire does not take.
    pub(crate) fn put(&mut self, stream: &TcpStream, frames: &Bytes, class: Class) {
        if self.has_ended {
            return;
        }
        let mut written = 0;
        if self.queue.is_empty() {
            written = match stream.try_write(frames) {
                Ok(written) => written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                // The socket's own task meets the same error and ends.
                Err(_broken) => return,
            };
            if written == frames.len() {
                return;
            }
            self.stalled_since = Some(Instant::now());
            self.front_written = written;
        }
        self.push(frames.clone(), written, class);
        self.uncork(stream);
    }

    /// Keeps `frames` for the next [`Self::put`] or [`Self::uncork`]; says whether one must follow.
    pub(crate) fn cork(&mut self, frames: Bytes, class: Class) -> bool {
        if self.has_ended {
            return false;
        }
        let is_first = self.queue.is_empty();
        self.is_corked |= is_first;
        self.push(frames, 0, class);
        is_first
    }

    /// Writes what waited for company, all of it at once if the wire takes it.
    pub(crate) fn uncork(&mut self, stream: &TcpStream) {
        if !std::mem::take(&mut self.is_corked) {
            return;
        }
        let slices: Vec<_> = self.queue.iter().map(|(frames, _)| io::IoSlice::new(frames)).collect();
        let len = slices.iter().map(|slice| slice.len()).sum();
        // Should the wire be full, or broken, the socket's own task meets that in its turn.
        let mut written = stream.try_write_vectored(&slices).unwrap_or(0);
        if written == len {
            self.queue = VecDeque::new();
            self.queued = 0;
            return;
        }
        self.waiting.add(len);
        while written > 0
            && let Some((front, _)) = self.queue.front()
        {
            let part = written.min(front.len() - self.front_written);
            self.advance(part);
            written -= part;
        }
        if !self.queue.is_empty() {
            self.stalled_since = Some(Instant::now());
        }
    }

    /// Ends with a close frame, after what is queued.
    pub(crate) fn close(&mut self, stream: &TcpStream, reason: CloseReason) {
        if self.closing.is_none() {
            self.put(stream, &close_frame(reason), Class::Durable);
            self.closing = Some(reason);
        }
    }

    /// Drops what is queued, but for the frame that is half written, and ends with a close frame.
    pub(crate) fn close_in_mid_stream(&mut self, reason: CloseReason) {
        if self.closing.is_some() && self.queue.len() <= 1 {
            return;
        }
        let reason = *self.closing.get_or_insert(reason);
        let half_written = self.queue.pop_front().filter(|_| self.front_written > 0);
        let at = self.front_written;
        self.clear();
        if let Some((frames, _)) = half_written {
            self.push(frames.slice(at..frame_end(&frames, at)), 0, Class::Durable);
        }
        self.push(close_frame(reason), 0, Class::Durable);
    }

    /// Writes what is queued until the wire takes no more; says whether that was all.
    pub(crate) fn flush(&mut self, stream: &TcpStream) -> io::Result<bool> {
        if std::mem::take(&mut self.is_corked) {
            self.waiting.add(self.queue.iter().map(|(frames, _)| frames.len()).sum());
        }
        while let Some((front, _)) = self.queue.front() {
            match stream.try_write(front.get(self.front_written..).unwrap_or_default()) {
                Ok(written) => self.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Gives up what is queued, and takes nothing more: nobody will ever write it.
    pub(crate) fn end(&mut self) {
        self.has_ended = true;
        self.clear();
    }

    fn clear(&mut self) {
        self.queue = VecDeque::new();
        self.front_written = 0;
        self.queued = 0;
        self.is_corked = false;
        self.waiting.clear();
    }

    fn push(&mut self, frames: Bytes, written: usize, class: Class) {
        let left = frames.len() - written;
        if class != Class::Replay {
            self.queued += left;
        }
        if !self.is_corked {
            self.waiting.add(left);
        }
        self.queue.push_back((frames, class));
    }

    /// Notes that the wire took `written` bytes of the front.
    fn advance(&mut self, written: usize) {
        let Some((front, class)) = self.queue.front() else { return };
        if *class != Class::Replay {
            self.queued -= written;
        }
        self.waiting.take(written);
        self.front_written += written;
        self.stalled_since = Some(Instant::now());
        if self.front_written >= front.len() {
            self.front_written = 0;
            self.queue.pop_front();
        }
        if self.queue.is_empty() {
            self.stalled_since = None;
            // A burst's worth of memory is not kept for the quiet time after it.
            self.queue.shrink_to_fit();
        }
    }
}

/// Where the frame ends that byte `at` of these whole frames belongs to.
fn frame_end(frames: &Bytes, at: usize) -> usize {
    let mut end = 0;
    while end < at {
        end += first_frame_len(frames.get(end..).unwrap_or_default()).max(1);
    }
    end.min(frames.len())
}
