//! What is wrong with a request is told apart from what is wrong with the service: it is refused
//! all the same, never remembered, and no caller can raise an operator's alarm.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod support;

use http::{HeaderValue, Method, Request, Version};
use serde_json::{Value as Json, json};
use ztlib::authorize::{Answer, FaultOrigin, Labels, Read, Value};
use ztlib::enforce::AuthenticatePeerLayer;
use ztlib::enforce::AuthenticateTokenLayer;
use ztlib::enforce::{Cause, Guard, GuardLayer, MatchedRoute, PathSpelling, Permit, Protocol};
use ztlib::observe::Verdict;
use ztlib::policies::{PolicySetBuilder, PolicyStore};

use support::{World, allow, deciding, deny, over_grpc, text};

const PROBE: &[u8] = include_bytes!("../../plugins/artifacts/probe.wasm");

type Body = http_body_util::Full<bytes::Bytes>;
type Spoil = fn(&World, &mut Request<Body>);

/// A sandboxed policy that makes one read and allows.
fn sandboxed(call: &str, with: &[&str]) -> PolicyStore {
    let config = json!({ "decide": { "do": [{ "call": call, "with": with }], "answer": "allow" } });
    PolicySetBuilder::new().component("reads", PROBE).config(config).load().unwrap()
}

/// The same read by a policy written natively.
fn native(read: fn() -> Read) -> PolicyStore {
    deciding(move |question, _| question.read(read()).map(|_| Answer::Allow).map_err(Into::into))
}

fn as_it_is(_: &World, _: &mut Request<Body>) {}

fn set_uri(request: &mut Request<Body>, uri: &str) {
    *request.uri_mut() = uri.parse().unwrap();
}

fn set_claim(world: &World, request: &mut Request<Body>, claim: Json) {
    let token = world.token().claim("org", claim).sign();
    request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
}

