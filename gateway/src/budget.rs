//! How many bytes wait for slow readers in the whole process, and how many may.
//!
//! A buffer that many sockets share counts for each of them, so that the sum is above what memory holds and
//! never below.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use metrics::Gauge;
use tokio::{sync::Notify, time::Instant};

/// How often those look who wait for room.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// All bytes that wait, of all sockets.
#[derive(Debug)]
pub struct Budget {
    queued: AtomicUsize,
    max: usize,
    exceeded: Notify,
    gauge: Gauge,
}

impl Budget {
    /// Nothing waits yet; `gauge` shows what does.
    pub(crate) fn new(max: usize, gauge: Gauge) -> Self {
        Self { queued: AtomicUsize::new(0), max, exceeded: Notify::new(), gauge }
    }

    /// Bytes that wait.
    pub fn queued_bytes(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    /// Whether so much waits that signals are not worth their bytes, and replays wait.
    pub(crate) fn is_tight(&self) -> bool {
        self.queued_bytes() > self.max / 4 * 3
    }

    /// Whether more waits than may.
    pub(crate) fn is_over(&self) -> bool {
        self.queued_bytes() > self.max
    }

    /// Whether more waits than should once something is given up: below the budget by an eighth, or the next
    /// frame would begin it all over.
    pub(crate) fn is_above_target(&self) -> bool {
        self.queued_bytes() > self.max / 8 * 7
    }

    /// Waits until more waits than may.
    pub(crate) async fn exceeded(&self) {
        self.exceeded.notified().await;
    }

    /// Waits until it is no longer tight, but at most so long: slow readers must not hold up others for ever.
    pub(crate) async fn eased(&self, within: Duration) {
        let deadline = Instant::now() + within;
        while self.is_tight() && Instant::now() < deadline {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// One socket's part of the budget; what is left of it is given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Waiting {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Waiting {
    pub(crate) const fn nothing(budget: Arc<Budget>) -> Self {
        Self { budget, bytes: 0 }
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) const fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    pub(crate) fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
        let before = self.budget.queued.fetch_add(bytes, Ordering::Relaxed);
        self.budget.gauge.increment(float(bytes));
        if before + bytes > self.budget.max {
            self.budget.exceeded.notify_one();
        }
    }

    pub(crate) fn take(&mut self, bytes: usize) {
        self.bytes -= bytes;
        self.budget.queued.fetch_sub(bytes, Ordering::Relaxed);
        self.budget.gauge.decrement(float(bytes));
    }

    pub(crate) fn clear(&mut self) {
        if self.bytes > 0 {
            self.take(self.bytes);
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.clear();
    }
}

/// No single queue comes near 4 GiB.
fn float(bytes: usize) -> f64 {
    f64::from(u32::try_from(bytes).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_is_taken_back_to_the_last_byte() {
        let budget = Arc::new(Budget::new(1_000, Gauge::noop()));
        let (mut one, mut two) = (Waiting::nothing(Arc::clone(&budget)), Waiting::nothing(Arc::clone(&budget)));
        one.add(700);
        assert!(!budget.is_tight());
        two.add(100);
        assert!(budget.is_tight() && !budget.is_over());
        two.add(201);
        assert!(budget.is_over() && budget.is_above_target());
        one.take(150);
        assert!(!budget.is_above_target());
        two.clear();
        assert_eq!((budget.queued_bytes(), one.bytes(), two.bytes()), (550, 550, 0));
        drop(one);
        drop(two);
        assert_eq!(budget.queued_bytes(), 0);
    }
}
