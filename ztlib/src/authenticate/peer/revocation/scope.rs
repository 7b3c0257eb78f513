//! About which certificates of its issuer a list speaks (RFC 5280 sections 5.2.5 and 6.3.3 (b)).

use super::der::{self, Damaged, Reader, SEQUENCE};
use super::name::{self, Name};
use crate::authenticate::peer::distinguished_name::DistinguishedName;

/// Reasons for which a certificate is revoked, as bits of RFC 5280's `ReasonFlags`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reasons(u16);

impl Reasons {
    pub(super) const NONE: Self = Self(0);
    /// From `keyCompromise` to `aACompromise`. The first bit is not used.
    pub(super) const ALL: Self = Self(0b1_1111_1110);

    fn read(bit_string: &[u8]) -> Result<Self, Damaged> {
        Ok(Self(der::bits(bit_string)?).both(Self::ALL))
    }

    pub(super) fn either(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn both(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

/// Which kind of certificates a list is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Any,
    Users,
    Authorities,
    Attributes,
}

/// The scope of a list. Two lists of one scope are an older and a newer one of the same series.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Scope {
    /// The names of its distribution point. Without one it is about all certificates of its issuer.
    names: Option<Box<[Name]>>,
    kind: Kind,
    reasons: Reasons,
}

/// Why a scope cannot be used.
#[derive(Debug)]
pub(super) enum NoScope {
    Damaged,
    Indirect,
}

impl From<Damaged> for NoScope {
    fn from(Damaged: Damaged) -> Self {
        Self::Damaged
    }
}

impl Scope {
    /// A list without an issuing distribution point.
    pub(super) fn everything() -> Self {
        Self { names: None, kind: Kind::Any, reasons: Reasons::ALL }
    }

    /// Reads an `IssuingDistributionPoint`.
    pub(super) fn read(value: &[u8], issuer: &DistinguishedName) -> Result<Self, NoScope> {
        let mut reader = Reader::new(der::only(value, SEQUENCE)?);
        let names = match reader.optional(0xa0)? {
            Some(point) => Some(name::distribution_point(point.value, issuer)?),
            None => None,
        };
        let users = flag(&mut reader, 0x81)?;
        let authorities = flag(&mut reader, 0x82)?;
        let reasons = match reader.optional(0x83)? {
            Some(reasons) => Reasons::read(reasons.value)?,
            None => Reasons::ALL,
        };
        let indirect = flag(&mut reader, 0x84)?;
        let attributes = flag(&mut reader, 0x85)?;
        reader.end()?;
        if indirect {
            return Err(NoScope::Indirect);
        }
        let kind = match (users, authorities, attributes) {
            (false, false, false) => Kind::Any,
            (true, false, false) => Kind::Users,
            (false, true, false) => Kind::Authorities,
            (false, false, true) => Kind::Attributes,
            // At most one may be true; a list that says two is about nothing.
            _ => return Err(NoScope::Damaged),
        };
        Ok(Self { names, kind, reasons })
    }

    /// For which reasons this list speaks about the certificate; `None` where it does not.
    pub(super) fn covers(&self, asked: &Asked) -> Option<Reasons> {
        let right_kind = match self.kind {
            Kind::Any => true,
            Kind::Users => !asked.is_authority,
            Kind::Authorities => asked.is_authority,
            Kind::Attributes => false,
        };
        if !right_kind {
            return None;
        }
        let Some(names) = &self.names else {
            return Some(self.reasons);
        };
        let mut covered = None;
        for point in &asked.points {
            if point.names.iter().any(|name| names.binary_search(name).is_ok()) {
                let before = covered.unwrap_or(Reasons::NONE);
                covered = Some(before.either(self.reasons.both(point.reasons)));
            }
        }
        // The last paragraph of section 6.3.3: for lists that no distribution point names, one is
        // assumed that has the issuer's name.
        if names.binary_search(&asked.issuer_point).is_ok() {
            return Some(self.reasons);
        }
        covered
    }
}

fn flag(reader: &mut Reader<'_>, tag: u8) -> Result<bool, Damaged> {
    match reader.optional(tag)? {
        Some(element) => der::is_true(element.value),
        None => Ok(false),
    }
}

/// What lists are asked about: one certificate.
pub(super) struct Asked {
    /// Its serial number, unsigned, without leading zeros.
    pub(super) serial: Box<[u8]>,
    pub(super) issuer: DistinguishedName,
    issuer_point: Name,
    is_authority: bool,
    points: Vec<Point>,
}

/// A distribution point of a certificate whose list the certificate's own issuer signs.
struct Point {
    names: Box<[Name]>,
    reasons: Reasons,
}

impl Asked {
    /// `issuer` is the name of the certificate's issuer, `points` the value of its extension
    /// `cRLDistributionPoints`.
    pub(super) fn read(
        serial: &[u8],
        issuer: DistinguishedName,
        is_authority: bool,
        points: Option<&[u8]>,
    ) -> Result<Self, Damaged> {
        let points = match points {
            Some(value) => read_points(value, &issuer)?,
            None => Vec::new(),
        };
        let serial = der::unsigned(serial).into();
        Ok(Self { serial, issuer_point: Name::Directory(issuer.clone()), issuer, is_authority, points })
    }
}

fn read_points(value: &[u8], issuer: &DistinguishedName) -> Result<Vec<Point>, Damaged> {
    let mut points = Vec::new();
    for element in der::elements(der::only(value, SEQUENCE)?)? {
        if element.tag != SEQUENCE {
            return Err(Damaged);
        }
        let mut reader = Reader::new(element.value);
        let named = reader.optional(0xa0)?;
        let reasons = match reader.optional(0x81)? {
            Some(reasons) => Reasons::read(reasons.value)?,
            None => Reasons::ALL,
        };
        // Another authority's list, which would be an indirect one; a list of the issuer does not
        // stand for it.
        let indirect = reader.optional(0xa2)?.is_some();
        reader.end()?;
        if let (Some(named), false) = (named, indirect) {
            points.push(Point { names: name::distribution_point(named.value, issuer)?, reasons });
        }
    }
    Ok(points)
}