/// Who reads what, how a request makes that impossible, and the code; beside a request that does
/// not.
#[allow(clippy::type_complexity, reason = "a table")]
fn unreadable()
-> Vec<(&'static str, (&'static str, &'static [&'static str], fn() -> Read), Spoil, Spoil, &'static str)> {
    let header: (&str, &[&str], fn() -> Read) = ("header", &["x-a"], || Read::Header("x-a".into()));
    let values: (&str, &[&str], fn() -> Read) =
        ("header-values", &["x-a"], || Read::HeaderValues("x-a".into()));
    let query: (&str, &[&str], fn() -> Read) = ("query", &["a"], || Read::Query("a".into()));
    let param: (&str, &[&str], fn() -> Read) = ("param", &["id"], || Read::Param("id".into()));
    let number: (&str, &[&str], fn() -> Read) = ("claim-int", &["/org"], || Read::ClaimInt("/org".into()));
    let before: (&str, &[&str], fn() -> Read) =
        ("before-claim", &["/org"], || Read::BeforeClaim("/org".into()));
    let contains: (&str, &[&str], fn() -> Read) =
        ("claim-contains", &["/org", "a"], || Read::ClaimContains("/org".into(), "a".into()));
    vec![
        (
            "a header twice",
            header,
            |_, r| {
                r.headers_mut().append("x-a", HeaderValue::from_static("1"));
                r.headers_mut().append("x-a", HeaderValue::from_static("2"));
            },
            |_, r| {
                r.headers_mut().append("x-a", HeaderValue::from_static("1"));
            },
            "read-several-values",
        ),
        (
            "a header in Latin-1",
            header,
            |_, r| {
                r.headers_mut().insert("x-a", HeaderValue::from_bytes(b"caf\xe9").unwrap());
            },
            |_, r| drop(r.headers_mut().insert("x-a", HeaderValue::from_bytes("café".as_bytes()).unwrap())),
            "read-not-utf8",
        ),
        (
            "one of several headers in Latin-1",
            values,
            |_, r| {
                r.headers_mut().append("x-a", HeaderValue::from_static("1"));
                r.headers_mut().append("x-a", HeaderValue::from_bytes(b"\xff").unwrap());
            },
            |_, r| {
                r.headers_mut().append("x-a", HeaderValue::from_static("1"));
            },
            "read-not-utf8",
        ),
        (
            "a lone percent sign in the query",
            query,
            |_, r| set_uri(r, "/orders/7?a=100%"),
            |_, r| set_uri(r, "/orders/7?a=100%25"),
            "read-malformed-query",
        ),
        (
            "no hexadecimal digits",
            query,
            |_, r| set_uri(r, "/orders/7?a=%zz"),
            |_, r| set_uri(r, "/orders/7?a=%2B"),
            "read-malformed-query",
        ),
        (
            "the same in a name",
            query,
            |_, r| set_uri(r, "/orders/7?b%2=1&a=1"),
            as_it_is,
            "read-malformed-query",
        ),
        (
            "a query parameter twice",
            query,
            |_, r| set_uri(r, "/orders/7?a=1&a=2"),
            |_, r| set_uri(r, "/orders/7?a=1&b=2"),
            "read-several-values",
        ),
        (
            "twice in two spellings",
            query,
            |_, r| set_uri(r, "/orders/7?a=1&%61=1"),
            as_it_is,
            "read-several-values",
        ),
        ("a query that is not UTF-8", query, |_, r| set_uri(r, "/orders/7?a=%ff"), as_it_is, "read-not-utf8"),
        (
            "a parameter twice",
            param,
            |_, r| {
                let matched =
                    MatchedRoute::new("/t/{id}/orders/{id}").with_param("id", "1").with_param("id", "2");
                r.extensions_mut().insert(matched);
            },
            as_it_is,
            "read-several-values",
        ),
        (
            "a claim of another type",
            number,
            |w, r| set_claim(w, r, json!("acme")),
            |w, r| set_claim(w, r, json!(7)),
            "read-wrong-type",
        ),
        (
            "a claim that is not a moment",
            before,
            |w, r| set_claim(w, r, json!("soon")),
            |w, r| set_claim(w, r, json!(7)),
            "read-wrong-type",
        ),
        (
            "a claim that contains nothing",
            contains,
            |w, r| set_claim(w, r, json!(7)),
            |w, r| set_claim(w, r, json!(["b"])),
            "read-wrong-type",
        ),
        (
            "a header longer than the budget",
            header,
            |_, r| {
                r.headers_mut().insert("x-a", HeaderValue::from_str(&"x".repeat(70_000)).unwrap());
            },
            |_, r| drop(r.headers_mut().insert("x-a", HeaderValue::from_static("x"))),
            "read-too-long",
        ),
    ]
}

#[tokio::test]
async fn what_the_caller_sent_and_a_policy_cannot_read_is_a_bad_request_and_no_fault_of_the_service() {
    let world = World::new();
    let peer = world.frontend().await;
    for (name, (call, with, read), spoil, mend, code) in unreadable() {
        for policies in [native(read), sandboxed(call, with)] {
            let guard = world.guard(policies).build();
            for grpc in [false, true] {
                let request = |change: Spoil| {
                    let mut request = world.request_of(&peer);
                    change(&world, &mut request);
                    if grpc { over_grpc(request) } else { request }
                };
                for _ in 0..2 {
                    let answer = world.send(&guard, request(spoil)).await;
                    let event = world.events.one();
                    assert_eq!((answer.reason(), event.reason()), (code, Some(code)), "{name}");
                    assert_eq!((event.verdict(), event.cached()), (Verdict::BadRequest, false), "{name}");
                    let refusal = answer.refusal.as_ref().unwrap();
                    let Cause::Fault(fault) = refusal.cause() else { panic!("{name}: {refusal:?}") };
                    assert_eq!(fault.origin(), FaultOrigin::Request, "{name}");
                    assert!(event.policy().is_some(), "which policy could not read it");
                    if grpc {
                        assert_eq!((answer.status, answer.header("grpc-status")), (200, Some("3")), "{name}");
                    } else {
                        assert_eq!((answer.status, &answer.json()["code"]), (400, &json!(code)), "{name}");
                        assert_eq!(answer.json().get("detail"), None, "no word of what policies read");
                    }
                }
                // Beside it: the same read of a request that has what is asked for.
                assert_eq!(world.send(&guard, request(mend)).await.reason(), "passed", "{name}");
                world.events.one();
            }
        }
        // What nobody reads refuses nothing.
        let mut request = world.request_of(&peer);
        spoil(&world, &mut request);
        let answer = world.send(&world.guard(allow()).build(), request).await;
        assert_eq!(answer.reason(), "passed", "{name}");
        world.events.one();
    }
}

