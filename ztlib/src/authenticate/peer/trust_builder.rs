//! Collects and checks roots, authorities and revocation lists.

use std::collections::BTreeMap;
use std::fmt;

use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use ztlib_contract::printable;

use super::revocation::RevocationPolicy;
use super::roots::{Given, Roots};
use super::trust::Trust;
use super::{TrustDomain, TrustError};
use crate::pem;

/// Gathers roots. Made by [`Trust::builder`].
#[derive(Default)]
#[must_use = "nobody is trusted before `build`"]
pub struct TrustBuilder {
    domains: BTreeMap<TrustDomain, Given>,
    authorities: BTreeMap<Box<str>, Given>,
    revocation: RevocationPolicy,
}

impl TrustBuilder {
    /// Lets these roots vouch for the SPIFFE IDs of this trust domain, and for nothing else.
    ///
    /// # Errors
    /// No roots, or the domain was already given.
    pub fn trust(
        mut self,
        domain: TrustDomain,
        roots: impl IntoIterator<Item = CertificateDer<'static>>,
    ) -> Result<Self, TrustError> {
        let roots = some(domain.as_str(), roots)?;
        let name = domain.to_string();
        let given = self.domains.entry(domain).or_default();
        if !given.roots.is_empty() {
            return Err(TrustError::Twice { name });
        }
        given.roots = roots;
        Ok(self)
    }

    /// [`trust`](Self::trust) with roots from PEM text: blocks `CERTIFICATE` (RFC 7468) and text
    /// between them.
    ///
    /// # Errors
    /// As `trust`, or a block of the text is damaged or not a certificate: none is skipped.
    pub fn trust_pem(self, domain: TrustDomain, pem: &[u8]) -> Result<Self, TrustError> {
        let roots = from_pem(domain.as_str(), pem)?;
        self.trust(domain, roots)
    }

    /// Lets these roots vouch for the DNS names of peers that have no SPIFFE ID. The name, of 1 to
    /// 64 characters `[a-z0-9-]`, is what policies and audit events call them; it does not come
    /// from a certificate.
    ///
    /// # Errors
    /// No roots, a name of another form, or the name was already given.
    pub fn authority(
        mut self,
        name: &str,
        roots: impl IntoIterator<Item = CertificateDer<'static>>,
    ) -> Result<Self, TrustError> {
        let plain = name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        if !plain || !(1..=64).contains(&name.len()) {
            return Err(TrustError::AuthorityName { name: printable(name) });
        }
        let roots = some(name, roots)?;
        let given = self.authorities.entry(name.into()).or_default();
        if !given.roots.is_empty() {
            return Err(TrustError::Twice { name: name.to_owned() });
        }
        given.roots = roots;
        Ok(self)
    }

    /// [`authority`](Self::authority) with roots from PEM text: blocks `CERTIFICATE` (RFC 7468) and
    /// text between them.
    ///
    /// # Errors
    /// As `authority`, or a block of the text is damaged or not a certificate: none is skipped.
    pub fn authority_pem(self, name: &str, pem: &[u8]) -> Result<Self, TrustError> {
        let roots = from_pem(name, pem)?;
        self.authority(name, roots)
    }

