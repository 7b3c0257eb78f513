//! The service that [`TokenLayer`](super::TokenLayer) puts around another.

use std::task::{Context, Poll};

use http::{Request, Response};
use tower_service::Service;

use super::authenticator::TokenAuthenticator;
use super::claims::VerifiedClaims;
use super::error::TokenError;
use crate::clock::SharedClock;
use crate::enforce::{Cause, Established, Protocol, Refusal, ResponseBody, ResponseFuture};

/// Lets requests through whose token is believed. Made by [`TokenLayer`](super::TokenLayer).
#[derive(Debug, Clone)]
pub struct TokenService<S> {
    inner: S,
    authenticator: TokenAuthenticator,
    clock: SharedClock,
}

impl<S> TokenService<S> {
    pub(super) fn new(inner: S, authenticator: TokenAuthenticator, clock: SharedClock) -> Self {
        Self { inner, authenticator, clock }
    }

    /// The judgement: what the extensions of the request must hold.
    fn judge<B>(&self, request: &mut Request<B>) -> Result<(), TokenError> {
        // Whatever stood outside has no say in who is calling.
        request.extensions_mut().remove::<VerifiedClaims>();
        let claims = self.authenticator.authenticate(request.headers(), self.clock.now())?;
        if let Some(claims) = &claims {
            request.extensions_mut().insert(claims.clone());
        }
        request.extensions_mut().insert(Established(claims));
        Ok(())
    }
}

impl<S, B, R> Service<Request<B>> for TokenService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, R>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        match self.judge(&mut request) {
            Ok(()) => ResponseFuture::passed(self.inner.call(request)),
            Err(error) => {
                let protocol = Protocol::of(request.headers());
                ResponseFuture::refused(Refusal::by_one_stage(Cause::Token(error)).into_response(protocol))
            }
        }
    }
}
