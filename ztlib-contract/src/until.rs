//! When time alone would change an answer (T5).
//!
//! A decision that depended on time was right for one moment, and is asked again at each look-up.
//! When it will next be another one is worked out for each request from its own reads, no matter
//! who filled the cache entry, and stands in no entry.

use super::facts::Caller;
use super::read::Read;
use super::time::unix_seconds;
use ztlib_pattern::{Window, windows};

/// Minutes of a week.
const WEEK: u64 = 7 * 24 * 60;

/// The first second after `now` (both since 1970) in which one of these reads would give another
/// value, were everything but time to stay as it is: from yes to no or from no to yes, or merely
/// the next second where the time itself was read. None where time changes none of them.
///
/// `now` and `caller` are those of the question that the reads were made for. For reads other
/// than those of time it costs a comparison each.
pub fn next_change<'r>(reads: impl IntoIterator<Item = &'r Read>, caller: &Caller, now: u64) -> Option<u64> {
    reads.into_iter().filter_map(|read| changes_at(read, caller, now)).min()
}

fn changes_at(read: &Read, caller: &Caller, now: u64) -> Option<u64> {
    // What has come does not come again: only windows do.
    let if_ahead = |moment: u64| (now < moment).then_some(moment);
    match read {
        Read::Now => now.checked_add(1),
        Read::Before(moment) => if_ahead(*moment),
        Read::BeforeClaim(pointer) => {
            let moment = caller.claims.as_deref()?.claim_int(pointer).ok()??;
            if_ahead(u64::try_from(moment).ok()?)
        }
        Read::AuthenticatedWithin(seconds) => {
            let login =
                caller.claims.as_deref().and_then(|claims| claims.auth_time().ok()?).map(unix_seconds)?;
            // A login in the future is none yet; one that is exactly as old as is asked for still
            // counts.
            if_ahead(login).or_else(|| if_ahead(login.checked_add(u64::from(*seconds))?.checked_add(1)?))
        }
        Read::InWindow(schedule) => window_changes_at(schedule, now),
        _ => None,
    }
}

