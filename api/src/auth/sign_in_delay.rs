//! Guessing passwords gets slower with each failure, by account and by address. What is counted in Redis is counted by
//! all processes; while Redis is away each counts alone.

use std::{
    collections::HashMap,
    fmt,
    time::{Duration, Instant},
};

use deadpool_redis::redis::{Script, cmd};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

use crate::redis::Redis;

/// Counts failed sign-ins.
pub(crate) struct SignInDelay {
    redis: Redis,
    fail: Script,
    local: Mutex<HashMap<String, (u32, Instant)>>,
    is_on: bool,
}

/// Failures of one account before the next try must wait.
const ACCOUNT_FAILURES_FREE: u32 = 5;
/// Failures from one address before the next try must wait: many people share one.
const ADDRESS_FAILURES_FREE: u32 = 50;
/// The longest wait.
const WAIT_MAX: Duration = Duration::from_mins(1);
/// After this long without a failure all is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_mins(15);
/// Keys that are counted locally at most.
const LOCAL_KEYS_MAX: usize = 10_000;

/// Counts one failure and sets the mark that makes the next try wait.
const FAIL: &str = r"
local n = redis.call('INCR', KEYS[1])
redis.call('PEXPIRE', KEYS[1], ARGV[1])
if n > tonumber(ARGV[2]) then
  local wait = math.min(1000 * 2 ^ math.min(n - ARGV[2] - 1, 20), tonumber(ARGV[3]))
  redis.call('SET', KEYS[2], '1', 'PX', string.format('%.0f', wait))
end
return n
";

impl fmt::Debug for SignInDelay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignInDelay").field("is_on", &self.is_on).finish_non_exhaustive()
    }
}

/// Who tries to sign in to what.
pub(super) struct Attempt {
    /// Key and free failures, of the account and of the address.
    counted: [(String, u32); 2],
}

impl Attempt {
    pub(super) fn new(email: &str, subscriber: &str) -> Self {
        // A hash: who reads the keys does not read addresses of mail.
        let digest = Sha256::digest(email.as_bytes());
        let account = format!("account:{}", hex::encode(digest.first_chunk::<16>().unwrap_or(&[0; 16])));
        let address = format!("address:{subscriber}");
        Self { counted: [(account, ACCOUNT_FAILURES_FREE), (address, ADDRESS_FAILURES_FREE)] }
    }
}

impl SignInDelay {
    pub(crate) fn new(redis: Redis, is_on: bool) -> Self {
        Self { redis, fail: Script::new(FAIL), local: Mutex::default(), is_on }
    }

    /// How long this attempt must still wait.
    pub(super) async fn wait(&self, attempt: &Attempt) -> Option<Duration> {
        if !self.is_on {
            return None;
        }
        let mut longest = None;
        for (key, free) in &attempt.counted {
            let asked: Result<i64, _> = self.redis.command(cmd("PTTL").arg(&self.keys(key)[1])).await;
            let wait = match asked {
                Ok(millis) => u64::try_from(millis).ok().filter(|millis| *millis > 0).map(Duration::from_millis),
                Err(_away) => self.local_wait(key, *free),
            };
            longest = longest.max(wait);
        }
        longest
    }

    /// Notes that the attempt failed.
    pub(super) async fn failed(&self, attempt: &Attempt) {
        let forgotten = FORGOTTEN_AFTER.as_millis().to_string();
        let longest = WAIT_MAX.as_millis().to_string();
        for (key, free) in &attempt.counted {
            let free = free.to_string();
            let arguments = [forgotten.as_bytes(), free.as_bytes(), longest.as_bytes()];
            if self.redis.run::<u32>(&self.fail, &self.keys(key), &arguments).await.is_err() {
                self.fail_locally(key);
            }
        }
    }

    /// Forgets the account's failures: its owner is in. The address's stay, or one account would reset them for all.
    pub(super) async fn succeeded(&self, attempt: &Attempt) {
        let [(account, _), _] = &attempt.counted;
        self.local.lock().remove(account);
        if self.redis.command::<u32>(cmd("DEL").arg(&self.keys(account)[..])).await.is_err() {
            tracing::debug!("failed sign-ins stay counted: redis is away");
        }
    }

    /// The counter and the mark; the braces keep both on one node of a cluster.
    fn keys(&self, key: &str) -> [String; 2] {
        let prefix = self.redis.prefix();
        [format!("{prefix}:sign-in:{{{key}}}:failures"), format!("{prefix}:sign-in:{{{key}}}:wait")]
    }

    fn local_wait(&self, key: &str, free: u32) -> Option<Duration> {
        let local = self.local.lock();
        let (failures, last) = local.get(key)?;
        let beyond = failures.checked_sub(free + 1)?;
        let wait = WAIT_MAX.min(Duration::from_secs(2_u64.saturating_pow(beyond)));
        wait.checked_sub(last.elapsed()).filter(|left| !left.is_zero())
    }

    fn fail_locally(&self, key: &str) {
        let mut local = self.local.lock();
        if local.len() >= LOCAL_KEYS_MAX {
            local.retain(|_, (_, last)| last.elapsed() < WAIT_MAX);
        }
        if local.len() < LOCAL_KEYS_MAX {
            let (failures, last) = local.entry(key.to_owned()).or_insert((0, Instant::now()));
            *failures += 1;
            *last = Instant::now();
        }
    }
}
