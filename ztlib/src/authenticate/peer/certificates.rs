//! What an acceptor leaves in each request: the connection's certificates.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls_pki_types::CertificateDer;

use super::leaf::Leaf;
use super::trust::TrustView;
use super::{PeerError, PeerIdentity};
use crate::authenticate::token::LastTokens;

/// A chain may have this many certificates, the leaf included.
pub(crate) const MAX_CERTIFICATES: usize = 8;
/// A chain may have this many bytes.
pub(crate) const MAX_CHAIN_BYTES: usize = 32 * 1024;

/// The certificates that the peer of a connection presented, in the extensions of each of its
/// requests.
///
/// Our acceptor makes it after it has verified the chain and the peer's possession of the key.
/// Another acceptor's certificates are wrapped by [`foreign`](Self::foreign), and believed only
/// after [`trust_foreign_acceptor`](super::PeerAuthenticator::trust_foreign_acceptor).
///
/// The leaf is parsed once a connection, and the identity is remembered with the generation of
/// roots that vouched for it. Cloning shares both.
#[derive(Clone)]
pub struct PeerCertificates(Arc<Inner>);

struct Inner {
    chain: Arc<[CertificateDer<'static>]>,
    leaf: Result<Arc<Leaf>, PeerError>,
    /// Whether our acceptor saw the peer prove that it holds the leaf's key.
    ours: bool,
    judged: ArcSwapOption<Judged>,
    /// Lives and goes with the connection.
    last_tokens: LastTokens,
}

/// What one generation of roots says about the chain.
struct Judged {
    generation: u64,
    /// The second of the judgement: a refusal because of dates holds for that second only.
    second: u64,
    verdict: Result<PeerIdentity, PeerError>,
}

impl PeerCertificates {
    /// The certificates that an acceptor other than ours has put into a request, the leaf first.
    /// They are judged only
    /// where [`trust_foreign_acceptor`](super::PeerAuthenticator::trust_foreign_acceptor) was
    /// called: nothing here shows that the peer holds the leaf's key.
    ///
    /// Keep the value for the whole connection and clone it into each request: what was worked out
    /// is remembered in it.
    pub fn foreign(chain: impl IntoIterator<Item = CertificateDer<'static>>) -> Self {
        Self::read(chain, false)
    }

    /// Only for a verifier that rustls asks during a handshake which goes on to check the peer's
    /// signature.
    #[cfg(feature = "server")]
    pub(crate) fn presented(chain: impl IntoIterator<Item = CertificateDer<'static>>) -> Self {
        Self::read(chain, true)
    }

    fn read(chain: impl IntoIterator<Item = CertificateDer<'static>>, ours: bool) -> Self {
        // One more than is allowed is enough to refuse.
        let chain: Vec<_> = chain.into_iter().take(MAX_CERTIFICATES + 1).collect();
        let leaf = match check_size(&chain) {
            Ok(leaf) => Leaf::read(leaf).map(Arc::new),
            Err(error) => Err(error),
        };
        // What is refused for its size is not kept.
        let chain = if leaf.is_ok() { chain.into() } else { Arc::from([]) };
        Self(Arc::new(Inner {
            chain,
            leaf,
            ours,
            judged: ArcSwapOption::empty(),
            last_tokens: LastTokens::default(),
        }))
    }

    pub(crate) fn is_ours(&self) -> bool {
        self.0.ours
    }

    /// The tokens that this connection sent last.
    pub(crate) fn last_tokens(&self) -> &LastTokens {
        &self.0.last_tokens
    }

    /// The identity under roots of this generation, where it was established before and holds now.
    pub(crate) fn known(&self, generation: u64, now: u64) -> Option<PeerIdentity> {
        let judged = self.0.judged.load();
        let judged = judged.as_ref().filter(|judged| judged.generation == generation)?;
        let identity = judged.verdict.as_ref().ok()?;
        identity.check_validity(now).is_ok().then(|| identity.clone())
    }

    /// The identity under these roots at this second, from memory where they have judged before.
    pub(crate) fn identity(&self, trust: &TrustView, now: u64) -> Result<PeerIdentity, PeerError> {
        let judged = self.0.judged.load();
        if let Some(judged) = judged.as_ref().filter(|judged| judged.generation == trust.generation) {
            match &judged.verdict {
                Ok(identity) => match identity.check_validity(now) {
                    Ok(()) => return Ok(identity.clone()),
                    // A list that was dated in the future may have begun meanwhile.
                    Err(PeerError::RevocationListStale { .. }) => {}
                    Err(error) => return Err(error),
                },
                Err(error) if judged.second == now || !error.depends_on_time() => return Err(error.clone()),
                Err(_) => {}
            }
        }
        let verdict = self.judge(trust, now);
        let judged = Judged { generation: trust.generation, second: now, verdict: verdict.clone() };
        self.0.judged.store(Some(Arc::new(judged)));
        verdict
    }

    fn judge(&self, trust: &TrustView, now: u64) -> Result<PeerIdentity, PeerError> {
        let leaf = self.0.leaf.as_ref().map_err(Clone::clone)?;
        if now > leaf.validity.not_after {
            return Err(PeerError::Expired);
        }
        if now < leaf.validity.not_before {
            return Err(PeerError::NotYetValid);
        }
        let vouched = trust.value.vouch(leaf, &self.0.chain, now)?;
        let (leaf, chain) = (Arc::clone(leaf), Arc::clone(&self.0.chain));
        let identity = PeerIdentity::new(leaf, chain, vouched, self.0.ours, trust.generation);
        identity.check_validity(now)?;
        Ok(identity)
    }
}

fn check_size<'c, 'd>(chain: &'c [CertificateDer<'d>]) -> Result<&'c CertificateDer<'d>, PeerError> {
    if chain.len() > MAX_CERTIFICATES {
        return Err(PeerError::ChainTooLong { certificates: chain.len(), limit: MAX_CERTIFICATES });
    }
    let bytes = chain.iter().map(|certificate| certificate.len()).sum();
    if bytes > MAX_CHAIN_BYTES {
        return Err(PeerError::ChainTooLarge { bytes, limit: MAX_CHAIN_BYTES });
    }
    chain.first().ok_or(PeerError::MissingCertificate)
}

impl fmt::Debug for PeerCertificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerCertificates")
            .field("certificates", &self.0.chain.len())
            .field("ours", &self.0.ours)
            .finish_non_exhaustive()
    }
}
