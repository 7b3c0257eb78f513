//! Who vouches for whom: roots for each trust domain, and named authorities for peers without a
//! SPIFFE ID.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};

use super::revocation::{RevocationListFault, RevocationPolicy};
use super::roots::{Given, Roots};
use super::{PeerError, TrustDomain};
use crate::pem;
use ztlib_contract::printable;

/// Generations are numbered through the whole process, so that one number never stands for two sets
/// of roots, not even those of two `Trust`s.
static GENERATIONS: AtomicU64 = AtomicU64::new(1);

/// Whom this service believes, shared by the acceptor and the guard.
///
/// Each trust domain has roots of its own: a root given for one domain never vouches for an
/// identity in another, nor for a peer without a SPIFFE ID, not even through a cross-signed
/// intermediate. Cloning shares; [`replace`](Self::replace) is seen by every clone at once, and
/// requests on connections that are already open are judged by the new roots.
///
/// ```
/// use ztlib::authenticate::peer::{Trust, TrustDomain};
///
/// # let authority = ztlib_testing::Authority::new("example root");
/// # let next = ztlib_testing::Authority::new("next root");
/// let domain = TrustDomain::parse("example.org")?;
/// let trust = Trust::builder().trust(domain.clone(), [authority.certificate()])?.build()?;
/// let before = trust.generation();
///
/// trust.replace(Trust::builder().trust(domain.clone(), [next.certificate()])?.build()?);
/// assert!(trust.generation() > before);
///
/// // A domain without roots would trust nobody; it is refused rather than forgotten.
/// let error = Trust::builder().trust(domain, []).unwrap_err();
/// assert_eq!(error.code(), "no-roots");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Trust(Arc<ArcSwap<TrustView>>);

impl Trust {
    /// Begins with nobody trusted.
    pub fn builder() -> TrustBuilder {
        TrustBuilder::default()
    }

    /// Puts the roots of `next` in the place of these, at once and for every clone.
    ///
    /// No TLS session is resumed by our acceptor, so a new connection is always judged by the new
    /// roots; a request on an open connection is judged by them too, before anything else
    /// happens to it.
    pub fn replace(&self, next: Self) {
        let next = next.view();
        self.0.rcu(|_| TrustView { generation: next_generation(), roots: Arc::clone(&next.roots) });
    }

    /// A number that grows with every replacement.
    pub fn generation(&self) -> u64 {
        self.0.load().generation
    }

    /// One consistent view, for one request or one handshake.
    pub(crate) fn view(&self) -> arc_swap::Guard<Arc<TrustView>> {
        self.0.load()
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let view = self.view();
        f.debug_struct("Trust")
            .field("generation", &view.generation)
            .field("domains", &view.roots.domains().map(TrustDomain::as_str).collect::<Vec<_>>())
            .field("authorities", &view.roots.authorities().collect::<Vec<_>>())
            .finish()
    }
}

/// The roots of one generation.
pub(crate) struct TrustView {
    pub(crate) generation: u64,
    pub(crate) roots: Arc<Roots>,
}

fn next_generation() -> u64 {
    GENERATIONS.fetch_add(1, Ordering::Relaxed)
}

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
    /// As `trust`, or a block of the text is damaged or no certificate: none is passed over.
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
    /// As `authority`, or a block of the text is damaged or no certificate: none is passed over.
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
    /// new list, [`replace`](Trust::replace) the whole.
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
    /// Nobody is trusted; a list cannot be used, there are too many, or they are given to somebody
    /// who has no roots; a root is no certificate of an authority; a root is given to two trust
    /// domains or to two authorities, so that one would vouch for the other's peers.
    pub fn build(self) -> Result<Trust, TrustError> {
        let roots = Arc::new(Roots::read(self.domains, self.authorities, self.revocation)?);
        Ok(Trust(Arc::new(ArcSwap::from_pointee(TrustView { generation: next_generation(), roots }))))
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
            let what = format!("a block `{}` is no root, give `CERTIFICATE` only", block.label);
            return Err(refused(block.line, what));
        }
        roots.push(CertificateDer::from(block.der));
    }
    Ok(roots)
}

