//! PEM (RFC 7468), read so that nothing is passed over: each block is given back or named in the
//! error.
//!
//! Readers for PEM in the field skip what they do not know, so a root after a byte order mark, an
//! indented one, one with another label is dropped without a word, and its peers are refused a year
//! later. Text between blocks is a comment, as tools write it, unless it looks like the edge of a
//! block.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// One block.
pub(crate) struct Block {
    /// Where it begins, from 1.
    pub(crate) line: usize,
    /// `CERTIFICATE` in `-----BEGIN CERTIFICATE-----`. Visible ASCII and blanks, at most 64
    /// characters.
    pub(crate) label: String,
    pub(crate) der: Vec<u8>,
}

/// What is wrong, and on which line, from 1. Nothing of the text but a label is told: it may hold a
/// key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PemError {
    pub(crate) line: usize,
    pub(crate) what: String,
}

impl PemError {
    pub(crate) fn new(line: usize, what: impl Into<String>) -> Self {
        Self { line, what: what.into() }
    }
}

impl fmt::Display for PemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

/// All blocks, in their order. None of them is an answer too: the caller says what it wants.
///
/// A byte order mark of UTF-8, blanks around a line and every kind of line end are passed over.
pub(crate) fn read(text: &[u8]) -> Result<Vec<Block>, PemError> {
    if text.starts_with(&[0xff, 0xfe]) || text.starts_with(&[0xfe, 0xff]) {
        return Err(PemError::new(1, "this is UTF-16, write it as UTF-8 or ASCII"));
    }
    if text.starts_with(&[0x30, 0x82]) || text.starts_with(&[0x30, 0x81]) || text.contains(&0) {
        return Err(PemError::new(1, "this is not text (DER, perhaps)"));
    }
    let text = text.strip_prefix(&[0xef, 0xbb, 0xbf]).unwrap_or(text);
    let end = if text.contains(&b'\n') { b'\n' } else { b'\r' };
    let mut blocks = Vec::new();
    let mut open: Option<(usize, String, Vec<u8>)> = None;
    for (at, line) in text.split(|byte| *byte == end).map(<[u8]>::trim_ascii).enumerate() {
        let number = at + 1;
        let edge = Edge::of(line);
        open = match (open.take(), edge) {
            (_, Edge::Damaged) => {
                return Err(PemError::new(number, "this looks like the edge of a block and is none"));
            }
            (None, Edge::None) => None,
            (None, Edge::Begin(label)) => Some((number, label, Vec::new())),
            (None, Edge::End(_)) => return Err(PemError::new(number, "a block ends that has not begun")),
            (Some((line, label, body)), Edge::End(end)) if end == label => {
                let der = STANDARD.decode(body).map_err(|_| {
                    PemError::new(line, format!("the block `{label}` that begins here is damaged"))
                })?;
                if der.is_empty() {
                    return Err(PemError::new(
                        line,
                        format!("the block `{label}` that begins here is empty"),
                    ));
                }
                blocks.push(Block { line, label, der });
                None
            }
            (Some((line, label, _)), Edge::Begin(_) | Edge::End(_)) => {
                return Err(PemError::new(
                    line,
                    format!("the block `{label}` that begins here does not end"),
                ));
            }
            (Some(_), Edge::None) if line.contains(&b':') => {
                return Err(PemError::new(number, "a block has a header (it is encrypted, perhaps)"));
            }
            (Some((line_of_begin, label, mut body)), Edge::None) => {
                if !line.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(byte)) {
                    return Err(PemError::new(
                        number,
                        format!("this line in the block `{label}` is not base64"),
                    ));
                }
                body.extend_from_slice(line);
                Some((line_of_begin, label, body))
            }
        };
    }
    match open {
        None => Ok(blocks),
        Some((line, label, _)) => {
            Err(PemError::new(line, format!("the block `{label}` that begins here does not end")))
        }
    }
}

/// What a line says about where blocks begin and end.
enum Edge {
    None,
    Begin(String),
    End(String),
    /// It means to say something, and says it in another way than PEM does.
    Damaged,
}

impl Edge {
    fn of(line: &[u8]) -> Self {
        let text = String::from_utf8_lossy(line);
        if let Some(label) = text.strip_prefix("-----BEGIN ").and_then(label) {
            return Self::Begin(label);
        }
        if let Some(label) = text.strip_prefix("-----END ").and_then(label) {
            return Self::End(label);
        }
        let text = text.to_ascii_uppercase();
        let says = |word: &str| text.contains(word);
        // Two hyphens, or a dash that a word processor made of them.
        let dashes = says("--") || says("\u{2013}") || says("\u{2014}");
        let named = ["CERTIFICATE", "PUBLIC KEY", "PRIVATE KEY"]
            .into_iter()
            .any(|label| text.strip_suffix(label).is_some_and(|rest| matches!(rest, "BEGIN " | "END ")))
            || says("BEGIN CERTIFICATE")
            || says("END CERTIFICATE");
        if named || (dashes && (says("BEGIN") || says("END "))) { Self::Damaged } else { Self::None }
    }
}

