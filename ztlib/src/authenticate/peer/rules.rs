//! The rules of RFC 5280 section 6.1 and of X509-SVID for a path, from the root down to the leaf.
//!
//! What concerns the leaf alone was looked at when it was read, and what concerns a root alone when
//! it was given.

use super::anchor::own_id;
use super::certificate::{Certificate, Validity};
use super::chain_member::ChainMember;
use super::constraints::NameConstraints;
use super::path::{Effort, Path};
use super::{PeerError, TrustDomain};

/// When everything on the path is valid, and what ends that.
#[derive(Clone)]
pub(crate) struct Span {
    pub(crate) validity: Validity,
    /// Whose validity begins last.
    pub(crate) begins: ChainMember,
    /// Whose validity ends first.
    pub(crate) ends: ChainMember,
}

impl Span {
    fn narrow(&mut self, validity: Validity, member: impl Fn() -> ChainMember) {
        if validity.not_before > self.validity.not_before {
            self.begins = member();
        }
        if validity.not_after < self.validity.not_after {
            self.ends = member();
        }
        self.validity = self.validity.narrow(validity);
    }

    fn check(&self, now: u64) -> Result<(), PeerError> {
        if now > self.validity.not_after {
            return Err(PeerError::IssuerExpired { certificate: self.ends.clone() });
        }
        if now < self.validity.not_before {
            return Err(PeerError::IssuerNotYetValid { certificate: self.begins.clone() });
        }
        Ok(())
    }
}

/// Holds every certificate of the path to every rule. With a trust domain, to those of X509-SVID
/// too.
///
/// `may_serve` says whether a key may stand above peers of this trust domain or authority: it is no
/// root of another one.
pub(super) fn check(
    path: &Path<'_, '_>,
    domain: Option<&TrustDomain>,
    may_serve: impl Fn(&[u8]) -> bool,
    now: u64,
    effort: &mut Effort,
) -> Result<Span, PeerError> {
    let anchor = path.anchor;
    anchor.usable.clone()?;
    let mut span =
        Span { validity: anchor.validity, begins: anchor.member.clone(), ends: anchor.member.clone() };
    let mut length = Length { left: anchor.path_length, of: anchor.member.clone() };
    let mut constraints = Constraints(Vec::new());
    constraints.add(anchor.constraints.clone(), || anchor.member.clone());
    for (place, certificate) in path.certificates.iter().enumerate().rev() {
        let is_leaf = place == 0;
        effort.check_signature(certificate, path.issuer_key(place))?;
        certificate.check_form()?;
        if !is_leaf {
            check_signer(certificate, domain)?;
            if !may_serve(certificate.key()) {
                return Err(PeerError::ForeignAuthority { certificate: certificate.member() });
            }
            length.step(certificate)?;
            span.narrow(certificate.validity(), || certificate.member());
        }
        span.check(now)?;
        certificate.check_purpose()?;
        if is_leaf || !certificate.is_self_issued() {
            constraints.check(certificate, effort)?;
        }
        if !is_leaf {
            constraints.add(certificate.name_constraints()?, || certificate.member());
        }
    }
    if let Some(leaf) = path.certificates.first() {
        span.narrow(leaf.validity(), || leaf.member());
    }
    Ok(span)
}

/// Whether the certificate may sign others (RFC 5280 section 6.1.4 (k) and (n)); X509-SVID 3.2,
/// 4.1, 4.3).
fn check_signer(certificate: &Certificate<'_>, domain: Option<&TrustDomain>) -> Result<(), PeerError> {
    if !certificate.is_authority()? {
        return Err(PeerError::IssuerIsNotCa { certificate: certificate.member() });
    }
    if !certificate.may_sign_certificates()? {
        return Err(PeerError::IssuerMayNotSign { certificate: certificate.member() });
    }
    let Some(domain) = domain else { return Ok(()) };
    if !matches!(certificate.key_usage()?, Some((_, true))) {
        return Err(PeerError::IssuerKeyUsage { certificate: certificate.member() });
    }
    match own_id(certificate)? {
        Some(id) if id.trust_domain() != domain => {
            Err(PeerError::ForeignAuthority { certificate: certificate.member() })
        }
        _ => Ok(()),
    }
}

/// How many authorities may still follow (RFC 5280 section 6.1.4 (l) and (m)).
struct Length {
    left: Option<u32>,
    /// Who says so.
    of: ChainMember,
}

impl Length {
    fn step(&mut self, certificate: &Certificate<'_>) -> Result<(), PeerError> {
        if !certificate.is_self_issued()
            && let Some(left) = self.left
        {
            let fewer = left.checked_sub(1);
            self.left = Some(fewer.ok_or_else(|| PeerError::PathLength {
                certificate: certificate.member(),
                of: self.of.clone(),
            })?);
        }
        let own = certificate.basic_constraints()?.and_then(|constraints| constraints.path_len_constraint);
        if let Some(own) = own
            && self.left.is_none_or(|left| own < left)
        {
            *self = Self { left: Some(own), of: certificate.member() };
        }
        Ok(())
    }
}

/// The name constraints of everything above (RFC 5280 section 6.1.4 (g)): a name must pass all of
/// them.
struct Constraints(Vec<(NameConstraints, ChainMember)>);

impl Constraints {
    fn add(&mut self, own: Option<NameConstraints>, of: impl Fn() -> ChainMember) {
        self.0.extend(own.map(|own| (own, of())));
    }

    fn check(&self, certificate: &Certificate<'_>, effort: &mut Effort) -> Result<(), PeerError> {
        for (constraints, of) in &self.0 {
            constraints.check(certificate, of, &mut effort.comparisons)?;
        }
        Ok(())
    }
}
