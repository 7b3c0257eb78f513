//! Weekly hours of a time zone, asked as weekly windows in UTC.
//!
//! The clock of a zone without summer time is always as far from UTC, so its hours are a window in
//! UTC. With summer time they are two: one for each of the two clocks. Where both give the same
//! answer, which is nearly always, that is the answer. In the few hours a week in which they do
//! not, the next change of the clocks is sought, by `before`. So no question is ever `now`, and an
//! answer that is remembered stays good until the hour or the clock changes.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};

use ztlib_pattern::{in_window, windows};
use ztlib_policy::{Question, constant_struct};

use crate::zone::{Change, Summer, Zone};

/// The first year whose changes of clocks are known, and the year after the last. The few hours
/// that depend on the clock are closed before and after them.
const YEARS: core::ops::Range<i64> = 2020..2101;

const MINUTES_OF_DAY: i64 = 24 * 60;

constant_struct! {
    /// Hours of a week, as one clock or two show them.
    #[derive(Debug, PartialEq)]
    pub(crate) struct Hours {
        /// As the configuration has them, with the zone.
        written: Box<str>,
        /// In UTC, while the zone has its standard time.
        standard: Box<str>,
        summer: Option<InSummer>,
    }
}

constant_struct! {
    #[derive(Debug, PartialEq)]
    struct InSummer {
        /// In UTC, while the zone has its summer time.
        hours: Box<str>,
        /// When the clocks go forward: on a day, in minutes of UTC after its beginning in UTC.
        begins: Change,
        /// When they go back.
        ends: Change,
    }
}

impl Hours {
    /// Hours as a schedule of the zone's own clock.
    ///
    /// # Errors
    /// Hours that make too long a schedule in UTC.
    pub(crate) fn new(hours: &str, name: &str, zone: &Zone) -> Result<Self, String> {
        let summer = match &zone.summer {
            None => None,
            Some(Summer { offset, begins, ends }) => Some(InSummer {
                hours: in_utc(hours, *offset)?,
                // Clocks go forward by standard time, and back by summer time.
                begins: begins.earlier(zone.offset),
                ends: ends.earlier(*offset),
            }),
        };
        let written = format!("hours {hours} {name}").into();
        Ok(Self { written, standard: in_utc(hours, zone.offset)?, summer })
    }

    pub(crate) fn words(&self) -> String {
        self.written.to_string()
    }

    /// Whether they include the moment of the question. It reads `in-window`, where there is summer
    /// time twice, and `before` where the two clocks do not agree.
    pub(crate) fn include_now(&self, question: &Question<'_>) -> bool {
        let by_standard = question.in_window(&self.standard);
        let Some(summer) = &self.summer else { return by_standard };
        let by_summer = question.in_window(&summer.hours);
        if by_standard == by_summer {
            return by_standard;
        }
        // Where it is not known which clock it is, it is closed.
        summer.is_on(question).is_some_and(|is_summer| if is_summer { by_summer } else { by_standard })
    }
}

impl InSummer {
    /// Whether the zone has its summer time now; none before the first
    /// change of these years and after the last.
    fn is_on(&self, question: &Question<'_>) -> Option<bool> {
        // In the south, the clocks go back first.
        let is_north = self.begins.month < self.ends.month;
        let change = |number: i64| {
            let begins = (number % 2 == 0) == is_north;
            let change = if begins { &self.begins } else { &self.ends };
            (begins, change.unix_seconds(YEARS.start + number / 2))
        };
        let all = 2 * (YEARS.end - YEARS.start);
        let (mut first, mut end) = (0, all);
        while first < end {
            let middle = first + (end - first) / 2;
            let (_, moment) = change(middle);
            if question.before(u64::try_from(moment).ok()?) {
                end = middle;
            } else {
                first = middle + 1;
            }
        }
        let is_known = first > 0 && first < all;
        let (next_begins, _) = change(first);
        is_known.then_some(!next_begins)
    }
}

/// A schedule of a clock that is `offset` minutes ahead of UTC, as a schedule in UTC.
fn in_utc(hours: &str, offset: i64) -> Result<Box<str>, String> {
    if offset == 0 {
        return Ok(hours.into());
    }
    let mut all = String::new();
    for window in windows(hours).map_err(|malformed| malformed.0.to_string())? {
        let window = window.map_err(|malformed| malformed.0.to_string())?;
        // Both are less than two days away from 0, whatever the offset.
        let mut from = window.from as i64 - offset;
        let to = window.to as i64 - offset;
        while from < to {
            let day = from.div_euclid(MINUTES_OF_DAY);
            let midnight = day * MINUTES_OF_DAY;
            let end = to.min(midnight + MINUTES_OF_DAY);
            push(&mut all, window.days, day, from - midnight, end - midnight);
            from = end;
        }
    }
    match in_window(&all, 0) {
        Ok(_) => Ok(all.into()),
        Err(_) => Err("these are too many hours: in UTC they are longer than 2048 bytes".to_string()),
    }
}

/// Appends a window on these days, all of them moved by some days.
fn push(to: &mut String, days: u8, moved: i64, from: i64, end: i64) {
    const NAMES: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    if !to.is_empty() {
        to.push_str("; ");
    }
    let mut is_first = true;
    for (day, name) in NAMES.iter().enumerate() {
        let before = (day as i64 - moved).rem_euclid(7);
        if days >> before & 1 == 1 {
            to.push_str(if is_first { "" } else { "," });
            to.push_str(name);
            is_first = false;
        }
    }
    to.push_str(&format!(" {:02}:{:02}-{:02}:{:02}", from / 60, from % 60, end / 60, end % 60));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_that_cross_midnight_in_utc_are_parted_there() {
        let utc = |hours: &str, offset: i64| in_utc(hours, offset).unwrap().into_string();
        assert_eq!(utc("mon-fri 08:00-18:00", 0), "mon-fri 08:00-18:00");
        assert_eq!(utc("mon-fri 08:00-18:00", 60), "mon,tue,wed,thu,fri 07:00-17:00");
        assert_eq!(
            utc("mon-fri 08:00-18:00", 9 * 60),
            "mon,tue,wed,thu,sun 23:00-24:00; mon,tue,wed,thu,fri 00:00-09:00"
        );
        assert_eq!(
            utc("mon-fri 08:00-18:00", -8 * 60),
            "mon,tue,wed,thu,fri 16:00-24:00; tue,wed,thu,fri,sat 00:00-02:00"
        );
        assert_eq!(utc("mon 00:00-24:00", 345), "sun 18:15-24:00; mon 00:00-18:15");
        assert_eq!(utc("sun 23:00-24:00; sat 10:00-12:00", -60), "mon 00:00-01:00; sat 11:00-13:00");
    }

    #[test]
    fn hours_that_are_too_long_in_utc_are_refused() {
        let hours = ["mon-sun 08:00-18:00"; 80].join(";");
        assert!(in_utc(&hours, 0).is_ok());
        assert!(in_utc(&hours, 60).unwrap_err().contains("too many hours"));
    }
}
