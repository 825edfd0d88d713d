//! The buckets of this process, for as long as Redis is away.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::{Quota, Rate};

/// When each key's bucket will be full again.
#[derive(Debug, Default)]
pub(super) struct LocalBuckets(Mutex<HashMap<String, Instant>>);

/// Above this many keys, full buckets are forgotten; if none is full, all are: memory is bounded before rates are.
const KEYS_MAX: usize = 100_000;

impl LocalBuckets {
    /// Takes one of `key`'s tokens.
    pub(super) fn take(&self, key: &str, rate: Rate) -> Quota {
        self.take_at(key, rate, Instant::now())
    }

    fn take_at(&self, key: &str, rate: Rate, now: Instant) -> Quota {
        let mut buckets = self.0.lock();
        if buckets.len() >= KEYS_MAX {
            buckets.retain(|_, full_at| *full_at > now);
            if buckets.len() >= KEYS_MAX {
                buckets.clear();
            }
        }
        let begun = buckets.get(key).copied().unwrap_or(now).max(now);
        let full_at = begun + rate.every;
        let room: Duration = rate.every * rate.burst;
        let wait = (full_at - now).saturating_sub(room);
        if wait.is_zero() {
            buckets.insert(key.to_owned(), full_at);
            rate.quota(full_at - now, None)
        } else {
            rate.quota(begun - now, Some(wait))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_one_at_a_time() {
        let rate = Rate { burst: 3, every: Duration::from_millis(100) };
        let (buckets, now) = (LocalBuckets::default(), Instant::now());
        for remaining in [2, 1, 0] {
            let quota = buckets.take_at("ann", rate, now);
            assert_eq!((quota.remaining, quota.retry_after), (remaining, None));
        }
        let refused = buckets.take_at("ann", rate, now);
        assert_eq!((refused.remaining, refused.retry_after), (0, Some(Duration::from_millis(100))));
        assert_eq!(buckets.take_at("bob", rate, now).remaining, 2, "another key has its own bucket");
        let later = now + Duration::from_millis(100);
        assert_eq!(buckets.take_at("ann", rate, later).retry_after, None);
        assert!(buckets.take_at("ann", rate, later).retry_after.is_some());
    }
}
