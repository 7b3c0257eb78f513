//! One revocation list, read and not yet believed.

use arc_swap::ArcSwap;
use x509_parser::prelude::FromDer as _;
use x509_parser::time::ASN1Time;

use super::RevocationListFault;
use super::der::{self, BIT_STRING, Damaged, Element, Extension, INTEGER, Reader, SEQUENCE};
use super::label::{Label, Number};
use super::name;
use super::scope::{NoScope, Scope};
use super::signer::{Signed, Signer};
use crate::authenticate::peer::distinguished_name::DistinguishedName;
use ztlib_contract::printable;

/// A list may have this many bytes.
const MAX_BYTES: usize = 64 * 1024 * 1024;
/// So many keys are remembered about which it is known whether they signed a list.
const MAX_KEYS: usize = 16;

const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const CRL_EXTENSIONS: u8 = 0xa0;

/// Extensions under `id-ce` (2.5.29), by their last number.
const ID_CE: [u8; 2] = [0x55, 0x1d];
const CRL_NUMBER: u8 = 20;
const REASON: u8 = 21;
const INVALIDITY_DATE: u8 = 24;
const DELTA_INDICATOR: u8 = 27;
const ISSUING_DISTRIBUTION_POINT: u8 = 28;
const CERTIFICATE_ISSUER: u8 = 29;
const AUTHORITY_KEY_IDENTIFIER: u8 = 35;

/// A list of certificates that one issuer took back.
pub(super) struct List {
    pub(super) label: Label,
    pub(super) issuer: DistinguishedName,
    /// Whether one of the roots signed it.
    pub(super) is_of_root: bool,
    /// The identifier of the key that the list says it is signed by (RFC 5280 section 5.2.1).
    pub(super) key_identifier: Option<Box<[u8]>>,
    /// Unsigned, without leading zeros.
    number: Option<Box<[u8]>>,
    this_update: i64,
    next_update: i64,
    pub(super) scope: Scope,
    /// Sorted; each unsigned, without leading zeros.
    serials: Box<[Box<[u8]>]>,
    signed: Signed,
    /// Keys, and whether each signed the list.
    tried: ArcSwap<Vec<(Box<[u8]>, bool)>>,
}

impl From<Damaged> for RevocationListFault {
    fn from(Damaged: Damaged) -> Self {
        Self::Malformed
    }
}

impl From<NoScope> for RevocationListFault {
    fn from(fault: NoScope) -> Self {
        match fault {
            NoScope::Damaged => Self::Malformed,
            NoScope::Indirect => Self::Indirect,
        }
    }
}

impl List {
    /// Reads the list that was given at this place. On an error the label says as much as could be
    /// read.
    pub(super) fn read(index: usize, bytes: &[u8]) -> Result<Self, (Label, RevocationListFault)> {
        let mut label = Label::new(index);
        Self::read_labelled(&mut label, bytes).map_err(|fault| (label, fault))
    }

