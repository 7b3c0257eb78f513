//! The principal: what peer and token say together.

use std::fmt;
use std::net::IpAddr;

use ztlib_contract::facts::Caller;

use super::peer::PeerIdentity;
use super::token::VerifiedClaims;
use crate::origin::Origin;

/// Who is calling: the verified mTLS peer, the verified bearer token, and the address they call
/// from.
///
/// The parts cannot be made outside of the modules that verify them, so a principal that claims to
/// be somebody has been checked; anybody can be [anonymous](Principal::anonymous).
#[derive(Clone, Default)]
pub struct Principal {
    peer: Option<PeerIdentity>,
    claims: Option<VerifiedClaims>,
    remote_ip: Option<IpAddr>,
    /// The guard that judged a request of this caller; 0 for none.
    judged_by: u64,
    /// The request in which it was established: for audit events, and never an input of a decision.
    origin: Option<Origin>,
}

impl Principal {
    /// Nobody in particular: no peer, no token, no address.
    pub fn anonymous() -> Self {
        Self::default()
    }

    /// What was verified about a caller.
    pub fn new(peer: Option<PeerIdentity>, claims: Option<VerifiedClaims>) -> Self {
        Self { peer, claims, ..Self::default() }
    }

    /// The same, calling from this address.
    #[must_use]
    pub fn from_address(mut self, remote_ip: Option<IpAddr>) -> Self {
        self.remote_ip = remote_ip;
        self
    }

    /// The same, as the guard of this number found it in a request.
    pub(crate) fn judged_by(mut self, guard: u64) -> Self {
        self.judged_by = guard;
        self
    }

    /// Whether the guard of this number found it in a request.
    pub(crate) fn was_judged_by(&self, guard: u64) -> bool {
        self.judged_by == guard
    }

    /// The same, with the peer as other roots vouch for it.
    pub(crate) fn with_peer(mut self, peer: Option<PeerIdentity>) -> Self {
        self.peer = peer;
        self
    }

    /// The same, with these claims.
    pub(crate) fn with_claims(mut self, claims: Option<VerifiedClaims>) -> Self {
        self.claims = claims;
        self
    }

    /// The same, established in this request.
    pub(crate) fn with_origin(mut self, origin: Origin) -> Self {
        self.origin = Some(origin);
        self
    }

    /// The request in which it was established.
    pub(crate) fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }

    /// What policies may ask about this caller: the facts, without their proofs.
    pub fn facts(&self) -> Caller {
        Caller::new(
            self.peer.as_ref().map(|peer| peer.facts().clone()),
            self.claims.as_ref().map(|claims| claims.facts().clone()),
            self.remote_ip,
        )
    }

    /// The peer at the other end of the connection.
    pub fn peer(&self) -> Option<&PeerIdentity> {
        self.peer.as_ref()
    }

    /// The claims of the bearer token.
    pub fn claims(&self) -> Option<&VerifiedClaims> {
        self.claims.as_ref()
    }

    /// The address that the connection comes from.
    pub fn remote_ip(&self) -> Option<IpAddr> {
        self.remote_ip
    }
}

impl From<&Principal> for Caller {
    fn from(principal: &Principal) -> Self {
        principal.facts()
    }
}

impl From<Principal> for Caller {
    fn from(principal: Principal) -> Self {
        principal.facts()
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Principal")
            .field("peer", &self.peer)
            .field("claims", &self.claims)
            .field("remote_ip", &self.remote_ip)
            .finish()
    }
}
