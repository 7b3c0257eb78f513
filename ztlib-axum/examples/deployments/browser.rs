//! For a browser: CORS, the token in a header or in a cookie, and no request of another site's.

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, ORIGIN, UPGRADE};
use http::{HeaderValue, Method, StatusCode};
use tower_http::cors::CorsLayer;
use ztlib::authenticate::token::{TokenAuthenticator, TokenConfigError, TokenVerifier};
use ztlib::enforce::Guard;
use ztlib::policies::PolicyStore;
use ztlib_axum::GuardedRouter;

// page: from here
const FRONT: HeaderValue = HeaderValue::from_static("https://shop.example");

pub(crate) fn guarded(
    tokens: TokenVerifier,
    policies: PolicyStore,
    router: Router,
) -> Result<GuardedRouter, TokenConfigError> {
    let tokens = TokenAuthenticator::new(tokens).or_cookie("__Host-token")?;
    let guard = Guard::builder().allow_unauthenticated_peers().tokens(tokens).policies(policies).build();
    let cors = CorsLayer::new()
        .allow_origin([FRONT])
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers([AUTHORIZATION, CONTENT_TYPE])
        .allow_credentials(true); // for the cookie; a token in `authorization` needs none
    // The last layer is the outermost: a preflight has no token, and ends at `cors`.
    Ok(GuardedRouter::new(guard, router).layer_outside(from_fn(from_our_pages)).layer_outside(cors))
}

/// A browser adds cookies to requests that any site causes. So one with a cookie that may change
/// something comes from a page of ours, or is refused.
async fn from_our_pages(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let only_reads = request.method().is_safe() && !headers.contains_key(UPGRADE);
    let ours = match (headers.get(ORIGIN), headers.get("sec-fetch-site")) {
        (Some(origin), _) => *origin == FRONT,
        (None, Some(site)) => *site == "same-origin" || *site == "none",
        (None, None) => !headers.contains_key(COOKIE), // not a browser's, or an old one's
    };
    if only_reads || ours { next.run(request).await } else { StatusCode::FORBIDDEN.into_response() }
}
// page: to here
