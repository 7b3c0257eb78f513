//! From the extensions of a request to exactly one identity, or a named error.

use std::time::SystemTime;

use http::Extensions;

use super::{PeerCertificates, PeerError, PeerIdentity, Trust};
use crate::clock::unix_seconds;

/// Says who the peer of a request is. A pure function of the request's extensions, the roots and the time.
///
/// It requires a certificate that our own acceptor has verified; each loosening is a verb. What it costs a request on a
/// known connection: comparing one generation and two dates.
///
/// ```
/// use ztlib::authenticate::peer::{PeerAuthenticator, PeerCertificates, Trust, TrustDomain};
///
/// # let now = ztlib_testing::a_day();
/// let authority = ztlib_testing::Authority::new("example root");
/// let payments = authority.leaf().spiffe("spiffe://example.org/payments").issue();
///
/// let domain = TrustDomain::parse("example.org")?;
/// let trust = Trust::builder().trust(domain, [authority.certificate()])?.build()?;
///
/// // Certificates from an acceptor that is not ours: refused, until the author says that it checks what ours checks.
/// let mut request = http::Request::new(());
/// request.extensions_mut().insert(PeerCertificates::foreign(payments.chain()));
///
/// let strict = PeerAuthenticator::new(trust);
/// assert_eq!(strict.authenticate(request.extensions(), now).unwrap_err().code(), "foreign-acceptor");
///
/// let peer = strict.trust_foreign_acceptor().authenticate(request.extensions(), now)?;
/// assert_eq!(peer.unwrap().spiffe_id().unwrap().as_str(), "spiffe://example.org/payments");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "it authenticates nobody by itself"]
pub struct PeerAuthenticator {
    trust: Trust,
    allow_unauthenticated: bool,
    trust_foreign_acceptor: bool,
}

impl PeerAuthenticator {
    /// Requires a peer for whom these roots vouch. Share the `Trust` with the acceptor.
    pub fn new(trust: Trust) -> Self {
        Self { trust, allow_unauthenticated: false, trust_foreign_acceptor: false }
    }

    /// Lets requests without a client certificate pass as nobody. A certificate that is there and is not valid is still
    /// refused.
    pub fn allow_unauthenticated(mut self) -> Self {
        self.allow_unauthenticated = true;
        self
    }

    /// Believes [`PeerCertificates::foreign`]: that the acceptor which filled them in has seen the peer sign with the
    /// leaf's key, **also on a resumed session**. The chain is verified here all the same.
    pub fn trust_foreign_acceptor(mut self) -> Self {
        self.trust_foreign_acceptor = true;
        self
    }

    /// The roots that it asks.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// The identity of the peer at `now`. `Ok(None)` only after [`allow_unauthenticated`](Self::allow_unauthenticated),
    /// and only where there is no certificate at all.
    ///
    /// # Errors
    /// Why this peer is not authenticated.
    pub fn authenticate(
        &self,
        extensions: &Extensions,
        now: SystemTime,
    ) -> Result<Option<PeerIdentity>, PeerError> {
        let Some(certificates) = extensions.get::<PeerCertificates>() else {
            return if self.allow_unauthenticated { Ok(None) } else { Err(PeerError::MissingCertificate) };
        };
        if !certificates.is_ours() && !self.trust_foreign_acceptor {
            return Err(PeerError::ForeignAcceptor);
        }
        certificates.identity(&self.trust.view(), unix_seconds(now)).map(Some)
    }
}
