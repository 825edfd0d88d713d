//! One room on this gateway: its place in the log, and who hears it.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Instant,
};

use async_nats::Message;
use bytes::{Bytes, BytesMut};
use chat_store::Found;
use foldhash::HashSet;
use ops::telemetry::HOP;
use parking_lot::{Mutex, MutexGuard};
use schema::{
    envelope::{Head, Kind},
    frame::{limit, server::ServerFrame},
    id::{ConnectionId, MessageId, RoomId, UserId},
    text::DisplayName,
};
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{
    Delivery,
    deleted::Deleted,
    ring::Ring,
    slice::{Frame, Slice},
};
use crate::{
    codec::{Opcode, encode},
    marks::Marks,
    measure::Source,
    presence::Picture,
    rate::Bucket,
    render::{LogMessage, Rendered},
    socket::{Class, Socket},
};

/// A room with at least one socket here.
#[derive(Debug)]
pub struct Room {
    /// Which.
    pub id: RoomId,
    /// Sockets that are in it, catching up or live; changed under the hub's lock.
    pub(super) occupants: AtomicUsize,
    /// Who is online; locked before `state`.
    presence: Mutex<Picture>,
    state: Mutex<State>,
    is_ready: watch::Sender<bool>,
    resync_to: AtomicU64,
    resync: Notify,
    stopped: CancellationToken,
    rate: Mutex<Bucket>,
    /// How far its people have read.
    marks: Marks,
    /// In `all` mode: where the room's feed hears.
    pub(crate) inbox: OnceLock<mpsc::Sender<Message>>,
    delivery: Delivery,
}

#[derive(Debug, Default)]
struct State {
    last: u64,
    slices: Vec<(Arc<Slice>, usize)>,
    ring: Ring,
    deleted: Deleted,
}

/// A socket's place in a room.
#[derive(Clone, Debug)]
pub(crate) struct Seat {
    /// The room.
    pub room: Arc<Room>,
    /// How the room sees the user.
    pub me: UserId,
    /// The user's name when they joined, or when last checked.
    pub name: DisplayName,
    /// Whether nobody says anything in the room.
    pub is_silent: bool,
    /// When the membership was last known to stand.
    pub checked_at: Instant,
    /// When the user was last said to type.
    pub typed_at: Option<Instant>,
    /// Whether it counts in the room's presence.
    pub is_present: bool,
}

/// What `joined` will say of the way here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Joining {
    /// How the room sees the user.
    pub me: UserId,
    /// Frames replayed so far.
    pub replayed: u64,
    /// Whether everything after `since` was replayed; false ends the catching up at once.
    pub is_recovered: bool,
    /// Where the client may page history from.
    pub oldest_seq: Option<u64>,
}

/// Whether a socket became live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GoLive {
    /// It did, and was told `joined`.
    Live,
    /// The room is further than the cursor: read more.
    Behind,
    /// The cursor is further than this gateway knows the room: wait for it.
    Ahead,
}

impl Room {
    pub(super) fn new(id: RoomId, delivery: Delivery) -> Self {
        Self {
            id,
            occupants: AtomicUsize::new(0),
            presence: Mutex::default(),
            state: Mutex::default(),
            is_ready: watch::Sender::new(false),
            resync_to: AtomicU64::new(0),
            resync: Notify::new(),
            stopped: CancellationToken::new(),
            rate: Mutex::new(Bucket::per_second(limit::ROOM_MESSAGES_PER_SECOND, limit::ROOM_MESSAGES_PER_SECOND)),
            marks: Marks::default(),
            inbox: OnceLock::new(),
            delivery,
        }
    }

    pub(super) fn stop(&self) {
        self.stopped.cancel();
    }

    /// Cancelled when the last socket has left.
    pub const fn stopped(&self) -> &CancellationToken {
        &self.stopped
    }

    /// The room's last seq, as far as this gateway knows.
    pub fn last(&self) -> u64 {
        self.state.lock().last
    }

    /// The feed listens and knows the room's last seq.
    pub(crate) fn set_ready(&self, last: u64) {
        let mut state = self.state.lock();
        state.last = last;
        state.deleted.forget(last);
        drop(state);
        self.is_ready.send_replace(true);
    }

    /// Whether [`Self::set_ready`] was called.
    pub(crate) fn is_ready(&self) -> bool {
        *self.is_ready.borrow()
    }

