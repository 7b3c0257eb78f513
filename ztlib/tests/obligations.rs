//! Headers that are copied from each request by symbols (T10): through a whole guard, with a
//! sandboxed policy and the decision cache.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod support;

use http::{HeaderMap, HeaderValue, Request, Response};
use serde_json::{Value as Json, json};
use tower::{ServiceExt as _, service_fn};
use ztlib::authorize::Labels;
use ztlib::enforce::{Guard, Permit, GuardLayer};
use ztlib::observe::Verdict;
use ztlib::policies::{PolicyStore, PolicySetBuilder};
use ztlib_testing::TokenDraft;

use support::{Answered, FRONTEND, World, over_grpc};

const PROBE: &[u8] = include_bytes!("../../plugins/artifacts/probe.wasm");

type Body = http_body_util::Full<bytes::Bytes>;

/// A policy that allows and obliges to these copies: function, header, source.
fn copying(copies: &[(&str, &str, &str)]) -> PolicyStore {
    let call = |(function, header, source): &(&str, &str, &str)| -> Json {
        json!({ "call": function, "with": [header, source] })
    };
    let calls: Vec<Json> = copies.iter().map(call).collect();
    let config = json!({ "decide": { "do": calls, "answer": "allow" } });
    PolicySetBuilder::new().component("copies", PROBE).config(config).load().unwrap()
}

fn with_token(mut request: Request<Body>, token: TokenDraft<'_>) -> Request<Body> {
    let bearer = format!("Bearer {}", token.sign());
    request.headers_mut().insert("authorization", bearer.parse().unwrap());
    request
}

fn with_header(mut request: Request<Body>, name: &'static str, value: &str) -> Request<Body> {
    request.headers_mut().append(name, HeaderValue::from_str(value).unwrap());
    request
}

fn values<'h>(headers: &'h HeaderMap, name: &str) -> Vec<&'h str> {
    headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
}

/// T10. Were the claim read to be copied, bob would not find alice's entry; were its value in the
/// entry, bob would get alice's tenant.
#[tokio::test]
async fn callers_of_different_tenants_share_one_entry_and_get_their_own_header_each() {
    let world = World::new();
    let peer = world.frontend().await;
    let guard = world
        .guard(copying(&[
            ("copy-to-request-header", "x-tenant", "{claim:/tenant}"),
            ("copy-to-response-header", "x-user", "{subject}"),
        ]))
        .build();
    let people = [("alice", "acme"), ("bob", "umbrella"), ("carol", "acme"), ("alice", "umbrella")];
    for (turn, (subject, tenant)) in people.into_iter().enumerate() {
        let token = world.token().subject(subject).claim("tenant", tenant);
        let request = with_header(with_token(world.request_of(&peer), token), "x-tenant", "evil");
        let answer = world.send(&guard, request).await;
        assert_eq!(answer.status, 200);
        assert_eq!(values(&world.handler.seen().headers, "x-tenant"), [tenant]);
        assert_eq!(answer.header("x-user"), Some(subject));
        let event = world.events.one();
        assert_eq!(event.cached(), turn > 0, "one entry for all");
        assert_eq!(event.reads().len(), 0, "copying is not reading");
    }
}

