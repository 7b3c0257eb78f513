//! The properties that the fuzz targets look for, one function a target. A broken property panics.
//!
//! `ztlib/tests/corpora.rs` includes this file and asks the same functions about every file of
//! `corpus/`, on a stable toolchain: so it uses nothing but what that test has too.

pub mod chains;
#[allow(dead_code, reason = "only a long run looks at its outcome")]
pub mod history;

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Request};
use http_body_util::Full;
use rustls_pki_types::CertificateDer;
use serde_json::{Map, Value, json};
use ztlib::authenticate::peer::{PeerAuthenticator, PeerCertificates, SpiffeId, Trust, TrustDomain};
use ztlib::authenticate::token::{Algorithm, BearerToken, Issuer, TokenAuthenticator, TokenVerifier};
use ztlib::authorize::NativePolicy;
use ztlib::authorize::{Answer, Fault, Outcome, Reader};
use ztlib::enforce::{Guard, MatchedRoute};
use ztlib::observe::Verdict;
use ztlib::policies::{Budget, Module, PolicySetBuilder, PolicyStore};
use ztlib_conformance::model;
use ztlib_conformance::scenario::{IssuerPlan, People, Proof, TokenPlan};
use ztlib_conformance::stack::ask_matched;
use ztlib_testing::{Authority, Events, Issued, ManualClock, a_day};

const NOW: u64 = 1_767_225_600;
const SECRET: &[u8; 32] = b"a secret that everybody can read";
const ISSUER: &str = "https://id.test";

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW)
}

/// What is told to people and logs is one line of bounded length: of a caller's text 200
/// characters, each of which may take ten to escape.
fn is_told_well(text: &str) {
    assert!(text.len() < 4096 && !text.chars().any(char::is_control), "not fit for a log: {text:?}");
}

/// Whatever bytes a peer shows as its certificate: no panic, the same answer twice, and nobody is
/// authenticated but the one workload whose certificate the root has signed.
///
/// The root and the leaf are in `fixtures/`; nobody has the root's key.
pub fn peer_certificate(data: &[u8]) {
    static PEERS: LazyLock<PeerAuthenticator> = LazyLock::new(|| {
        let root = CertificateDer::from(include_bytes!("../fixtures/root.der").to_vec());
        let domain: TrustDomain = "fuzz.test".parse().expect("a trust domain");
        let trust = Trust::builder().trust(domain, [root.clone()]).expect("a root");
        PeerAuthenticator::new(trust.build().expect("roots")).trust_foreign_acceptor()
    });
    // The input is a chain: each certificate after its length in two bytes. What is left over is
    // the last one.
    let mut chain = Vec::new();
    let mut rest = data;
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let (certificate, after) = after.split_at(after.len().min(usize::from(u16::from_be_bytes(*length))));
        chain.push(CertificateDer::from(certificate.to_vec()));
        rest = after;
    }
    let ask = || {
        let mut request = Request::new(());
        request.extensions_mut().insert(PeerCertificates::foreign(chain.clone()));
        PEERS.authenticate(request.extensions(), now())
    };
    match (ask(), ask()) {
        (Ok(Some(peer)), Ok(Some(again))) => {
            let id = peer.spiffe_id().map(ToString::to_string);
            assert_eq!(id.as_deref(), Some("spiffe://fuzz.test/payments"), "somebody else was authenticated");
            assert_eq!(again.fingerprint(), peer.fingerprint());
        }
        (Err(error), Err(again)) => {
            assert_eq!(error, again);
            is_told_well(&error.to_string());
            is_told_well(error.code());
        }
        other => panic!("two answers to one question: {other:?}"),
    }
}

/// Whatever is wrong with the certificates of a chain that is signed all the same: the model agrees
/// who is believed.
pub fn signed_chain(data: &[u8]) {
    chains::play(data);
}

