//! The settings of the middleware.

use tower_layer::Layer;

use crate::Clock;
use crate::authenticate::peer::PeerAuthenticator;
use crate::clock::SharedClock;
use crate::enforce::layers::AuthenticatePeer;
use crate::enforce::respond::Protocol;

/// Puts the [`PeerIdentity`](crate::authenticate::peer::PeerIdentity) of each request into its extensions, or refuses
/// the request with a 401.
///
/// It works without the other stages, for a service whose handlers look at the peer themselves.
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
    /// Asks this authenticator at the machine's time.
    pub fn new(authenticator: PeerAuthenticator) -> Self {
        Self { authenticator, clock: SharedClock::default(), protocol: Protocol::Http }
    }

    /// Takes the time from another clock.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = SharedClock::new(clock);
        self
    }

    /// Says that the service behind serves gRPC: what can be a gRPC call (a POST over HTTP/2 with a
    /// gRPC content type) is refused in gRPC's words, everything else in HTTP's. Without it a
    /// refusal is a 401 to everybody, which a client of gRPC takes for UNAUTHENTICATED too.
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
