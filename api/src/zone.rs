//! Time zones, out of the one database that is part of the program: every process computes the same wall clock.

use std::sync::LazyLock;

use jiff::tz::{TimeZone, TimeZoneDatabase};
use schema::clock::Timestamp;
use serde::Serializer;
use serde_json::Value;
use time::{Date, Month, PrimitiveDateTime, Time, macros::format_description};

/// A zone of the IANA database.
#[derive(Clone, Debug)]
pub(crate) struct Zone(TimeZone);

static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

impl Zone {
    /// The zone of this name, as `Asia/Seoul`.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let zone = ZONES.get(name).ok()?;
        zone.iana_name().is_some().then_some(Self(zone))
    }

    /// Its name, in the database's own spelling.
    pub(crate) fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// What a clock on its walls shows; `None` at the end of time.
    pub(crate) fn wall_clock(&self, instant: Timestamp) -> Option<PrimitiveDateTime> {
        let there = jiff::Timestamp::from_millisecond(instant.unix_millis()).ok()?.to_zoned(self.0.clone());
        let part = |value: i8| u8::try_from(value).ok();
        let month = Month::try_from(part(there.month())?).ok()?;
        let date = Date::from_calendar_date(there.year().into(), month, part(there.day())?).ok()?;
        let millis = u16::try_from(there.millisecond()).ok()?;
        let time =
            Time::from_hms_milli(part(there.hour())?, part(there.minute())?, part(there.second())?, millis).ok()?;
        Some(PrimitiveDateTime::new(date, time))
    }

    /// When a clock on its walls shows this. What no clock shows, in the hour that summer time skips, is taken as an
    /// hour later; of what is shown twice the first counts.
    pub(crate) fn instant(&self, local: PrimitiveDateTime) -> Option<Timestamp> {
        let (date, time) = (local.date(), local.time());
        let part = |value: u8| i8::try_from(value).ok();
        let nanos = i32::try_from(time.nanosecond()).ok()?;
        let date =
            jiff::civil::Date::new(i16::try_from(date.year()).ok()?, part(date.month().into())?, part(date.day())?);
        let time = jiff::civil::Time::new(part(time.hour())?, part(time.minute())?, part(time.second())?, nanos);
        let there = self.0.to_ambiguous_timestamp(date.ok()?.to_datetime(time.ok()?)).compatible().ok()?;
        Timestamp::from_unix_millis(there.as_millisecond()).ok()
    }
}

/// Reads a zone's name.
pub(crate) fn read(value: &Value) -> Result<Zone, &'static str> {
    Zone::parse(value.as_str().ok_or("not_a_string")?).ok_or("unknown")
}

/// Writes what a clock on a wall shows: no offset, because the zone stands beside it.
pub(crate) fn wall_clock<S: Serializer>(time: &PrimitiveDateTime, serializer: S) -> Result<S::Ok, S::Error> {
    let text = time
        .format(format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]"))
        .map_err(serde::ser::Error::custom)?;
    serializer.serialize_str(&text)
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
    fn a_time_on_the_wall_is_found_again_when_summer_time_begins_and_ends() {
        let check = |local: PrimitiveDateTime, expected: &str| {
            let found = Zone::parse("Europe/Berlin").expect("a zone").instant(local).expect("an instant");
            assert_eq!(found.to_string(), expected, "{local}");
        };
        check(datetime!(2026-01-01 13:00), "2026-01-01T12:00:00.000Z");
        check(datetime!(2026-07-01 14:00:01.5), "2026-07-01T12:00:01.500Z");
        check(datetime!(2026-03-29 02:30), "2026-03-29T01:30:00.000Z");
        check(datetime!(2026-10-25 02:30), "2026-10-25T00:30:00.000Z");
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
