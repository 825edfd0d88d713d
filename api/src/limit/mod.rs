//! How fast a caller may be: one token bucket a key in Redis, shared by all processes; while Redis is away, a bucket of
//! this process.

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

/// GCRA: the one number kept is when the bucket will be full again. Redis tells the time, so clocks need not agree.
const TAKE: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local every, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local full_at = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now) + every
local wait = full_at - now - every * burst
if wait > 0 then
  return {0, full_at - now - every, wait}
end
redis.call('SET', KEYS[1], string.format('%.0f', full_at), 'PX', math.ceil((full_at - now) / 1000))
return {1, full_at - now, 0}
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

    /// Takes one of `key`'s tokens; `None` when nothing is limited.
    pub(crate) async fn take(&self, key: &str, rate: Rate) -> Option<Quota> {
        if !self.is_on {
            return None;
        }
        let redis_key = format!("{}:rate:{key}", self.redis.prefix());
        let every = rate.every.as_micros().to_string();
        let burst = rate.burst.to_string();
        let asked = self.redis.run(&self.script, &[redis_key], &[every.as_bytes(), burst.as_bytes()]).await;
        Some(match asked {
            Ok((is_allowed, reset, wait)) => {
                let is_allowed: bool = is_allowed;
                let retry_after = (!is_allowed).then_some(Duration::from_micros(wait));
                rate.quota(Duration::from_micros(reset), retry_after)
            }
            Err(away) => {
                tracing::debug!(%away, "rates are counted by this process alone");
                self.local.take(key, rate)
            }
        })
    }
}
