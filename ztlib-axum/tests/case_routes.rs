//! What a case works out of its path and route is what axum's router gives handlers.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use axum::Router;
use axum::body::Body;
use axum::extract::RawPathParams;
use axum::routing::get;
use http::{Request, StatusCode};
use tower::ServiceExt as _;
use ztlib_contract::cases::Template;

/// The parameters as a handler gets them; none where the router does not match.
async fn by_axum(template: &str, path: &str) -> Option<Vec<(String, String)>> {
    let handler = async |params: RawPathParams| {
        params.iter().map(|(name, value)| format!("{name}\0{value}\0")).collect::<String>()
    };
    let router = Router::new().without_v07_checks().route(template, get(handler));
    let response = router.oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
    if response.status() == StatusCode::NOT_FOUND {
        return None;
    }
    assert_eq!(response.status(), StatusCode::OK, "{template} {path}");
    let bytes = axum::body::to_bytes(response.into_body(), 4096).await.unwrap();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let mut fields = text.split_terminator('\0').map(str::to_owned);
    Some(std::iter::from_fn(|| Some((fields.next()?, fields.next()?))).collect())
}

#[tokio::test]
async fn a_case_has_the_parameters_that_axum_gives() {
    const TEMPLATES: [&str; 13] = [
        "/orders{*rest}",
        "/",
        "/orders",
        "/orders/",
        "/orders/{id}",
        "/orders/{id}/",
        "/orders/{id}/lines/{line}",
        "/orders/no-{id}",
        "/{*rest}",
        "/{shop}/{*rest}",
        "/{{a}}/{id}",
        "/orders/:id",
        "/caf%C3%A9/{name}",
    ];
    const PATHS: [&str; 20] = [
        "/",
        "/orders",
        "/orders/",
        "/orders/7",
        "/orders/7/",
        "/orders/7/lines",
        "/orders/7/lines/1",
        "/orders/7/lines/1/",
        "/orders/no-7",
        "/orders/no-",
        "/orders/a%20b",
        "/orders/a%2Fb",
        "/orders/a+b",
        "/orders/%C3%A9",
        "/orders/:id",
        "/orders/%25",
        "/%7Ba%7D/7",
        "/caf%C3%A9/x",
        "/a/b/c",
        "/a/",
    ];
    let mut matched = 0;
    for template in TEMPLATES {
        for path in PATHS {
            let expected = by_axum(template, path).await;
            assert_eq!(Template::parse(template).unwrap().params(path), expected, "{template} {path}");
            matched += usize::from(expected.is_some());
        }
    }
    assert!(matched > 30, "{matched}");
}

#[test]
fn a_route_that_axum_refuses_is_no_route_of_a_case() {
    for template in
        ["", "orders", "/{id", "/id}", "/{}", "/{*}", "/{a}{b}", "/{a}.json", "/{*rest}/a", "/{a*}"]
    {
        let route = || Router::<()>::new().route(template, get(async || {}));
        assert!(std::panic::catch_unwind(route).is_err(), "axum takes {template}");
        assert!(Template::parse(template).is_err(), "{template}");
    }
}
