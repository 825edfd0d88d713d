//! A rule that makes many slots: the same time on the wall, on some days. Names and meaning are those of RFC 5545, as far
//! as they go.

use serde_json::Value;
use time::{Date, Duration, PrimitiveDateTime, Weekday, macros::format_description};

/// The most slots that one request makes.
pub(super) const SLOTS_MAX: usize = 366;
/// The furthest day of a rule: two years on.
const DAYS_MAX: i64 = 731;
/// The longest step, in days or weeks.
const INTERVAL_MAX: u64 = 52;

/// On which days a slot is offered again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Repeat {
    is_weekly: bool,
    interval: i64,
    /// Of weekly rules; none: the weekday of the first.
    by_day: Vec<Weekday>,
    end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Count(usize),
    /// The last day, that day included.
    Until(Date),
}

impl Repeat {
    /// Reads `{"freq": "weekly", "interval": 1, "by_day": ["mo", "th"], "count": 10}`, or `"until": "2030-03-31"`.
    pub(super) fn read(value: &Value) -> Result<Self, &'static str> {
        let fields = value.as_object().ok_or("not_an_object")?;
        let field = |name: &str| fields.get(name).filter(|value| !value.is_null());
        let is_weekly = match field("freq").and_then(Value::as_str) {
            Some("weekly") => true,
            Some("daily") => false,
            _ => return Err("unknown_freq"),
        };
        let interval = match field("interval") {
            None => 1,
            Some(value) => value.as_u64().filter(|n| (1..=INTERVAL_MAX).contains(n)).ok_or("bad_interval")?,
        };
        let by_day = match field("by_day") {
            None => Vec::new(),
            Some(value) if is_weekly => {
                let days = value.as_array().ok_or("bad_by_day")?;
                days.iter().map(|day| day.as_str().and_then(weekday).ok_or("bad_by_day")).collect::<Result<_, _>>()?
            }
            Some(_) => return Err("by_day_is_weekly"),
        };
        let end = match (field("count"), field("until")) {
            (Some(count), None) => {
                let count = count.as_u64().and_then(|count| usize::try_from(count).ok());
                End::Count(count.filter(|count| (1..=SLOTS_MAX).contains(count)).ok_or("bad_count")?)
            }
            (None, Some(until)) => {
                let text = until.as_str().ok_or("bad_until")?;
                End::Until(
                    Date::parse(text, format_description!("[year]-[month]-[day]")).map_err(|_malformed| "bad_until")?,
                )
            }
            _ => return Err("count_or_until"),
        };
        Ok(Self { is_weekly, interval: i64::try_from(interval).map_err(|_too_long| "bad_interval")?, by_day, end })
    }

    /// When the slots begin on the wall, the first at `first` if its day fits the rule.
    pub(super) fn beginnings(&self, first: PrimitiveDateTime) -> Result<Vec<PrimitiveDateTime>, &'static str> {
        let mut found = Vec::new();
        let monday = i64::from(first.weekday().number_days_from_monday());
        for day in 0..DAYS_MAX {
            let Some(at) = first.checked_add(Duration::days(day)) else { break };
            match self.end {
                End::Count(count) if found.len() >= count => break,
                End::Until(last) if at.date() > last => break,
                End::Count(_) | End::Until(_) => {}
            }
            // Weeks begin on Monday.
            let step = if self.is_weekly { (day + monday) / 7 } else { day };
            let is_named = if self.by_day.is_empty() {
                !self.is_weekly || at.weekday() == first.weekday()
            } else {
                self.by_day.contains(&at.weekday())
            };
            if step % self.interval == 0 && is_named {
                if found.len() >= SLOTS_MAX {
                    return Err("too_many");
                }
                found.push(at);
            }
        }
        if found.is_empty() { Err("none") } else { Ok(found) }
    }
}

fn weekday(text: &str) -> Option<Weekday> {
    Some(match text {
        "mo" => Weekday::Monday,
        "tu" => Weekday::Tuesday,
        "we" => Weekday::Wednesday,
        "th" => Weekday::Thursday,
        "fr" => Weekday::Friday,
        "sa" => Weekday::Saturday,
        "su" => Weekday::Sunday,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use time::macros::{date, datetime};

    use super::*;

    fn days(rule: &Value, first: PrimitiveDateTime) -> Result<Vec<Date>, &'static str> {
        Repeat::read(rule)?.beginnings(first).map(|found| found.into_iter().map(PrimitiveDateTime::date).collect())
    }

    #[test]
    fn a_rule_names_its_days() {
        // A Wednesday.
        let first = datetime!(2030-01-02 09:00);
        let daily = days(&json!({"freq": "daily", "interval": 2, "count": 3}), first);
        assert_eq!(daily, Ok(vec![date!(2030 - 01 - 02), date!(2030 - 01 - 04), date!(2030 - 01 - 06)]));
        let weekly = days(&json!({"freq": "weekly", "until": "2030-01-16"}), first);
        assert_eq!(weekly, Ok(vec![date!(2030 - 01 - 02), date!(2030 - 01 - 09), date!(2030 - 01 - 16)]));
        let named = days(&json!({"freq": "weekly", "by_day": ["mo", "th"], "count": 3}), first);
        assert_eq!(named, Ok(vec![date!(2030 - 01 - 03), date!(2030 - 01 - 07), date!(2030 - 01 - 10)]));
        let every_other = days(&json!({"freq": "weekly", "interval": 2, "by_day": ["mo", "fr"], "count": 3}), first);
        assert_eq!(every_other, Ok(vec![date!(2030 - 01 - 04), date!(2030 - 01 - 14), date!(2030 - 01 - 18)]));
    }

    #[test]
    fn a_rule_has_an_end_and_bounds() {
        let first = datetime!(2030-01-02 09:00);
        for (rule, code) in [
            (json!({"freq": "daily"}), "count_or_until"),
            (json!({"freq": "daily", "count": 2, "until": "2030-01-05"}), "count_or_until"),
            (json!({"freq": "hourly", "count": 2}), "unknown_freq"),
            (json!({"freq": "daily", "count": 367}), "bad_count"),
            (json!({"freq": "daily", "until": "2031-12-31"}), "too_many"),
            (json!({"freq": "daily", "until": "2029-12-31"}), "none"),
            (json!({"freq": "daily", "count": 2, "interval": 0}), "bad_interval"),
            (json!({"freq": "daily", "count": 2, "by_day": ["mo"]}), "by_day_is_weekly"),
            (json!({"freq": "weekly", "count": 2, "by_day": ["monday"]}), "bad_by_day"),
            (json!({"freq": "weekly", "until": "soon"}), "bad_until"),
            (json!("weekly"), "not_an_object"),
        ] {
            assert_eq!(days(&rule, first), Err(code), "{rule}");
        }
    }
}