    /// Waits for [`Self::set_ready`].
    pub(crate) async fn ready(&self) {
        let mut is_ready = self.is_ready.subscribe();
        // An error would mean that the sender is gone, and it is `self`.
        drop(is_ready.wait_for(|is_ready| *is_ready).await);
    }

    /// Asks the feed to look for what it may have missed up to `seq`.
    pub fn doubt(&self, seq: u64) {
        if seq > self.last() {
            self.resync_to.fetch_max(seq, Ordering::Relaxed);
            self.resync.notify_one();
        }
    }

    /// Waits for the next [`Self::doubt`]; says how far to look.
    pub(crate) async fn doubted(&self) -> u64 {
        self.resync.notified().await;
        self.resync_to.load(Ordering::Relaxed)
    }

    /// Takes one message's place in the room's rate; or says how long until there is one.
    pub fn take_rate(&self) -> Result<(), std::time::Duration> {
        self.rate.lock().take(Instant::now())
    }

    /// Shows one message of the log to everybody who is live. Only the room's feed calls it, in
    /// ascending seq.
    pub(crate) fn show(&self, message: &LogMessage, prev: u64) {
        let mut state = self.state.lock();
        if message.seq <= state.last {
            return;
        }
        let is_second = message.id().is_some_and(|id| state.ring.has_before(id, message.seq));
        let frame = if is_second {
            Rendered::skip(self.id, message.seq, prev)
        } else {
            Rendered::new(self.id, message, prev, &self.delivery.measure)
        };
        if prev > state.last {
            // What was missed may delete something.
            state.deleted.forget(prev);
        }
        state.last = message.seq;
        let out = Frame { bytes: frame.bytes.clone(), seq: Some(frame.seq), except: None };
        if let Some(Head { kind: Kind::MessageDeleted, target: Some(target), .. }) = frame.head {
            state.deleted.note(target, message.seq);
        }
        state.ring.push(self.id, frame);
        let slices = Self::push(&state, &out);
        let sockets = || state.slices.iter().map(|(_, members)| members).sum::<usize>();
        tracing::debug!(
            target: HOP,
            { message.id = message.id().map(tracing::field::display), sockets = sockets() },
            "delivered"
        );
        drop(state);
        self.kick(&slices);
    }

    /// What is known of an id among the room's recent frames.
    pub(crate) fn recent(&self, id: MessageId) -> Option<Found> {
        self.state.lock().ring.find(id)
    }

    /// Down to which seq every deletion in this room is known.
    pub(crate) fn deleted_from(&self) -> u64 {
        self.state.lock().deleted.from()
    }

    /// Takes note of the messages that the log deletes between `from` and [`Self::deleted_from`].
    pub(crate) fn learn_deleted(&self, from: u64, messages: &HashSet<MessageId>) {
        self.state.lock().deleted.learn(from, messages);
    }

    /// Takes the texts of deleted messages out of frames that are to be replayed.
    pub(crate) fn blank(&self, frames: &mut [Rendered], deleted: &HashSet<MessageId>) {
        let state = self.state.lock();
        let is_deleted = |id: MessageId| deleted.contains(&id) || state.deleted.has(id);
        frames.iter_mut().filter(|frame| frame.text_of().is_some_and(is_deleted)).for_each(Rendered::erase);
    }

    /// Shows something that is not in the log.
    pub(crate) fn signal(&self, frame: &ServerFrame, except: UserId) {
        let bytes = encode(Opcode::Text, &frame.to_json());
        let out = Frame { bytes, seq: None, except: Some(except) };
        let slices = Self::push(&self.state.lock(), &out);
        self.kick(&slices);
    }

    /// Shows encoded frames that are not in the log.
    pub(crate) fn show_ephemeral(&self, bytes: Bytes) {
        let slices = Self::push(&self.state.lock(), &Frame { bytes, seq: None, except: None });
        self.kick(&slices);
    }

    /// How far its people have read.
    pub(crate) const fn marks(&self) -> &Marks {
        &self.marks
    }

