//! The operator is warned that caching does not pay if that is so, and not before.

use super::*;

/// Sends these headers to a policy that reads one, and returns whether the operator was told in the
/// end.
fn told(bounds: CacheLimits, users: impl Iterator<Item = usize>) -> bool {
    let policies = allowing_after(&json!([{ "call": "header", "with": ["x-a"] }]), Feed::default());
    let cache = DecisionCache::new(bounds);
    let view = policies.current();
    for user in users {
        let mut question = sketch().question();
        if let Asked::Request(facts) = &mut question.asked {
            facts.parts.headers.insert("x-a", format!("user-{user}").parse().unwrap());
        }
        assert!(cache.decide(&view, *question).result.is_ok());
    }
    cache.sites.load().values().any(|list| list.usefulness.was_told())
}

#[test]
fn callers_who_ask_a_few_times_each_are_no_reason_to_complain() {
    assert!(!told(CacheLimits::default(), (0..40_000).map(|n| n / 5)));
}

#[test]
fn callers_who_never_come_again_are_reported_also_after_better_times() {
    assert!(told(CacheLimits::default(), 0..5000));
    assert!(told(CacheLimits::default(), (0..10_000).map(|n| n % 50).chain(100..7000)));
}

#[test]
fn a_cache_that_is_too_small_is_reported_and_one_with_room_is_not() {
    let small = CacheLimits { bytes: 16 << 10, ..CacheLimits::default() };
    let users = || (0..12_000).map(|n| n % 3000);
    assert!(told(small, users()));
    assert!(!told(CacheLimits::default(), users()));
}

/// Samples of misses are few in the whole process: a list that was replaced must not keep one, even
/// if threads still hold the list.
#[test]
fn a_list_that_is_left_while_its_misses_are_looked_at_holds_up_no_other() {
    let policies = allowing_after(&json!([{ "call": "header", "with": ["x-a"] }]), Feed::default());
    let more = json!({
        "if": { "call": "header", "with": ["x-a"] },
        "then": { "answer": "allow" },
        "else": { "do": [{ "call": "label", "with": ["owner"] }], "answer": "allow" },
    });
    let mut patient = Budget::default();
    patient.wall_clock = Budget::maximum().wall_clock;
    let set = PolicySetBuilder::new().component("probe", probe()).budget(patient);
    let more = set.config(json!({ "decide": more })).load().unwrap();
    let ask = |cache: &DecisionCache, policies: &PolicyStore, user: Option<usize>| {
        let mut question = sketch().question();
        if let (Asked::Request(facts), Some(user)) = (&mut question.asked, user) {
            facts.parts.headers.insert("x-a", format!("user-{user}").parse().unwrap());
        }
        assert!(cache.decide(&policies.current(), *question).result.is_ok());
    };
    for n in 0..12 {
        let cache = DecisionCache::new(CacheLimits::default());
        (0..2500).for_each(|user| ask(&cache, &more, Some(user)));
        match n % 3 {
            // Its list grows; another set comes into force; the guard is dropped.
            0 => ask(&cache, &more, None),
            1 => ask(&cache, &policies, Some(0)),
            _ => {}
        }
        if n % 3 < 2 {
            assert!(!cache.sites.load().values().any(|list| list.usefulness.was_told()));
            std::mem::forget(cache);
        }
    }
    assert!(told(CacheLimits::default(), 0..12_000));
}