/// Whatever text stands for a SPIFFE ID: the parser and the model agree, by the code of the rule
/// that is broken; and what is parsed is kept byte for byte.
pub fn spiffe_id(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let parsed = SpiffeId::parse(text);
    let code = parsed.as_ref().map(|_| ()).map_err(|error| error.code());
    assert_eq!(code, model::check_spiffe_id(text), "{text:?}");
    match parsed {
        Ok(id) => {
            assert_eq!(id.as_str(), text);
            assert_eq!(format!("spiffe://{}{}", id.trust_domain(), id.path()), text);
        }
        Err(error) => is_told_well(&error.to_string()),
    }
}

/// Whatever stands in `authorization`, once or more often (lines of the input): the model agrees
/// which token is the one, or why there is none; and `Debug` shows no more of it than its length.
pub fn bearer_header(data: &[u8]) {
    let values: Vec<&[u8]> = data.split(|byte| *byte == b'\n').take(4).collect();
    let mut headers = HeaderMap::new();
    for value in &values {
        let Ok(value) = HeaderValue::from_bytes(value) else { return };
        headers.append(AUTHORIZATION, value);
    }
    let found = BearerToken::from_headers(&headers);
    let code = found.as_ref().map(|_| ()).map_err(|error| error.code());
    assert_eq!(code, model::check_credentials(&values).map(|_| ()), "{}", String::from_utf8_lossy(data));
    if let (Ok(Some(token)), Ok(Some(text))) = (&found, model::check_credentials(&values)) {
        let shown = format!("{token:?}");
        assert!(
            text.len() < 16 || !shown.contains(std::str::from_utf8(text).expect("visible ASCII")),
            "{shown}"
        );
    }
}

/// Whatever header and claims (before and after the first line break) an issuer that is trusted has
/// signed: the model agrees whether the token is believed, or why not. And no other signature is.
pub fn token_verify(data: &[u8]) {
    static VERIFIER: LazyLock<TokenVerifier> = LazyLock::new(verifier);
    static PEOPLE: LazyLock<People> = LazyLock::new(people);
    let (header, claims) = match data.iter().position(|byte| *byte == b'\n') {
        Some(at) => (&data[..at], &data[at + 1..]),
        None => (&br#"{"alg":"HS256"}"#[..], data),
    };
    let token = signed(header, claims);
    let Ok(bearer) = BearerToken::new(&token) else { return };
    let verified = VERIFIER.verify(&bearer, now());
    let credentials = [("authorization".to_owned(), format!("Bearer {token}"))];
    let expected = model::verify_token(&PEOPLE, "good", &credentials, NOW, Proof::Required);
    let code = verified.as_ref().map(|_| ()).map_err(|error| error.code());
    assert_eq!(code, expected.map(|_| ()), "{}", String::from_utf8_lossy(data));
    if let Err(error) = &verified {
        is_told_well(&error.to_string());
    }
    // The same words under another signature are nobody's.
    let forged = format!("{}AAAA", &token[..token.len() - 4]);
    if forged != token
        && let Ok(bearer) = BearerToken::new(&forged)
    {
        assert!(VERIFIER.verify(&bearer, now()).is_err(), "a forged signature was believed");
    }
}

fn verifier() -> TokenVerifier {
    let issuer = Issuer::new(ISSUER).audience("shop").algorithms([Algorithm::HS256]).hmac_secret(SECRET);
    TokenVerifier::builder().issuer(issuer).build().expect("a verifier")
}

fn people() -> People {
    let issuer: IssuerPlan =
        serde_json::from_value(json!({ "name": ISSUER, "algorithm": "HS256", "audiences": ["shop"] }))
            .expect("an issuer");
    let token: TokenPlan = serde_json::from_value(json!({ "issuer": "id" })).expect("a token");
    People {
        authorities: BTreeMap::new(),
        peers: BTreeMap::new(),
        issuers: BTreeMap::from([("id".to_owned(), issuer)]),
        tokens: BTreeMap::from([("good".to_owned(), token)]),
    }
}

fn signed(header: &[u8], claims: &[u8]) -> String {
    let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, SECRET);
    let tag = aws_lc_rs::hmac::sign(&key, text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()))
}

