//! Distinguished names, as RFC 5280 section 7.1 compares them.

use x509_parser::asn1_rs::{Any, Tag};
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::{RelativeDistinguishedName, X509Name};

/// A name in the form in which it is compared: text without regard to its encoding, to the case of
/// letters and to the number of blanks; everything else byte for byte.
///
/// Unicode is folded by the lower case of each character and not brought into a normal form first,
/// so two spellings of one accented letter differ: that refuses, and never takes one authority for
/// another, since the signature decides.
///
/// There is this one form only: a path that is found by it and a revocation list that is not would
/// let a revoked peer pass where an unknown status is allowed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct DistinguishedName(Vec<Relative>);

/// The attributes of one step, sorted.
type Relative = Vec<Vec<u8>>;

impl DistinguishedName {
    pub(crate) fn of(name: &X509Name<'_>) -> Self {
        Self(name.iter_rdn().map(step).collect())
    }

    /// A name in DER, to its last byte.
    pub(crate) fn read(der: &[u8]) -> Option<Self> {
        match X509Name::from_der(der) {
            Ok(([], name)) => Some(Self::of(&name)),
            _ => None,
        }
    }

    /// The name one step below: `relative` is a relative distinguished name in DER, to its last
    /// byte.
    pub(crate) fn below(&self, relative: &[u8]) -> Option<Self> {
        match RelativeDistinguishedName::from_der(relative) {
            Ok(([], relative)) => {
                Some(Self(self.0.iter().cloned().chain(std::iter::once(step(&relative))).collect()))
            }
            _ => None,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it begins with all steps of the other one.
    pub(crate) fn is_within(&self, base: &Self) -> bool {
        self.0.starts_with(&base.0)
    }
}

fn step(relative: &RelativeDistinguishedName<'_>) -> Relative {
    let attributes = relative.iter();
    let mut attributes: Relative = attributes
        .map(|attribute| compared(attribute.attr_type().as_bytes(), attribute.attr_value()))
        .collect();
    attributes.sort_unstable();
    attributes
}

/// The type and the value of an attribute in one text, so that equal texts are equal attributes.
fn compared(kind: &[u8], value: &Any<'_>) -> Vec<u8> {
    let text = match value.tag() {
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String | Tag::VisibleString | Tag::NumericString => {
            std::str::from_utf8(value.data).ok().map(fold)
        }
        Tag::BmpString => {
            let units = value.data.chunks_exact(2);
            let whole = units.remainder().is_empty();
            let units = units.map(|pair| pair.iter().fold(0, |unit, byte| unit << 8 | u16::from(*byte)));
            let text: Result<String, _> = char::decode_utf16(units).collect();
            text.ok().filter(|_| whole).map(|text| fold(&text))
        }
        _ => None,
    };
    let mut out = Vec::with_capacity(kind.len() + value.data.len() + 8);
    out.extend((kind.len() as u64).to_be_bytes());
    out.extend_from_slice(kind);
    match text {
        Some(text) => {
            out.push(0);
            out.extend_from_slice(text.as_bytes());
        }
        None => {
            out.push(1);
            out.extend(value.tag().0.to_be_bytes());
            out.extend_from_slice(value.data);
        }
    }
    out
}

/// Lower case, blanks at the ends left out and those between words one.
fn fold(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.extend(word.chars().flat_map(char::to_lowercase));
    }
    out
}
