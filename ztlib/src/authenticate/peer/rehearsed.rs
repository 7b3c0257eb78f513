//! Peers for rehearsals: who a test case of a policy says is calling.
//!
//! Nobody has verified them. They are made so that they hold nowhere but in a rehearsal: valid
//! until 1970, under roots of a generation that never is, with a chain that is empty. Whatever
//! checks a peer for a request refuses them.

use std::sync::Arc;

use super::certificate::Validity;
use super::chain_member::{ChainMember, Position};
use super::identity::PeerIdentity;
use super::leaf::{Claim, Leaf};
use super::roots::Vouched;
use super::rules::Span;
use super::spiffe_id::SpiffeId;

impl PeerIdentity {
    /// A peer with a SPIFFE ID.
    pub(crate) fn rehearsed(id: SpiffeId) -> Self {
        rehearsed(Claim::Spiffe(id), None)
    }

    /// A peer without one: an authority's name and DNS names.
    pub(crate) fn rehearsed_named(authority: &str, dns_names: &[&str]) -> Self {
        let mut names: Vec<Box<str>> =
            dns_names.iter().map(|name| name.to_ascii_lowercase().into()).collect();
        names.sort_unstable();
        names.dedup();
        rehearsed(Claim::Dns(names.into()), Some(authority.into()))
    }
}

fn rehearsed(claim: Claim, authority: Option<Box<str>>) -> PeerIdentity {
    let never = Validity { not_before: 0, not_after: 0 };
    let leaf = Leaf {
        claim,
        fingerprint: [0; 32],
        fingerprint_hex: "".into(),
        issuer: "".into(),
        serial: "".into(),
        validity: never,
    };
    let nobody = || ChainMember::nameless(Position::Root);
    let span = Span { validity: never, begins: nobody(), ends: nobody() };
    let vouched = Vouched { authority, span, lists_until: None };
    PeerIdentity::new(Arc::new(leaf), Arc::new([]), vouched, false, u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authenticate::peer::PeerError;

    #[test]
    fn a_rehearsed_peer_holds_for_no_request() {
        let id: SpiffeId = "spiffe://shop.test/orders".parse().unwrap();
        let peer = PeerIdentity::rehearsed(id);
        assert_eq!(peer.spiffe_id().unwrap().as_str(), "spiffe://shop.test/orders");
        assert_eq!(peer.check_validity(1_795_392_000), Err(PeerError::Expired));
        let named = PeerIdentity::rehearsed_named("partners", &["B.test", "a.test", "b.test"]);
        assert_eq!(named.to_string(), "partners/a.test,b.test");
        assert_eq!(named.check_validity(1), Err(PeerError::Expired));
    }
}