/// When it is next inside of the schedule where it now is not, or outside where it is. None for a
/// schedule without a gap.
fn window_changes_at(schedule: &str, now: u64) -> Option<u64> {
    let windows: Vec<Window> = windows(schedule).ok()?.collect::<Result<_, _>>().ok()?;
    let on = |day: u64| windows.iter().filter(move |window| window.days >> day & 1 == 1);
    let in_week = |day: u64| on(day).map(move |window| (day * 1440 + window.from, day * 1440 + window.to));
    let mut week: Vec<(u64, u64)> = (0..7).flat_map(in_week).collect();
    week.sort_unstable();

    // 1970-01-01 was a Thursday; the week begins on Monday. Two weeks in a row hold every change
    // that can be next.
    let minute = (now / 60 + 3 * 1440) % WEEK;
    let two_weeks = || {
        [0, WEEK].into_iter().flat_map(|later| week.iter().map(move |(from, to)| (from + later, to + later)))
    };
    let mut end = minute;
    for (from, to) in two_weeks() {
        // Windows that touch or overlap are one.
        if from <= end {
            end = end.max(to);
        }
    }
    let change =
        if end > minute { end } else { two_weeks().map(|(from, _)| from).find(|from| *from > minute)? };
    let minutes = change - minute;
    // A schedule without a gap goes on beyond a whole week.
    if minutes > WEEK { None } else { (now / 60).checked_add(minutes)?.checked_mul(60) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value as Json};

    use super::*;
    use crate::facts::{ClaimLimits, Claims, Labels};
    use crate::time::from_unix_seconds;
    use crate::{Asked, Question, Value, View};

    /// 2026-11-23 is a Monday.
    const MONDAY: u64 = 1_795_392_000;
    const DAY: u64 = 86_400;

    /// Somebody whose token says when they logged in, and until when something holds.
    fn somebody(login: Option<u64>, until: Option<i64>) -> Caller {
        let mut claims = Map::new();
        claims.extend(login.map(|login| ("auth_time".to_owned(), Json::from(login))));
        claims.extend(until.map(|until| ("until".to_owned(), Json::from(until))));
        Caller::default().with_claims(Claims::described(claims, MONDAY, true, ClaimLimits::CASE).unwrap())
    }

    /// What a policy is told at this second.
    fn told(read: &Read, caller: &Caller, now: u64) -> Value {
        let asked = Asked::Action("test".into());
        let mut question = Question::new(caller.clone(), asked, Labels::new(), from_unix_seconds(now));
        question.answer(read, &View::default()).unwrap()
    }

    /// Whether the change is the first one, second by second as far as `seconds` go, minute by
    /// minute (schedules know no smaller step) for eight days.
    fn check(read: &Read, caller: &Caller, now: u64, seconds: u64) -> Result<(), TestCaseError> {
        let value = told(read, caller, now);
        let change = next_change([read], caller, now);
        let end = change.unwrap_or(u64::MAX);
        prop_assert!(end > now);
        let by_minutes = (1..8 * 1440)
            .map(|minutes| (now / 60 + minutes) * 60)
            .filter(|_| matches!(read, Read::InWindow(_)));
        for at in (now..now + seconds).chain(by_minutes).filter(|at| *at < end) {
            prop_assert_eq!(&told(read, caller, at), &value, "{} at {}, end {}", read, at, end);
        }
        if let Some(change) = change {
            prop_assert_eq!(&told(read, caller, change - 1), &value, "{} before {}", read, change);
            prop_assert_ne!(&told(read, caller, change), &value, "{} at {}", read, change);
        }
        Ok(())
    }

    fn schedule() -> impl Strategy<Value = String> {
        const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
        let days = (0..7_usize, 0..7_usize, any::<bool>()).prop_map(|(one, other, range)| {
            let (first, last) = (one.min(other), one.max(other));
            let separator = if range { "-" } else { "," };
            format!("{}{separator}{}", DAYS[first], DAYS[last])
        });
        // Round hours often, so that windows touch.
        let minute = prop_oneof![3 => (0..=24_u64).prop_map(|hour| hour * 60), 1 => 0..=1440_u64];
        let window =
            (days, minute.clone(), minute).prop_filter_map("an empty window", |(days, one, other)| {
                let (from, to) = (one.min(other), one.max(other));
                let time = |minute: u64| format!("{:02}:{:02}", minute / 60, minute % 60);
                (from < to).then(|| format!("{days} {}-{}", time(from), time(to)))
            });
        prop::collection::vec(window, 1..5).prop_map(|windows| windows.join("; "))
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_window_holds_until_its_end_and_not_a_second_longer(
            schedule in schedule(), at in 0..2 * 7 * DAY, round in any::<bool>(),
        ) {
            let now = MONDAY + if round { at / 3600 * 3600 } else { at };
            check(&Read::InWindow(schedule.into()), &Caller::default(), now, 130)?;
        }

        #[test]
        fn moments_and_logins_hold_until_their_end_and_not_a_second_longer(
            now in MONDAY - 50..MONDAY + 50, moment in MONDAY - 100..MONDAY + 100, seconds in 0..100_u32,
            login in prop::option::of(MONDAY - 100..MONDAY + 100),
            until in prop::option::of(prop_oneof![Just(-1), MONDAY as i64 - 100..MONDAY as i64 + 100]),
        ) {
            let caller = somebody(login, until);
            let reads = [
                Read::Before(moment),
                Read::BeforeClaim("/until".into()),
                Read::AuthenticatedWithin(seconds),
                Read::Now,
                Read::Subject,
            ];
            for read in &reads {
                check(read, &caller, now, 300)?;
            }
            // Of several, the first.
            let first = reads.iter().filter_map(|read| next_change([read], &caller, now)).min();
            prop_assert_eq!(next_change(&reads, &caller, now), first);
            prop_assert_eq!(first, Some(now + 1), "`now` is among them");
        }
    }

    #[test]
    fn what_time_does_not_change_has_no_end() {
        let anonymous = Caller::default();
        for read in [
            Read::Method,
            Read::Subject,
            Read::Before(MONDAY),
            Read::Before(0),
            Read::BeforeClaim("/until".into()),
            Read::AuthenticatedWithin(60),
            Read::InWindow("mon-sun 00:00-24:00".into()),
            Read::InWindow("mon-fri 00:00-24:00; sat,sun 00:00-12:00; sat-sun 12:00-24:00".into()),
            Read::Signal("risk".into()),
        ] {
            assert_eq!(next_change([&read], &anonymous, MONDAY), None, "{read}");
        }
        assert_eq!(next_change([], &anonymous, MONDAY), None);
        assert_eq!(next_change([&Read::Before(MONDAY + 1)], &anonymous, MONDAY), Some(MONDAY + 1));
    }

    #[test]
    fn windows_that_touch_are_one_over_the_days_and_over_the_week() {
        let at =
            |schedule: &str, now| next_change([&Read::InWindow(schedule.into())], &Caller::default(), now);
        let office = "mon-fri 08:00-12:00; mon-fri 12:00-18:00";
        assert_eq!(at(office, MONDAY), Some(MONDAY + 8 * 3600));
        assert_eq!(at(office, MONDAY + 9 * 3600 + 59), Some(MONDAY + 18 * 3600));
        assert_eq!(at(office, MONDAY + 4 * DAY + 18 * 3600), Some(MONDAY + 7 * DAY + 8 * 3600));
        let weekend = "sat,sun 00:00-24:00; mon 00:00-06:00";
        assert_eq!(at(weekend, MONDAY + 5 * DAY), Some(MONDAY + 7 * DAY + 6 * 3600));
        assert_eq!(at(weekend, MONDAY + 5 * 3600), Some(MONDAY + 6 * 3600));
        // All but one minute of the week, from just behind it.
        let gap = "mon 00:01-24:00; tue-sun 00:00-24:00";
        assert_eq!(at(gap, MONDAY + 60), Some(MONDAY + 7 * DAY));
        assert_eq!(at(gap, MONDAY + 7), Some(MONDAY + 60));
        assert_eq!(at("nonsense", MONDAY), None);
    }

    #[test]
    fn ends_that_no_clock_can_show_are_harmless() {
        let somebody = somebody(Some(MONDAY), Some(i64::MAX));
        assert_eq!(
            next_change([&Read::BeforeClaim("/until".into())], &somebody, MONDAY),
            Some(i64::MAX as u64)
        );
        assert_eq!(next_change([&Read::Before(u64::MAX)], &somebody, MONDAY), Some(u64::MAX));
        let late = u64::MAX - 1;
        for read in [Read::Now, Read::InWindow("mon 00:00-00:01".into()), Read::AuthenticatedWithin(u32::MAX)]
        {
            let _ = next_change([&read], &somebody, late);
        }
        assert_eq!(next_change([&Read::Now], &somebody, u64::MAX), None);
    }
}
