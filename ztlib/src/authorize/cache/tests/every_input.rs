//! If any one input that a policy can read changes, the old entry is not served.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::Request;
use serde_json::{Value as Json, json};
use ztlib_testing::{Authority, TokenIssuer};

use crate::authenticate::Principal;
use crate::authenticate::peer::{PeerAuthenticator, PeerCertificates, PeerIdentity, Trust};
use crate::authenticate::token::{Algorithm, BearerToken, Issuer, KeySet, TokenVerifier, VerifiedClaims};
use crate::authorize::cache::*;
use crate::authorize::{Labels, Params, RequestFacts, SignalError, SignalSource, Target};
use crate::policies::PolicySetBuilder;
use crate::policies::PolicyStore;

/// 2026-01-01, a Thursday, at midnight.
const START: u64 = 1_767_225_600;

/// Everything that a decision can depend on.
#[derive(Clone)]
struct Inputs {
    /// `None` for a request.
    action: Option<&'static str>,
    method: &'static str,
    host: &'static str,
    target: &'static str,
    route: Option<&'static str>,
    id: Option<&'static str>,
    headers: Vec<(&'static str, &'static str)>,
    label: Option<&'static str>,
    peer: Option<PeerIdentity>,
    /// `None` for no token.
    claims: Option<Json>,
    ip: Option<[u8; 4]>,
    now: u64,
    risk: Option<&'static str>,
    document: Json,
}

/// Two workloads, and two peers of an authority for DNS names: one of each per authority.
struct Peers {
    web: PeerIdentity,
    other_domain: PeerIdentity,
    legacy: PeerIdentity,
    other_legacy: PeerIdentity,
}

/// A change of one input.
type Change = fn(&mut Inputs, &Peers);

