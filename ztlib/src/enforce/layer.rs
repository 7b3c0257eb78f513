//! The layer: settings, and nothing else.

use tower_layer::Layer;

use super::guard::Guard;
use super::service::ZeroTrust;

/// Guards the service that it wraps: every request is authenticated, authorized, enforced and observed.
#[derive(Debug, Clone)]
pub struct ZeroTrustLayer {
    guard: Guard,
}

impl ZeroTrustLayer {
    /// A layer that guards with this.
    pub fn new(guard: Guard) -> Self {
        Self { guard }
    }
}

impl<S> Layer<S> for ZeroTrustLayer {
    type Service = ZeroTrust<S>;

    fn layer(&self, inner: S) -> ZeroTrust<S> {
        ZeroTrust::new(inner, self.guard.clone())
    }
}
