//! Replay and shadow give the same differences on the same traffic.

use http::{Extensions, HeaderValue, Request};
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use tokio::runtime::Runtime;
use ztlib::authenticate::Principal;
use ztlib::authorize::Labels;
use ztlib::enforce::{Guard, MatchedRoute};
use ztlib::policies::trial::{Attribute, Candidate, Change, Recorder, RecordingRules, Share};
use ztlib::policies::{PolicyStore, PolicySetBuilder};
use ztlib_testing::peer_extensions;

use crate::stage::PATIENCE;
use crate::support::World;

const PEERS: &[u8] = include_bytes!("../../../plugins/artifacts/peer-allow-list.wasm");
const RBAC: &[u8] = include_bytes!("../../../plugins/artifacts/rbac.wasm");
const SCOPE: &[u8] = include_bytes!("../../../plugins/artifacts/token-scope.wasm");
const STEP_UP: &[u8] = include_bytes!("../../../plugins/artifacts/step-up.wasm");
const PROBE: &[u8] = include_bytes!("../../../plugins/artifacts/probe.wasm");
const TRAP: &[u8] = include_bytes!("../../../plugins/artifacts/trap.wasm");

const ROUTES: [&str; 3] = ["/orders/{id}", "/orders/{id}/refund", "/reports/{id}"];

/// What differs from one set to another.
#[derive(Clone)]
struct Plan {
    peers: Json,
    delete: Json,
    scope: &'static str,
    max_age: u32,
    tenant: Json,
}

impl Plan {
    fn in_force() -> Self {
        Self {
            peers: json!(["spiffe://example.org/frontend", "spiffe://example.org/reporting"]),
            delete: json!(["admin"]),
            scope: "orders",
            max_age: 300,
            tenant: json!([{ "call": "copy-to-request-header-or-remove", "with": ["x-tenant", "{claim:/tenant}"] }]),
        }
    }

    fn set(&self) -> PolicySetBuilder {
        let admins = json!({ "methods": ["GET", "DELETE"], "routes": ["/orders/**", "/reports/{id}"] });
        let viewers = json!({ "methods": ["GET", "POST"], "routes": ROUTES });
        let may_delete = self.delete.as_array().unwrap().iter().any(|role| role == "viewer");
        let mut permissions = json!({ "admin": [admins], "viewer": [viewers] });
        if may_delete {
            permissions["viewer"] = json!([viewers, admins]);
        }
        PolicySetBuilder::new()
            .component("peers", PEERS)
            .config(json!({ "rules": [{ "peers": self.peers, "methods": ["*"], "routes": ROUTES }] }))
            .reasons(["peer-not-allowed"])
            .component("rbac", RBAC)
            .config(json!({ "roles": { "claims": ["/roles"] }, "permissions": permissions }))
            .reasons(["no-rule", "no-role"])
            .component("scope", SCOPE)
            .config(json!({ "rules": [{ "methods": ["*"], "routes": ["/orders/**"], "scopes": [self.scope] }] }))
            .reasons(["no-rule", "missing-scope"])
            .may_abstain()
            .component("step-up", STEP_UP)
            .config(json!({ "rules": [{ "methods": ["POST"], "routes": [ROUTES[1]], "amr": ["mfa"], "max-age": self.max_age, "challenge-acr": "strong" }] }))
            .reasons(["step-up-required"])
            .may_abstain()
            .component("tenant", PROBE)
            .config(json!({ "decide": { "do": self.tenant, "answer": "allow" } }))
    }
}

/// Small numbers, the same ones for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

struct Traffic {
    world: World,
    runtime: Runtime,
    peers: Vec<Extensions>,
}

impl Traffic {
    fn new() -> Self {
        let runtime = Runtime::new().unwrap();
        let world = World::new();
        let peer = |name: &str| {
            let leaf = world.mesh.issue_spiffe(&format!("spiffe://example.org/{name}"));
            runtime.block_on(peer_extensions(&world.trust, Some(&leaf), world.clock.clone())).unwrap()
        };
        let peers = ["frontend", "reporting", "stranger"].map(peer).into();
        Self { world, runtime, peers }
    }

