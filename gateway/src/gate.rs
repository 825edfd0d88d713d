//! What is checked of a newcomer before anything is spent on it: is there a place, do handshakes finish,
//! do they come too fast, is too much waiting already.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use ops::http::{ConnectionCaps, Place};
use parking_lot::Mutex;
use schema::problem::Code;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use crate::{budget::Budget, config::Config, handshake::Refusal, rate::Bucket};

/// Connections that are turned away politely at once: written to, and read until they hang up. Others get
/// one write, if the kernel takes it. They have no place and live on the reserve of open files.
const POLITE_MAX: usize = 64;

/// How many come or go at the same time. A crowd waits here and not among the tasks that are ready to run, where
/// each step of a message's way would have to wait for all of it.
const TURNS: usize = 16;

/// After so many turns other processes of the core have theirs.
const TURNS_A_SLICE: usize = 8;

/// The gate of a gateway.
#[derive(Debug)]
pub struct Gate {
    caps: ConnectionCaps,
    unfinished: Arc<Semaphore>,
    polite: Arc<Semaphore>,
    turns: Semaphore,
    turns_taken: AtomicUsize,
    /// None when limits are off.
    handshakes: Option<Mutex<Bucket>>,
    budget: Arc<Budget>,
}

/// A newcomer's places.
#[derive(Debug)]
pub(crate) struct Entered {
    /// Among the open connections.
    pub place: Place,
    /// Among those that have not finished their handshake.
    pub unfinished: OwnedSemaphorePermit,
}

impl Gate {
    /// A gate that keeps these settings.
    pub(crate) fn new(config: &Config, budget: Arc<Budget>) -> Self {
        let are_on = config.common.limits.are_on();
        let rate = config.handshakes_per_second;
        let unfinished_max = if are_on { config.handshakes_unfinished_max } else { Semaphore::MAX_PERMITS };
        Self {
            caps: ConnectionCaps::new(
                config.sockets_max(),
                if are_on { config.connections_per_ip_max } else { usize::MAX },
            ),
            unfinished: Arc::new(Semaphore::new(unfinished_max.min(Semaphore::MAX_PERMITS))),
            polite: Arc::new(Semaphore::new(POLITE_MAX)),
            turns: Semaphore::new(TURNS),
            turns_taken: AtomicUsize::new(0),
            handshakes: are_on.then(|| Mutex::new(Bucket::per_second(rate, rate.saturating_mul(2)))),
            budget,
        }
    }

    /// Takes a newcomer's places; who may not even say what they want hears this.
    pub(crate) fn enter(&self, ip: IpAddr) -> Result<Entered, Refusal> {
        let unfinished = Arc::clone(&self.unfinished).try_acquire_owned().map_err(|_none_left| {
            Refusal::new(Code::TooManyUnfinished, "too many connections here have not finished their handshake")
        })?;
        let place = self.caps.enter(ip).ok_or_else(|| {
            Refusal::new(Code::TooManyConnections, "this gateway has no place for another connection")
        })?;
        Ok(Entered { place, unfinished })
    }

    /// Whether a connection that wants to be a socket may go on: asked before its credential is looked at.
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        if self.budget.is_over() {
            return Err(Refusal::new(Code::Overloaded, "too much waits for slow readers here"));
        }
        let taken = self.handshakes.as_ref().map_or(Ok(()), |handshakes| handshakes.lock().take(Instant::now()));
        taken.map_err(|_wait| Refusal::new(Code::TooManyHandshakes, "too many handshakes a second here"))
    }

    /// A turn to do what coming or going takes of the processor. Not for waiting: what is away must not keep
    /// everybody from coming and going.
    pub(crate) async fn turn(&self) -> SemaphorePermit<'_> {
        let turn = self.turns.acquire().await.expect("it is never closed");
        if self.turns_taken.fetch_add(1, Ordering::Relaxed).is_multiple_of(TURNS_A_SLICE) {
            // Where the broker shares the core it would have the processor only when this thread's slice is over, some
            // milliseconds for each thing it is told; alone on the core this costs a microsecond.
            std::thread::yield_now();
        }
        turn
    }

    /// A place among those who are turned away politely; none when there are too many.
    pub(crate) fn turn_away(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.polite).try_acquire_owned().ok()
    }
}
