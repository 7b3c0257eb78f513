//! The layer: a clock and a [`PeerAuthenticator`].

use tower_layer::Layer;

use crate::Clock;
use crate::authenticate::peer::PeerAuthenticator;
use crate::clock::SharedClock;
use crate::enforce::layers::AuthenticatePeer;
use crate::enforce::respond::Protocol;

/// Puts the [`PeerIdentity`](crate::authenticate::peer::PeerIdentity) of each request into its
/// extensions, or refuses the request with a 401.
///
/// It works without the other stages, for a service whose handlers check the peer themselves.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::convert::Infallible;
/// use http::{Request, Response, StatusCode};
/// use http_body_util::BodyExt;
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
/// use ztlib::authenticate::peer::{PeerAuthenticator, PeerCertificates, PeerIdentity, Trust};
/// use ztlib::enforce::AuthenticatePeerLayer;
///
/// # let authority = ztlib_testing::Authority::new("example root");
/// let trust = Trust::builder().trust("example.org".parse()?, [authority.certificate()])?.build()?;
/// let service = ServiceBuilder::new()
///     .layer(AuthenticatePeerLayer::new(PeerAuthenticator::new(trust).trust_foreign_acceptor()))
///     .service(service_fn(|request: Request<String>| async move {
///         let peer = request.extensions().get::<PeerIdentity>().map(ToString::to_string);
///         Ok::<_, Infallible>(Response::new(peer.unwrap_or_default()))
///     }));
///
/// let mut request = Request::new(String::new());
/// # let payments = authority.leaf().spiffe("spiffe://example.org/payments").issue();
/// request.extensions_mut().insert(PeerCertificates::foreign(payments.chain()));
/// let response = service.clone().oneshot(request).await?;
/// let body = response.into_body().collect().await?.to_bytes();
/// assert_eq!(body, "spiffe://example.org/payments");
///
/// let response = service.oneshot(Request::new(String::new())).await?;
/// assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct AuthenticatePeerLayer {
    authenticator: PeerAuthenticator,
    clock: SharedClock,
    protocol: Protocol,
}

impl AuthenticatePeerLayer {
    /// A layer with this authenticator and the machine's clock.
    pub fn new(authenticator: PeerAuthenticator) -> Self {
        Self { authenticator, clock: SharedClock::default(), protocol: Protocol::Http }
    }

    /// Uses another clock.
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

impl<S> Layer<S> for AuthenticatePeerLayer {
    type Service = AuthenticatePeer<S>;

    fn layer(&self, inner: S) -> Self::Service {
        AuthenticatePeer::new(inner, self.authenticator.clone(), self.clock.clone(), self.protocol)
    }
}
