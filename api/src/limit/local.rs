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
    /// Takes one of `whose` tokens in each of the classes, or in none; the answer is of the tightest.
    pub(super) fn take(&self, whose: &str, classes: &[(&'static str, Rate)]) -> Option<Quota> {
        self.take_at(whose, classes, Instant::now())
    }

    fn take_at(&self, whose: &str, classes: &[(&'static str, Rate)], now: Instant) -> Option<Quota> {
        let mut buckets = self.0.lock();
        if buckets.len() >= KEYS_MAX {
            buckets.retain(|_, full_at| *full_at > now);
            if buckets.len() >= KEYS_MAX {
                buckets.clear();
            }
        }
        let mut filled = Vec::with_capacity(classes.len());
        for (class, rate) in classes {
            let key = format!("{whose}:{class}");
            let begun = buckets.get(&key).copied().unwrap_or(now).max(now);
            let full_at = begun + rate.every;
            let room: Duration = rate.every * rate.burst;
            let wait = (full_at - now).saturating_sub(room);
            if !wait.is_zero() {
                return Some(rate.quota(begun - now, Some(wait)));
            }
            filled.push((key, full_at, rate.quota(full_at - now, None)));
        }
        let tightest = filled.iter().map(|(_, _, quota)| *quota).min_by_key(|quota| quota.remaining);
        buckets.extend(filled.into_iter().map(|(key, full_at, _)| (key, full_at)));
        tightest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_one_at_a_time() {
        let rate = Rate { burst: 3, every: Duration::from_millis(100) };
        let (buckets, now) = (LocalBuckets::default(), Instant::now());
        let take = |whose: &str, now| buckets.take_at(whose, &[("all", rate)], now).unwrap();
        for remaining in [2, 1, 0] {
            let quota = take("ann", now);
            assert_eq!((quota.remaining, quota.retry_after), (remaining, None));
        }
        let refused = take("ann", now);
        assert_eq!((refused.remaining, refused.retry_after), (0, Some(Duration::from_millis(100))));
        assert_eq!(take("bob", now).remaining, 2, "another key has its own bucket");
        let later = now + Duration::from_millis(100);
        assert_eq!(take("ann", later).retry_after, None);
        assert!(take("ann", later).retry_after.is_some());
    }

    #[test]
    fn what_one_class_refuses_is_taken_from_none() {
        let rate = |burst| Rate { burst, every: Duration::from_secs(1) };
        let (all, write) = (("all", rate(3)), ("write", rate(1)));
        let (buckets, now) = (LocalBuckets::default(), Instant::now());
        let take = |classes: &[(&'static str, Rate)]| buckets.take_at("ann", classes, now).unwrap();
        assert_eq!(take(&[all, write]).remaining, 0, "of the class that has the least left");
        assert!(take(&[all, write]).retry_after.is_some());
        assert_eq!(take(&[all]).remaining, 1, "the refused one did not count");
    }
}