/// Whatever bytes are dropped in as a policy: it loads or is refused with a reason that names the
/// policy, and neither panics nor takes long.
pub fn policy_load(data: &[u8]) {
    // What decides whether it loads is the same with a small budget.
    let mut budget = Budget::default();
    budget.config_fuel = 100_000;
    match PolicySetBuilder::new().component("dropped-in", data).budget(budget).load() {
        Ok(policies) => assert_eq!(policies.status().loads, 1),
        Err(error) => {
            is_told_well(error.code());
            is_told_well(&error.to_string());
            assert_eq!(error.policy(), Some("dropped-in"));
        }
    }
}

/// The same before a compiler sees it, some hundred times as often: what it would cost is worked
/// out without a panic, within what its bytes take to read, and twice alike.
pub fn policy_weigh(data: &[u8]) {
    let weigh = || Module::check(data, &Budget::default()).map_err(|error| (error.code(), error.to_string()));
    let weighed = weigh();
    assert_eq!(weighed, weigh());
    if let Err((code, text)) = weighed {
        is_told_well(code);
        is_told_well(&text);
    }
}

/// Whatever path is requested: the guard judges it or refuses it as the model does, for the same
/// reason.
pub fn path(data: &[u8]) {
    struct AllowAll;
    impl NativePolicy for AllowAll {
        fn decide(&self, _: &mut Reader, _: &mut Outcome) -> Result<Answer, Fault> {
            Ok(Answer::Allow)
        }
    }
    static GUARD: LazyLock<(Guard, Events)> = LazyLock::new(|| {
        let policies = PolicySetBuilder::new().native("allow-all", AllowAll).load().expect("a policy set");
        let events = Events::new();
        let guard =
            Guard::builder().allow_unauthenticated_peers().allow_requests_without_token().policies(policies);
        (guard.clock(ManualClock::new(a_day())).audit(events.clone()).build(), events)
    });
    let Ok(target) = std::str::from_utf8(data) else { return };
    // What `http` does not take for a target never comes this far.
    let Ok(request) = Request::get(target).header("host", "shop.test").body(Full::<Bytes>::default()) else {
        return;
    };
    if request.uri().authority().is_some() {
        return;
    }
    let path = request.uri().path().to_owned();
    let (guard, events) = &*GUARD;
    ask_matched(guard, request, MatchedRoute::none()).expect("a reply");
    let [event] = <[_; 1]>::try_from(events.take()).expect("one audit event");
    let expected = match model::check_path(&path, "GET") {
        Ok(false) => None,
        // No route allows it here.
        Ok(true) => Some("path-encoded-slash"),
        Err(code) => Some(code),
    };
    assert_eq!(event.reason(), expected, "{path:?}");
    assert_eq!(event.verdict() == Verdict::Allow, expected.is_none());
    if expected.is_none() {
        assert_eq!(event.path(), path.get(..512).or(Some(&path)), "the policy and the router see one path");
    }
    let line = event.to_json();
    assert!(!line.chars().any(char::is_control));
    assert!(serde_json::from_str::<Value>(&line).is_ok(), "{line}");
}

/// Whatever is asked by whomever: `rbac` in the sandbox, behind the whole guard, says what the
/// model says, freshly evaluated or from the decision cache.
pub fn wasm_equals_model(data: &[u8]) {
    static STAGE: LazyLock<Stage> = LazyLock::new(Stage::new);
    STAGE.ask(&mut Choices(data));
}

/// Whatever policies decide and whatever changes between the questions: what the decision cache
/// answers is what a fresh evaluation says: decision, reason, obligations and trace.
pub fn cached_equals_fresh(data: &[u8]) {
    history::play(data);
}

/// The input as a list of choices; where it ends, the first of everything is chosen.
struct Choices<'d>(&'d [u8]);

impl Choices<'_> {
    fn below(&mut self, count: usize) -> usize {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        usize::from(*first) % count
    }

    fn one<'l, T>(&mut self, list: &'l [T]) -> &'l T {
        &list[self.below(list.len())]
    }

    fn some(&mut self, list: &[&str]) -> Vec<String> {
        let bits = self.below(1 << list.len().min(8));
        list.iter()
            .enumerate()
            .filter(|(at, _)| bits >> at & 1 == 1)
            .map(|(_, one)| (*one).to_owned())
            .collect()
    }
}