#[tokio::test]
async fn every_source_is_taken_from_the_request_at_hand() {
    let world = World::new();
    let peer = world.frontend().await;
    let guard = world
        .guard(copying(&[
            ("copy-to-request-header", "x-subject", "{subject}"),
            ("copy-to-request-header", "x-issuer", "{issuer}"),
            ("copy-to-request-header", "x-peer", "{peer}"),
            ("copy-to-request-header", "x-domain", "{trust-domain}"),
            ("copy-to-request-header", "x-ip", "{remote-ip}"),
            ("copy-to-request-header", "x-order", "{param:id}"),
            ("copy-to-request-header", "x-class", "{label:class}"),
            ("copy-to-request-header", "x-new", "{header:x-old}"),
            ("copy-to-request-header", "x-org", "{claim:/org/na~1me}"),
            ("copy-to-request-header", "x-request-id", "{request-id}"),
            ("copy-to-response-header", "x-request-id", "{request-id}"),
        ]))
        .build();
    for turn in 0..2 {
        let (old, class) = (format!("old {turn}"), format!("class {turn}"));
        let token = world.token().claim("org", json!({ "na/me": old }));
        let mut request = with_header(with_token(world.request_of(&peer), token), "x-old", &old);
        request.headers_mut().insert("x-request-id", HeaderValue::from_static("the-callers-own"));
        request.extensions_mut().insert(Labels::new().with("class", class.clone()));
        let answer = world.send(&guard, request).await;
        let (seen, event) = (world.handler.seen(), world.events.one());
        assert_eq!((answer.reason(), event.cached()), ("passed", turn == 1));
        let permit = seen.extensions.get::<Permit>().unwrap();
        let ip = permit.principal().remote_ip().unwrap().to_string();
        for (name, value) in [
            ("x-subject", "alice"),
            ("x-issuer", world.id.name()),
            ("x-peer", FRONTEND),
            ("x-domain", "example.org"),
            ("x-ip", &ip),
            ("x-order", "7"),
            ("x-class", &class),
            ("x-new", &old),
            ("x-org", &old),
            ("x-request-id", &*permit.id().to_string()),
        ] {
            assert_eq!(values(&seen.headers, name), [value], "{name}");
        }
        assert_eq!(answer.header("x-request-id"), Some(&*permit.id().to_string()));
    }
}

/// What the caller sent under the name is never what the handler gets, whatever becomes of the
/// source.
#[tokio::test]
async fn a_copy_that_cannot_be_made_refuses_or_removes_and_never_passes_on_what_the_caller_sent() {
    let world = World::new();
    let peer = world.frontend().await;
    let strict = world.guard(copying(&[("copy-to-request-header", "x-tenant", "{claim:/tenant}")])).build();
    let lax =
        world.guard(copying(&[("copy-to-request-header-or-remove", "x-tenant", "{claim:/tenant}")])).build();
    let long = "x".repeat(1025);
    let bad = [
        (json!(7), "read-wrong-type"),
        (json!(null), "read-wrong-type"),
        (json!(["acme"]), "read-wrong-type"),
        (json!(""), "obligation-unusable-value"),
        (json!(" acme"), "obligation-unusable-value"),
        (json!("a\r\nx-admin: 1"), "obligation-unusable-value"),
        (json!("caf\u{e9}"), "obligation-unusable-value"),
        (json!(long), "obligation-unusable-value"),
    ];
    let request = |claim: Option<&Json>| {
        let token = match claim {
            Some(claim) => world.token().claim("tenant", claim),
            None => world.token(),
        };
        let request = with_header(with_token(world.request_of(&peer), token), "x-tenant", "evil");
        with_header(request, "x_tenant", "evil")
    };
    let spellings =
        |headers: &HeaderMap| (values(headers, "x-tenant").join(","), headers.contains_key("x_tenant"));
    // Fresh and from the cache: the first request fills the entry.
    for guard in [&strict, &lax] {
        assert_eq!(world.send(guard, request(Some(&json!("acme")))).await.status, 200);
        assert_eq!(spellings(&world.handler.seen().headers), ("acme".to_owned(), false));
        world.events.one();
        let calls = world.handler.calls();
        for (claim, code) in &bad {
            for grpc in [false, true] {
                let request = request(Some(claim));
                let answer = world.send(guard, if grpc { over_grpc(request) } else { request }).await;
                assert_eq!(answer.reason(), *code, "{claim}");
                let told = (answer.status, answer.header("grpc-status"));
                assert_eq!(told, if grpc { (200, Some("3")) } else { (400, None) }, "{claim}");
                let event = world.events.one();
                assert_eq!((event.verdict(), event.enforced()), (Verdict::BadRequest, true));
                assert_eq!(event.reason(), Some(*code));
                assert_no_value(&answer, claim);
            }
        }
        assert_eq!(world.handler.calls(), calls);
    }
    assert_eq!(world.send(&strict, request(None)).await.reason(), "obligation-source-absent");
    assert_eq!(world.send(&lax, request(None)).await.reason(), "passed");
    assert_eq!(spellings(&world.handler.seen().headers), (String::new(), false));
    let [first, second] = world.events.take().try_into().unwrap();
    assert!(
        first.cached() && second.cached(),
        "the decision is remembered, its fault for this caller is not"
    );
    assert_eq!(world.send(&strict, request(Some(&json!("acme")))).await.reason(), "passed");
}

