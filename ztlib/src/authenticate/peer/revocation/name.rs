//! Names of distribution points, made comparable.

use super::der::{Damaged, Element, Reader, SET, elements};
use crate::authenticate::peer::distinguished_name::DistinguishedName;

/// A longer name cannot be that of a certificate: a chain may not have so many bytes.
const MAX_NAME_BYTES: usize = 32 * 1024;

/// One `GeneralName`. All but directory names are compared as they are encoded, since a list and
/// its certificates must use the identical encoding (RFC 5280 section 5.2.5).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Name {
    Directory(DistinguishedName),
    Other(Box<[u8]>),
}

/// A distinguished name (`SEQUENCE OF RelativeDistinguishedName`), in the form in which paths
/// compare it too.
pub(super) fn distinguished(sequence: &[u8]) -> Result<DistinguishedName, Damaged> {
    if sequence.len() > MAX_NAME_BYTES {
        return Err(Damaged);
    }
    DistinguishedName::read(sequence).ok_or(Damaged)
}

fn general(element: Element<'_>) -> Result<Name, Damaged> {
    const DIRECTORY_NAME: u8 = 0xa4;
    if element.tag == DIRECTORY_NAME {
        return Ok(Name::Directory(distinguished(element.value)?));
    }
    Ok(Name::Other(element.whole.into()))
}

/// The names in a `DistributionPointName`, sorted. What is relative stands below the issuer of the
/// list.
pub(super) fn distribution_point(choice: &[u8], issuer: &DistinguishedName) -> Result<Box<[Name]>, Damaged> {
    const FULL: u8 = 0xa0;
    const RELATIVE: u8 = 0xa1;
    let mut reader = Reader::new(choice);
    let chosen = reader.element()?;
    reader.end()?;
    let mut names = match chosen.tag {
        FULL => elements(chosen.value)?.into_iter().map(general).collect::<Result<Vec<_>, _>>()?,
        RELATIVE => {
            // The tag stands in place of that of a SET.
            let relative = [&[SET], chosen.whole.get(1..).unwrap_or_default()].concat();
            vec![Name::Directory(issuer.below(&relative).ok_or(Damaged)?)]
        }
        _ => return Err(Damaged),
    };
    if names.is_empty() {
        return Err(Damaged);
    }
    names.sort_unstable();
    names.dedup();
    Ok(names.into())
}