    /// Who is online here, as far as is known.
    pub(crate) fn picture(&self) -> MutexGuard<'_, Picture> {
        self.presence.lock()
    }

    /// Takes a turn at the room's presence, and shows the frames that it gives: nobody can join in between.
    pub(crate) fn tell(&self, turn: impl FnOnce(&mut Picture) -> Option<Bytes>) {
        let mut picture = self.presence.lock();
        let Some(bytes) = turn(&mut picture) else { return };
        let slices = Self::push(&self.state.lock(), &Frame { bytes, seq: None, except: None });
        drop(picture);
        self.kick(&slices);
    }

    fn push(state: &State, frame: &Frame) -> Vec<Arc<Slice>> {
        let slices = state.slices.iter().map(|(slice, _)| slice);
        slices.inspect(|slice| slice.push(frame.clone())).map(Arc::clone).collect()
    }

    fn kick(&self, slices: &[Arc<Slice>]) {
        // Slices of one room are drained side by side.
        let is_alone = slices.len() == 1;
        for slice in slices {
            slice.kick(&self.delivery, is_alone);
        }
    }

    /// Makes a socket live that was told of everything up to `cursor`, if the rest is at hand; `None`
    /// takes it in at the top. Under the room's lock, so that no frame falls between.
    pub(crate) fn go_live(&self, socket: &Arc<Socket>, cursor: Option<u64>, joining: Joining) -> GoLive {
        let mut picture = self.presence.lock();
        let mut state = self.state.lock();
        let cursor = cursor.filter(|_| joining.is_recovered).unwrap_or(state.last);
        let tail = match cursor.cmp(&state.last) {
            std::cmp::Ordering::Equal => Vec::new(),
            std::cmp::Ordering::Greater => return GoLive::Ahead,
            std::cmp::Ordering::Less => match state.ring.after(cursor) {
                Some(tail) => tail,
                None => return GoLive::Behind,
            },
        };
        let joined = ServerFrame::Joined {
            room_id: self.id,
            seq: state.last,
            recovered: joining.is_recovered,
            replayed: joining.replayed + u64::try_from(tail.len()).unwrap_or(0),
            me: joining.me,
            oldest_seq: joining.oldest_seq,
        };
        self.delivery.measure.resumed(Source::Memory).frames.increment(u64::try_from(tail.len()).unwrap_or(0));
        let mut bytes = BytesMut::new();
        for frame in &tail {
            bytes.extend_from_slice(frame);
        }
        bytes.extend_from_slice(&encode(Opcode::Text, &joined.to_json()));
        let (me, others) = picture.greet(self.id, joining.me);
        bytes.extend_from_slice(&me.unwrap_or_default());
        if others.is_empty() {
            socket.offer(&bytes.freeze(), Class::Replay);
        } else {
            // Who is too far behind to hear of changes does not hear of this either, and may ask.
            socket.replay_with(bytes.freeze(), others);
            self.delivery.measure.presence_snapshots.increment(1);
        }
        let live_from = state.last;
        state.seat(socket, joining.me, live_from);
        GoLive::Live
    }

    /// Takes a socket out of the live ones.
    pub(crate) fn remove(&self, socket: ConnectionId) {
        let mut state = self.state.lock();
        if let Some(at) = state.slices.iter().position(|(slice, _)| slice.remove(socket)) {
            let is_empty = state.slices.get_mut(at).is_some_and(|(_, members)| {
                *members -= 1;
                *members == 0
            });
            if is_empty {
                state.slices.swap_remove(at);
            }
        }
    }

    /// Gives up what a quiet room needs no more.
    pub(crate) fn trim(&self) {
        let mut state = self.state.lock();
        if state.ring.trim() {
            let last = state.last;
            state.deleted.forget(last);
        }
    }
}

impl State {
    fn seat(&mut self, socket: &Arc<Socket>, user_id: UserId, live_from: u64) {
        let free = self.slices.iter_mut().find(|(_, members)| *members < Slice::MEMBERS_MAX);
        if let Some((slice, members)) = free {
            *members += 1;
            slice.add(Arc::clone(socket), user_id, live_from);
            return;
        }
        let slice = Arc::new(Slice::default());
        slice.add(Arc::clone(socket), user_id, live_from);
        self.slices.push((slice, 1));
    }
}

/// Frames one after another, as one buffer.
pub(crate) fn concat(frames: &[Bytes]) -> Bytes {
    let mut joined = BytesMut::with_capacity(frames.iter().map(Bytes::len).sum());
    for frame in frames {
        joined.extend_from_slice(frame);
    }
    joined.freeze()
}
