//! Let through or refuse: the bare tower stack, with native policies and throwaway authorities.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test"
)]

mod support;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use http::{HeaderName, HeaderValue, Method, Version};
use proptest::prelude::*;
use tower::{Layer as _, Service as _, ServiceExt as _};
use ztlib::RemoteAddr;
use ztlib::authenticate::Principal;
use ztlib::authenticate::peer::{SpiffeId, Trust, TrustDomain};
use ztlib::authorize::{Answer, Labels, Read, SignalError, SignalSource, Value};
use ztlib::enforce::{Guard, GuardLayer, MAX_QUESTIONS, MatchedRoute, Permit, Protocol};
use ztlib::observe::{AuditEvent, AuditSink, Verdict};
use ztlib::policies::{PolicySetBuilder, PolicyStore};
use ztlib_testing::{Authority, peer_extensions};

use support::{By, FRONTEND, REASONS, World, allow, deciding, deny, over_grpc, text};

// The permit.

#[tokio::test]
async fn a_permit_is_in_the_request_behind_the_guard_and_nowhere_else() {
    let world = World::new();
    let guard = world.guard(allow()).build();
    let request = world.request().await;
    assert!(request.extensions().get::<Permit>().is_none());
    assert_eq!(world.send(&guard, request).await.status, 200);
    let seen = world.handler.seen();
    let (permit, event) = (seen.extensions.get::<Permit>().unwrap(), world.events.one());
    assert_eq!((event.verdict(), permit.id()), (Verdict::Allow, event.id()));
    assert!(permit.enforced() && !permit.is_public());
    assert_eq!(permit.revision(), event.revision());
    assert_eq!(permit.principal().peer().unwrap().to_string(), FRONTEND);
    assert_eq!(permit.principal().claims().unwrap().subject(), Some("alice"));
    assert_eq!(permit.principal().remote_ip(), seen.extensions.get::<RemoteAddr>().map(RemoteAddr::ip));
    assert!(permit.principal().remote_ip().is_some());
}

#[tokio::test]
async fn a_permit_of_an_earlier_request_does_not_help() {
    let world = World::new();
    let guard = world.guard(allow()).build();
    world.send(&guard, world.request().await).await;
    let permit = world.handler.seen().extensions.get::<Permit>().unwrap().clone();
    let mut request = world.request().await;
    request.headers_mut().remove("authorization");
    request.extensions_mut().insert(permit);
    assert_eq!(world.send(&guard, request).await.reason(), "token-missing");
    assert_eq!(world.handler.calls(), 1);
}

// Loosening is a verb.

#[tokio::test]
async fn observe_only_never_blocks_and_reports_what_it_would_have_done() {
    let world = World::new();
    let peer = world.frontend().await;
    let policies = deciding(|question, outcome| match text(question, Read::Subject)?.as_deref() {
        Some("alice") => Ok(Answer::Allow),
        Some("faulty") => Ok(question.read(Read::Header("cookie".into())).map(|_| Answer::Allow)?),
        _ => {
            outcome.reason("no-role")?;
            Ok(Answer::Deny)
        }
    });
    let observing = world.guard(policies.clone()).observe_only().build();
    let blocking = world.guard(policies).build();
    assert!(observing.observes_only() && !blocking.observes_only());
    let request = |subject: &str| {
        let mut request = world.request_of(&peer);
        let token = world.token().subject(subject).sign();
        request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        request
    };
    let mut no_peer = request("alice");
    no_peer.extensions_mut().remove::<ztlib::authenticate::peer::PeerCertificates>();
    let mut no_token = request("alice");
    no_token.headers_mut().remove("authorization");
    let mut bad_token = request("alice");
    bad_token.headers_mut().insert("authorization", "Bearer x".parse().unwrap());
    let mut bad_path = request("alice");
    *bad_path.uri_mut() = "/a//b".parse().unwrap();
    for (request, verdict, reason) in [
        (request("alice"), Verdict::Allow, None),
        (request("bob"), Verdict::Deny, Some("no-role")),
        (request("faulty"), Verdict::Fault, Some("read-secret")),
        (no_peer, Verdict::Unauthenticated, Some("missing-certificate")),
        (no_token, Verdict::Unauthenticated, Some("token-missing")),
        (bad_token, Verdict::Unauthenticated, Some("token-malformed")),
        (bad_path, Verdict::BadRequest, Some("path-empty-segment")),
    ] {
        let blocked = world.send(&blocking, request.clone()).await;
        let event = world.events.one();
        assert_eq!((event.verdict(), event.reason(), event.enforced()), (verdict, reason, true));
        assert_eq!(blocked.status == 200, reason.is_none(), "{reason:?}");

        let before = world.handler.calls();
        assert_eq!(world.send(&observing, request).await.status, 200, "{reason:?}");
        assert_eq!(world.handler.calls(), before + 1);
        let event = world.events.one();
        assert_eq!((event.verdict(), event.reason(), event.enforced()), (verdict, reason, reason.is_none()));
        let permit = world.handler.seen().extensions.get::<Permit>().unwrap().clone();
        assert_eq!((permit.enforced(), permit.id()), (reason.is_none(), event.id()));
    }
    let principal = Principal::anonymous();
    assert_eq!(blocking.ask(&principal, "x", Labels::new()).unwrap_err().cause().code(), "no-role");
    assert!(!observing.ask(&principal, "x", Labels::new()).unwrap().enforced());
}