    fn read_labelled(label: &mut Label, bytes: &[u8]) -> Result<Self, RevocationListFault> {
        if bytes.len() > MAX_BYTES {
            return Err(RevocationListFault::TooLarge { bytes: bytes.len(), limit: MAX_BYTES });
        }
        let mut outer = Reader::new(der::only(bytes, SEQUENCE)?);
        let to_be_signed = outer.take(SEQUENCE)?;
        let algorithm = outer.take(SEQUENCE)?;
        let signature = outer.take(BIT_STRING)?;
        outer.end()?;

        let mut reader = Reader::new(to_be_signed.value);
        let version = reader.optional(INTEGER)?;
        let inner_algorithm = reader.take(SEQUENCE)?;
        let issuer_name = reader.take(SEQUENCE)?.whole;
        label.name_issuer(issuer_name);
        if version.is_none() {
            label.number = Number::Missing;
        }
        check_version(version)?;
        let issuer = name::distinguished(issuer_name)?;
        if inner_algorithm.whole != algorithm.whole {
            return Err(RevocationListFault::Malformed);
        }
        let this_update = time(reader.element()?)?;
        let next_update = match optional_time(&mut reader)? {
            Some(element) => Some(time(element)?),
            None => None,
        };
        let entries = reader.optional(SEQUENCE)?;
        let extensions = match reader.optional(CRL_EXTENSIONS)? {
            Some(tagged) => der::extensions(tagged.value)?,
            None => Vec::new(),
        };
        reader.end()?;
        let known = Known::of(&extensions, &issuer, label)?;
        let next_update = next_update.ok_or(RevocationListFault::NoNextUpdate)?;
        Ok(Self {
            label: label.clone(),
            issuer,
            is_of_root: false,
            key_identifier: known.key_identifier,
            number: known.number,
            this_update,
            next_update,
            scope: known.scope,
            serials: serials(entries)?,
            signed: Signed::new(to_be_signed.whole, algorithm.value, signature.value)?,
            tried: ArcSwap::default(),
        })
    }

    pub(super) fn names(&self, serial: &[u8]) -> bool {
        self.serials.binary_search_by(|known| known.as_ref().cmp(serial)).is_ok()
    }

    /// A list that is dated in the future does not speak yet.
    pub(super) fn has_begun(&self, now: i64) -> bool {
        self.this_update <= now
    }

    pub(super) fn is_stale(&self, now: i64) -> bool {
        now > self.next_update
    }

    /// The last second in which it is not stale.
    pub(super) fn until(&self) -> i64 {
        self.next_update
    }

    /// Whether this is a later list of the same series. Where number and date contradict each
    /// other, or two lists have one number, neither is later, so that whatever either names stays
    /// revoked.
    pub(super) fn supersedes(&self, other: &Self, now: i64) -> bool {
        if !self.has_begun(now) || self.scope != other.scope {
            return false;
        }
        match (&self.number, &other.number) {
            (Some(own), Some(others)) => {
                (own.len(), own) > (others.len(), others) && self.this_update >= other.this_update
            }
            _ => self.this_update > other.this_update,
        }
    }

    /// What is known already about whether this key signed the list.
    pub(super) fn known_signer(&self, key: &[u8]) -> Option<bool> {
        self.tried.load().iter().find(|(tried, _)| tried.as_ref() == key).map(|(_, signed)| *signed)
    }

    /// Verifies the signature, and remembers the answer for the keys that were asked about last.
    pub(super) fn verify(&self, signer: &Signer) -> bool {
        let signed = self.signed.is_by(&signer.key);
        self.tried.rcu(|tried| {
            let mut tried = Vec::clone(tried);
            if tried.len() >= MAX_KEYS {
                // The key that signed it stays, those that did not make room.
                let oldest = tried.iter().position(|(_, signed)| !*signed).unwrap_or_default();
                tried.remove(oldest);
            }
            tried.push((signer.key.clone(), signed));
            tried
        });
        signed
    }
}

fn check_version(version: Option<Element<'_>>) -> Result<(), RevocationListFault> {
    // The integer is one less than the version; without one it is version 1.
    match version.map(|version| version.value) {
        Some([1]) => Ok(()),
        None => Err(RevocationListFault::Version { version: 1 }),
        Some([other]) => Err(RevocationListFault::Version { version: u32::from(*other) + 1 }),
        Some(_) => Err(RevocationListFault::Malformed),
    }
}

fn time(element: Element<'_>) -> Result<i64, Damaged> {
    if !matches!(element.tag, UTC_TIME | GENERALIZED_TIME) {
        return Err(Damaged);
    }
    let (rest, time) = ASN1Time::from_der(element.whole).map_err(|_| Damaged)?;
    if rest.is_empty() { Ok(time.timestamp()) } else { Err(Damaged) }
}

