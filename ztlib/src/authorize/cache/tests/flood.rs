//! Whatever callers send, the cache stays within its limits as it counts them. `examples/flood.rs`
//! measures the memory of the process.

use super::*;

/// The number of questions. Each is evaluated and stored.
const QUESTIONS: usize = 50_000;

#[test]
fn a_flood_of_distinct_questions_stays_inside_the_bounds() {
    let calls = json!([{ "call": "path" }, { "call": "header", "with": ["x-a"] }, { "call": "method" }]);
    let policies = allowing_after(&calls, Feed::default());
    let bounds = CacheLimits { bytes: 256 << 10, sites: 64, ..CacheLimits::default() };
    let cache = DecisionCache::new(bounds);
    let view = policies.current();
    let mut most = 0;
    for n in 0..QUESTIONS {
        let mut question = sketch().question();
        if let Asked::Request(facts) = &mut question.asked {
            // Paths, routes, headers and methods that nobody has sent before; some have a value too
            // long for any key.
            facts.target = Target::new("shop.example", &format!("/orders/{n}"));
            facts.route = Some(format!("/shop.Orders/Method{n}").into());
            let long = if n % 100 == 0 { 4000 } else { 10 };
            facts.parts.headers.insert("x-a", "v".repeat(long).parse().unwrap());
            facts.parts.method = if n % 7 == 0 {
                http::Method::from_bytes(format!("M{n}").as_bytes()).unwrap()
            } else {
                http::Method::GET
            };
        }
        let decided = cache.decide(&view, *question);
        assert!(!decided.cached && decided.result.is_ok());
        if n % 5000 == 4999 {
            most = most.max(cache.entries.weight());
        }
    }
    assert!(most <= bounds.bytes, "{most} bytes of {}", bounds.bytes);
    assert!(most > bounds.bytes / 2, "{most} bytes: the cache held almost nothing");
    assert!(cache.sites.load().len() <= bounds.sites + 1, "{} sites", cache.sites.load().len());
}
