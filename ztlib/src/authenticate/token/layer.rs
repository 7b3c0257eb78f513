//! The layer: a clock and a [`TokenAuthenticator`].

use tower_layer::Layer;

use super::authenticator::TokenAuthenticator;
use super::service::TokenService;
use crate::clock::{Clock, SharedClock};

/// Verifies the token of each request and puts [`VerifiedClaims`](super::VerifiedClaims) into its extensions; answers 401
/// itself where there is none to believe.
///
/// It works alone, on any body, where who calls is all that matters. What callers may do is asked by the whole guard.
#[derive(Debug, Clone)]
pub struct TokenLayer {
    authenticator: TokenAuthenticator,
    clock: SharedClock,
}

impl TokenLayer {
    /// A layer on the machine's clock.
    #[must_use]
    pub fn new(authenticator: TokenAuthenticator) -> Self {
        Self { authenticator, clock: SharedClock::default() }
    }

    /// Asks this clock instead, once a request.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = SharedClock::new(clock);
        self
    }
}

impl<S> Layer<S> for TokenLayer {
    type Service = TokenService<S>;

    fn layer(&self, inner: S) -> TokenService<S> {
        TokenService::new(inner, self.authenticator.clone(), self.clock.clone())
    }
}