/// The step between: refusals are carried out on the named routes alone.
#[tokio::test]
async fn observe_only_except_refuses_on_the_named_routes_alone() {
    let world = World::new();
    let policies = deciding(|question, outcome| match text(question, Read::Subject)?.as_deref() {
        Some("alice") => Ok(Answer::Allow),
        _ => {
            outcome.reason("no-role")?;
            Ok(Answer::Deny)
        }
    });
    let guard = world.guard(policies).observe_only_except(["/orders/{id}", "/orders/:id", "/open"]).build();
    assert!(!guard.observes_only());
    let peer = world.frontend().await;
    let request = |route: Option<&str>, token: Option<&str>| {
        let mut request = world.request_of(&peer);
        request.headers_mut().remove("authorization");
        request.extensions_mut().remove::<MatchedRoute>();
        if let Some(route) = route {
            request.extensions_mut().insert(MatchedRoute::new(route));
        }
        if let Some(subject) = token {
            let token = world.token().subject(subject).sign();
            request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        request
    };
    for (route, subject, reason, status) in [
        (Some("/orders/{id}"), Some("alice"), None, 200),
        (Some("/orders/{id}"), Some("bob"), Some("no-role"), 403),
        (Some("/orders/{id}"), None, Some("token-missing"), 401),
        (Some("/orders"), Some("bob"), Some("no-role"), 200),
        (Some("/orders"), None, Some("token-missing"), 200),
        (None, Some("bob"), Some("no-role"), 200),
        // A route that only ever allows is met, too.
        (Some("/open"), Some("alice"), None, 200),
    ] {
        let answer = world.send(&guard, request(route, subject)).await;
        assert_eq!(answer.status, status, "{route:?} {subject:?}");
        let event = world.events.one();
        let is_carried_out = reason.is_none() || status != 200;
        assert_eq!((event.reason(), event.enforced()), (reason, is_carried_out), "{route:?} {subject:?}");
    }
    assert_eq!(guard.enforced_routes_not_met(), ["/orders/:id"]);

    // A question belongs to the route of the request that it comes from.
    for (route, is_refused) in [("/orders/{id}", true), ("/orders", false)] {
        assert_eq!(world.send(&guard, request(Some(route), Some("alice"))).await.status, 200);
        let permit = world.handler.seen().extensions.get::<Permit>().unwrap().clone();
        let mut other = world.guard(deciding(|_, outcome| {
            outcome.reason("not-yours")?;
            Ok(Answer::Deny)
        }));
        other = other.observe_only_except(["/orders/{id}"]);
        let asked = other.build().ask(permit.principal(), "order.read", Labels::new());
        assert_eq!(asked.is_err(), is_refused, "{route}");
    }
    assert!(guard.ask(&Principal::anonymous(), "x", Labels::new()).is_ok(), "a question of no route");
}

#[tokio::test]
async fn a_route_is_public_only_by_the_verb_and_only_by_its_template() {
    let world = World::new();
    let request = |path: &str, route: Option<&str>| {
        let mut request =
            http::Request::builder().uri(path).header("host", "a.test").body(Default::default()).unwrap();
        let matched = route.map_or_else(MatchedRoute::none, MatchedRoute::new);
        request.extensions_mut().insert::<MatchedRoute>(matched);
        request
    };
    let closed = world.guard(deny()).build();
    assert_eq!(
        world.send(&closed, request("/healthz", Some("/healthz"))).await.reason(),
        "missing-certificate"
    );
    let open = world.guard(deny()).allow_public_route("/healthz").build();
    for (path, route) in [
        ("/healthz", None),
        ("/orders/7", Some("/orders/{id}")),
        ("/healthz/x", Some("/healthz/{x}")),
        ("/healthz", Some("/{any}")),
    ] {
        assert_eq!(
            world.send(&open, request(path, route)).await.reason(),
            "missing-certificate",
            "{path} {route:?}"
        );
    }
    assert_eq!(world.handler.calls(), 0);
    assert_eq!(world.send(&open, request("/healthz", Some("/healthz"))).await.reason(), "passed");
    let permit = world.handler.seen().extensions.get::<Permit>().unwrap().clone();
    assert!(permit.is_public() && permit.enforced() && permit.revision().is_none());
    assert!(permit.principal().peer().is_none() && permit.principal().claims().is_none());
}

#[tokio::test]
async fn a_public_route_is_still_checked_and_audited() {
    let world = World::new();
    let guard = world.guard(deny()).allow_public_route("/files/{name}").build();
    let mut request = world.request().await;
    request.extensions_mut().insert(MatchedRoute::new("/files/{name}"));
    request.headers_mut().insert("ztlib-subject", "root".parse().unwrap());
    assert_eq!(world.send(&guard, request.clone()).await.status, 200);
    let event = world.events.one();
    assert_eq!(
        (event.verdict(), event.route(), event.revision()),
        (Verdict::Public, Some("/files/{name}"), None)
    );
    assert!(event.principal().peer().is_none(), "nobody was asked who they are");
    assert!(!world.handler.seen().headers.contains_key("ztlib-subject"));

    *request.uri_mut() = "/files/..".parse().unwrap();
    assert_eq!(world.send(&guard, request.clone()).await.reason(), "path-dot-segment");
    *request.uri_mut() = "/files/a%2Fb".parse().unwrap();
    assert_eq!(world.send(&guard, request.clone()).await.reason(), "path-encoded-slash");
    *request.uri_mut() = "/files/a".parse().unwrap();
    request.headers_mut().append("host", "b.test".parse().unwrap());
    assert_eq!(world.send(&guard, request).await.reason(), "host-ambiguous");
    assert!(
        world.events.take().iter().all(|event| event.verdict() == Verdict::BadRequest && event.enforced())
    );
}

#[tokio::test]
async fn an_encoded_slash_passes_only_on_the_named_route_and_never_with_dot_segments() {
    let world = World::new();
    let guard = world.guard(allow()).allow_encoded_slash("/files/{name}").build();
    for (path, value, route, reason) in [
        ("/files/a%2Fb", "a/b", "/files/{name}", "passed"),
        ("/files/a%2Fb", "a/b", "/other/{name}", "path-encoded-slash"),
        ("/files/a%2fb", "a/b", "/files/{name}", "path-needless-escape"),
        ("/files/..%2F..%2Fetc", "../../etc", "/files/{name}", "parameter-dot-segment"),
        ("/files/a%2F.%2Fb", "a/./b", "/files/{name}", "parameter-dot-segment"),
        ("/files/%252F", "%2F", "/files/{name}", "passed"),
    ] {
        let mut request = world.request().await;
        *request.uri_mut() = path.parse().unwrap();
        request.extensions_mut().insert(MatchedRoute::new(route).with_param("name", value));
        assert_eq!(world.send(&guard, request).await.reason(), reason, "{path} {route}");
    }
}

// Obligations.

type Attach = fn(&mut ztlib::authorize::Outcome) -> Result<(), ztlib::authorize::OutcomeFault>;

fn set_of(policies: Vec<(&'static str, Attach)>) -> PolicyStore {
    let mut builder = PolicySetBuilder::new();
    for (name, attach) in policies {
        builder = builder.native(
            name,
            By(move |_: &mut ztlib::authorize::Reader, outcome: &mut ztlib::authorize::Outcome| {
                attach(outcome)?;
                Ok(Answer::Allow)
            }),
        );
    }
    builder.load().unwrap()
}

#[tokio::test]
async fn obligations_set_and_remove_headers_of_the_request_in_all_spellings() {
    let world = World::new();
    let guard = world.guard(set_of(vec![("tenant", |outcome| {
        outcome.set_request_header("X-Tenant-Id", "acme")?;
        outcome.remove_request_header("x-debug-token")
    })]));
    let mut request = world.request().await;
    for (name, value) in [
        ("x-tenant-id", "evil"),
        ("x-tenant-id", "evil twice"),
        ("X_Tenant_Id", "evil"),
        ("x-tenant_id", "evil"),
        ("x_debug_token", "evil"),
        ("x-debug-token", "evil"),
        ("x-tenant", "kept"),
    ] {
        request
            .headers_mut()
            .append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_static(value));
    }
    assert_eq!(world.send(&guard.build(), request).await.status, 200);
    let seen = world.handler.seen().headers;
    assert_eq!(seen.get_all("x-tenant-id").iter().collect::<Vec<_>>(), ["acme"]);
    assert!(!seen.values().any(|value| value.as_bytes().starts_with(b"evil")), "{seen:?}");
    assert_eq!(seen["x-tenant"], "kept");
}

#[tokio::test]
async fn obligations_set_and_remove_headers_of_the_response() {
    let world = World::new();
    let guard = world.guard(set_of(vec![("hide", |outcome| {
        outcome.remove_response_header("x-powered-by")?;
        outcome.set_response_header("x-decided-by", "hide")
    })]));
    let answer = world.send(&guard.build(), world.request().await).await;
    assert_eq!(
        (answer.status, answer.header("x-decided-by"), answer.header("x-powered-by")),
        (200, Some("hide"), None)
    );
}

#[tokio::test]
async fn two_policies_that_want_different_values_are_a_fault_and_equal_ones_agree() {
    let world = World::new();
    let acme: fn(&mut ztlib::authorize::Outcome) -> _ =
        |outcome| outcome.set_request_header("x-tenant", "acme");
    let ajax: fn(&mut ztlib::authorize::Outcome) -> _ =
        |outcome| outcome.set_request_header("X-Tenant", "ajax");
    let none: fn(&mut ztlib::authorize::Outcome) -> _ = |outcome| outcome.remove_request_header("x-tenant");
    for (second, reason) in
        [(acme, "passed"), (ajax, "outcome-conflicting-header"), (none, "outcome-conflicting-header")]
    {
        let guard = world.guard(set_of(vec![("first", acme), ("second", second)])).build();
        let answer = world.send(&guard, world.request().await).await;
        let event = world.events.one();
        assert_eq!(answer.reason(), reason);
        if reason == "passed" {
            assert_eq!(world.handler.seen().headers["x-tenant"], "acme");
        } else {
            assert_eq!(
                (answer.status, event.verdict(), event.policy()),
                (503, Verdict::Fault, Some("second"))
            );
        }
    }
    assert_eq!(world.handler.calls(), 1);
}

#[tokio::test]
async fn obligations_of_a_policy_that_allowed_do_not_survive_anothers_deny() {
    let world = World::new();
    let policies = PolicySetBuilder::new()
        .native(
            "tags",
            By(|_: &mut ztlib::authorize::Reader, outcome: &mut ztlib::authorize::Outcome| {
                outcome.set_response_header("x-tag", "1")?;
                Ok(Answer::Allow)
            }),
        )
        .native(
            "denies",
            By(|_: &mut ztlib::authorize::Reader, _: &mut ztlib::authorize::Outcome| Ok(Answer::Deny)),
        )
        .load()
        .unwrap();
    let answer = world.send(&world.guard(policies).build(), world.request().await).await;
    assert_eq!((answer.status, answer.reason(), answer.header("x-tag")), (403, "denied", None));
}

#[tokio::test]
async fn headers_under_our_own_name_never_reach_the_handler() {
    let world = World::new();
    let mut request = world.request().await;
    for name in ["ztlib-subject", "Ztlib_Subject", "ZTLIB-permit", "ztlib_", "ztlib-"] {
        request
            .headers_mut()
            .append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_static("root"));
    }
    request.headers_mut().insert("x-ztlib", HeaderValue::from_static("kept"));
    assert_eq!(world.send(&world.guard(allow()).build(), request).await.status, 200);
    let seen = world.handler.seen().headers;
    let ours: Vec<_> = seen.keys().filter(|name| name.as_str().starts_with("ztlib")).collect();
    assert!(ours.is_empty(), "{ours:?}");
    assert!(seen.contains_key("x-ztlib"));
}

