//! Which certificates were revoked: the revocation lists of one trust domain or authority (RFC
//! 5280 sections 5 and 6.3).
//!
//! ```text
//! bytes → List (list, scope, name: read, not believed) → Signer (who signed it)
//!       → check: what the lists say of one certificate
//! ```
//!
//! A list is chosen by the key that signed it, which is the key above the certificate in the very
//! path that was found; a name alone decides nothing. It speaks for the certificates in its scope.
//! What any list that speaks names is revoked, in whatever order the lists were given:
//!
//! - Of two lists of one issuer and scope the later counts: the one with the greater number that is
//!   not dated before the other; without numbers, the one dated later. Where that is contradictory,
//!   or both have one number, both count.
//! - Lists of different scope never stand for each other: a full list does not take back what a
//!   shard says, nor the other way round.
//! - A list that is stale, or dated in the future, still revokes what it names. It does not make a
//!   status known. A list from the future takes no other's place until it begins.

mod check;
mod der;
mod fault;
mod label;
mod list;
mod name;
mod scope;
mod signer;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use x509_parser::certificate::X509Certificate;

pub(crate) use check::ListsUntil;
pub use fault::RevocationListFault;

use check::Refused;
use der::Damaged;
use list::List;
use scope::Asked;
use signer::Signer;

use super::certificate::Certificate;
use super::chain_member::Position;
use super::distinguished_name::DistinguishedName;
use super::path::Path;
use super::{PeerError, TrustError};
use crate::hex::hex;
use ztlib_contract::printable;

/// A trust domain or an authority may have this many lists.
const MAX_LISTS: usize = 1024;

/// Whether a `SubjectPublicKeyInfo` is in DER down to the key itself, each length in its shortest
/// form.
pub(super) fn is_plain_key(info: &[u8]) -> bool {
    signer::read_key(info).is_ok()
}

/// What happens where no list covers a certificate, or the list is stale. Both refuse unless a
/// verb was called.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct RevocationPolicy {
    pub(super) allow_unknown: bool,
    pub(super) allow_stale: bool,
}

/// The lists of one trust domain or authority.
#[derive(Default)]
pub(super) struct Revocation {
    lists: Vec<List>,
    by_issuer: HashMap<DistinguishedName, Vec<usize>>,
    roots: Vec<Signer>,
    policy: RevocationPolicy,
}

