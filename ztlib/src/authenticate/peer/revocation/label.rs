//! What a list is called in errors.

use std::fmt;

use x509_parser::prelude::FromDer as _;
use x509_parser::x509::X509Name;

use crate::hex::hex;
use ztlib_contract::printable;

/// A list by its place among those given, its issuer and its number.
#[derive(Debug, Clone, Default)]
pub(super) struct Label {
    index: usize,
    issuer: String,
    pub(super) number: Number,
}

/// A list's number as text.
#[derive(Debug, Clone, Default)]
pub(super) enum Number {
    #[default]
    NotRead,
    Missing,
    Hexadecimal(String),
}

impl Number {
    /// From its bytes without leading zeros.
    pub(super) fn read(number: &[u8]) -> Self {
        let digits = if number.is_empty() { "00".to_owned() } else { hex(number) };
        Self::Hexadecimal(printable(&digits))
    }
}

impl Label {
    pub(super) fn new(index: usize) -> Self {
        Self { index, ..Self::default() }
    }

    /// The issuer's name, in DER.
    pub(super) fn name_issuer(&mut self, name: &[u8]) {
        if let Ok((_, name)) = X509Name::from_der(name) {
            self.issuer = printable(&name.to_string());
        }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "revocation list {}", self.index)?;
        match (self.issuer.as_str(), &self.number) {
            ("", _) => Ok(()),
            (issuer, Number::Hexadecimal(number)) => write!(f, " (issuer `{issuer}`, number 0x{number})"),
            (issuer, Number::Missing) => write!(f, " (issuer `{issuer}`, without a number)"),
            (issuer, Number::NotRead) => write!(f, " (issuer `{issuer}`)"),
        }
    }
}
