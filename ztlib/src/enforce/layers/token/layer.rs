//! The layer: a clock and a [`TokenAuthenticator`].

use tower_layer::Layer;

use super::service::AuthenticateToken;
use crate::authenticate::token::TokenAuthenticator;
use crate::clock::{Clock, SharedClock};
use crate::enforce::respond::Protocol;

/// Verifies the token of each request and puts
/// [`VerifiedClaims`](crate::authenticate::token::VerifiedClaims) into its extensions. Answers 401
/// itself if the token is missing or bad.
///
/// It works alone, on any body, if it only matters who is calling. To decide what callers may do,
/// use the whole guard.
///
/// ```
/// # use std::convert::Infallible;
/// # use http::{Request, Response, StatusCode};
/// # use http_body_util::BodyExt as _;
/// # use tower::{Layer as _, ServiceExt as _, service_fn};
/// # use ztlib::Clock as _;
/// # use ztlib::authenticate::token::{
/// #     Algorithm, Issuer, KeySet, TokenAuthenticator, TokenVerifier, VerifiedClaims,
/// # };
/// # use ztlib::enforce::AuthenticateTokenLayer;
/// # use ztlib_testing::{ManualClock, TokenIssuer};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let clock = ManualClock::default();
/// # let id = TokenIssuer::new("https://id.example");
/// # let issuer = Issuer::new(id.name()).audience("shop").algorithms([Algorithm::ES256]);
/// # let issuer = issuer.keys(KeySet::from_jwks(&id.jwks())?);
/// # let verifier = TokenVerifier::builder().issuer(issuer).build()?;
/// let handler = service_fn(async |request: Request<()>| {
///     let claims = request.extensions().get::<VerifiedClaims>();
///     Ok::<_, Infallible>(Response::new(
///         claims.and_then(|claims| claims.subject()).unwrap_or("nobody").to_owned(),
///     ))
/// });
/// let guarded = AuthenticateTokenLayer::new(TokenAuthenticator::new(verifier))
///     .clock(clock.clone())
///     .layer(handler);
///
/// let token = id.token_at(clock.now()).subject("u1").audience("shop").sign();
/// let request = Request::builder().header("authorization", format!("Bearer {token}")).body(())?;
/// let answer = guarded.clone().oneshot(request).await?;
/// assert_eq!(answer.into_body().collect().await?.to_bytes(), "u1");
///
/// let refused = guarded.oneshot(Request::new(())).await?;
/// assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
/// assert_eq!(refused.headers()["www-authenticate"], "Bearer");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct AuthenticateTokenLayer {
    authenticator: TokenAuthenticator,
    clock: SharedClock,
    protocol: Protocol,
}

impl AuthenticateTokenLayer {
    /// A layer with this authenticator and the machine's clock.
    #[must_use]
    pub fn new(authenticator: TokenAuthenticator) -> Self {
        Self { authenticator, clock: SharedClock::default(), protocol: Protocol::Http }
    }

    /// Uses another clock, which is read once per request.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = SharedClock::new(clock);
        self
    }

    /// The service behind serves gRPC. A request that can be a gRPC call (a POST over HTTP/2 with a
    /// gRPC content type) is refused as gRPC, everything else as HTTP. Without this, every refusal
    /// is a plain 401, which gRPC clients also report as UNAUTHENTICATED.
    #[must_use]
    pub fn serves_grpc(mut self) -> Self {
        self.protocol = Protocol::Grpc;
        self
    }
}

impl<S> Layer<S> for AuthenticateTokenLayer {
    type Service = AuthenticateToken<S>;

    fn layer(&self, inner: S) -> AuthenticateToken<S> {
        AuthenticateToken::new(inner, self.authenticator.clone(), self.clock.clone(), self.protocol)
    }
}
