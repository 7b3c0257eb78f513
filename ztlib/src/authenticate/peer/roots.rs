//! The roots of one generation, and the path from a leaf to one of them.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;
use std::time::Duration;

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, VerifiedPath};

use super::leaf::{self, Claim, Leaf, Validity};
use super::revocation::{ListsUntil, Revocation, RevocationPolicy, RevocationRefusal};
use super::{PeerError, SpiffeId, TrustDomain, TrustError};

static ALGORITHMS: LazyLock<WebPkiSupportedAlgorithms> =
    LazyLock::new(|| rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms);

/// Trust domains and authorities, each with its own roots.
pub(crate) struct Roots {
    domains: BTreeMap<TrustDomain, RootSet>,
    authorities: BTreeMap<Box<str>, RootSet>,
    /// Every key that is a root of somebody: a cross-signed copy of it must not serve somebody else.
    owners: HashMap<Box<[u8]>, Vec<Owner>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Owner {
    Domain(TrustDomain),
    Authority(Box<str>),
}

impl Owner {
    fn name(&self) -> &str {
        match self {
            Self::Domain(domain) => domain.as_str(),
            Self::Authority(name) => name,
        }
    }

    fn is_domain(&self) -> bool {
        matches!(self, Self::Domain(_))
    }
}

#[derive(Default)]
struct RootSet {
    anchors: Vec<TrustAnchor<'static>>,
    /// When each anchor is valid, in the same order.
    validities: Vec<Validity>,
    revocation: Revocation,
}

/// What the author gave for one trust domain or authority.
#[derive(Default)]
pub(super) struct Given {
    pub(super) roots: Vec<CertificateDer<'static>>,
    pub(super) lists: Vec<CertificateRevocationListDer<'static>>,
}

/// What stands above a leaf.
#[derive(Clone)]
pub(crate) struct Vouched {
    /// The authority's name, for a peer without a SPIFFE ID.
    pub(crate) authority: Option<Box<str>>,
    /// When the leaf and everything above it is valid.
    pub(crate) validity: Validity,
    /// Until when the revocation lists about the leaf and what is above it speak.
    pub(crate) lists_until: Option<ListsUntil>,
}

impl Roots {
    pub(super) fn read(
        domains: BTreeMap<TrustDomain, Given>,
        authorities: BTreeMap<Box<str>, Given>,
        policy: RevocationPolicy,
    ) -> Result<Self, TrustError> {
        if domains.is_empty() && authorities.is_empty() {
            return Err(TrustError::Nobody);
        }
        let mut roots =
            Self { domains: BTreeMap::new(), authorities: BTreeMap::new(), owners: HashMap::new() };
        for (domain, given) in domains {
            let set = roots.read_set(&Owner::Domain(domain.clone()), &given, policy)?;
            roots.domains.insert(domain, set);
        }
        for (name, given) in authorities {
            let set = roots.read_set(&Owner::Authority(name.clone()), &given, policy)?;
            roots.authorities.insert(name, set);
        }
        Ok(roots)
    }

    fn read_set(
        &mut self,
        owner: &Owner,
        given: &Given,
        policy: RevocationPolicy,
    ) -> Result<RootSet, TrustError> {
        if given.roots.is_empty() {
            return Err(TrustError::NoRoots { name: owner.name().to_owned() });
        }
        let revocation = Revocation::read(owner.name(), &given.roots, &given.lists, policy)?;
        let mut set = RootSet { revocation, ..RootSet::default() };
        for (index, der) in given.roots.iter().enumerate() {
            let malformed = || TrustError::MalformedRoot { name: owner.name().to_owned(), index };
            let certificate = leaf::parse(der).map_err(|_| malformed())?;
            if !leaf::is_authority(&certificate).map_err(|_| malformed())? {
                return Err(TrustError::RootIsNotCa { name: owner.name().to_owned(), index });
            }
            let anchor = webpki::anchor_from_trusted_cert(der).map_err(|_| malformed())?.to_owned();
            self.claim_key(owner, certificate.subject_pki.raw)?;
            set.add(anchor, leaf::validity(&certificate));
        }
        Ok(set)
    }

    fn claim_key(&mut self, owner: &Owner, key: &[u8]) -> Result<(), TrustError> {
        let owners = self.owners.entry(key.into()).or_default();
        if let Some(other) =
            owners.iter().find(|other| *other != owner && other.is_domain() == owner.is_domain())
        {
            return Err(TrustError::SharedRoot {
                one: other.name().to_owned(),
                other: owner.name().to_owned(),
            });
        }
        if !owners.contains(owner) {
            owners.push(owner.clone());
        }
        Ok(())
    }

