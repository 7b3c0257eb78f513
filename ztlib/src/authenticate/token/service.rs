//! The service that [`TokenLayer`](super::TokenLayer) puts around another.

use std::task::{Context, Poll};

use http::header::{HeaderValue, WWW_AUTHENTICATE};
use http::{Request, Response, StatusCode};
use tower_service::Service;

use super::authenticator::TokenAuthenticator;
use super::claims::VerifiedClaims;
use super::error::{TokenError, TokenErrorKind};
use super::future::TokenFuture;
use crate::clock::SharedClock;

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
        if let Some(claims) = self.authenticator.authenticate(request.headers(), self.clock.now())? {
            request.extensions_mut().insert(claims);
        }
        Ok(())
    }
}

impl<S, B, R> Service<Request<B>> for TokenService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Default,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = TokenFuture<S::Future, R>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        match self.judge(&mut request) {
            Ok(()) => TokenFuture::through(self.inner.call(request)),
            Err(error) => TokenFuture::refused(refuse(error)),
        }
    }
}

/// 401 with the challenge of RFC 6750 section 3. The reason is left in the extensions, for what stands outside to log; the caller
/// does not see it.
fn refuse<R: Default>(error: TokenError) -> Response<R> {
    let challenge = match error.kind() {
        TokenErrorKind::Missing => "Bearer",
        TokenErrorKind::InvalidRequest => "Bearer error=\"invalid_request\"",
        TokenErrorKind::InvalidToken => "Bearer error=\"invalid_token\"",
    };
    let mut response = Response::new(R::default());
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    response.extensions_mut().insert(error);
    response
}