fn assert_no_value(answer: &Answered, claim: &Json) {
    let text = claim.as_str().unwrap_or_default();
    let body = String::from_utf8_lossy(&answer.body);
    assert!(text.len() < 3 || !body.contains(text), "{body}");
}

#[tokio::test]
async fn a_wrong_source_is_a_fault_when_it_is_said_and_no_decision_to_remember() {
    let world = World::new();
    let peer = world.frontend().await;
    for (source, code) in [
        ("acme", "outcome-malformed-source"),
        ("{claim:tenant}", "outcome-malformed-source"),
        ("{subject}-{peer}", "outcome-malformed-source"),
        ("{header:authorization}", "outcome-secret-source"),
        ("{header:Proxy_Authorization}", "outcome-secret-source"),
        ("{header:x-api-key}", "outcome-secret-source"),
    ] {
        let config = json!({ "decide": { "do": [{ "call": "copy-to-request-header-or-remove", "with": ["x-a", source] }], "answer": "allow" } });
        let set =
            PolicySetBuilder::new().secret_header("x-api-key").component("copies", PROBE).config(config);
        let guard = world.guard(set.load().unwrap()).build();
        for _ in 0..2 {
            let answer = world.send(&guard, with_header(world.request_of(&peer), "x-api-key", "s")).await;
            assert_eq!((answer.reason(), answer.status), (code, 503), "{source}");
            assert!(!world.events.one().cached());
        }
    }
    assert_eq!(world.handler.calls(), 0);
}

#[tokio::test]
async fn a_header_of_the_response_is_the_callers_own_and_replaces_the_handlers() {
    let world = World::new();
    let peer = world.frontend().await;
    let guard = world
        .guard(copying(&[
            ("copy-to-response-header", "x-powered-by", "{claim:/tenant}"),
            ("copy-to-response-header-or-remove", "x-seen", "{header:x-seen}"),
        ]))
        .build();
    let answering = service_fn(|_: Request<Body>| async {
        let response = Response::builder().header("x-powered-by", "a handler").header("X_Seen", "a handler");
        Ok::<_, std::convert::Infallible>(response.body(Body::default()).unwrap())
    });
    let send = async |request: Request<Body>| {
        let service = tower::Layer::layer(&GuardLayer::new(guard.clone()), answering);
        service.oneshot(request).await.unwrap().into_parts().0
    };
    for tenant in ["acme", "umbrella"] {
        let request = with_token(world.request_of(&peer), world.token().claim("tenant", tenant));
        let parts = send(request.clone()).await;
        assert_eq!(values(&parts.headers, "x-powered-by"), [tenant]);
        assert!(!parts.headers.contains_key("x-seen") && !parts.headers.contains_key("x_seen"));
        let parts = send(with_header(request, "x-seen", tenant)).await;
        assert_eq!(values(&parts.headers, "x-seen"), [tenant]);
    }
    // The value is taken before the handler runs: where it cannot be, it does not run.
    assert_eq!(send(world.request_of(&peer)).await.status, 400);
}

/// A question of the application's own has nothing to copy to: obligations are not carried out, as
/// ever.
#[tokio::test]
async fn a_question_of_the_applications_own_is_answered_without_copies() {
    let world = World::new();
    let guard: Guard = world.guard(copying(&[("copy-to-request-header", "x-a", "{header:x-b}")])).build();
    let request = world.request().await;
    assert_eq!(world.send(&guard, request).await.reason(), "obligation-source-absent");
    let guard = world.guard(copying(&[("copy-to-request-header", "x-a", "{request-id}")])).build();
    world.send(&guard, world.request().await).await;
    let permit = world.handler.seen().extensions.get::<Permit>().unwrap().clone();
    assert!(guard.ask(permit.principal(), "orders.cancel", Labels::new()).is_ok());
}