/// Why roots cannot be used.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// Neither a trust domain nor an authority was given.
    #[error("nobody is trusted: give at least one trust domain or authority")]
    Nobody,
    /// A trust domain or an authority without roots.
    #[error("`{name}` has no roots: give at least one certificate (`-----BEGIN CERTIFICATE-----` in PEM)")]
    NoRoots {
        /// Whose roots.
        name: String,
    },
    /// A trust domain or an authority given twice.
    #[error("`{name}` is given twice: give all its roots at once")]
    Twice {
        /// Which.
        name: String,
    },
    /// The name of an authority has another form.
    #[error("`{name}` is no name of an authority: take 1 to 64 of `a-z 0-9 -`")]
    AuthorityName {
        /// The name, escaped and cut.
        name: String,
    },
    /// A block of the text is damaged, or is no certificate. Every block is read or named here.
    #[error("the roots of `{name}` cannot be read from PEM: line {line}: {what}")]
    Pem {
        /// Whose roots.
        name: String,
        /// On which line, from 1.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
    /// No revocation lists where some were announced.
    #[error("`{name}` is given no revocation lists: give at least one, or leave the call out")]
    NoRevocationLists {
        /// Whose lists.
        name: String,
    },
    /// A revocation list cannot be used, by itself and before its signature is looked at.
    #[error("{list} of `{name}` cannot be used: {why}")]
    UnusableRevocationList {
        /// Whose lists.
        name: String,
        /// Which one, from 0.
        index: usize,
        /// What it says of itself, as far as it could be read: its place, its issuer and its
        /// number.
        list: String,
        /// What is wrong with it.
        why: RevocationListFault,
    },
    /// More revocation lists than are looked at.
    #[error("`{name}` is given {lists} revocation lists, and may have {limit}")]
    TooManyRevocationLists {
        /// Whose lists.
        name: String,
        /// How many were given.
        lists: usize,
        /// How many there may be.
        limit: usize,
    },
    /// A root is no certificate of X.509 version 3.
    #[error("root {index} of `{name}` is malformed: {what}")]
    MalformedRoot {
        /// Whose roots.
        name: String,
        /// Which one, from 0.
        index: usize,
        /// What could not be read.
        what: &'static str,
    },
    /// A root of a trust domain has the SPIFFE ID of another one (X509-SVID section 3.2).
    #[error("root {index} of `{name}` says that it is of the trust domain `{other}`")]
    RootOfAnotherDomain {
        /// Whose roots.
        name: String,
        /// Which one, from 0.
        index: usize,
        /// The trust domain that it names.
        other: String,
    },
    /// A root of a trust domain has a SPIFFE ID with a path, or beside another URI (X509-SVID
    /// sections 2 and 3.2).
    #[error("root {index} of `{name}` cannot be used: {rule}")]
    RootRule {
        /// Whose roots.
        name: String,
        /// Which one, from 0.
        index: usize,
        /// The rule.
        rule: Box<PeerError>,
    },
    /// A root is a leaf certificate, or its key may not sign certificates.
    #[error(
        "root {index} of `{name}` is no certificate of an authority: it must be a CA and may sign certificates"
    )]
    RootIsNotCa {
        /// Whose roots.
        name: String,
        /// Which one, from 0.
        index: usize,
    },
    /// One key is a root of two trust domains, or of two authorities.
    #[error("`{one}` and `{other}` have a root in common: each needs its own")]
    SharedRoot {
        /// One of them.
        one: String,
        /// The other one.
        other: String,
    },
}

/// As [`fmt::Display`](std::fmt::Display): what `fn main() -> Result<(), Box<dyn Error>>` prints is
/// this, and it should say what to do.
impl std::fmt::Debug for TrustError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl TrustError {
    /// A stable name for the reason.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Nobody => "nobody-trusted",
            Self::NoRoots { .. } => "no-roots",
            Self::Twice { .. } => "given-twice",
            Self::AuthorityName { .. } => "authority-name",
            Self::Pem { .. } => "roots-not-pem",
            Self::NoRevocationLists { .. } => "no-revocation-lists",
            Self::UnusableRevocationList { why, .. } => why.code(),
            Self::TooManyRevocationLists { .. } => "too-many-revocation-lists",
            Self::MalformedRoot { .. } => "malformed-root",
            Self::RootIsNotCa { .. } => "root-is-not-ca",
            Self::RootOfAnotherDomain { .. } => "root-of-another-domain",
            Self::RootRule { rule, .. } => rule.code(),
            Self::SharedRoot { .. } => "shared-root",
        }
    }
}