#[tokio::test]
async fn identities_that_a_proxy_would_claim_never_reach_the_handler() {
    let world = World::new();
    let mut request = world.request().await;
    for name in ["x-forwarded-client-cert", "X_Forwarded_Client_Cert", "client-cert", "Client_Cert_Chain"] {
        let value = HeaderValue::from_static("By=spiffe://td/me;URI=spiffe://td/root");
        request.headers_mut().append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value);
    }
    request.headers_mut().insert("x-forwarded-proto", HeaderValue::from_static("https"));
    assert_eq!(world.send(&world.guard(allow()).build(), request).await.status, 200);
    let seen = world.handler.seen().headers;
    assert!(!seen.keys().any(|name| name.as_str().contains("client")), "{seen:?}");
    assert!(seen.contains_key("x-forwarded-proto"));
}

// Faults.

struct Signals;

impl SignalSource for Signals {
    fn signal(&self, name: &str, _: &ztlib::authorize::Caller) -> Result<Option<String>, SignalError> {
        match name {
            "panics" => panic!("the source of signals panicked"),
            _ => Err(SignalError::new("the feed is down")),
        }
    }
}

/// Every way known here in which no decision can be reached, and the code it must carry.
fn faulty_sets() -> Vec<(&'static str, &'static str, PolicyStore)> {
    macro_rules! hostile {
        ($name:literal) => {
            PolicySetBuilder::new()
                .component($name, include_bytes!(concat!("../../plugins/artifacts/", $name, ".wasm")))
                .load()
                .unwrap()
        };
    }
    let reading = |read: fn() -> Read| {
        deciding(move |question, _| question.read(read()).map(|_| Answer::Allow).map_err(Into::into))
    };
    let with_signals = |name: &'static str| {
        let policy = By(move |question: &mut ztlib::authorize::Reader, _: &mut ztlib::authorize::Outcome| {
            question.read(Read::Signal(name.into())).map(|_| Answer::Allow).map_err(Into::into)
        });
        PolicySetBuilder::new().signal(name).native("test", policy)
    };
    let attaching =
        |attach: fn(&mut ztlib::authorize::Outcome) -> Result<(), ztlib::authorize::OutcomeFault>| {
            deciding(move |_, outcome| attach(outcome).map(|()| Answer::Allow).map_err(Into::into))
        };
    vec![
        ("a secret header is read", "read-secret", reading(|| Read::Header("authorization".into()))),
        ("an undeclared signal", "read-undeclared-signal", reading(|| Read::Signal("risk".into()))),
        (
            "a source of signals that is down",
            "read-signal-failed",
            with_signals("risk").signals(Signals).load().unwrap(),
        ),
        (
            "a source of signals that panics",
            "panicked",
            with_signals("panics").signals(Signals).load().unwrap(),
        ),
        (
            "an undeclared document",
            "read-undeclared-document",
            reading(|| Read::DataString("roles".into(), "/a".into())),
        ),
        ("a malformed pattern", "read-malformed-argument", reading(|| Read::PathMatches("/a*".into()))),
        ("a malformed network", "read-malformed-argument", reading(|| Read::RemoteIpIn("10.0.0.1/8".into()))),
        ("a malformed pointer", "read-malformed-argument", reading(|| Read::ClaimString("sub".into()))),
        (
            "too many reads",
            "read-budget",
            deciding(|question, _| {
                for n in 0..1000 {
                    question.read(Read::Label(n.to_string().into()))?;
                }
                Ok(Answer::Allow)
            }),
        ),
        (
            "an undeclared reason",
            "outcome-undeclared-reason",
            deciding(|_, outcome| {
                outcome.reason("never-declared")?;
                Ok(Answer::Deny)
            }),
        ),
        (
            "a reserved header",
            "outcome-reserved-header",
            attaching(|outcome| outcome.set_request_header("authorization", "x")),
        ),
        (
            "CR LF in a header",
            "outcome-malformed-header",
            attaching(|outcome| outcome.set_response_header("x-a", "a\r\nb: c")),
        ),
        ("a huge message", "outcome-budget", attaching(|outcome| outcome.message(&"x".repeat(10_000)))),
        (
            "a native policy that panics",
            "panicked",
            deciding(|_, _| panic!("a bug in the application's policy")),
        ),
        ("a guest that traps", "trap", hostile!("trap")),
        ("a guest that recurses", "", hostile!("deep-recursion")),
        ("a guest that eats memory", "", hostile!("memory-bomb")),
        ("a guest that reads too much", "", hostile!("flood-of-reads")),
        ("a guest with a huge log", "", hostile!("huge-log")),
        ("a guest with CR LF in a header", "", hostile!("crlf-in-header")),
        ("a guest with an undeclared reason", "", hostile!("undeclared-reason")),
        ("a guest that reads a secret", "", hostile!("secret-header")),
    ]
}

