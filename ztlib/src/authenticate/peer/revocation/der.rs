//! Just enough DER to read the frame of a list: each element is read to its last byte, or not at
//! all.

/// The bytes are not DER, or not of the expected form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Damaged;

pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;

/// One element.
#[derive(Debug, Clone, Copy)]
pub(super) struct Element<'a> {
    pub(super) tag: u8,
    pub(super) value: &'a [u8],
    /// Tag, length and value.
    pub(super) whole: &'a [u8],
}

/// Elements one after the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next element, whatever its tag. Tags above 30 occur in nothing that is read here.
    pub(super) fn element(&mut self) -> Result<Element<'a>, Damaged> {
        let (tag, after_tag) = self.0.split_first().ok_or(Damaged)?;
        let (first, after_first) = after_tag.split_first().ok_or(Damaged)?;
        if tag & 0x1f == 0x1f {
            return Err(Damaged);
        }
        let (length, content) = match usize::from(*first) {
            short @ ..=0x7f => (short, after_first),
            long @ 0x81..=0x84 => {
                let (digits, content) = after_first.split_at_checked(long - 0x80).ok_or(Damaged)?;
                let length = digits.iter().fold(0_usize, |length, digit| (length << 8) | usize::from(*digit));
                let shortest = digits.first().is_some_and(|digit| *digit != 0) && length >= 0x80;
                if !shortest {
                    return Err(Damaged);
                }
                (length, content)
            }
            _ => return Err(Damaged),
        };
        let (value, rest) = content.split_at_checked(length).ok_or(Damaged)?;
        let (whole, _) = self.0.split_at_checked(self.0.len() - rest.len()).ok_or(Damaged)?;
        self.0 = rest;
        Ok(Element { tag: *tag, value, whole })
    }

    /// The next element, which must have this tag.
    pub(super) fn take(&mut self, tag: u8) -> Result<Element<'a>, Damaged> {
        self.optional(tag)?.ok_or(Damaged)
    }

    /// The next element if it has this tag.
    pub(super) fn optional(&mut self, tag: u8) -> Result<Option<Element<'a>>, Damaged> {
        if self.0.first() != Some(&tag) {
            return Ok(None);
        }
        self.element().map(Some)
    }

    /// Nothing may follow.
    pub(super) fn end(&self) -> Result<(), Damaged> {
        if self.is_empty() { Ok(()) } else { Err(Damaged) }
    }
}

/// The content of the one element that the bytes are.
pub(super) fn only(bytes: &[u8], tag: u8) -> Result<&[u8], Damaged> {
    let mut reader = Reader::new(bytes);
    let element = reader.take(tag)?;
    reader.end()?;
    Ok(element.value)
}

/// Every element of the content, in order.
pub(super) fn elements(content: &[u8]) -> Result<Vec<Element<'_>>, Damaged> {
    let mut reader = Reader::new(content);
    let mut found = Vec::new();
    while !reader.is_empty() {
        found.push(reader.element()?);
    }
    Ok(found)
}

/// An extension (RFC 5280 section 4.1): of a list, of an entry, of a certificate.
pub(super) struct Extension<'a> {
    /// The content of its object identifier.
    pub(super) id: &'a [u8],
    pub(super) critical: bool,
    pub(super) value: &'a [u8],
}

/// Extensions may have so many bytes and be so many. Each is compared with those before it, and a
/// list is read before anybody has believed it.
const MAX_EXTENSION_BYTES: usize = 64 * 1024;
const MAX_EXTENSIONS: usize = 100;

/// The extensions in a `SEQUENCE OF Extension`, none of them there twice.
pub(super) fn extensions(sequence: &[u8]) -> Result<Vec<Extension<'_>>, Damaged> {
    if sequence.len() > MAX_EXTENSION_BYTES {
        return Err(Damaged);
    }
    let mut found: Vec<Extension<'_>> = Vec::new();
    let mut all = Reader::new(only(sequence, SEQUENCE)?);
    while !all.is_empty() {
        if found.len() >= MAX_EXTENSIONS {
            return Err(Damaged);
        }
        let mut reader = Reader::new(all.take(SEQUENCE)?.value);
        let id = reader.take(OBJECT_IDENTIFIER)?.value;
        let critical = match reader.optional(BOOLEAN)? {
            Some(boolean) => is_true(boolean.value)?,
            None => false,
        };
        let value = reader.take(OCTET_STRING)?.value;
        reader.end()?;
        if found.iter().any(|other| other.id == id) {
            return Err(Damaged);
        }
        found.push(Extension { id, critical, value });
    }
    Ok(found)
}

/// The content of a BOOLEAN. BER's other ways to say *true* are taken for what they mean.
pub(super) fn is_true(content: &[u8]) -> Result<bool, Damaged> {
    match content {
        [byte] => Ok(*byte != 0),
        _ => Err(Damaged),
    }
}

/// The bits of a BIT STRING's content, the first as the lowest bit of the answer; those from the
/// 16th on are left out.
pub(super) fn bits(content: &[u8]) -> Result<u16, Damaged> {
    let (unused, bytes) = content.split_first().ok_or(Damaged)?;
    if *unused > 7 || (bytes.is_empty() && *unused != 0) {
        return Err(Damaged);
    }
    let byte = |at: usize| {
        // What the last byte has beyond its used bits is nothing.
        let used = if at + 1 == bytes.len() { 0xff << unused } else { 0xff };
        u16::from((bytes.get(at).copied().unwrap_or(0) & used).reverse_bits())
    };
    Ok(byte(0) | byte(1) << 8)
}

/// An INTEGER's content as an unsigned number without leading zeros. A serial number that an
/// authority has written as a negative one is the same number in its certificate and in its list.
pub(super) fn unsigned(content: &[u8]) -> &[u8] {
    let zeros = content.iter().take_while(|byte| **byte == 0).count();
    content.get(zeros..).unwrap_or_default()
}
