//! Everything that callers can multiply is bounded: sites, lists, entries, and what a thread keeps.

use super::*;

#[test]
fn sites_of_sets_that_are_not_in_force_any_more_are_dropped_and_take_no_place() {
    let cache = DecisionCache::new(CacheLimits { sites: 3, ..CacheLimits::default() });
    for n in 0..20 {
        let read = json!([{ "call": "route" }, { "call": "label", "with": [n.to_string()] }]);
        let policies = allowing_after(&read, Feed::default());
        let view = policies.current();
        for route in 0..5 {
            cache.decide(&view, *at_route(&format!("/{route}")));
        }
        let sites = cache.sites.load();
        assert_eq!(sites.len(), 4, "three of their own, and the shared one");
        assert!(sites.keys().all(|site| site.root == view.root()));
    }
}

#[test]
fn what_a_decision_carries_is_weighed_with_it() {
    let weight = |bytes: usize| {
        let value = "v".repeat(bytes);
        let set = |n: usize| json!({ "call": "set-response-header", "with": [format!("x-{n}"), value] });
        let policies = allowing_after(&(0..8).map(set).collect(), Feed::default());
        let cache = DecisionCache::new(CacheLimits::default());
        cache.decide(&policies.current(), *sketch().question());
        cache.entries.weight()
    };
    assert!(weight(1001) >= weight(1) + 8 * 1000);
}

#[test]
fn what_a_thread_keeps_is_bounded_in_bytes() {
    let read = json!([{ "call": "header", "with": ["x-a"] }]);
    let policies = allowing_after(&read, Feed::default());
    let view = policies.current();
    let fill = |length: usize| {
        // A separate cache has separate entries.
        let cache = DecisionCache::new(CacheLimits { key_bytes: 1 << 20, ..CacheLimits::default() });
        for user in 0..6 {
            let mut question = sketch().question();
            if let Asked::Request(facts) = &mut question.asked {
                facts.parts.headers.insert("x-a", format!("{user}{}", "v".repeat(length)).parse().unwrap());
            }
            assert!(cache.decide(&view, *question).result.is_ok());
        }
    };
    (0..300).for_each(|_| fill(1000));
    let full = front::held();
    assert!((128 << 10..=512 << 10).contains(&full), "{full} bytes");
    (0..300).for_each(|_| fill(50_000));
    assert!(front::held() <= full, "{} bytes", front::held());
}

/// A caller invents methods of a known gRPC service.
#[test]
fn sites_that_callers_make_up_do_not_keep_others_from_being_remembered() {
    let policies = allowing_after(&json!([{ "call": "route" }]), Feed::default());
    let cache = DecisionCache::new(CacheLimits { sites: 8, ..CacheLimits::default() });
    let view = policies.current();
    for method in 0..100 {
        cache.decide(&view, *at_route(&format!("/shop.Orders/Made{method}Up")));
    }
    assert!(!cache.decide(&view, *at_route("/shop.Orders/List")).cached);
    assert!(
        cache.decide(&view, *at_route("/shop.Orders/List")).cached,
        "a flood of invented methods shut it out"
    );
    assert!(cache.sites.load().len() <= 9, "{} sites", cache.sites.load().len());
}

/// A method that a caller invented, on one of our routes: it has no site, takes none from others,
/// and nothing is cached under it.
#[test]
fn a_method_that_a_caller_made_up_has_no_site() {
    let policies = allowing_after(&json!([{ "call": "route" }, { "call": "method" }]), Feed::default());
    let cache = DecisionCache::new(CacheLimits::default());
    let view = policies.current();
    let ask = |method: &str| {
        let mut question = sketch().question();
        if let Asked::Request(facts) = &mut question.asked {
            facts.parts.method = http::Method::from_bytes(method.as_bytes()).unwrap();
        }
        let decided = cache.decide(&view, *question);
        assert!(decided.result.is_ok());
        decided.cached
    };
    for method in ["BREW", "get", "Get", "PROPFIND", "GETGET", "TRACE", "CONNECT", "X"] {
        assert!(!ask(method) && !ask(method), "{method}");
        assert!(cache.sites.load().is_empty(), "{method}");
    }
    for (sites, method) in ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"].iter().enumerate() {
        ask(method);
        assert!(ask(method), "{method}");
        assert_eq!(cache.sites.load().len(), sites + 1, "{method}");
    }
}