#[tokio::test]
async fn no_fault_lets_a_request_through_in_http_or_grpc() {
    let world = World::new();
    let peer = world.frontend().await;
    let mut faults = 0;
    for (name, code, policies) in faulty_sets() {
        let guard = world.guard(policies).build();
        for grpc in [false, true] {
            let request = world.request_of(&peer);
            let request = if grpc { over_grpc(request) } else { request };
            let answer = world.send(&guard, request).await;
            let event = world.events.one();
            assert_eq!((event.verdict(), event.enforced()), (Verdict::Fault, true), "{name}: {event:?}");
            if !code.is_empty() {
                assert_eq!(answer.reason(), code, "{name}");
            }
            assert_eq!(event.reason(), Some(answer.reason()), "{name}");
            // What a caller learns of a fault is that it was one.
            assert_eq!(answer.refusal.as_ref().unwrap().code(), "fault");
            assert!(answer.refusal.as_ref().unwrap().message().is_none());
            if grpc {
                assert_eq!((answer.status, answer.header("grpc-status")), (200, Some("14")), "{name}");
            } else {
                assert_eq!(answer.status, 503, "{name}");
                assert_eq!(answer.json()["code"], "fault");
            }
            faults += 1;
        }
    }
    assert_eq!((world.handler.calls(), faults), (0, 44), "allows and faults");
}

#[test]
fn a_set_that_declares_signals_is_not_loaded_without_a_source_of_them() {
    let set =
        PolicySetBuilder::new().signal("risk").native("test", By(|_: &mut _, _: &mut _| Ok(Answer::Allow)));
    assert_eq!(set.load().unwrap_err().code(), "no-signal-source");
}

#[tokio::test]
async fn after_any_fault_the_next_request_is_judged_as_ever() {
    let world = World::new();
    let guard = world.guard(deciding(|question, _| match text(question, Read::Path)?.as_deref() {
        Some("/panic") => panic!("a bug"),
        Some("/secret") => Ok(question.read(Read::Header("cookie".into())).map(|_| Answer::Allow)?),
        _ => Ok(Answer::Allow),
    }));
    let guard = guard.build();
    for (path, reason) in [
        ("/a", "passed"),
        ("/panic", "panicked"),
        ("/a", "passed"),
        ("/secret", "read-secret"),
        ("/a", "passed"),
    ] {
        let mut request = world.request().await;
        *request.uri_mut() = path.parse().unwrap();
        assert_eq!(world.send(&guard, request).await.reason(), reason);
    }
    assert_eq!(world.handler.calls(), 3);
}

struct PanickingSink;

impl AuditSink for PanickingSink {
    fn record(&self, _: AuditEvent) {
        panic!("the sink panicked");
    }
}

#[tokio::test]
async fn a_panic_of_sink_or_handler_lets_nothing_through_and_harms_no_other() {
    let world = World::new();
    let guard = world.guard(allow()).audit(PanickingSink).build();
    let mut service = GuardLayer::new(guard).layer(world.handler.service());
    let request = world.request().await;
    let called =
        tokio::spawn(async move { service.ready().await.unwrap().call(request).await.map(drop) }).await;
    assert!(called.unwrap_err().is_panic());
    assert_eq!(world.handler.calls(), 0, "no request passes that is not audited");

    let layer = GuardLayer::new(world.guard(allow()).build());
    let panics = tower::service_fn(|_: http::Request<http_body_util::Full<bytes::Bytes>>| async {
        if true {
            panic!("the handler panicked");
        }
        Ok::<_, std::convert::Infallible>(
            http::Response::new(http_body_util::Full::<bytes::Bytes>::default()),
        )
    });
    let service = layer.layer(panics);
    for _ in 0..2 {
        let (service, request) = (service.clone(), world.request().await);
        assert!(
            tokio::spawn(async move { service.oneshot(request).await.map(drop) })
                .await
                .unwrap_err()
                .is_panic()
        );
        assert_eq!(world.events.one().verdict(), Verdict::Allow);
    }
}

// What callers learn.

#[tokio::test]
async fn every_fault_of_a_credential_is_told_in_the_same_words() {
    let world = World::new();
    let peer = world.frontend().await;
    let guard = world.guard(allow()).build();
    let token = || world.token();
    let mut bodies = BTreeSet::new();
    let mut details = BTreeSet::new();
    let mut challenges = BTreeSet::new();
    for (bearer, code) in [
        (token().signed_by_unknown_key().sign(), "token-signature"),
        (token().header("kid", "unknown").sign(), "token-unknown-key"),
        (token().claim("aud", "bank").sign(), "token-audience"),
        (token().claim("iss", "https://evil.example").sign(), "token-unknown-issuer"),
        (token().expired().sign(), "token-expired"),
        (token().not_before_in(Duration::from_secs(60)).sign(), "token-not-yet-valid"),
        (token().critical(&["x"]).sign(), "token-critical-header"),
        (token().unsigned().sign(), "token-malformed"),
        (token().typ("secevent+jwt").sign(), "token-type"),
        ("nonsense".to_owned(), "token-malformed"),
    ] {
        for grpc in [false, true] {
            let mut request = world.request_of(&peer);
            request.headers_mut().insert("authorization", format!("Bearer {bearer}").parse().unwrap());
            let request = if grpc { over_grpc(request) } else { request };
            let answer = world.send(&guard, request).await;
            let event = world.events.one();
            assert_eq!((answer.reason(), event.reason()), (code, Some(code)));
            challenges.insert(answer.header("www-authenticate").unwrap().to_owned());
            let id = event.id().to_string();
            if grpc {
                let status = details_of(&answer);
                assert_eq!(
                    (status.code, status.reason.as_str(), status.id.as_str()),
                    (16, "unauthenticated", id.as_str())
                );
                details.insert((status.message, answer.header("grpc-message").unwrap().to_owned()));
            } else {
                assert_eq!(answer.status, 401);
                bodies.insert(String::from_utf8(answer.body.to_vec()).unwrap().replace(&id, "ID"));
            }
        }
    }
    assert_eq!((bodies.len(), details.len()), (1, 1), "{bodies:?} {details:?}");
    assert_eq!(challenges.iter().map(String::as_str).collect::<Vec<_>>(), ["Bearer error=\"invalid_token\""]);
    // Nor does a missing token or certificate read otherwise, but for the challenge.
    let mut no_token = world.request_of(&peer);
    no_token.headers_mut().remove("authorization");
    let no_peer = world.request_of(&http::Extensions::new());
    for request in [no_token, no_peer] {
        let answer = world.send(&guard, request).await;
        let id = world.events.one().id().to_string();
        assert_eq!(
            answer.header("www-authenticate"),
            Some("Bearer"),
            "RFC 6750 section 3.1: no error where nothing was tried"
        );
        bodies.insert(String::from_utf8(answer.body.to_vec()).unwrap().replace(&id, "ID"));
    }
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    assert_eq!(world.handler.calls(), 0);
}