/// What looks alike and is the service's own doing.
#[tokio::test]
async fn what_the_service_cannot_read_stays_a_fault_of_the_service() {
    let world = World::new();
    let peer = world.frontend().await;
    let document = |read: fn() -> Read| {
        let policy =
            support::By(move |question: &mut ztlib::authorize::Reader, _: &mut ztlib::authorize::Outcome| {
                question.read(read()).map(|_| Answer::Allow).map_err(Into::into)
            });
        PolicySetBuilder::new().document("d", json!({ "n": 7 })).native("test", policy).load().unwrap()
    };
    for (name, code, policies) in [
        (
            "a document of another type",
            "read-wrong-type",
            document(|| Read::DataString("d".into(), "/n".into())),
        ),
        ("a malformed pattern", "read-malformed-argument", native(|| Read::PathMatches("/a*".into()))),
        (
            "arguments that spend the budget, with a short header besides",
            "read-budget",
            deciding(|question, _| {
                question.read(Read::Header("x-a".into()))?;
                question.read(Read::HasScope("x".repeat(70_000).into()))?;
                Ok(Answer::Allow)
            }),
        ),
    ] {
        let guard = world.guard(policies).build();
        let mut request = world.request_of(&peer);
        request.headers_mut().insert("x-a", HeaderValue::from_static("short"));
        let answer = world.send(&guard, request).await;
        assert_eq!((answer.status, answer.reason()), (503, code), "{name}");
        assert_eq!(answer.json()["code"], "fault");
        assert_eq!(world.events.one().verdict(), Verdict::Fault, "{name}");
    }
}

#[tokio::test]
async fn a_question_of_the_application_is_told_apart_in_the_same_way() {
    let world = World::new();
    let peer = world.frontend().await;
    let guard = world.guard(deciding(|question, _| match text(question, Read::Action)? {
        None => Ok(Answer::Allow),
        Some(_) => Ok(question.read(Read::ClaimInt("/org".into())).map(|_| Answer::Allow)?),
    }));
    let guard = guard.build();
    for (claim, expected) in [(json!("acme"), Some((400, 3, "read-wrong-type"))), (json!(7), None)] {
        let mut request = world.request_of(&peer);
        set_claim(&world, &mut request, claim);
        assert_eq!(world.send(&guard, request).await.reason(), "passed");
        let seen = world.handler.seen();
        let permit = seen.extensions.get::<Permit>().unwrap();
        let asked = guard.ask(permit.principal(), "orders.cancel", Labels::new());
        let told = asked
            .err()
            .map(|refusal| (refusal.status().as_u16(), refusal.grpc_code(), refusal.code().to_owned()));
        assert_eq!(told, expected.map(|(status, grpc, code)| (status, grpc, code.to_owned())));
        world.events.take();
    }
}

/// A symbol of a document's pointer is read like the parameter itself.
#[tokio::test]
async fn a_parameter_that_is_there_twice_stands_in_no_symbol() {
    let world = World::new();
    let peer = world.frontend().await;
    let config = json!({ "decide": { "do": [
        { "call": "data-string", "with": ["d", "/{param:id}"] },
    ], "answer": "allow" } });
    let set = PolicySetBuilder::new().document("d", json!({ "1": "a", "2": "b" }));
    let guard = world.guard(set.component("reads", PROBE).config(config).load().unwrap()).build();
    let route = |values: &[&str]| {
        let mut request = world.request_of(&peer);
        let matched = values
            .iter()
            .fold(MatchedRoute::new("/t/{id}/o/{id}"), |matched, value| matched.with_param("id", value));
        request.extensions_mut().insert(matched);
        request
    };
    assert_eq!(world.send(&guard, route(&["1"])).await.reason(), "passed");
    let answer = world.send(&guard, route(&["1", "2"])).await;
    assert_eq!((answer.status, answer.reason()), (400, "read-several-values"));
    let answer = world.send(&guard, route(&["1", "1"])).await;
    assert_eq!((answer.status, answer.reason()), (400, "read-several-values"), "equal ones too");
}

