//! Time zones: offsets, and names of the IANA time zone database with the rule that each repeats.

use alloc::format;
use alloc::string::String;

use ztlib_policy::constant_struct;

/// A line for each rule: the offset in minutes, where there is summer time its offset and when it
/// begins and ends by the clock (`month.week.weekday/minute`; week 5 is the last, weekday 0 is
/// Sunday), then the names, by area. `-` is a rule that does not repeat. `tests/zones.rs` holds it
/// against the database, and writes it.
const ZONES: &str = include_str!("zones.txt");

/// How far clocks are from UTC.
#[derive(Debug, PartialEq)]
pub(crate) struct Zone {
    /// Minutes ahead of UTC in standard time.
    pub(crate) offset: i64,
    pub(crate) summer: Option<Summer>,
}

/// A part of each year with other clocks.
#[derive(Debug, PartialEq)]
pub(crate) struct Summer {
    /// Minutes ahead of UTC then.
    pub(crate) offset: i64,
    pub(crate) begins: Change,
    pub(crate) ends: Change,
}

constant_struct! {
    /// A moment of each year: "the last Sunday of March, 02:00".
    #[derive(Debug, PartialEq)]
    pub(crate) struct Change {
        /// 1 to 12.
        pub(crate) month: i64,
        /// 1 to 4, and 5 for the last.
        week: i64,
        /// 0 is Sunday.
        weekday: i64,
        /// After the beginning of the day; it may lie on another one.
        minute: i64,
    }
}

impl Zone {
    /// The zone of a configuration: "Europe/Berlin", "UTC", "+01:00".
    ///
    /// # Errors
    /// A name that the database does not have, a zone whose clocks follow no rule that repeats, an
    /// offset out of range: what, and what to write.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with(['+', '-']) {
            let offset = offset(text).ok_or_else(|| {
                format!("`{text}` is not an offset from UTC, as in `+01:00`: from `-12:00` to `+14:00`")
            })?;
            return Ok(Self { offset, summer: None });
        }
        for line in ZONES.lines() {
            let mut fields = line.split('|');
            let rule = fields.next().unwrap_or_default();
            if fields.any(|names| holds(names, text)) {
                return Self::of_rule(rule).ok_or_else(|| {
                    format!(
                        "the clocks of `{text}` follow no rule that repeats: give an offset, as in `+01:00`"
                    )
                });
            }
        }
        Err(format!(
            "`{text}` is not a time zone: give a name of the IANA time zone database, as in `Europe/Berlin`, or an offset, as in `+01:00`"
        ))
    }

    fn of_rule(rule: &str) -> Option<Self> {
        let mut fields = rule.split(' ');
        let offset = fields.next()?.parse().ok()?;
        let summer = match fields.next() {
            None => None,
            Some(offset) => Some(Summer {
                offset: offset.parse().ok()?,
                begins: Change::parse(fields.next()?)?,
                ends: Change::parse(fields.next()?)?,
            }),
        };
        Some(Self { offset, summer })
    }
}

/// Whether a field of the table has a name: "Area/City,City", or the name alone.
fn holds(names: &str, name: &str) -> bool {
    match (names.split_once('/'), name.split_once('/')) {
        (Some((area, cities)), Some((of, city))) => {
            area == of && cities.split(',').any(|other| other == city)
        }
        (None, None) => names == name,
        _ => false,
    }
}

/// Minutes of "+01:00"; none where it is not one that clocks have.
fn offset(text: &str) -> Option<i64> {
    let (sign, digits) = text.split_at_checked(1)?;
    let (hours, minutes) = digits.split_once(':')?;
    let two_digits = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !two_digits(hours) || !two_digits(minutes) {
        return None;
    }
    let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
    let total = hours * 60 + minutes;
    let total = if sign == "-" { -total } else { total };
    (minutes < 60 && (-12 * 60..=14 * 60).contains(&total)).then_some(total)
}

impl Change {
    fn parse(text: &str) -> Option<Self> {
        let (day, minute) = text.split_once('/')?;
        let mut numbers = day.split('.').map(|number| number.parse().ok());
        Some(Self {
            month: numbers.next()??,
            week: numbers.next()??,
            weekday: numbers.next()??,
            minute: minute.parse().ok()?,
        })
    }

    /// The same day, some minutes earlier.
    pub(crate) fn earlier(&self, minutes: i64) -> Self {
        let Self { month, week, weekday, minute } = *self;
        Self { month, week, weekday, minute: minute - minutes }
    }

    /// When it is in a year, where the minutes are those of UTC: seconds since 1970.
    pub(crate) fn unix_seconds(&self, year: i64) -> i64 {
        let first = days_before(year, self.month);
        let next_month =
            if self.month == 12 { days_before(year + 1, 1) } else { days_before(year, self.month + 1) };
        // 1970-01-01 was a Thursday.
        let weekday = (first + 4).rem_euclid(7);
        let mut day = first + (self.weekday - weekday).rem_euclid(7) + (self.week - 1) * 7;
        if day >= next_month {
            day -= 7;
        }
        day * 86_400 + self.minute * 60
    }
}

/// Days from 1970-01-01 to the first of a month.
fn days_before(year: i64, month: i64) -> i64 {
    const BEFORE: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let leap_days = |year: i64| year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let is_leap = leap_days(year) != leap_days(year - 1);
    let in_year =
        usize::try_from(month - 1).ok().and_then(|month| BEFORE.get(month)).copied().unwrap_or_default();
    (year - 1970) * 365 + leap_days(year - 1) - leap_days(1969) + in_year + i64::from(is_leap && month > 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_a_name_or_an_offset() {
        assert_eq!(Zone::parse("UTC").unwrap(), Zone { offset: 0, summer: None });
        assert_eq!(Zone::parse("+05:45").unwrap(), Zone { offset: 345, summer: None });
        assert_eq!(Zone::parse("-12:00").unwrap().offset, -720);
        assert_eq!(Zone::parse("Asia/Tokyo").unwrap().offset, 540);
        assert_eq!(Zone::parse("America/Argentina/Buenos_Aires").unwrap().offset, -180);
        let berlin = Zone::parse("Europe/Berlin").unwrap();
        assert_eq!((berlin.offset, berlin.summer.unwrap().offset), (60, 120));
    }

    #[test]
    fn what_is_no_zone_is_named() {
        for (text, wanted) in [
            ("Europe/Berlln", "`Europe/Berlln` is not a time zone"),
            ("europe/berlin", "`europe/berlin` is not a time zone"),
            ("Berlin", "`Berlin` is not a time zone"),
            ("Europe", "`Europe` is not a time zone"),
            ("Europe/", "`Europe/` is not a time zone"),
            ("Europe/Berlin,Paris", "is not a time zone"),
            ("60", "`60` is not a time zone"),
            ("CEST", "`CEST` is not a time zone"),
            ("Asia/Gaza", "the clocks of `Asia/Gaza` follow no rule that repeats"),
            ("+1", "`+1` is not an offset"),
            ("+01:60", "`+01:60` is not an offset"),
            ("+14:01", "`+14:01` is not an offset"),
            ("-12:01", "`-12:01` is not an offset"),
            ("+é1:00", "is not an offset"),
        ] {
            let error = Zone::parse(text).unwrap_err();
            assert!(error.contains(wanted), "{error}");
        }
    }
}