#[tokio::test]
async fn a_refusal_is_a_problem_with_a_stable_code_and_the_id_of_its_audit_event() {
    let world = World::new();
    let answer = world.send(&world.guard(deny()).build(), world.request().await).await;
    let event = world.events.one();
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("www-authenticate"), None);
    let expected = serde_json::json!({
        "type": "about:blank",
        "title": "the request is not permitted",
        "status": 403,
        "code": "no-role",
        "detail": "ask the owner of the shop",
        "id": event.id().to_string(),
    });
    assert_eq!((answer.status, answer.json()), (403, expected));
    assert_eq!(
        (event.verdict(), event.policy(), event.reason()),
        (Verdict::Deny, Some("test"), Some("no-role"))
    );
    // Another request, another id; an id that the caller sends takes the place of neither.
    let mut request = world.request().await;
    request.headers_mut().insert("x-request-id", HeaderValue::from_str(&event.id().to_string()).unwrap());
    let answer = world.send(&world.guard(deny()).build(), request).await;
    let next = world.events.one();
    assert_ne!(answer.json()["id"], event.id().to_string());
    assert_eq!(next.request_id(), Some(&*event.id().to_string()));
}

#[tokio::test]
async fn a_denial_tells_its_caller_no_more_than_reason_and_message() {
    let world = World::new();
    let guard = world.guard(deciding(|question, outcome| {
        question.read(Read::ClaimString("/department".into()))?;
        outcome.log("the caller is in the department of secrets")?;
        outcome.reason("not-yours")?;
        Ok(Answer::Deny)
    }));
    let mut request = world.request().await;
    let token = world.token().claim("department", "secrets").sign();
    request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    let answer = world.send(&guard.build(), request).await;
    assert_eq!(
        answer.json().as_object().unwrap().keys().map(String::as_str).collect::<BTreeSet<_>>(),
        ["code", "id", "status", "title", "type"].into()
    );
    let event = world.events.one();
    assert_eq!(event.log().len(), 1);
    let told = format!("{:?} {}", answer.headers, String::from_utf8_lossy(&answer.body));
    for hidden in ["secrets", "test", FRONTEND, "alice", &event.revision().unwrap().to_string()] {
        assert!(!told.contains(hidden), "{hidden} in {told}");
    }
}

#[tokio::test]
async fn a_denial_that_asks_for_step_up_is_a_401_with_the_challenge_of_rfc_9470() {
    let world = World::new();
    let stepping = |acr: Option<&'static str>, max_age: Option<u32>| {
        deciding(move |_, outcome| {
            outcome.reason("step-up-required")?;
            outcome.challenge_step_up(acr, max_age)?;
            Ok(Answer::Deny)
        })
    };
    for (acr, max_age, challenge) in [
        (
            Some("urn:mfa"),
            Some(300),
            "Bearer error=\"insufficient_user_authentication\", acr_values=\"urn:mfa\", max_age=300",
        ),
        (Some("urn:mfa"), None, "Bearer error=\"insufficient_user_authentication\", acr_values=\"urn:mfa\""),
        (None, Some(0), "Bearer error=\"insufficient_user_authentication\", max_age=0"),
    ] {
        let guard = world.guard(stepping(acr, max_age)).build();
        let answer = world.send(&guard, world.request().await).await;
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some(challenge)));
        assert_eq!(answer.json()["code"], "step-up-required");
        assert_eq!(
            world.events.one().verdict(),
            Verdict::Deny,
            "it is a denial, not a failed authentication"
        );
        let answer = world.send(&guard, over_grpc(world.request().await)).await;
        assert_eq!(
            (answer.header("grpc-status"), answer.header("www-authenticate")),
            (Some("16"), Some(challenge))
        );
        assert_eq!(details_of(&answer).reason, "step-up-required");
        world.events.one();
    }
}

/// `google.rpc.Status` with one `google.rpc.ErrorInfo`, read by hand.
struct Details {
    code: u64,
    message: String,
    reason: String,
    domain: String,
    id: String,
}

/// The fields of a protobuf message: number → value (varint as bytes of the number).
fn fields(mut bytes: &[u8]) -> std::collections::BTreeMap<u64, Vec<u8>> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = bytes[0];
            *bytes = &bytes[1..];
            value |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                return value;
            }
        }
    }
    let mut found = std::collections::BTreeMap::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let value = match key & 7 {
            0 => varint(&mut bytes).to_be_bytes().to_vec(),
            2 => {
                let length = usize::try_from(varint(&mut bytes)).unwrap();
                let (value, rest) = bytes.split_at(length);
                bytes = rest;
                value.to_vec()
            }
            other => panic!("wire type {other}"),
        };
        assert!(found.insert(key >> 3, value).is_none(), "a field twice");
    }
    found
}

fn details_of(answer: &support::Answered) -> Details {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let raw = base64::engine::general_purpose::STANDARD_NO_PAD
        .decode(answer.header("grpc-status-details-bin").unwrap())
        .unwrap();
    let status = fields(&raw);
    let any = fields(&status[&3]);
    assert_eq!(text(&any[&1]), "type.googleapis.com/google.rpc.ErrorInfo");
    let info = fields(&any[&2]);
    let metadata = fields(&info[&3]);
    assert_eq!(text(&metadata[&1]), "id");
    Details {
        code: u64::from_be_bytes(status[&1].clone().try_into().unwrap()),
        message: text(&status[&2]),
        reason: text(&info[&1]),
        domain: text(&info[&2]),
        id: text(&metadata[&2]),
    }
}