/// RFC 9110 section 9.3.2, wherever a refusal is made.
#[tokio::test]
async fn a_refused_head_has_the_headers_of_its_get_and_no_content() {
    let world = World::new();
    let peer = world.frontend().await;
    let guard = world.guard(deny()).build();
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let request = |method: Method, peer: &http::Extensions| {
            let mut request = world.request_of(peer);
            *request.method_mut() = method;
            *request.version_mut() = version;
            request.headers_mut().remove("authorization");
            request
        };
        let nobody = http::Extensions::new();
        let with_token = |mut request: Request<Body>| {
            let bearer = format!("Bearer {}", world.token().sign());
            request.headers_mut().insert("authorization", bearer.parse().unwrap());
            request
        };
        let whole = GuardLayer::new(guard.clone());
        let peers = AuthenticatePeerLayer::new(world.peers()).clock(world.clock.clone());
        let tokens = AuthenticateTokenLayer::new(world.tokens()).clock(world.clock.clone());
        for (name, get, head) in [
            (
                "a denial",
                world.through(&whole, with_token(request(Method::GET, &peer))).await,
                world.through(&whole, with_token(request(Method::HEAD, &peer))).await,
            ),
            (
                "a 401 of the guard",
                world.through(&whole, request(Method::GET, &peer)).await,
                world.through(&whole, request(Method::HEAD, &peer)).await,
            ),
            (
                "the layer for peers, alone",
                world.through(&peers, request(Method::GET, &nobody)).await,
                world.through(&peers, request(Method::HEAD, &nobody)).await,
            ),
            (
                "the layer for tokens, alone",
                world.through(&tokens, request(Method::GET, &nobody)).await,
                world.through(&tokens, request(Method::HEAD, &nobody)).await,
            ),
        ] {
            assert!(get.status >= 400, "{name}");
            assert_eq!((get.status, get.reason()), (head.status, head.reason()), "{name}");
            assert!(!get.body.is_empty() && head.body.is_empty(), "{name}");
            // The server makes the length of the GET from its body.
            assert_eq!(head.header("content-length"), Some(&*get.body.len().to_string()), "{name}");
            let mut headers = head.headers.clone();
            headers.remove("content-length");
            assert_eq!(headers, get.headers, "{name}");
        }
    }
    assert_eq!(world.handler.calls(), 0);
}

/// Nor has a HEAD that passes, over HTTP/2, where nobody behind the guard leaves the content out.
#[tokio::test]
async fn the_answer_to_a_head_over_http2_has_no_content() {
    let world = World::new();
    let peer = world.frontend().await;
    let guard = world.guard(allow()).build();
    for (method, length) in [(Method::GET, 7), (Method::HEAD, 0)] {
        let mut request = world.request_of(&peer);
        *request.method_mut() = method;
        *request.version_mut() = Version::HTTP_2;
        let answer = world.send(&guard, request).await;
        assert_eq!((answer.status, answer.body.len()), (200, length));
        assert_eq!(answer.header("x-powered-by"), Some("a handler"));
    }
}