const METHODS: [&str; 8] = ["GET", "POST", "DELETE", "HEAD", "get", "PUT", "OPTIONS", "X-Y"];
const ROUTES: [&str; 16] = [
    "/orders",
    "/orders/{id}",
    "/orders/{id}/cancel",
    "/orders/",
    "/files/{*path}",
    "/files",
    "/admin",
    "/admin/users/{id}",
    "/",
    "/reports/{year}/{month}",
    "/transfers",
    "/items/{name}",
    "/shop.Inventory/Stock",
    "/shop.Inventory/Burn",
    "/ordersx",
    "/profile",
];
const ROLES: [&str; 8] = ["admin", "clerk", "viewer", "batch", "Admin", "", "admin viewer", "nobody"];
const GROUPS: [&str; 4] = ["shop-staff", "shop-admins", "everybody", "Shop-Staff"];
const SUBJECTS: [&str; 6] = ["erin", "frank", "a/b", "a~1b", "nobody", "users"];
const PEERS: [&str; 6] = [
    "spiffe://shop.test/batch/nightly",
    "spiffe://shop.test/batch/eu/nightly",
    "spiffe://shop.test/payments",
    "spiffe://partner.test/orders",
    "spiffe://partner.test/a/b/c",
    "spiffe://shop.test/batch",
];

struct Stage {
    /// Each configuration of `rbac` with two guards, one that caches decisions and one that does
    /// not, and their events.
    guards: Vec<(Value, [Guard; 2], Events)>,
    documents: BTreeMap<String, Value>,
    peers: Vec<Issued>,
}

