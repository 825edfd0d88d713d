//! How fast a caller may be: token buckets in Redis, one for each class of requests, shared by all processes; while
//! Redis is away, buckets of this process.

mod local;

use std::{fmt, num::NonZeroU32, time::Duration};

use deadpool_redis::redis::Script;

use crate::{error::ApiError, redis::Redis};
use local::LocalBuckets;

/// So many at once, and one more every so often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    /// How many at once.
    pub(crate) burst: u32,
    /// How long one takes to come back.
    pub(crate) every: Duration,
}

/// What is left after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quota {
    /// How many at once.
    pub(crate) limit: u32,
    /// How many of them are left.
    pub(crate) remaining: u32,
    /// When all of them are there again.
    pub(crate) reset: Duration,
    /// When the request may pass that was one too many.
    pub(crate) retry_after: Option<Duration>,
}

impl Quota {
    /// Refuses the request that was one too many.
    pub(crate) fn check(self) -> Result<(), ApiError> {
        self.retry_after.map_or(Ok(()), |retry_after| Err(ApiError::TooFast { retry_after }))
    }
}

/// Counts requests.
pub(crate) struct Limiter {
    redis: Redis,
    local: LocalBuckets,
    script: Script,
    is_on: bool,
}

/// GCRA, in each of some buckets or in none: the one number kept of each is when it will be full again. Redis tells the
/// time, so clocks need not agree. The answer: whether it may pass, which bucket is the emptiest, until when that fills,
/// and how long to wait.
const TAKE: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local full, tightest, least = {}, 1, nil
for i, key in ipairs(KEYS) do
  local every, burst = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  local full_at = math.max(tonumber(redis.call('GET', key) or now), now) + every
  local wait = full_at - now - every * burst
  if wait > 0 then
    return {0, i, full_at - now - every, wait}
  end
  local left = burst - math.ceil((full_at - now) / every)
  if not least or left < least then
    tightest, least = i, left
  end
  full[i] = full_at
end
for i, key in ipairs(KEYS) do
  redis.call('SET', key, string.format('%.0f', full[i]), 'PX', math.ceil((full[i] - now) / 1000))
end
return {1, tightest, full[tightest] - now, 0}
";

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter").field("is_on", &self.is_on).finish_non_exhaustive()
    }
}

impl Rate {
    /// `count` in `period`, all of them at once if need be.
    pub(crate) fn per(count: NonZeroU32, period: Duration) -> Self {
        Self { burst: count.get(), every: period / count.get() }
    }

    /// The same pace with another burst.
    pub(crate) const fn with_burst(self, burst: NonZeroU32) -> Self {
        Self { burst: burst.get(), ..self }
    }

    /// What is left when the bucket will be full in `reset`.
    fn quota(self, reset: Duration, retry_after: Option<Duration>) -> Quota {
        let taken = reset.as_micros().div_ceil(self.every.as_micros().max(1));
        let remaining = self.burst.saturating_sub(u32::try_from(taken).unwrap_or(u32::MAX));
        Quota { limit: self.burst, remaining, reset, retry_after }
    }
}

impl Limiter {
    /// Counts in `redis`, unless limits are off.
    pub(crate) fn new(redis: Redis, is_on: bool) -> Self {
        Self { redis, local: LocalBuckets::default(), script: Script::new(TAKE), is_on }
    }

    /// Takes one of `whose` tokens in each of the classes, or in none; `None` when nothing is limited. The answer is of the
    /// class that has the least left.
    pub(crate) async fn take(&self, whose: &str, classes: &[(&'static str, Rate)]) -> Option<Quota> {
        if !self.is_on {
            return None;
        }
        // The braces: of one cluster's nodes, all of them live on the same.
        let keys: Vec<String> =
            classes.iter().map(|(class, _)| format!("{}:rate:{{{whose}}}:{class}", self.redis.prefix())).collect();
        let numbers = classes.iter().flat_map(|(_, rate)| [rate.every.as_micros(), u128::from(rate.burst)]);
        let numbers: Vec<String> = numbers.map(|number| number.to_string()).collect();
        let arguments: Vec<&[u8]> = numbers.iter().map(String::as_bytes).collect();
        let asked: Result<(bool, usize, u64, u64), _> = self.redis.run(&self.script, &keys, &arguments).await;
        match asked {
            Ok((is_allowed, tightest, reset, wait)) => {
                let (_, rate) = classes.get(tightest.checked_sub(1)?)?;
                let retry_after = (!is_allowed).then_some(Duration::from_micros(wait));
                Some(rate.quota(Duration::from_micros(reset), retry_after))
            }
            Err(away) => {
                tracing::debug!(%away, "rates are counted by this process alone");
                self.local.take(whose, classes)
            }
        }
    }
}