/// For each read: the call that makes it, the inputs it needs if the defaults will not do, and a
/// change of the one input that it depends on.
///
/// A new read must be added here and to `every_read`.
fn about(read: &Read) -> (Vec<Box<str>>, Change, Change) {
    const AS_IT_IS: Change = |_, _| {};
    let set_claim = |with: Vec<Box<str>>, change: Change| (with, AS_IT_IS, change);
    match read {
        Read::Action => {
            (vec![], |i, _| i.action = Some("orders.cancel"), |i, _| i.action = Some("orders.refund"))
        }
        Read::Method => (vec![], AS_IT_IS, |i, _| i.method = "DELETE"),
        Read::Host => (vec![], AS_IT_IS, |i, _| i.host = "other.example"),
        Read::Path => (vec![], AS_IT_IS, |i, _| i.target = "/orders/8"),
        Read::Route => (vec![], AS_IT_IS, |i, _| i.route = Some("/orders/{other}")),
        Read::Param(name) => (vec![name.clone()], AS_IT_IS, |i, _| i.id = Some("8")),
        Read::PathMatches(pattern) => (vec![pattern.clone()], AS_IT_IS, |i, _| i.target = "/invoices/7"),
        Read::Header(name) | Read::HeaderValues(name) => {
            (vec![name.clone()], AS_IT_IS, |i, _| i.headers = vec![("x-a", "2")])
        }
        Read::HasHeader(name) => (vec![name.clone()], AS_IT_IS, |i, _| i.headers = vec![]),
        Read::HeaderNames => (vec![], AS_IT_IS, |i, _| i.headers.push(("x-b", "1"))),
        Read::Query(name) => (vec![name.clone()], AS_IT_IS, |i, _| i.target = "/orders/7?q=2"),
        Read::Label(name) => (vec![name.clone()], AS_IT_IS, |i, _| i.label = Some("secret")),

        Read::HasPeer => (vec![], AS_IT_IS, |i, _| i.peer = None),
        Read::PeerSpiffeId | Read::PeerTrustDomain => {
            (vec![], AS_IT_IS, |i, peers| i.peer = Some(peers.other_domain.clone()))
        }
        Read::PeerAuthority | Read::PeerDnsNames => (
            vec![],
            |i, peers| i.peer = Some(peers.legacy.clone()),
            |i, peers| i.peer = Some(peers.other_legacy.clone()),
        ),
        Read::PeerMatches(pattern) => {
            (vec![pattern.clone()], AS_IT_IS, |i, peers| i.peer = Some(peers.other_domain.clone()))
        }
        Read::PeerHasDnsName(name) => (
            vec![name.clone()],
            |i, peers| i.peer = Some(peers.legacy.clone()),
            |i, peers| i.peer = Some(peers.other_legacy.clone()),
        ),
        Read::HasToken => (vec![], AS_IT_IS, |i, _| i.claims = None),
        Read::FromHomeIssuer => (vec![], AS_IT_IS, |i, _| set(i, "iss", json!("https://other.example"))),
        Read::Issuer => (vec![], AS_IT_IS, |i, _| set(i, "iss", json!("https://other.example"))),
        Read::Subject => (vec![], AS_IT_IS, |i, _| set(i, "sub", json!("bob"))),
        Read::HasScope(scope) => set_claim(vec![scope.clone()], |i, _| set(i, "scope", json!("write"))),
        Read::Scopes => (vec![], AS_IT_IS, |i, _| set(i, "scope", json!("read write"))),
        Read::HasAudience(name) => {
            set_claim(vec![name.clone()], |i, _| set(i, "aud", json!(["shop", "elsewhere"])))
        }
        Read::ClaimString(pointer) => {
            set_claim(vec![pointer.clone()], |i, _| set(i, "tenant", json!("umbrella")))
        }
        Read::ClaimInt(pointer) => set_claim(vec![pointer.clone()], |i, _| set(i, "level", json!(4))),
        Read::ClaimBool(pointer) => set_claim(vec![pointer.clone()], |i, _| set(i, "staff", json!(false))),
        Read::ClaimJson(pointer) => {
            set_claim(vec![pointer.clone()], |i, _| set(i, "roles", json!(["viewer"])))
        }
        Read::ClaimContains(pointer, value) => {
            set_claim(vec![pointer.clone(), value.clone()], |i, _| set(i, "roles", json!(["viewer"])))
        }
        Read::AuthenticatedWithin(seconds) => {
            (vec![seconds.to_string().into()], AS_IT_IS, |i, _| i.now = START + 31)
        }
        Read::UsesMethod(method) => set_claim(vec![method.clone()], |i, _| set(i, "amr", json!(["pwd"]))),
        Read::AcrIs(acr) => set_claim(vec![acr.clone()], |i, _| set(i, "acr", json!("low"))),

        Read::RemoteIp => (vec![], AS_IT_IS, |i, _| i.ip = Some([10, 0, 0, 2])),
        Read::RemoteIpIn(network) => (vec![network.clone()], AS_IT_IS, |i, _| i.ip = Some([192, 0, 2, 1])),
        Read::Before(moment) => (vec![moment.to_string().into()], AS_IT_IS, |i, _| i.now = START + 60),
        Read::BeforeClaim(pointer) => (vec![pointer.clone()], AS_IT_IS, |i, _| i.now = START + 50),
        Read::InWindow(schedule) => (vec![schedule.clone()], AS_IT_IS, |i, _| i.now = START + 120),
        Read::Now => (vec![], AS_IT_IS, |i, _| i.now = START + 1),
        Read::Signal(name) => (vec![name.clone()], AS_IT_IS, |i, _| i.risk = Some("4")),
        Read::SignalAtLeast(name, number) => {
            (vec![name.clone(), number.to_string().into()], AS_IT_IS, |i, _| i.risk = Some("9"))
        }
        Read::DataString(document, pointer) | Read::DataJson(document, pointer) => {
            (vec![document.clone(), pointer.clone()], AS_IT_IS, |i, _| {
                i.document = json!({ "level": { "alice": "tin" } })
            })
        }
        Read::DataContains(document, pointer, value) => {
            (vec![document.clone(), pointer.clone(), value.clone()], AS_IT_IS, |i, _| {
                i.document = json!({ "roles": { "alice": [] } });
            })
        }
        other => panic!("say what {other} is about"),
    }
}

/// One of each.
fn every_read() -> Vec<Read> {
    vec![
        Read::Action,
        Read::Method,
        Read::Host,
        Read::Path,
        Read::Route,
        Read::Param("id".into()),
        Read::PathMatches("/orders/*".into()),
        Read::Header("x-a".into()),
        Read::HasHeader("x-a".into()),
        Read::HeaderValues("x-a".into()),
        Read::HeaderNames,
        Read::Query("q".into()),
        Read::Label("class".into()),
        Read::HasPeer,
        Read::PeerSpiffeId,
        Read::PeerTrustDomain,
        Read::PeerAuthority,
        Read::PeerDnsNames,
        Read::PeerMatches("spiffe://td/**".into()),
        Read::PeerHasDnsName("legacy.example".into()),
        Read::HasToken,
        Read::FromHomeIssuer,
        Read::Issuer,
        Read::Subject,
        Read::HasScope("read".into()),
        Read::Scopes,
        Read::HasAudience("elsewhere".into()),
        Read::ClaimString("/tenant".into()),
        Read::ClaimInt("/level".into()),
        Read::ClaimBool("/staff".into()),
        Read::ClaimJson("/roles".into()),
        Read::ClaimContains("/roles".into(), "admin".into()),
        Read::AuthenticatedWithin(60),
        Read::UsesMethod("mfa".into()),
        Read::AcrIs("high".into()),
        Read::RemoteIp,
        Read::RemoteIpIn("10.0.0.0/8".into()),
        Read::Before(START + 60),
        Read::BeforeClaim("/until".into()),
        Read::InWindow("thu 00:00-00:02".into()),
        Read::Now,
        Read::Signal("risk".into()),
        Read::SignalAtLeast("risk".into(), 5),
        Read::DataString("d".into(), "/level/{subject}".into()),
        Read::DataJson("d".into(), "/level/{subject}".into()),
        Read::DataContains("d".into(), "/roles/{subject}".into(), "admin".into()),
    ]
}