#[tokio::test]
async fn a_refused_grpc_call_is_trailers_only_with_details_that_parse() {
    let world = World::new();
    let long = deciding(|_, outcome| {
        outcome.reason("not-yours")?;
        outcome.message(&format!("100% für dich nicht {}", "x".repeat(300)))?;
        Ok(Answer::Deny)
    });
    let answer = world.send(&world.guard(long).build(), over_grpc(world.request().await)).await;
    let event = world.events.one();
    assert_eq!(
        (answer.status, answer.header("content-type"), answer.body.len()),
        (200, Some("application/grpc"), 0)
    );
    assert_eq!(answer.header("grpc-status"), Some("7"));
    let message = answer.header("grpc-message").unwrap();
    assert!(message.starts_with("100%25 f%C3%BCr dich nicht xxx"), "{message}");
    let details = details_of(&answer);
    assert_eq!((details.code, details.reason.as_str(), details.domain.as_str()), (7, "not-yours", "ztlib"));
    assert!(details.message.starts_with("100% für dich nicht xxx"));
    assert_eq!(details.id, event.id().to_string());
}

/// The caller never chooses: a service that does not say that it serves gRPC answers as HTTP.
#[tokio::test]
async fn a_refusal_speaks_grpc_only_where_grpc_is_served_and_only_to_what_can_be_a_call() {
    let world = World::new();
    let guard = world.guard(deny()).build();
    let peer = world.frontend().await;
    let ask = async |served: Protocol, method: Method, version: Version, content_type: &str| {
        let mut request = over_grpc(world.request_of(&peer));
        let matched = MatchedRoute::new("/orders/{id}").served_in(served);
        request.extensions_mut().insert(matched);
        *request.method_mut() = method;
        *request.version_mut() = version;
        request.headers_mut().insert("content-type", content_type.parse().unwrap());
        let answer = world.send(&guard, request).await;
        assert_eq!(answer.reason(), "no-role");
        let grpc = answer.header("grpc-status").is_some();
        assert_eq!(answer.status, if grpc { 200 } else { 403 });
        grpc
    };
    let grpc = "application/grpc";
    assert!(ask(Protocol::Grpc, Method::POST, Version::HTTP_2, grpc).await);
    assert!(ask(Protocol::Grpc, Method::POST, Version::HTTP_2, "application/grpc+proto").await);
    assert!(!ask(Protocol::Grpc, Method::POST, Version::HTTP_2, "application/grpc-web").await);
    assert!(!ask(Protocol::Grpc, Method::POST, Version::HTTP_2, "application/json").await);
    assert!(!ask(Protocol::Grpc, Method::POST, Version::HTTP_11, grpc).await);
    for method in [Method::GET, Method::HEAD, Method::DELETE, Method::PUT, Method::OPTIONS] {
        assert!(!ask(Protocol::Grpc, method, Version::HTTP_2, grpc).await);
    }
    assert!(!ask(Protocol::Http, Method::POST, Version::HTTP_2, grpc).await);
    assert!(!ask(Protocol::Http, Method::DELETE, Version::HTTP_11, grpc).await);
}

// Questions of the application.

#[tokio::test]
async fn a_handler_asks_about_the_object_it_loaded() {
    let world = World::new();
    let guard = world.guard(deciding(|question, outcome| {
        let owner = text(question, Read::Label("owner".into()))?;
        match (text(question, Read::Action)?.as_deref(), owner) {
            // The request itself.
            (None, _) => Ok(Answer::Allow),
            (Some("orders.read"), owner) if owner == text(question, Read::Subject)? => Ok(Answer::Allow),
            _ => {
                outcome.reason("not-yours")?;
                Ok(Answer::Deny)
            }
        }
    }));
    let guard = guard.build();
    assert_eq!(world.send(&guard, world.request().await).await.status, 200);
    world.events.one();
    let principal = world.handler.seen().extensions.get::<Permit>().unwrap().principal().clone();

    let permit = guard.ask(&principal, "orders.read", Labels::new().with("owner", "alice")).unwrap();
    let event = world.events.one();
    assert_eq!(
        (event.verdict(), event.action(), event.id()),
        (Verdict::Allow, Some("orders.read"), permit.id())
    );
    assert!(event.method().is_none() && event.path().is_none());

    for (action, labels) in [
        ("orders.read", Labels::new().with("owner", "bob")),
        ("orders.read", Labels::new()),
        ("orders.delete", Labels::new().with("owner", "alice")),
    ] {
        let refusal = guard.ask(&principal, action, labels).unwrap_err();
        assert_eq!((refusal.status().as_u16(), refusal.code()), (403, "not-yours"));
        let event = world.events.one();
        assert_eq!((event.verdict(), event.id()), (Verdict::Deny, refusal.id()));
    }
    let refusal =
        guard.ask(&Principal::anonymous(), "orders.read", Labels::new().with("owner", "alice")).unwrap_err();
    assert_eq!(refusal.cause().code(), "not-yours");
}

#[tokio::test]
async fn a_question_of_the_application_has_no_request_to_read() {
    let world = World::new();
    for read in [Read::Method, Read::Path, Read::Host, Read::Header("x".into()), Read::Query("q".into())] {
        let guard = world.guard(deciding(move |question, _| {
            question.read(read.clone()).map(|_| Answer::Allow).map_err(Into::into)
        }));
        let refusal = guard.build().ask(&Principal::anonymous(), "a", Labels::new()).unwrap_err();
        assert_eq!((refusal.status().as_u16(), refusal.cause().code()), (503, "read-no-request"));
    }
}

#[tokio::test]
async fn credentials_that_ran_out_meanwhile_are_refused_when_a_handler_asks() {
    let world = World::new();
    let guard = world.guard(allow()).build();
    let until = ztlib::Clock::now(&world.clock) + Duration::from_secs(3600);
    let leaf = world.mesh.leaf().spiffe(FRONTEND).valid_between(UNIX_EPOCH, until).issue();
    let peer = peer_extensions(&world.trust, Some(&leaf), world.clock.clone()).await.unwrap();
    assert_eq!(world.send(&guard, world.request_of(&peer)).await.status, 200);
    let principal = world.handler.seen().extensions.get::<Permit>().unwrap().principal().clone();
    assert!(guard.ask(&principal, "a", Labels::new()).is_ok());
    world.clock.advance(Duration::from_secs(301));
    let refusal = guard.ask(&principal, "a", Labels::new()).unwrap_err();
    assert_eq!((refusal.status().as_u16(), refusal.cause().code()), (401, "token-expired"));
    let batch = guard.ask_all(&principal, [("a", Labels::new()), ("b", Labels::new())]);
    assert!(batch.iter().all(|one| one.as_ref().unwrap_err().cause().code() == "token-expired"));
    world.clock.advance(Duration::from_secs(3600));
    assert_eq!(guard.ask(&principal, "a", Labels::new()).unwrap_err().cause().code(), "expired");
}

#[tokio::test]
async fn a_peer_whose_roots_were_removed_meanwhile_is_refused_when_a_handler_asks() {
    let world = World::new();
    let guard = world.guard(allow()).build();
    assert_eq!(world.send(&guard, world.request().await).await.status, 200);
    let principal = world.handler.seen().extensions.get::<Permit>().unwrap().principal().clone();
    let domain: TrustDomain = FRONTEND.parse::<SpiffeId>().unwrap().trust_domain().clone();
    let trusting = |roots: Vec<_>| Trust::builder().trust(domain.clone(), roots).unwrap().build().unwrap();
    let other = Authority::new("another root");
    world.trust.replace(trusting(vec![world.mesh.certificate(), other.certificate()]));
    assert!(guard.ask(&principal, "a", Labels::new()).is_ok());
    world.trust.replace(trusting(vec![other.certificate()]));
    let refusal = guard.ask(&principal, "a", Labels::new()).unwrap_err();
    assert_eq!((refusal.status().as_u16(), refusal.cause().code()), (401, "untrusted-issuer"));
}

