//! Time on the wire: RFC 3339 in UTC, truncated to milliseconds, always three digits.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use time::{Duration, OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339};

/// An instant, in whole milliseconds. Ordered by time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(OffsetDateTime);

/// The text was not an RFC 3339 time between the years 0 and 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an RFC 3339 time")]
pub struct NotATime;

impl Timestamp {
    /// Truncates `instant` to milliseconds and turns it to UTC.
    pub fn new(instant: OffsetDateTime) -> Self {
        let utc = instant.to_offset(UtcOffset::UTC);
        Self(utc - Duration::nanoseconds(i64::from(utc.nanosecond() % 1_000_000)))
    }

    /// Reads any RFC 3339 time, such as the broker's `Nats-Time-Stamp`.
    pub fn parse(text: &str) -> Result<Self, NotATime> {
        let instant = OffsetDateTime::parse(text, &Rfc3339).map_err(|_malformed| NotATime)?;
        let utc = instant.checked_to_offset(UtcOffset::UTC).ok_or(NotATime)?;
        if (0..=9999).contains(&utc.year()) { Ok(Self::new(utc)) } else { Err(NotATime) }
    }

    /// Milliseconds since 1970.
    pub fn from_unix_millis(millis: i64) -> Result<Self, NotATime> {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000)
            .map(Self)
            .map_err(|_out_of_range| NotATime)
    }

    /// Milliseconds since 1970.
    pub fn unix_millis(self) -> i64 {
        i64::try_from(self.0.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
    }

    /// So much later, in whole milliseconds.
    pub fn plus(self, by: std::time::Duration) -> Result<Self, NotATime> {
        let by = i64::try_from(by.as_millis()).map_err(|_too_long| NotATime)?;
        Self::from_unix_millis(self.unix_millis().saturating_add(by))
    }

    /// So much earlier, in whole milliseconds.
    pub fn minus(self, by: std::time::Duration) -> Result<Self, NotATime> {
        let by = i64::try_from(by.as_millis()).map_err(|_too_long| NotATime)?;
        Self::from_unix_millis(self.unix_millis().saturating_sub(by))
    }

    /// For a driver or a calendar.
    pub const fn as_datetime(self) -> OffsetDateTime {
        self.0
    }
}

impl From<OffsetDateTime> for Timestamp {
    fn from(instant: OffsetDateTime) -> Self {
        Self::new(instant)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let t = self.0;
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            t.year(),
            u8::from(t.month()),
            t.day(),
            t.hour(),
            t.minute(),
            t.second(),
            t.millisecond()
        )
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'_, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_truncated_and_always_has_three_digits() {
        let check = |input: &str, expected: &str| {
            assert_eq!(Timestamp::parse(input).expect(input).to_string(), expected);
        };
        check("2026-11-21T05:58:48.927999999Z", "2026-11-21T05:58:48.927Z");
        check("2026-11-21T05:58:48Z", "2026-11-21T05:58:48.000Z");
        check("2026-11-21T05:58:48.9+09:00", "2026-11-20T20:58:48.900Z");
        check("1969-12-31T23:59:59.9999Z", "1969-12-31T23:59:59.999Z");
        assert_eq!(Timestamp::parse("yesterday"), Err(NotATime));
        assert_eq!(Timestamp::parse("9999-12-31T23:59:59-23:00"), Err(NotATime));
    }

    #[test]
    fn a_time_is_moved_until_the_end_of_time() {
        let (time, minute) =
            (Timestamp::parse("2026-11-21T05:58:48.927Z").expect("a time"), std::time::Duration::from_mins(1));
        assert_eq!(time.plus(minute).map(|time| time.to_string()), Ok("2026-11-21T05:59:48.927Z".to_owned()));
        assert_eq!(time.minus(minute).map(|time| time.to_string()), Ok("2026-11-21T05:57:48.927Z".to_owned()));
        assert_eq!(time.plus(std::time::Duration::MAX), Err(NotATime));
        assert_eq!(time.minus(std::time::Duration::MAX), Err(NotATime));
    }

    #[test]
    fn milliseconds_survive_the_way_there_and_back() {
        let time = Timestamp::parse("2026-11-21T05:58:48.927Z").expect("a time");
        assert_eq!(Timestamp::from_unix_millis(time.unix_millis()), Ok(time));
    }
}
