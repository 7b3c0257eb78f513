//! Refusals in the form of the house: what it can change, and what it cannot.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::convert::Infallible;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use tower::{Layer as _, ServiceExt as _, service_fn};
use ztlib::authorize::{Answer, Fault, NativePolicy, Outcome, Reader};
use ztlib::enforce::{Guard, GuardLayer, MatchedRoute, Protocol, Refusal, RefusalForm, Told};
use ztlib::policies::PolicySetBuilder;

/// Nobody may; says why to the caller.
struct Nobody;

impl NativePolicy for Nobody {
    fn decide(&self, _: &mut Reader, outcome: &mut Outcome) -> Result<Answer, Fault> {
        outcome.reason("closed")?;
        outcome.message("come back on Monday")?;
        outcome.challenge_step_up(Some("gold"), None)?;
        Ok(Answer::Deny)
    }
}

fn guard(form: impl RefusalForm) -> Guard {
    let policies = PolicySetBuilder::new().native("nobody", Nobody).reasons(["closed"]).load().unwrap();
    let guard = Guard::builder().allow_unauthenticated_peers().allow_requests_without_token();
    guard.policies(policies).refusal_form(form).build()
}

fn request() -> Request<String> {
    Request::get("/orders").header("host", "shop.test").body(String::new()).unwrap()
}

async fn answer(guard: Guard, request: Request<String>) -> (Response<()>, String) {
    let handler = service_fn(async |_: Request<String>| Ok::<_, Infallible>(Response::new(String::new())));
    let (head, body) = GuardLayer::new(guard).layer(handler).oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (Response::from_parts(head, ()), String::from_utf8(body.to_vec()).unwrap())
}

fn house(told: &Told<'_>, request: &Parts) -> Option<Response<Bytes>> {
    let text = format!("{} {} {:?}", told.code(), told.message()?, told.step_up()?.acr()?);
    let redirect = Response::builder()
        .status(StatusCode::SEE_OTHER)
        .header(header::LOCATION, format!("/login?then={}", request.uri.path()))
        .header(header::CACHE_CONTROL, "max-age=60")
        .header(header::CONTENT_TYPE, "text/plain");
    redirect.body(Bytes::from(text)).ok()
}

#[tokio::test]
async fn a_form_gives_status_headers_and_body_and_the_refusal_stays_one() {
    let (head, body) = answer(guard(house), request()).await;
    assert_eq!(
        (head.status(), body.as_str()),
        (StatusCode::SEE_OTHER, "closed come back on Monday \"gold\"")
    );
    assert_eq!(head.headers()[header::LOCATION], "/login?then=/orders");
    assert_eq!(head.headers()[header::CONTENT_TYPE], "text/plain");
    assert_eq!(head.headers()[header::CACHE_CONTROL], "no-store", "a refusal is about this caller now");
    let refusal = head.extensions().get::<Refusal>().unwrap();
    assert_eq!(refusal.cause().code(), "closed");
}

#[tokio::test]
async fn where_there_is_no_form_and_in_grpc_the_answer_is_ztlibs_own() {
    let (head, body) = answer(guard(|_: &Told<'_>, _: &Parts| None), request()).await;
    assert_eq!(head.status(), StatusCode::UNAUTHORIZED, "step-up");
    assert_eq!(head.headers()[header::CONTENT_TYPE], "application/problem+json");
    assert!(body.contains("\"code\":\"closed\""), "{body}");

    let handler = service_fn(async |_: Request<String>| Ok::<_, Infallible>(Response::new(String::new())));
    let layer = GuardLayer::new(guard(house))
        .find_route(|_: &mut Parts| MatchedRoute::none().served_in(Protocol::Grpc));
    let call = Request::post("/shop.Orders/Get").version(http::Version::HTTP_2).header("te", "trailers");
    let call = call.header("host", "shop.test").header("content-type", "application/grpc");
    let answer = layer.layer(handler).oneshot(call.body(String::new()).unwrap()).await.unwrap();
    assert_eq!((answer.status(), &answer.headers()["grpc-status"]), (StatusCode::OK, &"16".parse().unwrap()));
    assert!(!answer.headers().contains_key(header::LOCATION));
}

#[tokio::test]
async fn a_form_never_turns_a_refusal_into_a_success_and_its_panic_is_none_of_the_callers() {
    for status in [200, 204, 101, 304, 600] {
        let success = move |_: &Told<'_>, _: &Parts| {
            Response::builder().status(status).body(Bytes::from("all is well")).ok()
        };
        let (head, body) = answer(guard(success), request()).await;
        assert_eq!(head.status(), StatusCode::UNAUTHORIZED, "{status}");
        assert!(!body.contains("all is well"), "{body}");
    }
    let panics = |_: &Told<'_>, _: &Parts| -> Option<Response<Bytes>> { panic!("a bug of the form") };
    let (head, _) = answer(guard(panics), request()).await;
    assert_eq!(head.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_form_sets_no_header_of_the_connection_and_prints_no_reason_of_the_operator() {
    let form = |told: &Told<'_>, _: &Parts| {
        let framed = Response::builder()
            .status(StatusCode::FORBIDDEN)
            .header(header::TRANSFER_ENCODING, "chunked")
            .header(header::CONNECTION, "upgrade")
            .header(header::CONTENT_LENGTH, "7")
            .header("x-house", "yes");
        framed.body(Bytes::from(format!("{told:?}"))).ok()
    };
    let (head, _) = answer(guard(form), request()).await;
    assert_eq!((head.status(), &head.headers()["x-house"]), (StatusCode::FORBIDDEN, &"yes".parse().unwrap()));
    assert!(!head.headers().contains_key(header::TRANSFER_ENCODING));
    assert!(!head.headers().contains_key(header::CONNECTION));

    // Here the operator learns more than the caller: that the policy panicked.
    let unauthenticated = Guard::builder().allow_unauthenticated_peers().allow_requests_without_token();
    let policies = PolicySetBuilder::new().native("nobody", Fails).load().unwrap();
    let (_, body) = answer(unauthenticated.policies(policies).refusal_form(form).build(), request()).await;
    assert!(body.starts_with("Told {") && !body.contains("panicked"), "{body}");
}

struct Fails;

impl NativePolicy for Fails {
    fn decide(&self, _: &mut Reader, _: &mut Outcome) -> Result<Answer, Fault> {
        panic!("a bug of the policy")
    }
}