/// The layers that work alone never let a caller choose either.
#[tokio::test]
async fn a_layer_alone_refuses_in_grpc_only_by_its_word_and_only_what_can_be_a_call() {
    let world = World::new();
    let call = || over_grpc(world.request_of(&http::Extensions::new()));
    let delete = || {
        let mut request = call();
        *request.method_mut() = Method::DELETE;
        *request.version_mut() = Version::HTTP_11;
        request.headers_mut().remove("authorization");
        request
    };
    let without_token = |mut request: Request<Body>| {
        request.headers_mut().remove("authorization");
        request
    };
    let peers = || AuthenticatePeerLayer::new(world.peers()).clock(world.clock.clone());
    let tokens = || AuthenticateTokenLayer::new(world.tokens()).clock(world.clock.clone());
    for (answer, status) in [
        (world.through(&peers(), call()).await, 401),
        (world.through(&peers().serves_grpc(), call()).await, 200),
        (world.through(&peers().serves_grpc(), delete()).await, 401),
        (world.through(&tokens(), without_token(call())).await, 401),
        (world.through(&tokens().serves_grpc(), without_token(call())).await, 200),
        (world.through(&tokens().serves_grpc(), delete()).await, 401),
    ] {
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("grpc-status"), (status == 200).then_some("16"));
    }
}

fn to(world: &World, peer: &http::Extensions, path: &str, matched: MatchedRoute) -> Request<Body> {
    let mut request = world.request_of(peer);
    set_uri(&mut request, path);
    request.extensions_mut().insert(matched);
    request
}

#[tokio::test]
async fn a_denial_for_want_of_a_route_says_so_and_no_other_does() {
    let world = World::new();
    let peer = world.frontend().await;
    let by_route = || {
        deciding(|question, outcome| {
            if question.read(Read::Route)? == Value::Text("/orders/{id}".into()) {
                return Ok(Answer::Allow);
            }
            outcome.reason("no-role")?;
            outcome.message("ask the owner of the shop")?;
            Ok(Answer::Deny)
        })
    };
    let by_path = || {
        deciding(|question, outcome| {
            let route = question.read(Read::Route)?;
            if route != Value::Absent || text(question, Read::Path)?.as_deref() == Some("/files/open") {
                return Ok(Answer::Allow);
            }
            outcome.reason("not-yours")?;
            Ok(Answer::Deny)
        })
    };
    let step_up = || {
        deciding(|question, outcome| {
            question.read(Read::Route)?;
            outcome.reason("step-up-required")?;
            outcome.challenge_step_up(Some("urn:mfa"), None)?;
            Ok(Answer::Deny)
        })
    };
    let none = MatchedRoute::none;
    for (name, policies, path, matched, status, reason) in [
        ("the route", by_route(), "/orders/7", MatchedRoute::new("/orders/{id}"), 200, "passed"),
        ("no route", by_route(), "/nothing", none(), 403, "no-route"),
        ("another route", by_route(), "/admin", MatchedRoute::new("/admin"), 403, "no-role"),
        ("by path, allowed", by_path(), "/files/open", none(), 200, "passed"),
        ("by path, denied", by_path(), "/files/closed", none(), 403, "not-yours"),
        ("whatever the route", deny(), "/nothing", none(), 403, "no-role"),
        ("a login is asked for", step_up(), "/nothing", none(), 401, "step-up-required"),
    ] {
        let guard = world.guard(policies).build();
        for grpc in [false, true] {
            let request = to(&world, &peer, path, matched.clone());
            let answer = world.send(&guard, if grpc { over_grpc(request) } else { request }).await;
            assert_eq!(answer.reason(), reason, "{name}");
            let event = world.events.one();
            assert_eq!(event.reason(), (reason != "passed").then_some(reason), "{name}");
            if !grpc {
                assert_eq!(answer.status, status, "{name}");
            }
            if reason == "no-route" {
                assert_eq!((event.verdict(), event.policy()), (Verdict::Deny, None));
                // The operator learns by which policy, the caller nothing more.
                assert!(event.detail().unwrap().contains("policy `test` denied: no-role"));
                let code = answer.header("grpc-status");
                assert_eq!(code, grpc.then_some("7"));
                if !grpc {
                    let told = answer.json();
                    assert_eq!((&told["code"], told.get("detail")), (&json!("no-route"), None));
                }
            }
        }
    }
    // Who is not known learns nothing of routes.
    let guard = world.guard(by_route()).build();
    let answer = world.send(&guard, to(&world, &http::Extensions::new(), "/nothing", none())).await;
    assert_eq!((answer.status, answer.reason()), (401, "missing-certificate"));
}

