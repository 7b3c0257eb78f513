//! Who the peer is: proven, and not to be made anywhere else.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwapOption;
use rustls_pki_types::CertificateDer;

use super::PeerError;
use super::certificate::Validity;
use super::leaf::{Claim, Leaf};
use super::roots::Vouched;
use super::trust::TrustView;
use crate::clock::from_unix_seconds;
use ztlib_contract::facts::PeerFacts;

/// The identity of the workload at the other end of the connection, read from a certificate chain
/// that was verified under the roots of exactly the trust domain or authority that may vouch for
/// it.
///
/// It has no public constructor: it can only come from
/// [`PeerAuthenticator`](super::PeerAuthenticator). It is either a SPIFFE ID, or the DNS names of a
/// peer that a named authority vouches for; never a common name, an e-mail address, an IP address.
/// Cloning is cheap. `Debug` shows the identity and the fingerprint, never the certificate.
#[derive(Clone)]
pub struct PeerIdentity(Arc<Proof>);

struct Proof {
    facts: Arc<PeerFacts>,
    leaf: Arc<Leaf>,
    chain: Arc<[CertificateDer<'static>]>,
    vouched: Vouched,
    /// Whether our own acceptor saw the peer prove that it holds the leaf's key.
    ours: bool,
    /// The roots that vouched.
    generation: u64,
    /// What other roots said since.
    again: ArcSwapOption<Again>,
}

/// What the roots of another generation say of the same chain.
struct Again {
    generation: u64,
    vouched: Vouched,
}

/// Who the peer is, as facts.
impl Deref for PeerIdentity {
    type Target = PeerFacts;

    fn deref(&self) -> &PeerFacts {
        &self.0.facts
    }
}

impl PeerIdentity {
    pub(crate) fn new(
        leaf: Arc<Leaf>,
        chain: Arc<[CertificateDer<'static>]>,
        vouched: Vouched,
        ours: bool,
        generation: u64,
    ) -> Self {
        let facts = Arc::new(match &leaf.claim {
            Claim::Spiffe(id) => PeerFacts::spiffe(id.clone()),
            Claim::Dns(names) => PeerFacts::named(vouched.authority.as_deref().unwrap_or_default(), names),
        });
        let again = ArcSwapOption::empty();
        Self(Arc::new(Proof { facts, leaf, chain, vouched, ours, generation, again }))
    }

    /// Whether our own acceptor saw the peer prove that it holds the leaf's key.
    pub(crate) fn is_ours(&self) -> bool {
        self.0.ours
    }

    /// Who the peer is, without the proof.
    pub(crate) fn facts(&self) -> &Arc<PeerFacts> {
        &self.0.facts
    }

    /// SHA-256 of the leaf certificate in DER.
    pub fn fingerprint(&self) -> &[u8; 32] {
        &self.0.leaf.fingerprint
    }

    /// [`fingerprint`](Self::fingerprint) in lower-case hexadecimal.
    pub fn fingerprint_hex(&self) -> &str {
        &self.0.leaf.fingerprint_hex
    }

    /// The distinguished name of the leaf's issuer, escaped and cut for logs. It is not an
    /// identity.
    pub fn issuer(&self) -> &str {
        &self.0.leaf.issuer
    }

    /// The leaf's serial number, in lower-case hexadecimal.
    pub fn serial(&self) -> &str {
        &self.0.leaf.serial
    }

    /// The first moment at which the leaf is valid.
    pub fn not_before(&self) -> SystemTime {
        from_unix_seconds(self.0.leaf.validity.not_before)
    }

    /// The last second in which the leaf is valid.
    pub fn not_after(&self) -> SystemTime {
        from_unix_seconds(self.0.leaf.validity.not_after)
    }

    /// The last second in which this identity holds: until the leaf, an authority above it, or one
    /// of the revocation lists that speak about them, expires, whichever is first. The roots that
    /// say so are those by which this one was verified.
    pub fn valid_until(&self) -> SystemTime {
        let Vouched { span, lists_until, .. } = &self.0.vouched;
        let last = span.validity.not_after;
        from_unix_seconds(lists_until.as_ref().map_or(last, |lists| lists.second.min(last)))
    }

    /// The certificates that the peer sent, the leaf first.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.0.chain
    }

    /// Whether it holds at this second. Asked on every request.
    pub(crate) fn check_validity(&self, now: u64) -> Result<(), PeerError> {
        self.is_valid_as(&self.0.vouched, now)
    }

    /// The same where the roots may be others: the peer as these vouch for it. It is verified again
    /// once a generation.
    pub(crate) fn recheck(&self, trust: &TrustView, now: u64) -> Result<Self, PeerError> {
        if trust.generation == self.0.generation {
            return self.check_validity(now).map(|()| self.clone());
        }
        if let Some(again) = self.0.again.load().as_ref().filter(|again| again.generation == trust.generation)
        {
            return self.is_valid_as(&again.vouched, now).map(|()| self.vouched_again(again));
        }
        if now > self.0.leaf.validity.not_after {
            return Err(PeerError::Expired);
        }
        let vouched = trust.value.vouch(&self.0.leaf, &self.0.chain, now)?;
        if vouched.authority != self.0.vouched.authority {
            return Err(PeerError::UntrustedIssuer);
        }
        self.is_valid_as(&vouched, now)?;
        let again = Arc::new(Again { generation: trust.generation, vouched });
        self.0.again.store(Some(again.clone()));
        Ok(self.vouched_again(&again))
    }

    fn vouched_again(&self, again: &Again) -> Self {
        let Proof { facts, leaf, chain, ours, .. } = self.0.as_ref();
        Self(Arc::new(Proof {
            facts: facts.clone(),
            leaf: leaf.clone(),
            chain: chain.clone(),
            vouched: again.vouched.clone(),
            ours: *ours,
            generation: again.generation,
            again: ArcSwapOption::empty(),
        }))
    }

    fn is_valid_as(&self, vouched: &Vouched, now: u64) -> Result<(), PeerError> {
        let Validity { not_before, not_after } = vouched.span.validity;
        if now > not_after {
            return Err(if now > self.0.leaf.validity.not_after {
                PeerError::Expired
            } else {
                PeerError::IssuerExpired { certificate: vouched.span.ends.clone() }
            });
        }
        if now < not_before {
            return Err(if now < self.0.leaf.validity.not_before {
                PeerError::NotYetValid
            } else {
                PeerError::IssuerNotYetValid { certificate: vouched.span.begins.clone() }
            });
        }
        if let Some(lists) = vouched.lists_until.as_ref().filter(|lists| now > lists.second) {
            return Err(PeerError::RevocationListStale {
                list: lists.list.to_string(),
                certificate: lists.certificate.to_string(),
            });
        }
        Ok(())
    }
}

/// As [`PeerFacts`] are: the SPIFFE ID, or `authority/name,name` of a peer without one.
impl fmt::Display for PeerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.facts, f)
    }
}

impl fmt::Debug for PeerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerIdentity({self}, sha256:{})", self.fingerprint_hex())
    }
}