impl Revocation {
    /// Reads the lists that were given to `owner` with these roots.
    pub(super) fn read(
        owner: &str,
        roots: &[CertificateDer<'static>],
        given: &[CertificateRevocationListDer<'static>],
        policy: RevocationPolicy,
    ) -> Result<Self, TrustError> {
        if given.len() > MAX_LISTS {
            return Err(TrustError::TooManyRevocationLists {
                name: owner.to_owned(),
                lists: given.len(),
                limit: MAX_LISTS,
            });
        }
        let mut revocation = Self { policy, ..Self::default() };
        if given.is_empty() {
            return Ok(revocation);
        }
        for (index, root) in roots.iter().enumerate() {
            let malformed = |what| TrustError::MalformedRoot { name: owner.to_owned(), index, what };
            let root = Certificate::parse(root, Position::Root);
            let root = root.map_err(|_| malformed("not an X.509 certificate in DER"))?;
            let signer = Signer::read(&root);
            revocation.add_root(
                signer.map_err(|Damaged| malformed("an extension that says who signs revocation lists"))?,
            );
        }
        for (index, der) in given.iter().enumerate() {
            let mut list =
                List::read(index, der).map_err(|(label, why)| TrustError::UnusableRevocationList {
                    name: owner.to_owned(),
                    index,
                    list: label.to_string(),
                    why,
                })?;
            let mut of_its_name = revocation.roots.iter().filter(|root| root.name == list.issuer);
            list.is_of_root = of_its_name.any(|root| list.verify(root));
            revocation.by_issuer.entry(list.issuer.clone()).or_default().push(index);
            revocation.lists.push(list);
        }
        Ok(revocation)
    }

    /// A root that was renewed with the same name and key may sign lists where either certificate
    /// lets it.
    fn add_root(&mut self, new: Signer) {
        match self.roots.iter_mut().find(|known| known.name == new.name && known.key == new.key) {
            Some(known) => {
                known.may_sign_lists |= new.may_sign_lists;
                known.key_identifier = known.key_identifier.take().or(new.key_identifier);
            }
            None => self.roots.push(new),
        }
    }

    fn of_issuer(&self, issuer: &DistinguishedName) -> impl Iterator<Item = &List> {
        let indexes = self.by_issuer.get(issuer).map(Vec::as_slice).unwrap_or_default();
        indexes.iter().filter_map(|index| self.lists.get(*index))
    }

    /// Asks about each certificate of a path below its root. `Ok` is until when the lists that were
    /// asked speak, where that bounds anything; of several faults the gravest is told.
    pub(super) fn check(
        &self,
        path: &Path<'_, '_>,
        now: u64,
    ) -> Result<Option<ListsUntil>, RevocationRefusal> {
        if self.lists.is_empty() {
            return Ok(None);
        }
        let at = |position: usize| path.certificates.get(position).map(|one| one.x509());
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        let mut until: Option<(&List, usize)> = None;
        let mut worst: Option<(Refused, usize)> = None;
        let mut foreign = 0;
        for (position, certificate) in path.certificates.iter().enumerate() {
            let signer = match path.certificates.get(position + 1) {
                Some(above) => Signer::read(above).ok(),
                None => self.root_of(path),
            };
            let (Some(signer), Ok(asked)) = (signer, asked(certificate)) else {
                let error = certificate.malformed("an extension that says who signs revocation lists");
                return Err(RevocationRefusal { of_leaf: false, error });
            };
            match self.ask(&asked, &signer, now, &mut foreign) {
                Ok(Some(list)) if until.is_none_or(|(first, _)| list.until() < first.until()) => {
                    until = Some((list, position));
                }
                Ok(_) => {}
                // Whatever is wrong above it.
                Err(refused @ Refused::Revoked { .. }) if position == 0 => {
                    let error = error(refused, at(position), position);
                    return Err(RevocationRefusal { of_leaf: true, error });
                }
                Err(refused) if worst.as_ref().is_none_or(|(worst, _)| refused < *worst) => {
                    worst = Some((refused, position));
                }
                Err(_) => {}
            }
        }
        match worst {
            None => Ok(until.map(|(list, position)| ListsUntil {
                second: u64::try_from(list.until()).unwrap_or(0),
                list: list.label.to_string().into(),
                certificate: describe(at(position), position).into(),
            })),
            Some((refused, position)) => {
                Err(RevocationRefusal { of_leaf: false, error: error(refused, at(position), position) })
            }
        }
    }

    fn root_of(&self, path: &Path<'_, '_>) -> Option<Signer> {
        let root = Certificate::parse(&path.anchor.der, Position::Root).ok()?;
        let own = Signer::read(&root).ok()?;
        // With what a renewal of it may do.
        self.roots.iter().find(|known| known.name == own.name && known.key == own.key).cloned()
    }
}

/// Why the lists turn a path down.
pub(super) struct RevocationRefusal {
    /// The leaf itself is revoked: no other path may make it good.
    pub(super) of_leaf: bool,
    pub(super) error: PeerError,
}

fn asked(certificate: &Certificate<'_>) -> Result<Asked, Damaged> {
    let x509 = certificate.x509();
    Asked::read(
        x509.raw_serial(),
        certificate.issuer().clone(),
        signer::is_authority(x509)?,
        signer::distribution_points(x509),
    )
}

fn error(refused: Refused, certificate: Option<&X509Certificate<'_>>, position: usize) -> PeerError {
    let certificate = describe(certificate, position);
    match refused {
        Refused::Revoked { list } => PeerError::Revoked { certificate, list },
        Refused::TooMuchWork => PeerError::ChainTooComplex,
        Refused::Stale { list } => PeerError::RevocationListStale { list, certificate },
        Refused::Unusable { list, why } => PeerError::RevocationListInvalid { list, why, certificate },
        Refused::NotYet { list } => PeerError::RevocationListNotYetValid { list, certificate },
        Refused::Unknown { partly } => PeerError::RevocationUnknown { certificate, partly },
    }
}

fn describe(certificate: Option<&X509Certificate<'_>>, position: usize) -> String {
    let Some(certificate) = certificate else { return String::new() };
    let serial = printable(&hex(certificate.raw_serial()));
    if position == 0 {
        return format!("the leaf (serial number 0x{serial})");
    }
    let subject = printable(&certificate.subject().to_string());
    format!("the authority `{subject}` (serial number 0x{serial})")
}
