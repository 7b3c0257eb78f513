//! For a browser: CORS, the token in a header or in a cookie, and no request of another site's.

use std::net::SocketAddr;

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use http::Version;
use http_body_util::Full;

use crate::{House, VERSIONS, plain, says, tokio_listener, told};

#[path = "../../examples/deployments/browser.rs"]
mod lines;

use lines::guarded;

async fn start(house: &House) -> SocketAddr {
    let router = Router::new().route("/orders/{id}", get(async || "an order").delete(async || "deleted"));
    let shop = guarded(house.tokens(), house.policies(), router).unwrap();
    let (listener, address) = tokio_listener();
    tokio::spawn(async { axum::serve(listener, shop.into_make_service()).await });
    address
}

async fn send(
    address: SocketAddr,
    version: Version,
    method: &str,
    headers: &[(&str, &str)],
) -> http::Response<Bytes> {
    let uri = if version == Version::HTTP_2 { "https://localhost/orders/7" } else { "/orders/7" };
    let mut request = http::Request::builder().method(method).uri(uri).version(version);
    if version == Version::HTTP_11 {
        request = request.header("host", "localhost");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    plain(address, request.body(Full::default()).unwrap()).await
}

fn allowed_origin(response: &http::Response<Bytes>) -> Option<&str> {
    response.headers().get("access-control-allow-origin").map(|origin| origin.to_str().unwrap())
}

const OURS: (&str, &str) = ("origin", "https://shop.example");
const ANOTHER: (&str, &str) = ("origin", "https://evil.example");

#[tokio::test]
async fn preflights_pass_the_guard_and_refusals_can_be_read_by_our_pages_alone() {
    let house = House::new();
    let address = start(&house).await;
    for version in VERSIONS {
        let method = ("access-control-request-method", "DELETE");
        let wanted = ("access-control-request-headers", "authorization");
        let preflight = send(address, version, "OPTIONS", &[OURS, method, wanted]).await;
        assert_eq!(preflight.status(), 200, "{version:?}");
        assert_eq!(allowed_origin(&preflight), Some("https://shop.example"));
        let headers = |name: &str| preflight.headers()[name].to_str().unwrap().to_owned();
        assert!(headers("access-control-allow-headers").contains("authorization"));
        assert!(headers("access-control-allow-methods").contains("DELETE"));
        assert_eq!(headers("access-control-allow-credentials"), "true");
        assert_eq!(allowed_origin(&send(address, version, "OPTIONS", &[ANOTHER, method]).await), None);
        assert_eq!(house.seen(), [], "no preflight is judged");

        let bearer = house.bearer("bob");
        let refused = send(address, version, "GET", &[OURS, ("authorization", &bearer)]).await;
        assert_eq!((told(&refused), allowed_origin(&refused)), (says(403, "no-role"), Some(OURS.1)));
        let refused = send(address, version, "GET", &[ANOTHER, ("authorization", &bearer)]).await;
        assert_eq!((told(&refused), allowed_origin(&refused)), (says(403, "no-role"), None));
        house.seen();
    }
}

#[tokio::test]
async fn a_cookie_is_a_token_and_changes_nothing_for_another_sites_page() {
    let house = House::new();
    let address = start(&house).await;
    let cookie = format!("theme=dark; __Host-token={}", house.token("alice"));
    let cookie = ("cookie", cookie.as_str());
    let refused = says(403, "");
    let (an_order, deleted) = (says(200, "an order"), says(200, "deleted"));
    for version in VERSIONS {
        for (method, headers, expected) in [
            ("GET", &[cookie, OURS][..], &an_order),
            ("DELETE", &[cookie, OURS], &deleted),
            ("DELETE", &[cookie, OURS, ("sec-fetch-site", "same-site")], &deleted),
            ("DELETE", &[cookie, ("sec-fetch-site", "same-origin")], &deleted),
            ("DELETE", &[cookie, ("sec-fetch-site", "none")], &deleted),
            // Another site's page; also one whose origin is hidden, and a sibling's.
            ("DELETE", &[cookie, ANOTHER], &refused),
            ("DELETE", &[cookie, ANOTHER, ("sec-fetch-site", "same-origin")], &refused),
            ("DELETE", &[cookie, ("origin", "null")], &refused),
            ("DELETE", &[cookie, ("origin", "https://shop.example.evil.example")], &refused),
            ("DELETE", &[cookie, ("origin", "http://shop.example")], &refused),
            ("DELETE", &[cookie, ("sec-fetch-site", "cross-site")], &refused),
            ("DELETE", &[cookie, ("sec-fetch-site", "same-site")], &refused),
            ("DELETE", &[cookie], &refused),
            // What only reads is answered; no page of another site can read the answer.
            ("GET", &[cookie, ANOTHER], &an_order),
            ("GET", &[cookie, ("sec-fetch-site", "cross-site")], &an_order),
        ] {
            let answer = send(address, version, method, headers).await;
            assert_eq!(told(&answer), *expected, "{version:?} {method} {headers:?}");
            assert!(allowed_origin(&answer).is_none_or(|origin| origin == OURS.1));
            // What the layer refuses, nobody has judged.
            assert_eq!(house.seen().len(), usize::from(*expected != refused));
        }
        // A token in the header is sent by no browser on its own.
        let bearer = house.bearer("alice");
        let bearer = ("authorization", bearer.as_str());
        assert_eq!(told(&send(address, version, "DELETE", &[bearer]).await), deleted);
        // In two places it is in none (RFC 6750 section 2).
        let twice = send(address, version, "DELETE", &[bearer, cookie, OURS]).await;
        assert_eq!(told(&twice), says(401, "unauthenticated"));
        house.seen();
    }
    // A WebSocket's handshake is a GET that no preflight precedes.
    let upgrade = [("connection", "upgrade"), ("upgrade", "websocket")];
    let of_another = [&upgrade[..], &[cookie, ANOTHER]].concat();
    assert_eq!(told(&send(address, Version::HTTP_11, "GET", &of_another).await), refused);
    let of_ours = [&upgrade[..], &[cookie, OURS]].concat();
    assert_eq!(told(&send(address, Version::HTTP_11, "GET", &of_ours).await), an_order);
}
