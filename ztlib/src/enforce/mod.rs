//! Lets a request through with a [`Permit`], or refuses it as HTTP or gRPC requires.
//!
//! A [`Guard`] protects a service from every caller that its settings and policies do not allow.
//! For each request, in this order:
//!
//! 1. The path, the host and the method must be in normal form; otherwise 400. Nothing is
//!    rewritten.
//! 2. A route named by [`allow_public_route`](GuardBuilder::allow_public_route) ends here with a
//!    permit. Its callers are not authenticated.
//! 3. The peer's certificate and the bearer token must be good; otherwise 401. Every fault of a
//!    token has the same body.
//! 4. The policies must allow; otherwise 403, with the policy's reason code. A policy may ask for a
//!    stronger login: 401 with the challenge of RFC 9470.
//! 5. If no decision can be reached, the answer is 503, or 400 if what the caller sent is the
//!    cause.
//! 6. Every judgement leaves an [`AuditEvent`](crate::observe::AuditEvent). The handler runs only
//!    with a [`Permit`] in the request's extensions, which nothing outside of this module can make.
//!
//! A refusal has a stable code and the id of its audit event. Layers outside find the [`Refusal`]
//! in the response's extensions. Callers see the precise codes of 400 and 403; for 401 and 503 they
//! see only `unauthenticated` and `fault`.
//!
//! **Deployment.** Layers *outside* of the guard see requests before they are judged. Layers inside
//! see neither preflights nor refusals, so put CORS and tracing outside. Certificates come from
//! [`tls::Acceptor`](crate::tls::Acceptor). If another server ends TLS, its certificates are
//! refused unless
//! [`trust_foreign_acceptor`](crate::authenticate::peer::PeerAuthenticator::trust_foreign_acceptor)
//! is set. `ztlib-axum` and `ztlib-tonic` find the route; with another router, put a
//! [`MatchedRoute`] into the extensions, since no rule on a route matches without it.
//!
//! ```
//! # use std::convert::Infallible;
//! # use http::{Request, Response, StatusCode};
//! # use tower::{Layer, ServiceExt, service_fn};
//! # use ztlib::authenticate::token::{Algorithm, Issuer, KeySet};
//! # use ztlib::authenticate::token::{TokenAuthenticator, TokenVerifier};
//! # use ztlib::enforce::{Guard, MatchedRoute, Refusal, GuardLayer};
//! # use ztlib::policies::PolicySetBuilder;
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let id = ztlib_testing::TokenIssuer::new("https://id.example");
//! # let issuer = Issuer::new(id.name()).audience("shop").algorithms([Algorithm::ES256]);
//! # let issuer = issuer.keys(KeySet::from_jwks(&id.jwks())?);
//! # let verifier = TokenVerifier::builder().issuer(issuer).build()?;
//! let policies = PolicySetBuilder::new()
//!     .component("scopes", ztlib_policies::TOKEN_SCOPE)
//!     .reasons(ztlib_policies::TOKEN_SCOPE_REASONS)
//!     .config(serde_json::json!({ "rules": [
//!         { "methods": ["GET"], "routes": ["/orders/{id}"], "scopes": ["orders:read"] },
//!     ] }))
//!     .load()?;
//! let guard = Guard::builder()
//!     .allow_unauthenticated_peers()
//!     .tokens(TokenAuthenticator::new(verifier))
//!     .policies(policies)
//!     .build();
//! let orders = GuardLayer::new(guard).layer(service_fn(async |_: Request<()>| {
//!     Ok::<_, Infallible>(Response::new("an order".to_owned()))
//! }));
//!
//! let request = |scope: &str| {
//!     let token = id.token().subject("ann").audience("shop").scope(scope).sign();
//!     Request::get("/orders/7")
//!         .header("host", "shop.example")
//!         .header("authorization", format!("Bearer {token}"))
//!         .extension(MatchedRoute::new("/orders/{id}").with_param("id", "7")) // by an adapter
//!         .body(())
//! };
//! let response = orders.clone().oneshot(request("orders:read")?).await?;
//! assert_eq!(response.status(), StatusCode::OK);
//!
//! let response = orders.oneshot(request("orders:list")?).await?;
//! assert_eq!(response.status(), StatusCode::FORBIDDEN);
//! let refusal = response.extensions().get::<Refusal>().ok_or("refused by the guard")?;
//! assert_eq!(refusal.code(), "missing-scope");
//! # Ok(())
//! # }
//! ```

#[cfg(feature = "server")]
mod acceptor;
mod arrival;
mod ask;
mod builder;
mod enforcement;
mod guard;
mod hints;
mod judgement;
mod layers;
mod matched;
mod obligations;
mod permit;
mod respond;

pub use ask::Ask;
pub use builder::{GuardBuilder, Ready, WantsPeers, WantsPolicies, WantsTokens};
pub use guard::{Guard, MAX_QUESTIONS, Passed, ResponseObligations};
#[cfg(feature = "peers")]
pub use layers::{AuthenticatePeer, AuthenticatePeerLayer};
#[cfg(feature = "tokens")]
pub use layers::{AuthenticateToken, AuthenticateTokenLayer};
pub use layers::{GuardLayer, Guarded};
pub use matched::MatchedRoute;
pub use permit::Permit;
pub use respond::{Cause, Protocol, Refusal, RefusalForm, ResponseBody, ResponseFuture, Told};
pub use ztlib_contract::PathSpelling;
pub use ztlib_contract::target::{MAX_PATH_BYTES, TargetError};

pub(crate) use guard::Established;