fn label(rest: &str) -> Option<String> {
    let label = rest.strip_suffix("-----")?;
    let plain = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" ._#".contains(&byte));
    (plain && (1..=64).contains(&label.len())).then(|| label.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ONE: &str = "-----BEGIN CERTIFICATE-----\nMAMC\nAQE=\n-----END CERTIFICATE-----\n";
    const DER: [u8; 5] = [0x30, 3, 2, 1, 1];

    fn ders(text: impl AsRef<[u8]>) -> Result<Vec<Vec<u8>>, String> {
        read(text.as_ref())
            .map(|blocks| blocks.into_iter().map(|block| block.der).collect())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn every_block_is_read_whatever_stands_around_it() {
        let indented = ONE.lines().map(|line| format!("  \t{line}  \n")).collect::<String>();
        for text in [
            ONE.to_owned(),
            ONE.trim_end().to_owned(),
            format!("\u{feff}{ONE}"),
            ONE.replace('\n', "\r\n"),
            ONE.replace('\n', "\r"),
            indented,
            ONE.replace("MAMC\nAQE=", "MAM\n\nC\nAQE="),
            format!(
                "subject=CN = root\n---\nGTS Root R1\n===========\n# the end\n{ONE}---\nServer certificate\n"
            ),
        ] {
            assert_eq!(ders(&text), Ok(vec![DER.to_vec()]), "{text:?}");
        }
        let two = format!("{ONE}{}", ONE.replace("CERTIFICATE", "TRUSTED CERTIFICATE"));
        let labels: Vec<_> = read(two.as_bytes()).unwrap().into_iter().map(|b| (b.line, b.label)).collect();
        assert_eq!(labels, [(1, "CERTIFICATE".to_owned()), (5, "TRUSTED CERTIFICATE".to_owned())]);
        assert_eq!(ders(""), Ok(Vec::new()));
        assert_eq!(ders("nothing of the kind"), Ok(Vec::new()));
    }

    #[test]
    fn what_cannot_be_read_is_named_with_its_line() {
        let bad = |from: &str, to: &str| ders(format!("{ONE}{}", ONE.replace(from, to))).unwrap_err();
        let does_not_end = "line 5: the block `CERTIFICATE` that begins here does not end";
        assert_eq!(bad("-----END CERTIFICATE-----\n", ""), does_not_end);
        assert_eq!(bad("END CERTIFICATE", "END TRUSTED"), does_not_end);
        assert_eq!(bad("-----BEGIN CERTIFICATE-----\n", ""), "line 7: a block ends that has not begun");
        for edge in [
            "----BEGIN CERTIFICATE-----",
            "-----BEGIN CERTIFICATE----",
            "-----BEGIN CERTIFICATE-----MAMC",
            "-----Begin Certificate-----",
            "\u{2014}BEGIN CERTIFICATE\u{2014}",
            "> -----BEGIN CERTIFICATE-----",
            "-----BEGIN -----",
            "BEGIN CERTIFICATE",
            "BEGIN PUBLIC KEY",
            "-----BEGIN  X\u{1b}-----",
        ] {
            let said = bad("-----BEGIN CERTIFICATE-----", edge);
            assert_eq!(said, "line 5: this looks like the edge of a block and is none", "{edge}");
        }
        assert_eq!(bad("AQE=", "A!E="), "line 7: this line in the block `CERTIFICATE` is not base64");
        assert_eq!(bad("AQE=", "AQE"), "line 5: the block `CERTIFICATE` that begins here is damaged");
        assert_eq!(bad("MAMC\nAQE=\n", ""), "line 5: the block `CERTIFICATE` that begins here is empty");
        assert_eq!(
            bad("MAMC", "Proc-Type: 4,ENCRYPTED"),
            "line 6: a block has a header (it is encrypted, perhaps)"
        );
        let utf16: Vec<u8> =
            [0xff, 0xfe].into_iter().chain(ONE.encode_utf16().flat_map(u16::to_le_bytes)).collect();
        assert_eq!(ders(utf16).unwrap_err(), "line 1: this is UTF-16, write it as UTF-8 or ASCII");
        assert_eq!(ders([0x30, 0x82, 1, 1]).unwrap_err(), "line 1: this is not text (DER, perhaps)");
    }

    proptest! {
        /// Any text: an answer, no panic, and nothing of a block's content in an error.
        #[test]
        fn no_text_panics(text in "(-----BEGIN [A-Z]{1,9}-----|-----END [A-Z]{1,9}-----|[ -~]{0,12}|\n){0,9}") {
            if let Err(error) = read(text.as_bytes()) {
                prop_assert!(error.to_string().len() < 200);
            }
        }
    }
}
