//! One timer for all sockets: each lies in the slot of the moment at which it must be looked after.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use schema::frame::close::CloseReason;

use crate::{socket::Socket, state::Gateway, tokens};

/// How fine the wheel is.
const TICK: Duration = Duration::from_millis(100);
const TICK_MILLIS: u64 = 100;
/// Slots; what is further away than one turn is put off at its slot.
const SLOTS: u64 = 1_024;

/// The slots.
#[derive(Debug)]
pub struct Wheel(Vec<Mutex<Vec<Weak<Socket>>>>);

impl Default for Wheel {
    fn default() -> Self {
        Self((0..SLOTS).map(|_| Mutex::default()).collect())
    }
}

impl Wheel {
    /// Looks after `socket` at `due_millis`, or a turn from `now_millis` if that is sooner.
    pub fn put(&self, socket: &Arc<Socket>, due_millis: u64, now_millis: u64) {
        let (due, now) = (due_millis.div_ceil(TICK_MILLIS), now_millis / TICK_MILLIS);
        let at = due.clamp(now + 1, now + SLOTS - 1);
        self.slot(at).lock().push(Arc::downgrade(socket));
    }

    fn slot(&self, tick: u64) -> &Mutex<Vec<Weak<Socket>>> {
        let at = usize::try_from(tick % SLOTS).unwrap_or_default();
        self.0.get(at).expect("a remainder is below the number of slots")
    }
}

/// Turns until the process ends: sockets must be looked after while they are drained.
pub(crate) async fn run(gateway: Arc<Gateway>) {
    let mut done = gateway.now_millis() / TICK_MILLIS;
    let mut clock = tokio::time::interval(TICK);
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        clock.tick().await;
        if gateway.lifecycle.is_stopping() && gateway.sockets.is_empty() {
            return;
        }
        let now = gateway.now_millis() / TICK_MILLIS;
        while done < now {
            done += 1;
            let due = std::mem::take(&mut *gateway.wheel.slot(done).lock());
            for socket in due.iter().filter_map(Weak::upgrade).filter(|socket| !socket.is_gone()) {
                let now_millis = gateway.now_millis();
                if let Some(due_millis) = look_after(&gateway, &socket, now_millis) {
                    gateway.wheel.put(&socket, due_millis, now_millis);
                }
            }
        }
    }
}

/// Does what is due for a socket; says when to come again, unless it is closing.
fn look_after(gateway: &Gateway, socket: &Socket, now: u64) -> Option<u64> {
    if socket.closing().is_some() {
        return None;
    }
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let silent_at = socket.heard_at_millis() + millis(gateway.config.pong_within);
    if now >= silent_at {
        socket.close(CloseReason::PingTimeout);
        return None;
    }
    let Some(identity) = socket.identity() else {
        let auth_at = socket.born_at_millis() + millis(gateway.config.auth_within);
        if now >= auth_at {
            socket.close(CloseReason::InvalidToken);
            return None;
        }
        return Some(auth_at);
    };
    if tokens::is_over(gateway.clock, identity.expires_at) {
        socket.close(CloseReason::TokenExpired);
        return None;
    }
    let ping_every = millis(gateway.config.ping_every);
    if now >= socket.pinged_at_millis() + ping_every {
        socket.ping(now);
    }
    let leeway = i64::try_from(schema::token::LEEWAY_SECONDS).unwrap_or(0);
    let ends_in = identity.expires_at.saturating_add(leeway) - gateway.clock.unix_seconds();
    let ends_at = now + u64::try_from(ends_in).unwrap_or(0).saturating_mul(1000).min(u64::MAX / 2);
    Some((socket.pinged_at_millis() + ping_every).min(silent_at).min(ends_at))
}
