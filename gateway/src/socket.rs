//! One socket as the rest of the process sees it: somewhere to write without waiting.
//!
//! A writer hands over whole frames. While nothing is queued they go straight into the kernel's
//! buffer; what does not fit is queued and the socket's own task is woken to flush it. Durable frames
//! are never dropped: a socket that can not take them is closed, and resumes.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
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
    budget::Budget,
    codec::{Opcode, encode},
    hub::Seat,
    measure::Measure,
    outbox::Outbox,
    soon::Soon,
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
    measure: Arc<Measure>,
}

/// What a socket shares with the others.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    /// What is counted.
    pub measure: Arc<Measure>,
    /// How much waits for slow readers.
    pub budget: Arc<Budget>,
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
    pub(crate) fn new(stream: TcpStream, default_room: Option<RoomId>, now_millis: u64, shared: Shared) -> Self {
        Self {
            id: ConnectionId::random(),
            default_room,
            stream,
            out: Mutex::new(Outbox::new(shared.budget)),
            wake: Notify::new(),
            identity: Mutex::new(None),
            seats: Mutex::default(),
            born_at_millis: now_millis,
            heard_at_millis: AtomicU64::new(now_millis),
            pinged_at_millis: AtomicU64::new(now_millis),
            is_gone: AtomicBool::new(false),
            drained: Notify::new(),
            replay: Semaphore::new(1),
            measure: shared.measure,
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
        self.measure.frames_out.increment(1);
        self.offer(&encode(Opcode::Text, &frame.to_json()), Class::Durable);
    }

    /// As [`Self::say`], but the frame may wait for the room's next one, at most as long as the window.
    pub(crate) fn say_soon(self: &Arc<Self>, frame: &ServerFrame, soon: &Soon) {
        self.measure.frames_out.increment(1);
        self.offer_soon(encode(Opcode::Text, &frame.to_json()), soon);
    }

    /// As [`Self::offer`] of something durable that may wait for company, at most as long as the window.
    pub(crate) fn offer_soon(self: &Arc<Self>, bytes: Bytes, soon: &Soon) {
        let mut out = self.out.lock();
        if out.closing().is_some() {
            return;
        }
        let must_follow = out.cork(bytes, Class::Durable);
        let is_too_much = out.queued() > limit::QUEUED_BYTES_MAX;
        if is_too_much {
            out.close_in_mid_stream(CloseReason::SlowConsumer);
        }
        drop(out);
        if is_too_much {
            self.wake.notify_one();
        } else if must_follow {
            soon.flush(Arc::clone(self));
        }
    }

    /// Writes what waited for company.
    pub(crate) fn uncork(&self) {
        let mut out = self.out.lock();
        out.uncork(&self.stream);
        let is_stalled = out.stalled_since().is_some();
        let is_empty = out.is_empty();
        drop(out);
        if is_stalled {
            self.wake.notify_one();
        }
        if is_empty {
            self.drained.notify_waiters();
        }
    }

    /// Offers a page of a replay.
    pub(crate) fn replay(&self, page: &Bytes, frames: u64) {
        self.measure.frames_out.increment(frames);
        self.offer(page, Class::Replay);
    }

    /// Offers whole encoded frames without waiting.
    pub fn offer(&self, frames: &Bytes, class: Class) {
        let mut out = self.out.lock();
        if out.closing().is_some() {
            return;
        }
        if !self.has_room(&out, class) {
            return;
        }
        out.put(&self.stream, frames, class);
        if out.queued() > limit::QUEUED_BYTES_MAX {
            out.close_in_mid_stream(CloseReason::SlowConsumer);
        }
        let must_flush = !out.is_empty();
        drop(out);
        if must_flush {
            self.wake.notify_one();
        }
    }

    /// Offers a page of a replay and a signal behind it, in one write if the wire takes it.
    pub(crate) fn replay_with(&self, page: Bytes, signal: Bytes) {
        let mut out = self.out.lock();
        if out.closing().is_some() {
            return;
        }
        for (bytes, class) in [(page, Class::Replay), (signal, Class::Ephemeral)] {
            if self.has_room(&out, class) {
                out.cork(bytes, class);
            }
        }
        out.uncork(&self.stream);
        let must_flush = !out.is_empty();
        drop(out);
        if must_flush {
            self.wake.notify_one();
        }
    }

    /// Whether the socket may have frames of this class now; signals are not worth a slow one's memory.
    fn has_room(&self, out: &Outbox, class: Class) -> bool {
        if class != Class::Ephemeral {
            return true;
        }
        let is_behind = out.queued() > limit::QUEUED_BYTES_EPHEMERAL_MAX;
        if is_behind {
            self.measure.dropped_socket_behind.increment(1);
        } else if out.is_process_behind() {
            self.measure.dropped_gateway_behind.increment(1);
        } else {
            return true;
        }
        false
    }

    /// Closes the socket once what is queued has been written.
    pub fn close(&self, reason: CloseReason) {
        self.out.lock().close(&self.stream, reason);
        self.wake.notify_one();
    }

    /// Closes at once, without what is queued: the peer takes nothing, or the process has no room for it.
    pub(crate) fn close_slow(&self) {
        self.out.lock().close_in_mid_stream(CloseReason::SlowConsumer);
        self.wake.notify_one();
    }

    /// Why it is closing, if it is.
    pub fn closing(&self) -> Option<CloseReason> {
        self.out.lock().closing()
    }

    /// Whether anything waits for the wire.
    pub fn is_behind(&self) -> bool {
        !self.out.lock().is_empty()
    }

    /// Bytes that wait for the wire, replays apart.
    pub fn queued_bytes(&self) -> usize {
        self.out.lock().queued()
    }

    /// All bytes that wait for the wire.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.out.lock().waiting()
    }

    /// Since when the wire has taken nothing; none when nothing is queued.
    pub(crate) fn stalled_since(&self) -> Option<Instant> {
        self.out.lock().stalled_since()
    }

    /// Writes what is queued until the wire takes no more.
    pub(crate) fn flush(&self) -> io::Result<()> {
        if self.out.lock().flush(&self.stream)? {
            self.drained.notify_waiters();
        }
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
        self.out.lock().end();
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

    /// Its seat in a room, as it is now; none if it is not in it, catching up or live.
    pub(crate) fn seat(&self, room: RoomId) -> Option<Seat> {
        self.with_seat(room, |seat| seat.clone())
    }

    /// Takes its seat in a room away.
    pub(crate) fn take_seat(&self, room: RoomId) -> Option<Seat> {
        let mut seats = self.seats.lock();
        let at = seats.iter().position(|seat| seat.room.id == room)?;
        Some(seats.swap_remove(at))
    }

    /// Acts on its seat in a room, if it has one.
    pub(crate) fn with_seat<T>(&self, room: RoomId, act: impl FnOnce(&mut Seat) -> T) -> Option<T> {
        self.seats.lock().iter_mut().find(|seat| seat.room.id == room).map(act)
    }

    /// Whether it is in the room, catching up or live.
    pub fn has_seat(&self, room: RoomId) -> bool {
        self.with_seat(room, |_seat| ()).is_some()
    }

    /// Whether the socket's task has ended.
    pub fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::Acquire)
    }
}