    /// Sends random requests, good and bad. Gives how many policies have judged.
    fn send(&self, guard: &Guard, random: &mut Random, number: usize) -> u64 {
        for _ in 0..number {
            let token = self.world.token().subject(random.one(&["alice", "bob", "carol"]));
            let token = token.claim("roles", [random.one(&["viewer", "admin", "guest"])]);
            let mut token = token.scope(random.one(&["orders", "orders reports", "orders:write", ""]));
            if random.below(2) == 0 {
                token = token.claim("tenant", random.one(&["acme", "umbrella"]));
            }
            if random.below(2) == 0 {
                let ago = std::time::Duration::from_secs(random.one(&[10, 100, 400]));
                token = token.claim("amr", [random.one(&["mfa", "pwd"])]).authenticated_ago(ago);
            }
            let route = random.one(&ROUTES);
            let path = route.replace("{id}", random.one(&["7", "8"]));
            let mut request = Request::builder()
                .method(random.one(&["GET", "POST", "DELETE"]))
                .uri(format!("{path}{}", random.one(&["", "?q=1", "?q=1&q=2", "?q=%zz", "?other=1"])))
                .header("host", random.one(&["shop.test", "shop.test", "shop.test", "a b"]))
                .header("authorization", format!("Bearer {}", token.sign()))
                .body(http_body_util::Full::default())
                .unwrap();
            for _ in 0..random.below(3) {
                let value = HeaderValue::from_bytes(random.one(&[b"a", b"b", b"\xff"])).unwrap();
                request.headers_mut().append("x-tag", value);
            }
            if random.below(8) == 0 {
                request.headers_mut().remove("authorization");
            }
            *request.extensions_mut() = random.one(&[&self.peers[0], &self.peers[1], &self.peers[2]]).clone();
            request.extensions_mut().insert(MatchedRoute::new(route).with_param("id", "7"));
            request.extensions_mut().insert(Labels::new().with("owner", random.one(&["alice", "bob"])));
            self.runtime.block_on(self.world.send(guard, request));
            self.world.clock.advance(std::time::Duration::from_secs(random.one(&[0, 1, 60])));
            if random.below(10) == 0 {
                let labels = Labels::new().with("owner", "bob");
                let _ = guard.ask(
                    &Principal::anonymous(),
                    random.one(&["orders.approve", "orders.read"]),
                    labels,
                );
            }
        }
        let judged = self.world.events.take().iter().filter(|event| event.revision().is_some()).count();
        judged.try_into().unwrap()
    }
}

/// Everything that a set of these tests may ask about.
fn everything() -> RecordingRules {
    let attributes = [
        Attribute::peer(),
        Attribute::host(),
        Attribute::path(),
        Attribute::remote_ip(),
        Attribute::header_names(),
        Attribute::header("x-tag"),
        Attribute::param("id"),
        Attribute::query("q"),
        Attribute::label("owner"),
        Attribute::claim(""),
    ];
    attributes.into_iter().fold(RecordingRules::new(), RecordingRules::also)
}

/// Sends traffic past a shadow and a recorder.
fn try_out(
    traffic: &Traffic,
    guard: &Guard,
    recorder: &Recorder,
    candidate: &Candidate,
    random: &mut Random,
    number: usize,
) -> (ztlib::policies::trial::Differences, u64) {
    recorder.clear();
    let policies: &PolicyStore = guard.policies();
    let shadow = policies.shadow(candidate, Share::ALL).unwrap();
    let judged = traffic.send(guard, random, number);
    let done = shadow.wait_until(PATIENCE, |status| status.judged + status.lost >= judged);
    assert!(done, "{:?} of {judged}", shadow.status());
    assert_eq!(shadow.lost(), 0);
    (shadow.end(), judged)
}

