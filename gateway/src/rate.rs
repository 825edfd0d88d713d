//! A token bucket in sixteen bytes.

use std::time::{Duration, Instant};

/// Lets so many through a second, and a burst at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    /// When the bucket is full again, if nothing more is taken.
    full_at: Option<Instant>,
    every: Duration,
    burst: Duration,
}

impl Bucket {
    /// `rate` a second, `burst` at once. Both must be above zero.
    pub(crate) fn per_second(rate: u32, burst: u32) -> Self {
        let every = Duration::from_secs(1) / rate.max(1);
        Self { full_at: None, every, burst: every * burst.max(1) }
    }

    /// Takes one; or says how long until there is one.
    pub(crate) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let full_at = self.full_at.map_or(now, |at| at.max(now)) + self.every;
        match full_at.duration_since(now).checked_sub(self.burst) {
            Some(wait) if !wait.is_zero() => Err(wait),
            _ => {
                self.full_at = Some(full_at);
                Ok(())
            }
        }
    }

    /// Whether it is as good as new.
    pub(crate) fn is_full(&self, now: Instant) -> bool {
        self.full_at.is_none_or(|at| at <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate_counts() {
        let start = Instant::now();
        let mut bucket = Bucket::per_second(10, 20);
        assert!((0..20).all(|_| bucket.take(start).is_ok()));
        assert_eq!(bucket.take(start), Err(Duration::from_millis(100)));
        assert_eq!(bucket.take(start + Duration::from_millis(100)), Ok(()));
        assert!(bucket.take(start + Duration::from_millis(100)).is_err());
        assert!(!bucket.is_full(start + Duration::from_millis(100)));
        assert!(bucket.is_full(start + Duration::from_secs(3)));
    }
}