impl Stage {
    fn new() -> Self {
        let rbac = include_bytes!("../../plugins/artifacts/rbac.wasm");
        let parse = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
        let documents = BTreeMap::from([(
            "roles".to_owned(),
            parse(include_str!("../../conformance/policies/roles.json")),
        )]);
        let (shop, partner) = (Authority::new("shop"), Authority::new("partner"));
        let domain = |name: &str| name.parse::<TrustDomain>().expect("a trust domain");
        let trust = Trust::builder().trust(domain("shop.test"), [shop.certificate()]).expect("roots");
        let trust = trust
            .trust(domain("partner.test"), [partner.certificate()])
            .expect("roots")
            .build()
            .expect("roots");
        let peers = PEERS.map(|id| {
            if id.starts_with("spiffe://shop") { shop.issue_spiffe(id) } else { partner.issue_spiffe(id) }
        });
        let guard = |config: Value| {
            let policies: PolicyStore = PolicySetBuilder::new()
                .component("rbac", rbac)
                .reasons(["no-role", "no-rule"])
                .config(&config)
                .document("roles", &documents["roles"])
                .load()
                .expect("rbac loads");
            let events = Events::new();
            let guard = || {
                Guard::builder()
                    .peers(
                        PeerAuthenticator::new(trust.clone())
                            .trust_foreign_acceptor()
                            .allow_unauthenticated(),
                    )
                    .tokens(TokenAuthenticator::new(verifier()).allow_missing_token())
                    .policies(policies.clone())
                    .clock(ManualClock::new(a_day()))
                    .audit(events.clone())
            };
            (config, [guard().build(), guard().without_decision_cache().build()], events)
        };
        let configs = [
            include_str!("../../conformance/policies/rbac.json"),
            include_str!("../../conformance/policies/rbac-other-document.json"),
            r#"{ "roles": { "claims": ["/roles"] }, "permissions": { "admin": [{ "methods": ["*"], "routes": ["/**"] }],
                 "viewer": [{ "methods": ["GET", "X-Y"], "routes": ["/*", "/orders/{id}"] }, { "methods": ["HEAD"], "routes": ["/"] }] } }"#,
            r#"{ "roles": { "document": { "name": "roles", "pointer": "/peers/{peer}" }, "peers": [{ "match": "spiffe://shop.test/*",
                 "roles": ["batch", "viewer"] }] }, "permissions": { "viewer": [{ "methods": ["*"], "routes": ["/shop.Inventory/*",
                 "/files/*", "/files/{*path}"] }], "batch": [{ "methods": ["POST"], "routes": ["/orders/**"] }] } }"#,
        ];
        Self {
            guards: configs.into_iter().map(|config| guard(parse(config))).collect(),
            documents: documents.clone(),
            peers: peers.into(),
        }
    }

    fn ask(&self, choices: &mut Choices<'_>) {
        let (config, guards, events) = choices.one(&self.guards);
        let method = *choices.one(&METHODS);
        let route = (choices.below(8) != 7).then(|| *choices.one(&ROUTES));
        let peer = choices.below(PEERS.len() + 1).checked_sub(1);
        let claims = (choices.below(8) != 7).then(|| claims(choices));

        let mut request = Request::builder().method(method).uri("/asked").header("host", "shop.test");
        if let Some(claims) = &claims {
            let token = signed(br#"{"alg":"HS256"}"#, Value::Object(claims.clone()).to_string().as_bytes());
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let mut request = request.body(Full::<Bytes>::default()).expect("a request");
        if let Some(peer) = peer {
            request.extensions_mut().insert(PeerCertificates::foreign(self.peers[peer].chain()));
        }
        for guard in guards {
            let matched = route.map_or_else(MatchedRoute::none, MatchedRoute::new);
            ask_matched(guard, request.clone(), matched).expect("a reply");
        }
        let told = <[_; 2]>::try_from(events.take()).expect("an audit event of each guard");

        let peer =
            peer.map(|at| model::Peer { spiffe_id: Some(PEERS[at].to_owned()), ..model::Peer::default() });
        let caller = model::Caller { peer, claims, of_another_issuer: false };
        let facts = model::Facts { action: None, method, route, caller: &caller, now: NOW };
        let expected =
            model::rbac(config, &self.documents, &facts).expect("a configuration that the model knows");
        let (verdict, reason) = match &expected {
            Ok(model::Outcome::Allow) => (Verdict::Allow, None),
            Ok(model::Outcome::Deny { reason, .. }) => (Verdict::Deny, Some(reason.as_str())),
            Ok(model::Outcome::Abstain) => panic!("rbac never abstains"),
            // A claim of another type is what the caller sent.
            Err(fault @ "read-wrong-type") => (Verdict::BadRequest, Some(*fault)),
            Err(fault) => (Verdict::Fault, Some(*fault)),
        };
        for event in told {
            // Where no route has matched, a guard says so in the place of the policy's reason.
            let said = match event.reason() {
                Some("no-route") if route.is_none() && verdict == Verdict::Deny => reason,
                said => said,
            };
            assert_eq!(
                (event.verdict(), said),
                (verdict, reason),
                "from the cache: {}; {method} {route:?} {caller:?} {config}",
                event.cached()
            );
        }
    }
}

/// Claims of a token that is believed, with roles and groups of every form.
fn claims(choices: &mut Choices<'_>) -> Map<String, Value> {
    let mut claims = Map::new();
    for (name, value) in [("iss", json!(ISSUER)), ("aud", json!("shop")), ("exp", json!(NOW + 300))] {
        claims.insert(name.to_owned(), value);
    }
    if let Some(subject) = choices.below(SUBJECTS.len() + 1).checked_sub(1) {
        claims.insert("sub".to_owned(), json!(SUBJECTS[subject]));
    }
    let several = |choices: &mut Choices<'_>, list: &[&str]| match choices.below(8) {
        0 => None,
        1 => Some(json!(choices.one(list))),
        2 => Some(json!(7)),
        3 => Some(json!({ "admin": true })),
        4 => Some(json!([["admin"], 7, null])),
        5 => Some(Value::Null),
        _ => Some(json!(choices.some(list))),
    };
    if let Some(roles) = several(choices, &ROLES) {
        claims.insert("roles".to_owned(), roles);
    }
    if let Some(groups) = several(choices, &GROUPS) {
        claims.insert("groups".to_owned(), groups);
    }
    if let Some(roles) = several(choices, &ROLES) {
        claims.insert("realm".to_owned(), json!({ "roles": roles }));
    }
    claims
}