    /// Asks these revocation lists about the whole chain of each peer of the domain (RFC 5280
    /// sections 5 and 6.3). Each is DER, complete, of version 2 and with a next update; at most
    /// 1024 of 64 MiB each.
    ///
    /// From then on each certificate below the root must be spoken about by a list that its own
    /// issuer signed and that has it in its scope (distribution point, kind, reasons). What any
    /// such list names is revoked, in whatever order they are given. Of lists of one issuer and one
    /// scope the later counts, by number and date. A list past its next update refuses the peers in
    /// whose chain it has a certificate in its scope, and no others; one that is dated in the
    /// future does not speak yet, but what it names is revoked. Nothing is fetched: to take in a
    /// new list, [`update`](Trust::update) the domain.
    ///
    /// ```
    /// use std::time::Duration;
    /// use ztlib::authenticate::peer::{Trust, TrustDomain};
    ///
    /// # let authority = ztlib_testing::Authority::new("example root");
    /// # let (now, day) = (ztlib_testing::a_day(), Duration::from_secs(86_400));
    /// let domain = TrustDomain::parse("example.org")?;
    /// let list = authority.revocation_list(&[], now, now + day);
    /// let trust = Trust::builder()
    ///     .trust(domain.clone(), [authority.certificate()])?
    ///     .trust_revocations(&domain, [list])?
    ///     .build()?;
    ///
    /// // What cannot be used is refused when it is given, and not when it would have been needed.
    /// let error = Trust::builder()
    ///     .trust(domain.clone(), [authority.certificate()])?
    ///     .trust_revocations(&domain, [b"-----BEGIN X509 CRL-----".to_vec().into()])?
    ///     .build()
    ///     .unwrap_err();
    /// assert_eq!(error.code(), "malformed-revocation-list");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// No lists.
    pub fn trust_revocations(
        mut self,
        domain: &TrustDomain,
        lists: impl IntoIterator<Item = CertificateRevocationListDer<'static>>,
    ) -> Result<Self, TrustError> {
        let given = self.domains.entry(domain.clone()).or_default();
        add_lists(given, domain.as_str(), lists)?;
        Ok(self)
    }

    /// [`trust_revocations`](Self::trust_revocations) for the peers of an authority.
    ///
    /// # Errors
    /// No lists.
    pub fn authority_revocations(
        mut self,
        name: &str,
        lists: impl IntoIterator<Item = CertificateRevocationListDer<'static>>,
    ) -> Result<Self, TrustError> {
        let given = self.authorities.entry(name.into()).or_default();
        add_lists(given, name, lists)?;
        Ok(self)
    }

    /// Lets certificates pass about which no revocation list speaks, where lists are given. What a
    /// list names stays revoked; a list that says it is of a certificate's issuer and cannot be
    /// believed still refuses.
    pub fn allow_unknown_revocation_status(mut self) -> Self {
        self.revocation.allow_unknown = true;
        self
    }

    /// Goes on asking revocation lists that are past their next update: what was revoked since is
    /// not known.
    pub fn allow_stale_revocation_lists(mut self) -> Self {
        self.revocation.allow_stale = true;
        self
    }

    /// Reads the roots and the revocation lists.
    ///
    /// # Errors
    /// Nobody is trusted; a list cannot be used, there are too many, or they are given for a name
    /// without roots; a root is not the certificate of an authority; a root is given to two trust
    /// domains or to two authorities, so that one would vouch for the other's peers.
    pub fn build(self) -> Result<Trust, TrustError> {
        Ok(Trust::new(Roots::read(self.domains, self.authorities, self.revocation)?))
    }
}

impl fmt::Debug for TrustBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrustBuilder")
            .field("domains", &self.domains.keys())
            .field("authorities", &self.authorities.keys())
            .finish()
    }
}

fn some(
    name: &str,
    roots: impl IntoIterator<Item = CertificateDer<'static>>,
) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let roots: Vec<_> = roots.into_iter().collect();
    if roots.is_empty() {
        return Err(TrustError::NoRoots { name: name.to_owned() });
    }
    Ok(roots)
}

fn add_lists(
    given: &mut Given,
    name: &str,
    lists: impl IntoIterator<Item = CertificateRevocationListDer<'static>>,
) -> Result<(), TrustError> {
    let before = given.lists.len();
    given.lists.extend(lists);
    if given.lists.len() == before {
        return Err(TrustError::NoRevocationLists { name: printable(name) });
    }
    Ok(())
}

fn from_pem(name: &str, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let refused = |line, what| TrustError::Pem { name: printable(name), line, what };
    let blocks = pem::read(text).map_err(|error| refused(error.line, error.what))?;
    let mut roots = Vec::with_capacity(blocks.len());
    for block in blocks {
        if block.label != "CERTIFICATE" {
            let what = format!("a block `{}` is not a root: give `CERTIFICATE` only", block.label);
            return Err(refused(block.line, what));
        }
        roots.push(CertificateDer::from(block.der));
    }
    Ok(roots)
}