#[tokio::test]
async fn a_peer_that_another_authority_vouches_for_by_now_is_refused_when_a_handler_asks() {
    let mut world = World::new();
    let partner = Authority::new("partner root");
    let named =
        |name: &str| Trust::builder().authority(name, [partner.certificate()]).unwrap().build().unwrap();
    world.trust = named("partner");
    let guard = world.guard(allow()).build();
    let leaf = partner.leaf().dns("api.partner.test").issue();
    let peer = peer_extensions(&world.trust, Some(&leaf), world.clock.clone()).await.unwrap();
    assert_eq!(world.send(&guard, world.request_of(&peer)).await.status, 200);
    let principal = world.handler.seen().extensions.get::<Permit>().unwrap().principal().clone();
    world.trust.replace(named("partner"));
    assert!(guard.ask(&principal, "a", Labels::new()).is_ok());
    // Under the next roots its certificate means another name; a policy would still be told the old
    // one.
    world.trust.replace(named("stranger"));
    let refusal = guard.ask(&principal, "a", Labels::new()).unwrap_err();
    assert_eq!((refusal.status().as_u16(), refusal.cause().code()), (401, "untrusted-issuer"));
}

/// A clock that is a second later each time it is asked.
struct Ticking(AtomicU64);

impl ztlib::Clock for Ticking {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_767_225_600 + self.0.fetch_add(1, Ordering::SeqCst))
    }
}

#[tokio::test]
async fn a_batch_is_judged_by_one_revision_and_at_one_moment() {
    let world = World::new();
    let policies: Arc<OnceLock<PolicyStore>> = Arc::default();
    let handle = policies.clone();
    // A policy during which its own document changes, as a reload in the middle of a batch does.
    let set = PolicySetBuilder::new()
        .document("round", "0")
        .native(
            "test",
            By(move |question: &mut ztlib::authorize::Reader, outcome: &mut ztlib::authorize::Outcome| {
                let now = question.read(Read::Now)?;
                let round = question.read(Read::DataString("round".into(), "".into()))?;
                outcome.log(&format!("{now} {round}"))?;
                if let Some(policies) = handle.get() {
                    policies.set_document("round", "later").unwrap();
                }
                Ok(Answer::Allow)
            }),
        )
        .load()
        .unwrap();
    policies.set(set.clone()).ok().unwrap();
    let guard = world.guard(set).clock(Ticking(AtomicU64::new(0))).build();
    let questions = || (0..20).map(|_| ("a", Labels::new()));
    let permits = guard.ask_all(&Principal::anonymous(), questions());
    let revisions: BTreeSet<_> =
        permits.iter().map(|one| one.as_ref().unwrap().revision().unwrap()).collect();
    let events = world.events.take();
    let seen: BTreeSet<_> = events.iter().map(|event| (event.time(), event.log().clone())).collect();
    assert_eq!((permits.len(), revisions.len(), events.len(), seen.len()), (20, 1, 20, 1), "{seen:?}");
    assert_eq!(
        events.iter().map(|event| event.id().to_string()).collect::<BTreeSet<_>>().len(),
        20,
        "each has an id of its own"
    );
    // The next batch sees what changed.
    let next = guard.ask_all(&Principal::anonymous(), questions().take(1));
    assert_ne!(next[0].as_ref().unwrap().revision(), revisions.first().copied());
}

#[tokio::test]
async fn a_batch_is_bounded_and_what_follows_is_not_looked_at() {
    let world = World::new();
    let guard = world.guard(allow()).build();
    let pulled = std::cell::Cell::new(0);
    let endless = std::iter::repeat_with(|| {
        pulled.set(pulled.get() + 1);
        ("a", Labels::new())
    });
    let answers = guard.ask_all(&Principal::anonymous(), endless);
    assert_eq!(answers.len(), MAX_QUESTIONS + 1);
    assert!(answers[..MAX_QUESTIONS].iter().all(Result::is_ok));
    assert_eq!(answers[MAX_QUESTIONS].as_ref().unwrap_err().cause().code(), "too-many-questions");
    assert_eq!(pulled.get(), MAX_QUESTIONS + 1);
    assert!(guard.ask_all(&Principal::anonymous(), std::iter::empty()).is_empty());
}

#[tokio::test]
async fn labels_that_the_application_attached_to_a_request_reach_the_policy() {
    let world = World::new();
    let guard = world.guard(deciding(|question, _| {
        Ok(if question.read(Read::Label("class".into()))? == Value::Text("open".into()) {
            Answer::Allow
        } else {
            Answer::Deny
        })
    }));
    let guard = guard.build();
    let mut request = world.request().await;
    request.headers_mut().insert("class", HeaderValue::from_static("open"));
    assert_eq!(world.send(&guard, request.clone()).await.reason(), "denied", "a header is not a label");
    request.extensions_mut().insert(Labels::new().with("class", "open"));
    assert_eq!(world.send(&guard, request).await.reason(), "passed");
}

// Methods and headers.

#[tokio::test]
async fn the_method_is_the_one_that_was_sent_whatever_headers_say() {
    let world = World::new();
    let guard = world.guard(deciding(|question, _| {
        Ok(if question.read(Read::Method)? == Value::Text("GET".into()) {
            Answer::Allow
        } else {
            Answer::Deny
        })
    }));
    let guard = guard.build();
    for (method, reason) in [
        ("GET", "passed"),
        ("HEAD", "denied"),
        ("get", "denied"),
        ("Get", "denied"),
        ("DELETE", "denied"),
        ("BREW", "denied"),
        ("OPTIONS", "denied"),
        ("TRACE", "denied"),
        ("CONNECT", "method-connect"),
    ] {
        for override_with in ["GET", "DELETE"] {
            let mut request = world.request().await;
            *request.method_mut() = Method::from_bytes(method.as_bytes()).unwrap();
            for name in ["x-http-method-override", "x-http-method", "x-method-override", "_method"] {
                request
                    .headers_mut()
                    .insert(HeaderName::from_static(name), HeaderValue::from_static(override_with));
            }
            assert_eq!(world.send(&guard, request).await.reason(), reason, "{method} as {override_with}");
            assert_eq!(world.events.one().method().unwrap().as_str(), method);
        }
    }
    assert_eq!(world.handler.calls(), 2);
}