#[tokio::test]
async fn a_spelling_of_a_path_passes_as_it_stands_by_a_verb_and_only_where_it_says() {
    let world = World::new();
    let peer = world.frontend().await;
    let seeing = || {
        deciding(|question, outcome| {
            outcome.log(&text(question, Read::Path)?.unwrap_or_default())?;
            Ok(Answer::Allow)
        })
    };
    let everywhere = world.guard(seeing()).allow_path_spelling(PathSpelling::LowercaseEscapes).build();
    let on_one = world
        .guard(seeing())
        .allow_path_spelling_on("/caf/{name}", PathSpelling::LowercaseEscapes)
        .allow_path_spelling_on("/caf/{name}", PathSpelling::RawBracketsAndBars)
        .build();
    let strict = world.guard(seeing()).build();
    let here = || MatchedRoute::new("/caf/{name}").with_param("name", "é");
    let elsewhere = || MatchedRoute::new("/x/{name}").with_param("name", "é");
    let check = async |guard: &Guard, path: &str, matched: MatchedRoute, expected: &str| {
        let answer = world.send(guard, to(&world, &peer, path, matched)).await;
        assert_eq!(answer.reason(), expected, "{path}");
        let event = world.events.one();
        assert_eq!(event.path(), Some(path), "as it was sent");
        if expected == "passed" {
            assert_eq!(event.log()[0].1, path, "the policy sees what the router routed on");
            assert_eq!(world.handler.seen().uri.path(), path, "and so does the handler");
        } else {
            assert_eq!((answer.status, event.verdict()), (400, Verdict::BadRequest));
        }
    };
    let needless = "path-needless-escape";
    for (guard, path, matched, expected) in [
        (&strict, "/caf/%c3%a9", here(), needless),
        (&strict, "/caf/%C3%A9", here(), "passed"),
        (&everywhere, "/caf/%c3%a9", here(), "passed"),
        (&everywhere, "/x/%c3%a9", elsewhere(), "passed"),
        (&everywhere, "/nothing/%c3%a9", MatchedRoute::none(), "passed"),
        (&everywhere, "/caf/%7Ea", here(), needless),
        (&everywhere, "/caf/%2e%2e", here(), "path-dot-segment"),
        (&everywhere, "/caf/a%2fb", here(), "path-encoded-slash"),
        (&everywhere, "/caf/a%5cb", here(), "path-unsafe-escape"),
        (&everywhere, "/caf/a[0]", here(), "path-illegal-character"),
        (&on_one, "/caf/%c3%a9", here(), "passed"),
        (&on_one, "/caf/a[0]|b", here(), "passed"),
        (&on_one, "/x/%c3%a9", elsewhere(), needless),
        (&on_one, "/nothing/%c3%a9", MatchedRoute::none(), needless),
    ] {
        check(guard, path, matched, expected).await;
    }
}

/// What is served in gRPC is said by the service, so a route of HTTP beside it is refused in HTTP's
/// words.
#[tokio::test]
async fn no_content_type_makes_a_route_of_http_one_of_grpc() {
    let world = World::new();
    let peer = world.frontend().await;
    let guard = world.guard(deny()).build();
    let request = over_grpc(world.request_of(&peer));
    let http = to(&world, &peer, "/orders/7", MatchedRoute::new("/orders/{id}"));
    let mut http_by_grpc = over_grpc(http);
    http_by_grpc.extensions_mut().insert(MatchedRoute::new("/orders/{id}"));
    assert_eq!(world.send(&guard, request).await.header("grpc-status"), Some("7"));
    let answer = world.send(&guard, http_by_grpc).await;
    assert_eq!((answer.status, answer.header("grpc-status")), (403, None));
    assert_eq!(MatchedRoute::none(), MatchedRoute::none().served_in(Protocol::Http), "unless it is said");
}
