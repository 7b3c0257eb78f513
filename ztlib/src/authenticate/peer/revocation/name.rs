//! Names of issuers and of distribution points, made comparable byte for byte.

use super::der::{Damaged, Element, OBJECT_IDENTIFIER, Reader, SEQUENCE, SET, elements, only};

/// A name in the one form in which it is compared.
pub(super) type Name = Box<[u8]>;

const DIRECTORY_NAME: u8 = 0xa4;

/// A distinguished name (`SEQUENCE OF RelativeDistinguishedName`), compared as RFC 5280 section 7.1
/// says as far as ASCII goes: neither the string type nor case nor the number of blanks has a
/// meaning.
pub(super) fn distinguished(sequence: &[u8]) -> Result<Name, Damaged> {
    let mut out = Vec::new();
    for set in elements(only(sequence, SEQUENCE)?)? {
        if set.tag != SET {
            return Err(Damaged);
        }
        push_relative(&mut out, set.value)?;
    }
    Ok(out.into())
}

/// One relative distinguished name: its attributes in an order of ours.
fn push_relative(out: &mut Vec<u8>, attributes: &[u8]) -> Result<(), Damaged> {
    let mut found = Vec::new();
    for attribute in elements(attributes)? {
        if attribute.tag != SEQUENCE {
            return Err(Damaged);
        }
        let mut reader = Reader::new(attribute.value);
        let mut one = reader.take(OBJECT_IDENTIFIER)?.whole.to_vec();
        one.extend(value(reader.element()?));
        reader.end()?;
        found.push(one);
    }
    found.sort_unstable();
    push_counted(out, found.len());
    for one in found {
        push_counted(out, one.len());
        out.extend(one);
    }
    Ok(())
}

fn push_counted(out: &mut Vec<u8>, length: usize) {
    out.extend_from_slice(&length.to_be_bytes());
}

fn value(element: Element<'_>) -> Vec<u8> {
    const UTF8: u8 = 0x0c;
    const PRINTABLE: u8 = 0x13;
    const IA5: u8 = 0x16;
    match (element.tag, str::from_utf8(element.value)) {
        (UTF8 | PRINTABLE | IA5, Ok(text)) => {
            let words: Vec<_> = text.split_ascii_whitespace().map(str::to_ascii_lowercase).collect();
            let mut out = vec![UTF8];
            out.extend(words.join(" ").into_bytes());
            out
        }
        _ => element.whole.to_vec(),
    }
}

/// A distinguished name as a `GeneralName`.
pub(super) fn directory(distinguished: &[u8]) -> Name {
    [&[DIRECTORY_NAME], distinguished].concat().into()
}

/// One `GeneralName`. All but directory names are compared as they are encoded, since a list and
/// its certificates must use the identical encoding (RFC 5280 section 5.2.5).
fn general(element: Element<'_>) -> Result<Name, Damaged> {
    if element.tag == DIRECTORY_NAME {
        return Ok(directory(&distinguished(element.value)?));
    }
    Ok(element.whole.into())
}

/// The names in a `DistributionPointName`, sorted. What is relative stands below the issuer of the
/// list.
pub(super) fn distribution_point(choice: &[u8], issuer: &[u8]) -> Result<Box<[Name]>, Damaged> {
    const FULL: u8 = 0xa0;
    const RELATIVE: u8 = 0xa1;
    let mut reader = Reader::new(choice);
    let chosen = reader.element()?;
    reader.end()?;
    let mut names = match chosen.tag {
        FULL => elements(chosen.value)?.into_iter().map(general).collect::<Result<Vec<_>, _>>()?,
        RELATIVE => {
            let mut name = issuer.to_vec();
            push_relative(&mut name, chosen.value)?;
            vec![directory(&name)]
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
