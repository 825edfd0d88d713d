//! One socket as the rest of the process sees it: somewhere to write without waiting.
//!
//! A writer hands over whole frames. While nothing is queued they go straight into the kernel's
//! buffer; what does not fit is queued and the socket's own task is woken to flush it. Durable frames
//! are never dropped: a socket that can not take them is closed, and resumes.

use std::{
    collections::VecDeque,
    io,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Instant,
};

use bytes::Bytes;
use parking_lot::Mutex;
use schema::{
    frame::{close::CloseReason, limit, server::ServerFrame},
    id::{ConnectionId, RoomId, SessionId, UserId},
};
use tokio::{
    net::TcpStream,
    sync::{Notify, Semaphore, SemaphorePermit},
};

use crate::{
    codec::{Opcode, close_frame, encode, first_frame_len},
    hub::Seat,
};

/// Whose socket it is, and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The user.
    pub user_id: UserId,
    /// The session; none for development's bare user ids.
    pub sid: Option<SessionId>,
    /// When the credential ends, in seconds since 1970.
    pub expires_at: i64,
}

/// A connected client.
#[derive(Debug)]
pub struct Socket {
    /// Its name in logs and in `hello`.
    pub id: ConnectionId,
    /// The room its address named: later frames may leave it out.
    pub default_room: Option<RoomId>,
    stream: TcpStream,
    out: Mutex<Outbox>,
    /// Wakes the socket's own task: something is queued, or it is to close.
    wake: Notify,
    identity: Mutex<Option<Identity>>,
    seats: Mutex<Vec<Seat>>,
    born_at_millis: u64,
    heard_at_millis: AtomicU64,
    pinged_at_millis: AtomicU64,
    is_gone: AtomicBool,
    /// Told when the outbox has run empty, and when the socket is gone.
    drained: Notify,
    replay: Semaphore,
}

#[derive(Debug, Default)]
struct Outbox {
    /// Whole frames each, and whether they are part of a replay.
    queue: VecDeque<(Bytes, Class)>,
    /// How much of the front of `queue` is on the wire already.
    front_written: usize,
    /// Bytes that wait, replays apart: what the cap is for.
    queued: usize,
    /// When the wire last took something; set while anything is queued.
    stalled_since: Option<Instant>,
    closing: Option<CloseReason>,
}

/// How a frame is treated when the socket is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Part of the log, or an answer: never dropped.
    Durable,
    /// Typing, presence: dropped when the socket is behind.
    Ephemeral,
    /// Part of a replay: written at the socket's pace, outside the cap.
    Replay,
}

impl Socket {
    /// Takes over a stream whose handshake is done.
    pub fn new(stream: TcpStream, default_room: Option<RoomId>, now_millis: u64) -> Self {
        Self {
            id: ConnectionId::random(),
            default_room,
            stream,
            out: Mutex::default(),
            wake: Notify::new(),
            identity: Mutex::new(None),
            seats: Mutex::default(),
            born_at_millis: now_millis,
            heard_at_millis: AtomicU64::new(now_millis),
            pinged_at_millis: AtomicU64::new(now_millis),
            is_gone: AtomicBool::new(false),
            drained: Notify::new(),
            replay: Semaphore::new(1),
        }
    }

    /// The stream, for the socket's own task.
    pub(crate) const fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Woken when something is queued or the socket is to close.
    pub(crate) const fn wake(&self) -> &Notify {
        &self.wake
    }

    /// Whose it is; none before `auth`.
    pub fn identity(&self) -> Option<Identity> {
        *self.identity.lock()
    }

    /// Says whose it is, from now on.
    pub fn set_identity(&self, identity: Identity) {
        *self.identity.lock() = Some(identity);
    }