    pub(crate) fn domains(&self) -> impl Iterator<Item = &TrustDomain> {
        self.domains.keys()
    }

    pub(crate) fn authorities(&self) -> impl Iterator<Item = &str> {
        self.authorities.keys().map(AsRef::as_ref)
    }

    /// Finds the path from the leaf to a root that may vouch for what it claims, valid at `now` (whole seconds).
    /// `chain` begins with the leaf.
    pub(crate) fn vouch(
        &self,
        leaf: &Leaf,
        chain: &[CertificateDer<'static>],
        now: u64,
    ) -> Result<Vouched, PeerError> {
        match &leaf.claim {
            Claim::Spiffe(id) => {
                let domain = id.trust_domain();
                let set = self
                    .domains
                    .get(domain)
                    .ok_or_else(|| PeerError::UnknownTrustDomain { trust_domain: domain.to_string() })?;
                self.follow(set, &Owner::Domain(domain.clone()), leaf, chain, now)
            }
            Claim::Dns(_) => {
                let mut refused = PeerError::NoAuthorities;
                for (name, set) in &self.authorities {
                    match self.follow(set, &Owner::Authority(name.clone()), leaf, chain, now) {
                        Ok(vouched) => return Ok(vouched),
                        // The most telling reason is that of the authority to which the chain leads.
                        Err(error)
                            if matches!(refused, PeerError::NoAuthorities | PeerError::UntrustedIssuer) =>
                        {
                            refused = error;
                        }
                        Err(_) => {}
                    }
                }
                Err(refused)
            }
        }
    }

    fn follow(
        &self,
        set: &RootSet,
        owner: &Owner,
        leaf: &Leaf,
        chain: &[CertificateDer<'static>],
        now: u64,
    ) -> Result<Vouched, PeerError> {
        let Some((first, intermediates)) = chain.split_first() else {
            return Err(PeerError::MissingCertificate);
        };
        let certificate = EndEntityCert::try_from(first).map_err(refusal)?;
        let turned_down = Cell::new(None);
        let revoked = Cell::new(None);
        let lists_until = Cell::new(None);
        let judge = |path: &VerifiedPath<'_>| {
            self.judge_path(set, owner, path, now)
                .and_then(|_| {
                    set.ask_lists(path, now).map_err(|refusal| {
                        if refusal.of_leaf {
                            revoked.set(Some(refusal.error.clone()));
                        }
                        refusal.error
                    })
                })
                .map(|until| lists_until.set(until))
                .map_err(|error| {
                    turned_down.set(Some(error));
                    webpki::Error::UnknownIssuer
                })
        };
        let time = UnixTime::since_unix_epoch(Duration::from_secs(now));
        let usage = webpki::KeyUsage::client_auth();
        let found = certificate.verify_for_usage(
            ALGORITHMS.all,
            &set.anchors,
            intermediates,
            time,
            usage,
            None,
            Some(&judge),
        );
        // A leaf that was revoked on one path is not made good by another that no list speaks
        // about.
        if let Some(error) = revoked.take() {
            return Err(error);
        }
        let path = found.map_err(|error| turned_down.take().unwrap_or_else(|| refusal(error)))?;
        let above = self.judge_path(set, owner, &path, now)?;
        let authority = match owner {
            Owner::Domain(_) => None,
            Owner::Authority(name) => Some(name.clone()),
        };
        Ok(Vouched { authority, validity: leaf.validity.narrow(above), lists_until: lists_until.take() })
    }

    /// What webpki does not look at: the root's own validity, and to whom the authorities on the way belong.
    fn judge_path(
        &self,
        set: &RootSet,
        owner: &Owner,
        path: &VerifiedPath<'_>,
        now: u64,
    ) -> Result<Validity, PeerError> {
        let mut validity = set.validity_of(path.anchor()).ok_or(PeerError::UntrustedIssuer)?;
        for intermediate in path.intermediate_certificates() {
            let key = intermediate.subject_public_key_info();
            if self.owners.get(key.as_ref()).is_some_and(|owners| !owners.contains(owner)) {
                return Err(PeerError::ForeignAuthority);
            }
            if let Owner::Domain(domain) = owner {
                check_domain_of_authority(domain, intermediate.valid_uri_names())?;
            }
            let der = intermediate.der();
            let certificate = leaf::parse(&der)?;
            validity = validity.narrow(leaf::validity(&certificate));
        }
        if now > validity.not_after {
            return Err(PeerError::IssuerExpired);
        }
        if now < validity.not_before {
            return Err(PeerError::IssuerNotYetValid);
        }
        Ok(validity)
    }
}

impl RootSet {
    /// A root that was renewed with the same name and key is one anchor, valid as long as either.
    fn add(&mut self, anchor: TrustAnchor<'static>, validity: Validity) {
        let known = self.anchors.iter().position(|known| same_anchor(known, &anchor));
        match known.and_then(|at| self.validities.get_mut(at)) {
            Some(known) => {
                known.not_before = known.not_before.min(validity.not_before);
                known.not_after = known.not_after.max(validity.not_after);
            }
            None => {
                self.anchors.push(anchor);
                self.validities.push(validity);
            }
        }
    }