fn optional_time<'a>(reader: &mut Reader<'a>) -> Result<Option<Element<'a>>, Damaged> {
    match reader.optional(UTC_TIME)? {
        Some(element) => Ok(Some(element)),
        None => reader.optional(GENERALIZED_TIME),
    }
}

/// The extensions of a list that mean something here.
struct Known {
    number: Option<Box<[u8]>>,
    key_identifier: Option<Box<[u8]>>,
    scope: Scope,
}

impl Known {
    fn of(
        extensions: &[Extension<'_>],
        issuer: &DistinguishedName,
        label: &mut Label,
    ) -> Result<Self, RevocationListFault> {
        let mut known = Self { number: None, key_identifier: None, scope: Scope::everything() };
        let find = |id: u8| extensions.iter().find(|extension| under_id_ce(extension) == Some(id));
        // The number first, so that every other fault is told with it.
        label.number = Number::Missing;
        if let Some(number) = find(CRL_NUMBER) {
            let number = der::unsigned(der::only(number.value, INTEGER)?);
            label.number = Number::read(number);
            known.number = Some(number.into());
        }
        for extension in extensions {
            match under_id_ce(extension) {
                Some(CRL_NUMBER) => {}
                Some(DELTA_INDICATOR) => return Err(RevocationListFault::Delta),
                Some(ISSUING_DISTRIBUTION_POINT) => known.scope = Scope::read(extension.value, issuer)?,
                Some(AUTHORITY_KEY_IDENTIFIER) => {
                    known.key_identifier = key_identifier(extension.value)?.map(Box::from);
                }
                _ if extension.critical => return Err(critical(extension)),
                _ => {}
            }
        }
        Ok(known)
    }
}

fn under_id_ce(extension: &Extension<'_>) -> Option<u8> {
    match extension.id {
        [first, second, last] if [*first, *second] == ID_CE => Some(*last),
        _ => None,
    }
}

fn critical(extension: &Extension<'_>) -> RevocationListFault {
    RevocationListFault::CriticalExtension { oid: dotted(extension.id) }
}

fn dotted(id: &[u8]) -> String {
    printable(&x509_parser::oid_registry::Oid::new(id.into()).to_string())
}

/// The first field of an `AuthorityKeyIdentifier`; the others are of no use here.
pub(super) fn key_identifier(value: &[u8]) -> Result<Option<&[u8]>, Damaged> {
    let mut reader = Reader::new(der::only(value, SEQUENCE)?);
    Ok(reader.optional(0x80)?.map(|element| element.value))
}

fn serials(entries: Option<Element<'_>>) -> Result<Box<[Box<[u8]>]>, RevocationListFault> {
    let mut serials = Vec::new();
    let mut reader = Reader::new(entries.map_or(&[], |entries| entries.value));
    while !reader.is_empty() {
        let mut entry = Reader::new(reader.take(SEQUENCE)?.value);
        serials.push(der::unsigned(entry.take(INTEGER)?.value).into());
        time(entry.element()?)?;
        if let Some(extensions) = entry.optional(SEQUENCE)? {
            check_entry(extensions)?;
        }
        entry.end()?;
    }
    serials.sort_unstable();
    serials.dedup();
    Ok(serials.into())
}

/// Reason and date of an entry change nothing: what is named is revoked, on hold or for good.
/// `removeFromCRL` has a meaning in delta lists alone (RFC 5280 section 5.3.1).
fn check_entry(extensions: Element<'_>) -> Result<(), RevocationListFault> {
    // Some authorities write an empty sequence where they mean none.
    for extension in der::extensions(extensions.whole)? {
        match under_id_ce(&extension) {
            Some(REASON | INVALIDITY_DATE) => {}
            Some(CERTIFICATE_ISSUER) => return Err(RevocationListFault::Indirect),
            _ if extension.critical => return Err(critical(&extension)),
            _ => {}
        }
    }
    Ok(())
}