    /// The rooms it is in.
    pub(crate) fn seats(&self) -> parking_lot::MutexGuard<'_, Vec<Seat>> {
        self.seats.lock()
    }

    /// Encodes and offers one frame.
    pub fn say(&self, frame: &ServerFrame) {
        self.offer(&encode(Opcode::Text, &frame.to_json()), Class::Durable);
    }

    /// Offers whole encoded frames without waiting.
    pub fn offer(&self, frames: &Bytes, class: Class) {
        let mut out = self.out.lock();
        if out.closing.is_some() {
            return;
        }
        if class == Class::Ephemeral && out.queued > limit::QUEUED_BYTES_EPHEMERAL_MAX {
            metrics::counter!("gateway_frames_dropped_total", "reason" => "ephemeral").increment(1);
            return;
        }
        out.put(&self.stream, frames, class);
        if out.queued > limit::QUEUED_BYTES_MAX {
            out.close_in_mid_stream(CloseReason::SlowConsumer);
        }
        let must_flush = !out.queue.is_empty();
        drop(out);
        if must_flush {
            self.wake.notify_one();
        }
    }

    /// Closes the socket once what is queued has been written.
    pub fn close(&self, reason: CloseReason) {
        let mut out = self.out.lock();
        if out.closing.is_none() {
            out.put(&self.stream, &close_frame(reason), Class::Durable);
            out.closing = Some(reason);
        }
        drop(out);
        self.wake.notify_one();
    }

    /// Closes at once, without what is queued: the peer takes nothing.
    pub(crate) fn close_slow(&self) {
        self.out.lock().close_in_mid_stream(CloseReason::SlowConsumer);
        self.wake.notify_one();
    }

    /// Why it is closing, if it is.
    pub fn closing(&self) -> Option<CloseReason> {
        self.out.lock().closing
    }

    /// Whether anything waits for the wire.
    pub fn is_behind(&self) -> bool {
        !self.out.lock().queue.is_empty()
    }

    /// Bytes that wait for the wire, replays apart.
    pub fn queued_bytes(&self) -> usize {
        self.out.lock().queued
    }

    /// Since when the wire has taken nothing; none when nothing is queued.
    pub(crate) fn stalled_since(&self) -> Option<Instant> {
        self.out.lock().stalled_since
    }

    /// Writes what is queued until the wire takes no more.
    pub(crate) fn flush(&self) -> io::Result<()> {
        let mut out = self.out.lock();
        while let Some((front, _)) = out.queue.front() {
            match self.stream.try_write(front.get(out.front_written..).unwrap_or_default()) {
                Ok(written) => out.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        drop(out);
        self.drained.notify_waiters();
        Ok(())
    }

    /// Notes that the client was heard.
    pub(crate) fn heard(&self, now_millis: u64) {
        self.heard_at_millis.store(now_millis, Ordering::Relaxed);
    }

    pub(crate) const fn born_at_millis(&self) -> u64 {
        self.born_at_millis
    }

    pub(crate) fn heard_at_millis(&self) -> u64 {
        self.heard_at_millis.load(Ordering::Relaxed)
    }

    pub(crate) fn pinged_at_millis(&self) -> u64 {
        self.pinged_at_millis.load(Ordering::Relaxed)
    }

    pub(crate) fn ping(&self, now_millis: u64) {
        self.pinged_at_millis.store(now_millis, Ordering::Relaxed);
        self.offer(&encode(Opcode::Ping, b""), Class::Durable);
    }

    /// The socket's task has ended: nobody may wait for it any more.
    pub(crate) fn set_gone(&self) {
        self.is_gone.store(true, Ordering::Release);
        // Others may hold the socket for a while yet, a publish without an answer for one: the peer
        // does not wait for them.
        if let Err(error) = rustix::net::shutdown(&self.stream, rustix::net::Shutdown::Both) {
            tracing::trace!(%error, "the peer was gone first");
        }
        self.drained.notify_waiters();
    }

    /// Waits until nothing is queued, or the socket is gone.
    pub(crate) async fn drained(&self) {
        self.until(|| !self.is_behind()).await;
    }

    /// Waits until the socket's task has ended.
    pub(crate) async fn gone(&self) {
        self.until(|| false).await;
    }

    async fn until(&self, is_reached: impl Fn() -> bool) {
        loop {
            let told = self.drained.notified();
            tokio::pin!(told);
            // Listens before it looks, so that nothing is told in between.
            told.as_mut().enable();
            if self.is_gone() || is_reached() {
                return;
            }
            told.await;
        }
    }

    /// Waits for this socket's turn to replay a room.
    pub(crate) async fn replay_turn(&self) -> Option<SemaphorePermit<'_>> {
        self.replay.acquire().await.ok()
    }

    /// Whether it is in the room, catching up or live.
    pub fn has_seat(&self, room: RoomId) -> bool {
        self.seats.lock().iter().any(|seat| seat.room.id == room)
    }

    /// Whether the socket's task has ended.
    pub fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::Acquire)
    }
}

impl Outbox {
    /// Writes `frames` if nothing is queued, and queues what the wire does not take.
    fn put(&mut self, stream: &TcpStream, frames: &Bytes, class: Class) {
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
        if class != Class::Replay {
            self.queued += frames.len() - written;
        }
        self.queue.push_back((frames.clone(), class));
    }

    /// Notes that the wire took `written` bytes of the front.
    fn advance(&mut self, written: usize) {
        let Some((front, class)) = self.queue.front() else { return };
        if *class != Class::Replay {
            self.queued -= written;
        }
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

    /// Drops what is queued, but for the frame that is half written, and ends with a close frame.
    fn close_in_mid_stream(&mut self, reason: CloseReason) {
        if self.closing.is_some() {
            return;
        }
        self.closing = Some(reason);
        let half_written = self.queue.pop_front().filter(|_| self.front_written > 0);
        self.queue.clear();
        self.queued = 0;
        if let Some((frames, _)) = half_written {
            let rest = frames.slice(self.front_written..frame_end(&frames, self.front_written));
            self.queued += rest.len();
            self.queue.push_back((rest, Class::Durable));
        }
        self.front_written = 0;
        let frame = close_frame(reason);
        self.queued += frame.len();
        self.queue.push_back((frame, Class::Durable));
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
