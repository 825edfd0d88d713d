//! Time zones, out of the one database that is part of the program: every process computes the same wall clock.

use std::sync::LazyLock;

use jiff::tz::{TimeZone, TimeZoneDatabase};
use schema::clock::Timestamp;
use time::{Date, Month, PrimitiveDateTime, Time};

/// A zone of the IANA database.
#[derive(Clone, Debug)]
pub(super) struct Zone(TimeZone);

static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

impl Zone {
    /// The zone of this name, as `Asia/Seoul`.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let zone = ZONES.get(name).ok()?;
        zone.iana_name().is_some().then_some(Self(zone))
    }

    /// Its name, in the database's own spelling.
    pub(super) fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// What a clock on its walls shows; `None` at the end of time.
    pub(super) fn wall_clock(&self, instant: Timestamp) -> Option<PrimitiveDateTime> {
        let there = jiff::Timestamp::from_millisecond(instant.unix_millis()).ok()?.to_zoned(self.0.clone());
        let part = |value: i8| u8::try_from(value).ok();
        let month = Month::try_from(part(there.month())?).ok()?;
        let date = Date::from_calendar_date(there.year().into(), month, part(there.day())?).ok()?;
        let millis = u16::try_from(there.millisecond()).ok()?;
        let time =
            Time::from_hms_milli(part(there.hour())?, part(there.minute())?, part(there.second())?, millis).ok()?;
        Some(PrimitiveDateTime::new(date, time))
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_wall_clock_follows_its_zone_and_its_summer_time() {
        let check = |zone: &str, instant: &str, expected: PrimitiveDateTime| {
            let zone = Zone::parse(zone).expect("a zone");
            assert_eq!(zone.wall_clock(Timestamp::parse(instant).expect("a time")), Some(expected));
        };
        check("Asia/Seoul", "2026-11-21T05:58:48.927Z", datetime!(2026-11-21 14:58:48.927));
        check("Europe/Berlin", "2026-01-01T12:00:00Z", datetime!(2026-01-01 13:00));
        check("Europe/Berlin", "2026-07-01T12:00:00Z", datetime!(2026-07-01 14:00));
        check("utc", "2026-07-01T12:00:00Z", datetime!(2026-07-01 12:00));
    }

    #[test]
    fn what_is_no_zone_is_refused_and_the_end_of_time_has_no_wall_clock() {
        for name in ["", "Mars/Olympus", "+09:00", "KST-9", "../etc/passwd"] {
            assert!(Zone::parse(name).is_none(), "{name}");
        }
        assert_eq!(Zone::parse("asia/seoul").expect("a zone").name(), "Asia/Seoul");
        let end = Timestamp::parse("9999-12-31T23:59:59Z").expect("a time");
        assert_eq!(Zone::parse("UTC").expect("a zone").wall_clock(end), None);
    }
}
