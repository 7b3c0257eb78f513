//! The caller: everything about who asks.

use std::net::IpAddr;
use std::sync::Arc;

use super::{Claims, PeerFacts};

/// Who asks: the peer, the claims of the token, and the address, as far as there are any.
///
/// ```
/// use ztlib_contract::facts::{Caller, PeerFacts};
///
/// let caller =
///     Caller::default().with_peer(PeerFacts::spiffe("spiffe://shop.test/orders".parse()?));
/// assert!(caller.claims.is_none());
/// # Ok::<(), ztlib_contract::facts::SpiffeIdError>(())
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Caller {
    /// The peer at the other end of the connection.
    pub peer: Option<Arc<PeerFacts>>,
    /// The claims of the bearer token.
    pub claims: Option<Arc<Claims>>,
    /// Where the connection comes from.
    pub remote_ip: Option<IpAddr>,
}

impl Caller {
    /// A caller of whom this much is known.
    pub fn new(peer: Option<Arc<PeerFacts>>, claims: Option<Arc<Claims>>, remote_ip: Option<IpAddr>) -> Self {
        Self { peer, claims, remote_ip }
    }

    /// The same with this peer.
    #[must_use]
    pub fn with_peer(mut self, peer: PeerFacts) -> Self {
        self.peer = Some(Arc::new(peer));
        self
    }

    /// The same with these claims.
    #[must_use]
    pub fn with_claims(mut self, claims: Claims) -> Self {
        self.claims = Some(Arc::new(claims));
        self
    }
}