#[test]
fn replay_and_shadow_give_the_same_differences_on_the_same_traffic() {
    let traffic = Traffic::new();
    let plan = Plan::in_force();
    let policies = plan.set().load().unwrap();
    let guard = traffic.world.guard(policies.clone()).build();
    let copied =
        || json!([{ "call": "copy-to-request-header-or-remove", "with": ["x-tenant", "{claim:/org}"] }]);
    let candidates = || {
        [
            (plan.set(), None),
            (
                Plan { peers: json!(["spiffe://example.org/frontend"]), ..plan.clone() }.set(),
                Some(Change::Tightened),
            ),
            (Plan { peers: json!(["spiffe://example.org/*"]), ..plan.clone() }.set(), Some(Change::Loosened)),
            (Plan { delete: json!(["admin", "viewer"]), ..plan.clone() }.set(), Some(Change::Loosened)),
            (Plan { scope: "orders:write", ..plan.clone() }.set(), Some(Change::OtherDenial)),
            (Plan { max_age: 60, ..plan.clone() }.set(), Some(Change::OtherDenial)),
            (Plan { tenant: copied(), ..plan.clone() }.set(), Some(Change::OtherObligations)),
            (PolicySetBuilder::new().component("trap", TRAP), Some(Change::Fault)),
        ]
    };
    // Everything; and what the policies in force have been seen to read, which is what these candidates
    // read, too.
    for rules in [everything(), RecordingRules::new()] {
        let recorder = policies.record(rules).unwrap();
        traffic.send(&guard, &mut Random(4711), 400);
        compare(&traffic, &guard, &recorder, candidates().into_iter());
    }
}

fn compare(
    traffic: &Traffic,
    guard: &Guard,
    recorder: &Recorder,
    candidates: impl Iterator<Item = (PolicySetBuilder, Option<Change>)>,
) {
    let policies = guard.policies();
    for (index, (set, expected)) in candidates.enumerate() {
        let candidate = policies.candidate(set).unwrap();
        let mut random = Random(index as u64);
        let (live, judged) = try_out(traffic, guard, recorder, &candidate, &mut random, 400);
        let recording = recorder.recording();
        assert_eq!(candidate.replay(&recording), live, "{index}");
        assert_eq!((live.judged(), live.not_judged()), (judged, 0), "{live}");
        match expected {
            None => assert_eq!(live.differing(), 0, "{live}"),
            Some(change) => assert!(live.changes(change) > 0, "{index}: {live}"),
        }
        // And so does what went through a file.
        let mut file = Vec::new();
        recording.write(&mut file).unwrap();
        let again = ztlib::policies::trial::Recording::parse("r".as_ref(), &*file).unwrap();
        assert_eq!(candidate.replay(&again), live, "{index}");
    }
}

#[test]
fn what_was_not_recorded_is_said_and_not_guessed() {
    let traffic = Traffic::new();
    let plan = Plan::in_force();
    let policies = plan.set().load().unwrap();
    let guard = traffic.world.guard(policies.clone()).build();
    let rules = RecordingRules::new().hide(Attribute::label("owner"));
    let recorder = policies.record(rules).unwrap();
    let asking = |function: &str, name: &str| {
        let deny = json!({ "answer": "deny" });
        let decide = json!({ "if": { "call": function, "with": [name] }, "then": { "answer": "allow" }, "else": deny });
        policies.candidate(plan.set().component("new", PROBE).config(json!({ "decide": decide }))).unwrap()
    };
    for (candidate, read, hidden) in
        [(asking("query", "q"), "query(\"q\")", false), (asking("label", "owner"), "label(\"owner\")", true)]
    {
        let (live, judged) = try_out(&traffic, &guard, &recorder, &candidate, &mut Random(7), 60);
        assert_eq!((live.judged(), live.not_judged()), (judged, 0), "the shadow has the request itself");
        let found = candidate.replay(&recorder.recording());
        assert!(found.not_judged() > 0, "{found}");
        assert_eq!(found.judged() + found.not_judged(), judged);
        // Whoever was denied before the new policy was asked is judged all the same.
        assert!(found.judged() > 0, "{found}");
        let missing = found.missing().next().unwrap();
        assert_eq!((&*missing.read, missing.hidden, missing.count), (read, hidden, found.not_judged()));
        // What it names can be recorded from now on, unless it is hidden.
        missing.attributes.iter().for_each(|attribute| recorder.also(attribute.clone()));
        let (live, _) = try_out(&traffic, &guard, &recorder, &candidate, &mut Random(7), 60);
        let found = candidate.replay(&recorder.recording());
        if hidden {
            assert!(found.not_judged() > 0 && !recorder.attributes().contains(&Attribute::label("owner")));
        } else {
            assert_eq!(found, live);
        }
    }
}