/// An application may build actions from what callers send.
#[test]
fn what_a_site_is_called_is_bounded_in_bytes_too() {
    let policies = allowing_after(&json!([{ "call": "label", "with": ["owner"] }]), Feed::default());
    let cache = DecisionCache::new(CacheLimits { sites: 8, ..CacheLimits::default() });
    let view = policies.current();
    let ask = |action: String| {
        let asked = Asked::Action(action.into());
        cache.decide(
            &view,
            Question::new(crate::authorize::Caller::default(), asked, Labels::new(), sketch().now),
        )
    };
    for n in 0..20 {
        assert!(ask(format!("{n}{}", "x".repeat(100_000))).result.is_ok());
    }
    let named = |site: &Site| match &site.kind {
        Kind::Action(action) => action.len(),
        Kind::Request { route, .. } => route.as_deref().map_or(0, str::len),
        Kind::LongAction | Kind::Others => 0,
    };
    let held: usize = cache.sites.load().keys().map(named).sum();
    assert!(held <= 8 * 8192, "the names of sites take {held} bytes");
    assert!(ask("x".repeat(100_000)).cached, "long actions share one list");
    ask("orders.list".to_owned());
    assert!(ask("orders.list".to_owned()).cached);
}

/// What a policy asks may depend on the caller. Callers for whom the list has no room are evaluated
/// and do not wait for each other.
#[test]
fn a_site_with_too_many_reads_is_evaluated_without_waiting_for_anybody() {
    let labels = |names: std::ops::Range<usize>, length: usize| -> Json {
        names.map(|n| json!({ "call": "label", "with": [format!("{n}{}", "x".repeat(length))] })).collect()
    };
    let program = |length| {
        json!({
            "if": { "call": "header", "with": ["x-a"] },
            "then": { "do": labels(0..3, length), "answer": "allow" },
            "else": { "do": labels(3..15, length), "answer": "allow" },
        })
    };
    for (length, reads) in [(1, 4), (1, 12), (2000, MAX_READS)] {
        let set =
            PolicySetBuilder::new().component("probe", probe()).config(json!({ "decide": program(length) }));
        let policies = set.load().unwrap();
        let cache = DecisionCache::new(CacheLimits { reads, ..CacheLimits::default() });
        let view = policies.current();
        let few = Sketch { headers: vec![("x-a", "1")], ..sketch() };
        cache.decide(&view, *few.question());
        assert!(cache.decide(&view, *few.question()).cached);
        let growing = cache.growing.lock().unwrap();
        let (done, decided) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| done.send(cache.decide(&view, *sketch().question()).cached));
            let cached = decided.recv_timeout(Duration::from_secs(20));
            // Otherwise the thread would never end.
            drop(growing);
            assert_eq!(cached, Ok(false), "{length} {reads}");
        });
    }
}

#[test]
fn what_a_read_list_holds_is_bounded_in_bytes_too() {
    let long = "x".repeat(2000);
    let calls: Vec<Json> =
        (0..30).map(|n| json!({ "call": "has-scope", "with": [format!("{n}{long}")] })).collect();
    let policies = allowing_after(&json!(calls), Feed::default());
    let cache = DecisionCache::new(CacheLimits::default());
    let view = policies.current();
    for _ in 0..2 {
        assert!(!cache.decide(&view, *sketch().question()).cached);
    }
    let held: usize =
        cache.sites.load().values().flat_map(|list| &list.reads).map(crate::authorize::Read::size).sum();
    assert!(held <= 16 * 1024, "a list holds {held} bytes");
}

/// A caller's value is written into a buffer that the thread keeps.
#[test]
fn a_long_value_leaves_no_long_buffer_behind() {
    let policies = allowing_after(&json!([{ "call": "header", "with": ["x-a"] }]), Feed::default());
    let bounds = CacheLimits::default();
    let cache = DecisionCache::new(bounds);
    let view = policies.current();
    for length in [1, 60_000, 4_000_000] {
        let mut question = sketch().question();
        if let Asked::Request(facts) = &mut question.asked {
            facts.parts.headers.insert("x-a", "v".repeat(length).parse().unwrap());
        }
        cache.decide(&view, *question);
        let kept = KEY.take().capacity();
        assert!(kept <= 2 * bounds.key_bytes, "{kept} bytes kept for a value of {length}");
    }
}

#[test]
fn the_least_and_the_greatest_bounds_mean_what_their_docs_say() {
    let policies = allowing_after(&json!([{ "call": "header", "with": ["x-a"] }]), Feed::default());
    let view = policies.current();
    let most = CacheLimits { bytes: u64::MAX, sites: usize::MAX, reads: usize::MAX, key_bytes: usize::MAX };
    for (bounds, remembered) in [
        (most, true),
        (CacheLimits { reads: 0, ..most }, false),
        (CacheLimits { key_bytes: 0, ..most }, false),
        (CacheLimits { sites: 0, ..most }, true),
    ] {
        let cache = DecisionCache::new(bounds);
        let ask = || cache.decide(&view, *sketch().question()).cached;
        assert!(!ask());
        // The list exists after the first question, or after the second if sites are shared.
        ask();
        assert_eq!(ask(), remembered, "{bounds:?}");
    }
}
