//! A root, with everything that it restricts.

use rustls_pki_types::CertificateDer;

use super::certificate::{Certificate, Validity};
use super::chain_member::{ChainMember, Position};
use super::constraints::NameConstraints;
use super::distinguished_name::DistinguishedName;
use super::{PeerError, SpiffeId, TrustDomain};

/// A root certificate, read. RFC 5280 section 6.2 lets a trust anchor restrict nothing; here a root
/// binds what is below it exactly as an intermediate does, since the author who wrote the
/// restriction into it meant it.
#[derive(Debug)]
pub(super) struct Anchor {
    pub(super) der: CertificateDer<'static>,
    pub(super) member: ChainMember,
    pub(super) subject: DistinguishedName,
    /// The public key with its algorithm.
    pub(super) key: Box<[u8]>,
    pub(super) validity: Validity,
    pub(super) path_length: Option<u32>,
    /// Why nothing below it is believed: its form, or its extended key usage. It harms nobody below
    /// another root.
    pub(super) usable: Result<(), PeerError>,
    pub(super) constraints: Option<NameConstraints>,
}

/// Why a root cannot be used.
pub(super) enum AnchorFault {
    Malformed(&'static str),
    NotAuthority,
    OtherDomain(String),
    Rule(PeerError),
}

impl From<PeerError> for AnchorFault {
    fn from(error: PeerError) -> Self {
        match error {
            PeerError::Malformed { what, .. } => Self::Malformed(what),
            other => Self::Rule(other),
        }
    }
}

impl Anchor {
    /// Reads a root for a trust domain, or for an authority whose peers have no SPIFFE ID.
    pub(super) fn read(
        der: &CertificateDer<'static>,
        domain: Option<&TrustDomain>,
    ) -> Result<Self, AnchorFault> {
        let root = Certificate::parse(der, Position::Root)?;
        if !root.is_authority()? || !root.may_sign_certificates()? {
            return Err(AnchorFault::NotAuthority);
        }
        if let Some(domain) = domain
            && let Some(own) = own_id(&root)?
            && own.trust_domain() != domain
        {
            return Err(AnchorFault::OtherDomain(own.trust_domain().to_string()));
        }
        Ok(Self {
            member: root.member(),
            subject: root.subject().clone(),
            key: root.key().into(),
            validity: root.validity(),
            path_length: root.basic_constraints()?.and_then(|constraints| constraints.path_len_constraint),
            usable: root.check_form().and_then(|()| root.check_purpose()),
            constraints: root.name_constraints()?,
            der: der.clone(),
        })
    }

    /// Whether both are one root, renewed: they differ in nothing but their dates.
    pub(super) fn is_renewal_of(&self, other: &Self) -> bool {
        self.subject == other.subject
            && self.key == other.key
            && self.path_length == other.path_length
            && self.usable == other.usable
            && self.constraints == other.constraints
    }
}

/// The SPIFFE ID of a signing certificate, which names its trust domain and has no path (X509-SVID
/// section 3.2). None where it has none; a URI of another scheme says nothing about a trust domain.
pub(super) fn own_id(authority: &Certificate<'_>) -> Result<Option<SpiffeId>, PeerError> {
    let uris = || -> Result<Vec<_>, PeerError> {
        Ok(authority
            .names()?
            .into_iter()
            .filter(|name| name.tag == super::certificate::GeneralName::URI)
            .map(|name| String::from_utf8_lossy(name.value).into_owned())
            .collect())
    };
    let uris = uris()?;
    if !uris.iter().any(|uri| super::leaf::is_spiffe(uri)) {
        return Ok(None);
    }
    let refused = || PeerError::IssuerSpiffeId { certificate: authority.member() };
    let [uri] = uris.as_slice() else { return Err(refused()) };
    match SpiffeId::parse(uri) {
        Ok(id) if id.path().is_empty() => Ok(Some(id)),
        _ => Err(refused()),
    }
}
