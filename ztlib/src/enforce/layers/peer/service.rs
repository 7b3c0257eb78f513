//! The service: a thin shell around [`PeerAuthenticator::authenticate`].

use std::task::{Context, Poll};

use http::{Request, Response};
use tower_service::Service;

use crate::authenticate::peer::{PeerAuthenticator, PeerIdentity};
use crate::clock::SharedClock;
use crate::enforce::Established;
use crate::enforce::respond::{Cause, Protocol, Refusal, ReplyTo, ResponseBody, ResponseFuture};

/// The service that [`AuthenticatePeerLayer`](crate::enforce::layers::AuthenticatePeerLayer) makes.
#[derive(Debug, Clone)]
pub struct AuthenticatePeer<S> {
    inner: S,
    authenticator: PeerAuthenticator,
    clock: SharedClock,
    protocol: Protocol,
}

impl<S> AuthenticatePeer<S> {
    pub(super) fn new(
        inner: S,
        authenticator: PeerAuthenticator,
        clock: SharedClock,
        protocol: Protocol,
    ) -> Self {
        Self { inner, authenticator, clock, protocol }
    }
}

impl<S, Q, B> Service<Request<Q>> for AuthenticatePeer<S>
where
    S: Service<Request<Q>, Response = Response<B>>,
{
    type Response = Response<ResponseBody<B>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Q>) -> Self::Future {
        let caller = ReplyTo::of(request.method(), request.version(), request.headers());
        // An identity already in the extensions was not proven for this request.
        request.extensions_mut().remove::<PeerIdentity>();
        match self.authenticator.authenticate(request.extensions(), self.clock.now()) {
            Ok(identity) => {
                if let Some(identity) = &identity {
                    request.extensions_mut().insert(identity.clone());
                }
                request.extensions_mut().insert(Established(identity));
                ResponseFuture::passed(self.inner.call(request), caller)
            }
            Err(error) => ResponseFuture::refused(
                Refusal::by_one_stage(Cause::Peer(error)).answer(caller, self.protocol),
            ),
        }
    }
}