fn set(inputs: &mut Inputs, claim: &str, value: Json) {
    inputs.claims.as_mut().unwrap()[claim] = value;
}

#[derive(Clone, Default)]
struct Feed(Arc<Mutex<Option<&'static str>>>);

impl SignalSource for Feed {
    fn signal(&self, _: &str, _: &crate::authorize::Caller) -> Result<Option<String>, SignalError> {
        Ok(self.0.lock().unwrap().map(str::to_owned))
    }
}

struct Stage {
    component: Vec<u8>,
    policies: PolicyStore,
    id: TokenIssuer,
    verifier: TokenVerifier,
    peers: Peers,
    feed: Feed,
}

impl Stage {
    fn new() -> Self {
        let id = TokenIssuer::new("https://id.example");
        let issuer = |name: &str| {
            let keys = KeySet::from_jwks(&id.jwks()).unwrap();
            Issuer::new(name).audience("shop").algorithms([Algorithm::ES256]).keys(keys)
        };
        let verifier = TokenVerifier::builder().issuer(issuer("https://id.example"));
        let verifier = verifier.issuer(issuer("https://other.example")).build().unwrap();
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../plugins/artifacts/probe.wasm");
        let component = std::fs::read(path).unwrap();
        let policies = PolicySetBuilder::new().component("probe", &component);
        let policies = policies.config(json!({ "decide": { "answer": "deny" } })).load().unwrap();
        Self { component, policies, verifier, id, peers: Peers::new(), feed: Feed::default() }
    }

    fn inputs(&self) -> Inputs {
        Inputs {
            action: None,
            method: "GET",
            host: "shop.example",
            target: "/orders/7?q=1",
            route: Some("/orders/{id}"),
            id: Some("7"),
            headers: vec![("x-a", "1")],
            label: Some("public"),
            peer: Some(self.peers.web.clone()),
            claims: Some(json!({
                "iss": "https://id.example", "aud": ["shop"], "sub": "alice", "iat": START, "exp": START + 300,
                "scope": "read", "tenant": "acme", "level": 3, "staff": true, "roles": ["admin"],
                "auth_time": START - 30, "until": START + 50, "amr": ["mfa"], "acr": "high",
            })),
            ip: Some([10, 0, 0, 1]),
            now: START,
            risk: Some("3"),
            document: json!({ "level": { "alice": "gold" }, "roles": { "alice": ["admin"] } }),
        }
    }

    fn claims(&self, claims: &Json) -> VerifiedClaims {
        let token = self.id.token().raw_claims(claims.to_string()).sign();
        self.verifier.verify(&BearerToken::new(&token).unwrap(), moment(START)).unwrap()
    }

    fn question(&self, inputs: &Inputs) -> Box<Question> {
        let claims = inputs.claims.as_ref().map(|claims| self.claims(claims));
        let principal =
            Principal::new(inputs.peer.clone(), claims).from_address(inputs.ip.map(std::net::IpAddr::from));
        let labels = inputs.label.map_or_else(Labels::new, |class| Labels::new().with("class", class));
        let asked = match inputs.action {
            Some(action) => Asked::Action(action.into()),
            None => {
                let mut request = Request::builder().method(inputs.method).uri(inputs.target);
                for (name, value) in &inputs.headers {
                    request = request.header(*name, *value);
                }
                let (parts, ()) = request.body(()).unwrap().into_parts();
                let mut params = Params::default();
                inputs.id.iter().for_each(|id| params.push("id", id));
                Asked::Request(RequestFacts {
                    target: Target::new(inputs.host, parts.uri.path()),
                    parts: Box::new(parts),
                    route: inputs.route.map(Into::into),
                    params,
                })
            }
        };
        Box::new(Question::new(principal.facts(), asked, labels, moment(inputs.now)))
    }

    /// Puts a set in force that makes this call and allows, whatever the value.
    fn decide_after(&self, read: &Read, inputs: &Inputs) {
        let (with, ..) = about(read);
        let program = json!({ "do": [{ "call": read.function(), "with": with }], "answer": "allow" });
        let set = PolicySetBuilder::new().component("probe", &self.component);
        let set = set.config(json!({ "decide": program })).signal("risk").signals(self.feed.clone());
        self.policies.replace(set.document("d", &inputs.document)).unwrap();
    }

    /// Asks, and returns whether the answer was cached. The trace equals that of a fresh evaluation
    /// either way.
    fn ask(&self, cache: &DecisionCache, inputs: &Inputs) -> bool {
        *self.feed.0.lock().unwrap() = inputs.risk;
        self.policies.set_document("d", &inputs.document).unwrap();
        let view = self.policies.current();
        let decided = cache.decide(&view, *self.question(inputs));
        let fresh = view.evaluate(self.question(inputs));
        assert_eq!(decided.result, fresh.result);
        assert_eq!(*decided.trace, fresh.trace);
        assert!(fresh.result.is_ok(), "{:?}", fresh.result);
        decided.cached
    }
}

impl Peers {
    fn new() -> Self {
        let [td, other, legacy, older] = ["td", "other", "legacy", "older"].map(Authority::new);
        let trust = Trust::builder().trust("td".parse().unwrap(), [td.certificate()]).unwrap();
        let trust = trust.trust("other".parse().unwrap(), [other.certificate()]).unwrap();
        let trust = trust.authority("legacy", [legacy.certificate()]).unwrap();
        let trust = trust.authority("older", [older.certificate()]).unwrap().build().unwrap();
        let authenticator = PeerAuthenticator::new(trust).trust_foreign_acceptor();
        let peer = |leaf: ztlib_testing::Issued| {
            let mut extensions = http::Extensions::new();
            extensions.insert(PeerCertificates::foreign(leaf.chain()));
            authenticator.authenticate(&extensions, moment(START)).unwrap().unwrap()
        };
        Self {
            web: peer(td.issue_spiffe("spiffe://td/web")),
            other_domain: peer(other.issue_spiffe("spiffe://other/web")),
            legacy: peer(legacy.leaf().dns("legacy.example").issue()),
            other_legacy: peer(older.leaf().dns("older.example").issue()),
        }
    }
}

fn moment(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

#[test]
fn a_change_of_any_one_input_that_was_read_keeps_the_old_entry_from_being_served() {
    let stage = Stage::new();
    for read in every_read() {
        let (_, prepare, change) = about(&read);
        let mut inputs = stage.inputs();
        prepare(&mut inputs, &stage.peers);
        let mut changed = inputs.clone();
        change(&mut changed, &stage.peers);
        stage.decide_after(&read, &inputs);
        // One list for all sites: the route and the method are then in a key only if they were
        // read.
        let cache = DecisionCache::new(CacheLimits { sites: 0, ..CacheLimits::default() });
        assert!(!stage.ask(&cache, &inputs), "{read}");
        assert!(stage.ask(&cache, &inputs), "{read}: nothing changed");
        assert!(!stage.ask(&cache, &changed), "{read}: its input changed");
        assert!(stage.ask(&cache, &changed), "{read}: unchanged since");
        assert!(stage.ask(&cache, &inputs), "{read}: back to its first value");
    }
}

#[test]
fn a_change_of_what_was_not_read_is_no_reason_to_ask_again() {
    let stage = Stage::new();
    let all = every_read();
    stage.decide_after(&Read::HasScope("read".into()), &stage.inputs());
    let cache = DecisionCache::new(CacheLimits { sites: 0, ..CacheLimits::default() });
    assert!(!stage.ask(&cache, &stage.inputs()));
    // The question is `has-scope`; these change what it asks, or who vouches for its answer.
    let same = |read: &Read| {
        !matches!(read, Read::HasScope(_) | Read::HasToken | Read::FromHomeIssuer | Read::Issuer)
    };
    for read in all.iter().filter(|read| same(read)) {
        let mut inputs = stage.inputs();
        about(read).2(&mut inputs, &stage.peers);
        assert!(stage.ask(&cache, &inputs), "{read}");
    }
}

/// The list above holds every read of the contract.
#[test]
fn every_read_of_the_contract_is_changed_here() {
    let here: BTreeSet<&str> = every_read().iter().map(Read::function).collect();
    let contract =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../ztlib-contract/wit/policy.wit"))
            .unwrap();
    let mut interface = "";
    let mut there = BTreeSet::new();
    for line in contract.lines() {
        if let Some(name) = line.strip_prefix("interface ") {
            interface = name.trim_end_matches(" {");
        }
        let function = line.trim().split_once(": func(").map(|(name, _)| name.trim_start_matches('%'));
        if let (Some(function), "request" | "principal" | "context") = (function, interface) {
            there.insert(function);
        }
    }
    assert_eq!(here, there);
}
