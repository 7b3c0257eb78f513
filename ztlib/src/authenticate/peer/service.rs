//! The middleware: a shell around [`PeerAuthenticator::authenticate`].

use std::task::{Context, Poll};

use http::{Request, Response, StatusCode};
use tower_service::Service;

use super::future::ResponseFuture;
use super::{PeerAuthenticator, PeerError, PeerIdentity};
use crate::clock::SharedClock;

/// The service that [`PeerIdentityLayer`](super::PeerIdentityLayer) makes.
#[derive(Debug, Clone)]
pub struct PeerIdentityService<S> {
    inner: S,
    authenticator: PeerAuthenticator,
    clock: SharedClock,
}

impl<S> PeerIdentityService<S> {
    pub(super) fn new(inner: S, authenticator: PeerAuthenticator, clock: SharedClock) -> Self {
        Self { inner, authenticator, clock }
    }
}

impl<S, Q, B> Service<Request<Q>> for PeerIdentityService<S>
where
    S: Service<Request<Q>, Response = Response<B>>,
    B: Default,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Q>) -> Self::Future {
        // Whatever stands there was not proven for this request.
        request.extensions_mut().remove::<PeerIdentity>();
        match self.authenticator.authenticate(request.extensions(), self.clock.now()) {
            Ok(identity) => {
                if let Some(identity) = identity {
                    request.extensions_mut().insert(identity);
                }
                ResponseFuture::inner(self.inner.call(request))
            }
            Err(error) => ResponseFuture::refused(refuse(error)),
        }
    }
}

/// The caller learns that it was not authenticated, and nothing else; the reason stays in the response's extensions for
/// layers outside, which log it.
fn refuse<B: Default>(error: PeerError) -> Response<B> {
    tracing::info!(target: "ztlib::refusal", stage = "peer", code = error.code(), reason = %error, "refused");
    let mut response = Response::new(B::default());
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    response.extensions_mut().insert(error);
    response
}
