//! Where time comes from: a process asks its clock and never the system, so that a test can set it off.

use std::time::Duration;

use schema::clock::Timestamp;
use time::OffsetDateTime;

/// The time of day as this process sees it. Cheap to copy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    offset_millis: i64,
}

impl Clock {
    /// The machine's clock, set off by so many milliseconds.
    pub const fn with_offset_millis(offset_millis: i64) -> Self {
        Self { offset_millis }
    }

    /// The present instant.
    pub fn now(self) -> Timestamp {
        let now = OffsetDateTime::now_utc() + time::Duration::milliseconds(self.offset_millis);
        Timestamp::new(now)
    }

    /// Seconds since 1970.
    pub fn unix_seconds(self) -> i64 {
        self.now().unix_millis().div_euclid(1000)
    }

    /// How long from now until `instant`; zero when it is past.
    pub fn until(self, instant: Timestamp) -> Duration {
        let millis = instant.unix_millis() - self.now().unix_millis();
        Duration::from_millis(u64::try_from(millis).unwrap_or(0))
    }
}

/// Development's way to set a process's clock off.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct ClockSettings {
    /// Milliseconds by which this process's clock is off (fault tests; development only).
    #[arg(long, env = "TIMINGLE_CLOCK_OFFSET_MS", default_value = "0", allow_negative_numbers = true)]
    pub clock_offset_ms: i64,
}

impl ClockSettings {
    /// The clock they describe.
    pub const fn clock(self) -> Clock {
        Clock::with_offset_millis(self.clock_offset_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_off_is_off_by_that_much() {
        let off = |millis| {
            let (before, clock) = (Clock::default().now(), Clock::with_offset_millis(millis).now());
            let difference = clock.unix_millis() - before.unix_millis() - millis;
            assert!((0..5_000).contains(&difference), "{millis} is {difference} off");
        };
        off(0);
        off(600_000);
        off(-600_000);
    }

    #[test]
    fn what_is_past_is_waited_for_no_time() {
        let clock = Clock::default();
        let at = |millis| Timestamp::from_unix_millis(clock.now().unix_millis() + millis).expect("a time");
        assert_eq!(clock.until(at(-60_000)), Duration::ZERO);
        let wait = clock.until(at(60_000));
        assert!(wait > Duration::from_secs(55) && wait <= Duration::from_mins(1), "{wait:?}");
    }

    #[test]
    fn seconds_before_1970_are_counted_downwards() {
        let now = Clock::default().now().unix_millis();
        let clock = Clock::with_offset_millis(-now - 1_500);
        assert!((-2..=3).contains(&clock.unix_seconds()), "{}", clock.unix_seconds());
    }
}