/// Programs of the probe: what they ask, and what they answer then.
fn programs() -> impl Strategy<Value = Json> {
    let calls = prop::sample::select(vec![
        json!({ "call": "method", "with": [] }),
        json!({ "call": "route", "with": [] }),
        json!({ "call": "host", "with": [] }),
        json!({ "call": "path-matches", "with": ["/orders/*"] }),
        json!({ "call": "param", "with": ["id"] }),
        json!({ "call": "header", "with": ["x-tag"] }),
        json!({ "call": "header-values", "with": ["X-Tag"] }),
        json!({ "call": "header", "with": ["cookie"] }),
        json!({ "call": "query", "with": ["q"] }),
        json!({ "call": "label", "with": ["owner"] }),
        json!({ "call": "peer-spiffe-id", "with": [] }),
        json!({ "call": "peer-matches", "with": ["spiffe://example.org/f*"] }),
        json!({ "call": "subject", "with": [] }),
        json!({ "call": "has-scope", "with": ["orders"] }),
        json!({ "call": "has-audience", "with": ["shop"] }),
        json!({ "call": "claim-string", "with": ["/tenant"] }),
        json!({ "call": "claim-contains", "with": ["/roles", "admin"] }),
        json!({ "call": "claim-int", "with": ["/roles"] }),
        json!({ "call": "authenticated-within", "with": ["200"] }),
        json!({ "call": "uses-method", "with": ["mfa"] }),
        json!({ "call": "in-window", "with": ["mon-sun 00:00-12:00"] }),
        json!({ "call": "data-contains", "with": ["owners", "/{subject}", "7"] }),
        json!({ "call": "signal", "with": ["undeclared"] }),
    ]);
    let leaf = prop::sample::select(vec![json!({ "answer": "allow" }), json!({ "answer": "deny" })]);
    leaf.prop_recursive(4, 12, 2, move |inner| {
        (calls.clone(), inner.clone(), inner)
            .prop_map(|(call, yes, no)| json!({ "if": call, "then": yes, "else": no }))
    })
}

/// Random sets on random traffic: whatever two sets ask and answer, shadow and replay agree on
/// where they differ.
#[test]
fn shadow_and_replay_agree_for_random_sets_and_requests() {
    let traffic = Traffic::new();
    let probe = |program: &Json, owners: Json| {
        let set = PolicySetBuilder::new().component("probe", PROBE).config(json!({ "decide": program }));
        set.document("owners", owners)
    };
    let policies = probe(&json!({ "answer": "deny" }), json!({})).load().unwrap();
    let guard = traffic.world.guard(policies.clone()).build();
    let recorder = policies.record(everything()).unwrap();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(24));
    let cases = (programs(), programs(), any::<u64>());
    let differing = std::cell::Cell::new(0);
    runner
        .run(&cases, |(enforced, tried, seed)| {
            policies.replace(probe(&enforced, json!({ "alice": ["7"] }))).unwrap();
            let candidate =
                policies.candidate(probe(&tried, json!({ "alice": ["8"], "bob": ["7"] }))).unwrap();
            let (live, judged) = try_out(&traffic, &guard, &recorder, &candidate, &mut Random(seed), 12);
            prop_assert_eq!(live.judged(), judged);
            prop_assert_eq!(candidate.replay(&recorder.recording()), live.clone());
            differing.set(differing.get() + live.differing());
            Ok(())
        })
        .unwrap();
    assert!(differing.get() > 0, "nothing was compared but agreement");
}