    fn ask_lists(&self, path: &VerifiedPath<'_>, now: u64) -> Result<Option<ListsUntil>, RevocationRefusal> {
        let ders: Vec<_> = std::iter::once(path.end_entity().der())
            .chain(path.intermediate_certificates().map(|certificate| certificate.der()))
            .collect();
        let certificates: Result<Vec<_>, _> = ders.iter().map(leaf::parse).collect();
        let certificates = certificates.map_err(RevocationRefusal::of_chain)?;
        let certificates: Vec<_> = certificates.iter().collect();
        self.revocation.check(&certificates, &path.anchor().subject_public_key_info, now)
    }

    fn validity_of(&self, anchor: &TrustAnchor<'_>) -> Option<Validity> {
        let at = self.anchors.iter().position(|known| same_anchor(known, anchor))?;
        self.validities.get(at).copied()
    }
}

fn same_anchor(one: &TrustAnchor<'_>, other: &TrustAnchor<'_>) -> bool {
    one.subject == other.subject
        && one.subject_public_key_info == other.subject_public_key_info
        && one.name_constraints == other.name_constraints
}

/// An authority that has a SPIFFE ID of its own signs within that trust domain only (X509-SVID section 4.2). A URI of
/// another scheme says nothing about a trust domain.
fn check_domain_of_authority<'a>(
    domain: &TrustDomain,
    uris: impl Iterator<Item = &'a str>,
) -> Result<(), PeerError> {
    for uri in uris.filter(|uri| leaf::is_spiffe(uri)) {
        match SpiffeId::parse(uri) {
            Ok(own) if own.trust_domain() == domain => {}
            _ => return Err(PeerError::ForeignAuthority),
        }
    }
    Ok(())
}

fn refusal(error: webpki::Error) -> PeerError {
    use webpki::Error;
    match error {
        Error::BadDer | Error::BadDerTime | Error::TrailingData(_) | Error::MalformedExtensions => {
            PeerError::Malformed { what: "a certificate of the chain" }
        }
        Error::UnsupportedCertVersion => PeerError::Malformed { what: "not version 3" },
        Error::ExtensionValueInvalid => PeerError::Malformed { what: "an extension" },
        // The leaf's own dates are looked at before, by name.
        Error::CertExpired { .. } => PeerError::IssuerExpired,
        Error::CertNotValidYet { .. } => PeerError::IssuerNotYetValid,
        Error::CaUsedAsEndEntity => PeerError::LeafIsCa,
        Error::UnsupportedCriticalExtension => PeerError::UnknownCriticalExtension,
        Error::RequiredEkuNotFoundContext(_) | Error::EmptyEkuExtension => {
            PeerError::NotForClientAuthentication
        }
        Error::UnknownIssuer => PeerError::UntrustedIssuer,
        Error::InvalidSignatureForPublicKey
        | Error::SignatureAlgorithmMismatch
        | Error::UnsupportedSignatureAlgorithmContext(_)
        | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => PeerError::BadSignature,
        Error::NameConstraintViolation | Error::MalformedNameConstraint | Error::UnsupportedNameType => {
            PeerError::NameConstraint
        }
        Error::MaximumPathBuildCallsExceeded
        | Error::MaximumSignatureChecksExceeded
        | Error::MaximumNameConstraintComparisonsExceeded
        | Error::MaximumPathDepthExceeded => PeerError::ChainTooComplex,
        _ => PeerError::InvalidChain,
    }
}
