//! How many bytes wait for slow readers in the whole process.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use metrics::Gauge;

/// All bytes that wait, of all sockets.
#[derive(Debug)]
pub struct Budget {
    queued: AtomicUsize,
    gauge: Gauge,
}

impl Budget {
    /// Nothing waits yet; `gauge` shows what does.
    pub(crate) fn new(gauge: Gauge) -> Self {
        Self { queued: AtomicUsize::new(0), gauge }
    }

    /// Bytes that wait.
    pub fn queued_bytes(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
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

    pub(crate) fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.budget.queued.fetch_add(bytes, Ordering::Relaxed);
        self.budget.gauge.increment(float(bytes));
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
