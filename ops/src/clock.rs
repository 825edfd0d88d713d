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
