//! At most 128 sockets of a room, with one inbox and at most one drainer.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use schema::id::{ConnectionId, UserId};

use super::Delivery;
use crate::{
    measure::Measure,
    socket::{Class, Socket},
};

/// One encoded frame on its way to a room's sockets.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    /// The bytes, the same for every socket.
    pub bytes: Bytes,
    /// Its place in the log; none for what is not in the log and may be dropped.
    pub seq: Option<u64>,
    /// Who does not hear it.
    pub except: Option<UserId>,
}

#[derive(Debug, Default)]
pub(crate) struct Slice {
    inbox: Mutex<Inbox>,
    members: Mutex<Vec<Member>>,
}

#[derive(Debug, Default)]
struct Inbox {
    frames: Vec<Frame>,
    is_draining: bool,
    drained_at: Option<Instant>,
}

#[derive(Debug)]
struct Member {
    socket: Arc<Socket>,
    user_id: UserId,
    /// The room's last seq when this socket became live: it was told of everything up to here.
    live_from: u64,
}

impl Slice {
    /// The most sockets of a slice: the writes of one drain stay well under a millisecond.
    pub(super) const MEMBERS_MAX: usize = 128;

    pub(super) fn add(&self, socket: Arc<Socket>, user_id: UserId, live_from: u64) {
        self.members.lock().push(Member { socket, user_id, live_from });
    }

    pub(super) fn remove(&self, socket: ConnectionId) -> bool {
        let mut members = self.members.lock();
        let Some(at) = members.iter().position(|member| member.socket.id == socket) else { return false };
        members.swap_remove(at);
        true
    }

    pub(super) fn push(&self, frame: Frame) {
        self.inbox.lock().frames.push(frame);
    }

    /// Starts a drainer if there is work and none runs: soon after a quiet time, on its own if `is_alone`
    /// is not so, and else when the window is over.
    pub(super) fn kick(self: &Arc<Self>, delivery: &Delivery, is_alone: bool) {
        let mut inbox = self.inbox.lock();
        if inbox.is_draining || inbox.frames.is_empty() {
            return;
        }
        inbox.is_draining = true;
        let quiet_for = inbox.drained_at.map_or(Duration::MAX, |at| at.elapsed());
        drop(inbox);
        let wait = delivery.window.saturating_sub(quiet_for);
        if wait.is_zero() && is_alone {
            delivery.soon.drain(Arc::clone(self));
        } else {
            self.drain_after(wait, delivery);
        }
    }

    /// Drains; goes on in the window's pace if more has come meanwhile.
    pub(crate) fn drain_now(self: &Arc<Self>, delivery: &Delivery) {
        if !self.drain(&delivery.measure) {
            self.drain_after(delivery.window, delivery);
        }
    }

    fn drain_after(self: &Arc<Self>, wait: Duration, delivery: &Delivery) {
        let (slice, window, measure) = (Arc::clone(self), delivery.window, Arc::clone(&delivery.measure));
        delivery.lifecycle.spawn(async move {
            tokio::time::sleep(wait).await;
            while !slice.drain(&measure) {
                tokio::time::sleep(window).await;
            }
        });
    }

    /// Writes what waits; says whether nothing more waits, and then is no longer the drainer.
    fn drain(&self, measure: &Measure) -> bool {
        let frames = std::mem::take(&mut self.inbox.lock().frames);
        self.write(&frames, measure);
        let mut inbox = self.inbox.lock();
        inbox.drained_at = Some(Instant::now());
        inbox.is_draining = !inbox.frames.is_empty();
        !inbox.is_draining
    }

    fn write(&self, frames: &[Frame], measure: &Measure) {
        let first_seq = frames.iter().find_map(|frame| frame.seq);
        let joined = join(frames);
        let mut offered = Offered::default();
        let log_frames = frames.iter().filter(|frame| frame.seq.is_some()).count();
        for member in self.members.lock().iter() {
            match first_seq {
                Some(first_seq) if member.live_from < first_seq => {
                    member.socket.offer(&joined, Class::Durable);
                    offered.deliveries += log_frames;
                    offered.coalesced_writes += usize::from(log_frames > 1);
                }
                // It became live amid these frames, and was told of the first of them before.
                Some(_) => frames.iter().filter(|frame| frame.seq.is_some_and(|seq| seq > member.live_from)).for_each(
                    |frame| {
                        offered.deliveries += 1;
                        member.socket.offer(&frame.bytes, Class::Durable);
                    },
                ),
                None => {}
            }
            frames.iter().filter(|frame| frame.seq.is_none() && frame.except != Some(member.user_id)).for_each(
                |frame| {
                    offered.signals += 1;
                    member.socket.offer(&frame.bytes, Class::Ephemeral);
                },
            );
        }
        offered.count(measure);
    }
}

/// What one drain offered, counted once.
#[derive(Default)]
struct Offered {
    deliveries: usize,
    coalesced_writes: usize,
    signals: usize,
}

impl Offered {
    fn count(&self, measure: &Measure) {
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        measure.deliveries.increment(count(self.deliveries));
        measure.frames_out.increment(count(self.deliveries + self.signals));
        if self.coalesced_writes > 0 {
            measure.coalesced_writes.increment(count(self.coalesced_writes));
        }
    }
}

/// The log frames as one buffer: one write a socket, however many frames.
fn join(frames: &[Frame]) -> Bytes {
    let mut durable = frames.iter().filter(|frame| frame.seq.is_some());
    match (durable.next(), durable.next()) {
        (None, _) => Bytes::new(),
        (Some(only), None) => only.bytes.clone(),
        (Some(first), Some(second)) => {
            let mut joined = BytesMut::with_capacity(frames.iter().map(|frame| frame.bytes.len()).sum());
            joined.extend_from_slice(&first.bytes);
            joined.extend_from_slice(&second.bytes);
            durable.for_each(|frame| joined.extend_from_slice(&frame.bytes));
            joined.freeze()
        }
    }
}