#[tokio::test]
async fn head_needs_an_allow_of_its_own() {
    let world = World::new();
    let only = |method: &'static str| {
        deciding(move |question, _| {
            Ok(if question.read(Read::Method)? == Value::Text(method.into()) {
                Answer::Allow
            } else {
                Answer::Deny
            })
        })
    };
    for (allowed, sent, reason) in
        [("GET", "HEAD", "denied"), ("HEAD", "HEAD", "passed"), ("HEAD", "GET", "denied")]
    {
        let mut request = world.request().await;
        *request.method_mut() = sent.parse().unwrap();
        assert_eq!(world.send(&world.guard(only(allowed)).build(), request).await.reason(), reason);
    }
}

#[tokio::test]
async fn what_cannot_be_judged_is_a_400_before_anybody_is_asked_who_they_are() {
    let world = World::new();
    let guard = world.guard(deciding(|_, _| panic!("no policy is asked"))).build();
    type Spoil = fn(&mut http::Request<http_body_util::Full<bytes::Bytes>>);
    let cases: [(&str, Spoil); 7] = [
        ("host-missing", |request| drop(request.headers_mut().remove("host"))),
        ("host-ambiguous", |request| {
            request.headers_mut().append("host", HeaderValue::from_static("b.test"));
        }),
        ("host-ambiguous", |request| *request.uri_mut() = "https://b.test/orders/7".parse().unwrap()),
        ("host-malformed", |request| *request.uri_mut() = "https://root@shop.test/orders/7".parse().unwrap()),
        ("path-empty-segment", |request| *request.uri_mut() = "//orders/7".parse().unwrap()),
        ("header-repeated", |request| {
            request.headers_mut().append("content-type", HeaderValue::from_static("application/json"));
            request.headers_mut().append("content-type", HeaderValue::from_static("text/plain"));
        }),
        ("method-connect", |request| *request.method_mut() = Method::CONNECT),
    ];
    for (code, spoil) in cases {
        // Without credentials, so that a 401 would show that they were looked at.
        let mut request = world.request_of(&http::Extensions::new());
        spoil(&mut request);
        let answer = world.send(&guard, request.clone()).await;
        assert_eq!((answer.status, answer.reason(), answer.json()["code"].as_str()), (400, code, Some(code)));
        let event = world.events.one();
        assert_eq!((event.verdict(), event.host()), (Verdict::BadRequest, None));
        if !matches!(code, "header-repeated" | "method-connect") {
            let answer = world.send(&guard, over_grpc(request)).await;
            assert_eq!(answer.header("grpc-status"), Some("3"), "INVALID_ARGUMENT");
            world.events.one();
        }
    }
    assert_eq!(world.handler.calls(), 0);
}

#[tokio::test]
async fn a_policy_gets_every_value_of_a_header_in_order() {
    let world = World::new();
    let guard = world.guard(deciding(|question, _| {
        let values = question.read(Read::HeaderValues("x-roles".into()))?;
        Ok(if values.to_string() == r#"["viewer", "admin, root"]"# { Answer::Allow } else { Answer::Deny })
    }));
    let mut request = world.request().await;
    request.headers_mut().append("x-roles", HeaderValue::from_static("viewer"));
    request.headers_mut().append("x-roles", HeaderValue::from_static("admin, root"));
    assert_eq!(world.send(&guard.build(), request).await.reason(), "passed");
}

fn header_sets() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    let known = prop::sample::select(vec![
        "x-forwarded-for",
        "forwarded",
        "x-real-ip",
        "x-forwarded-client-cert",
        "x_forwarded_client_cert",
        "x-envoy-original-path",
        "x-envoy-internal",
        "x-original-url",
        "x-rewrite-url",
        "x-http-method-override",
        "x-user",
        "x-remote-user",
        "remote-user",
        "x-ssl-client-cert",
        "connection",
        "te",
        "via",
        "origin",
        "cookie",
        "x-request-id",
        "traceparent",
        "ztlib-subject",
        "range",
        "x-forwarded-host",
        "x-forwarded-proto",
        "proxy-authorization",
        "accept",
        "expect",
        "upgrade",
    ]);
    let name = prop_oneof![known.prop_map(str::to_owned), "[a-z][a-z0-9_-]{0,20}"];
    let value = prop_oneof![
        prop::collection::vec(0x20_u8..=0x7e, 0..40),
        Just(b"spiffe://example.org/admin".to_vec()),
        Just(b"URI=spiffe://example.org/admin;Hash=1".to_vec()),
        Just(b"root".to_vec()),
        Just(b"127.0.0.1".to_vec()),
        prop::collection::vec(0x80_u8..=0xff, 1..10),
    ];
    prop::collection::vec((name, value), 0..12)
}

#[test]
fn headers_that_no_policy_reads_never_change_a_decision() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let world = World::new();
    let peer = runtime.block_on(world.frontend());
    let guard = world.guard(deciding(|question, outcome| {
        let asked = [
            Read::Method,
            Read::Host,
            Read::Path,
            Read::PeerSpiffeId,
            Read::Subject,
            Read::RemoteIp,
            Read::Query("q".into()),
        ];
        for read in asked {
            let value = question.read(read)?;
            outcome.log(&value.to_string())?;
        }
        let viewer = question.read(Read::Subject)? == Value::Text("alice".into())
            && question.read(Read::Method)? == Value::Text("GET".into());
        Ok(if viewer { Answer::Allow } else { Answer::Deny })
    }));
    let guard = guard.build();
    // Alice may, bob may not, nobody is nobody.
    let requests: Vec<_> = ["alice", "bob", ""]
        .map(|subject| {
            let mut request = world.request_of(&peer);
            request.headers_mut().remove("authorization");
            if !subject.is_empty() {
                let token = world.token().subject(subject).sign();
                request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
            }
            request
        })
        .into();
    let judge = |request: http::Request<_>| {
        let reason = runtime.block_on(world.send(&guard, request)).reason().to_owned();
        let event = world.events.one();
        let log: Vec<String> = event.log().iter().map(|(_, line)| line.to_string()).collect();
        let about = format!("{:?} {:?} {:?}", event.host(), event.path(), event.method());
        (reason, log, about)
    };
    let plain: Vec<_> = requests.iter().map(|request| judge(request.clone())).collect();
    assert_eq!(
        plain.iter().map(|(reason, ..)| reason.as_str()).collect::<Vec<_>>(),
        ["passed", "denied", "token-missing"]
    );
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    runner
        .run(&header_sets(), |headers| {
            for (request, plain) in requests.iter().zip(&plain) {
                let mut request = request.clone();
                for (name, value) in &headers {
                    // These three are read by design: whose call it is, where to, and in which
                    // protocol.
                    if !["authorization", "host", "content-type"].contains(&name.as_str()) {
                        request.headers_mut().append(
                            HeaderName::from_bytes(name.as_bytes()).unwrap(),
                            HeaderValue::from_bytes(value).unwrap(),
                        );
                    }
                }
                prop_assert_eq!(&judge(request), plain);
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_guard_prints_nothing_of_what_it_holds() {
    let world = World::new();
    let guard: Guard = world.guard(allow()).build();
    assert_eq!(format!("{guard:?}"), "Guard { observe_only: false, .. }");
    assert!(REASONS.iter().all(|reason| !format!("{guard:?}").contains(reason)));
}
