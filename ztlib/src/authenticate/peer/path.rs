//! From a leaf to a root: every way through the certificates that the peer sent is tried until one
//! holds.
//!
//! Names lead the way, and cost little. Only where they have led to a root are signatures looked
//! at, each at most once, and then every rule of `rules`, from the root down to the leaf.

use rustls_pki_types::CertificateDer;

use super::PeerError;
use super::anchor::Anchor;
use super::certificate::Certificate;
use super::chain_member::Position;
use super::signature;

/// Signatures that are checked for one peer, beside one for each root of the name to which its
/// chain leads. A chain of 8 needs 8; cross-signed authorities cost some more.
const MAX_SIGNATURES: usize = 48;
/// Steps from a certificate to one that may be above it, for one peer.
const MAX_STEPS: usize = 2_000;

/// The certificates that a peer sent, read once.
pub(super) struct Presented<'c> {
    /// The leaf first; those that cannot be read are left out.
    certificates: Vec<Certificate<'c>>,
    /// The first that cannot be read. It harms nobody who does not need it.
    unreadable: Option<PeerError>,
}

impl<'c> Presented<'c> {
    pub(super) fn read(chain: &'c [CertificateDer<'static>]) -> Result<Self, PeerError> {
        let (leaf, above) = chain.split_first().ok_or(PeerError::MissingCertificate)?;
        let mut certificates = vec![Certificate::parse(leaf, Position::Leaf)?];
        let mut unreadable = None;
        for (at, der) in above.iter().enumerate() {
            match Certificate::parse(der, Position::Intermediate(at + 1)) {
                Ok(certificate) => certificates.push(certificate),
                Err(error) => unreadable = unreadable.or(Some(error)),
            }
        }
        Ok(Self { certificates, unreadable })
    }

    fn leads_to(&self, anchor: &Anchor) -> bool {
        self.certificates.iter().any(|certificate| *certificate.issuer() == anchor.subject)
    }
}

/// What one peer has cost so far.
#[derive(Default)]
pub(super) struct Effort {
    /// Which key signed which of the certificates, or did not.
    signatures: Vec<Signature>,
    /// Signatures that are allowed because of the roots that were given.
    for_roots: usize,
    steps: usize,
    /// Comparisons of names with name constraints.
    pub(super) comparisons: usize,
}

struct Signature {
    key: Box<[u8]>,
    of: Position,
    verdict: Result<(), PeerError>,
}

impl Effort {
    /// Whether the key signed the certificate.
    pub(super) fn check_signature(
        &mut self,
        certificate: &Certificate<'_>,
        key: &[u8],
    ) -> Result<(), PeerError> {
        let of = certificate.position();
        if let Some(known) = self.signatures.iter().find(|known| known.of == of && *known.key == *key) {
            return known.verdict.clone();
        }
        if self.signatures.len() >= MAX_SIGNATURES + self.for_roots {
            return Err(PeerError::ChainTooComplex);
        }
        let verdict = signature::verify(certificate, key);
        self.signatures.push(Signature { key: key.into(), of, verdict: verdict.clone() });
        verdict
    }

    fn take_step(&mut self) -> bool {
        self.steps += 1;
        self.steps <= MAX_STEPS
    }
}

/// A way from a leaf to a root on which each certificate has the name that the one below it gives
/// for its issuer.
pub(super) struct Path<'p, 'c> {
    /// The leaf first.
    pub(super) certificates: Vec<&'p Certificate<'c>>,
    pub(super) anchor: &'p Anchor,
}

impl Path<'_, '_> {
    /// The key that must have signed the certificate at this place.
    pub(super) fn issuer_key(&self, place: usize) -> &[u8] {
        self.certificates.get(place + 1).map_or(&*self.anchor.key, |issuer| issuer.key())
    }
}

/// The answer about the first path that holds, or the most telling reason why none does.
pub(super) fn find<T>(
    presented: &Presented<'_>,
    anchors: &[Anchor],
    effort: &mut Effort,
    judge: impl FnMut(&Path<'_, '_>, &mut Effort) -> Result<T, PeerError>,
) -> Result<T, PeerError> {
    effort.for_roots += anchors.iter().filter(|anchor| presented.leads_to(anchor)).count();
    let mut search = Search { presented, anchors, effort, judge, refused: PeerError::UntrustedIssuer };
    let found = match presented.certificates.first() {
        Some(leaf) => search.follow(&mut vec![leaf]),
        None => None,
    };
    match (found, search.refused) {
        (Some(answer), _) => Ok(answer),
        (None, PeerError::UntrustedIssuer) => {
            Err(presented.unreadable.clone().unwrap_or(PeerError::UntrustedIssuer))
        }
        (None, refused) => Err(refused),
    }
}

struct Search<'s, 'c, J> {
    presented: &'s Presented<'c>,
    anchors: &'s [Anchor],
    effort: &'s mut Effort,
    judge: J,
    refused: PeerError,
}

impl<'s, 'c, J, T> Search<'s, 'c, J>
where
    J: FnMut(&Path<'_, '_>, &mut Effort) -> Result<T, PeerError>,
{
    /// Goes on from the last certificate of the way. At most as deep as a chain is long.
    fn follow(&mut self, way: &mut Vec<&'s Certificate<'c>>) -> Option<T> {
        let (presented, anchors) = (self.presented, self.anchors);
        let issuer = way.last()?.issuer();
        for anchor in anchors.iter().filter(|anchor| anchor.subject == *issuer) {
            if !self.effort.take_step() {
                return self.give_up();
            }
            let path = Path { certificates: way.clone(), anchor };
            match (self.judge)(&path, self.effort) {
                Ok(answer) => return Some(answer),
                Err(error) => self.note(error),
            }
        }
        // A certificate whose name and key are on the way already would lead in a circle (RFC 4158
        // section 5.2).
        for next in presented.certificates.iter().skip(1).filter(|next| next.subject() == issuer) {
            let circle = way.iter().any(|on| on.key() == next.key() && on.subject() == next.subject());
            if circle {
                continue;
            }
            if !self.effort.take_step() {
                return self.give_up();
            }
            way.push(next);
            let found = self.follow(way);
            way.pop();
            if found.is_some() || self.refused == PeerError::ChainTooComplex {
                return found;
            }
        }
        None
    }

    fn give_up(&mut self) -> Option<T> {
        self.refused = PeerError::ChainTooComplex;
        None
    }

    fn note(&mut self, error: PeerError) {
        if error.tells() > self.refused.tells() {
            self.refused = error;
        }
    }
}
