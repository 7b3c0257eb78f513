//! Whose word counts: the issuers that a configuration names, or the home issuer.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::OnceCell;

use crate::Question;
use crate::config::{Error, FromConfig, NonEmpty, Reader, Text};
use crate::constants::{Constant, Packer, Unpacker};

/// The issuers whose word counts for a source of roles, groups, scopes or logins. Where a
/// configuration names none, it is the service's home issuer alone: the subjects, roles and scopes
/// of another issuer are other ones, however they are called.
///
/// ```
/// use ztlib_policy::config::{Issuers, from_json};
/// use ztlib_policy::config_struct;
/// # use ztlib_policy::testing::{Facts, ask};
///
/// config_struct! {
///     struct Config { issuers: Issuers = "issuers" }
/// }
/// let facts =
///     Facts::action("a").token(r#"{"iss": "https://partner.example"}"#).of_another_issuer();
///
/// let nobody_named: Config = from_json(b"{}")?;
/// assert!(!ask(&facts, |question| nobody_named.issuers.vouch(question)).unwrap());
///
/// let partner: Config = from_json(br#"{"issuers": ["https://partner.example"]}"#)?;
/// assert!(ask(&facts, |question| partner.issuers.vouch(question)).unwrap());
/// # Ok::<(), String>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Issuers(Vec<Box<str>>);

impl Issuers {
    /// Whether the caller's token is of one of these issuers. It reads `from-home-issuer` where
    /// none is named, and `issuer` otherwise.
    pub fn vouch(&self, question: &Question<'_>) -> bool {
        Vouchers::new(question).counts(self)
    }
}

/// The question who issued the token, asked at most once in each form, for a policy that has
/// several sources.
#[derive(Debug)]
pub struct Vouchers<'q> {
    question: &'q Question<'q>,
    home: OnceCell<bool>,
    issuer: OnceCell<Option<String>>,
}

impl<'q> Vouchers<'q> {
    /// Nothing is asked yet.
    pub fn new(question: &'q Question<'_>) -> Self {
        Self { question, home: OnceCell::new(), issuer: OnceCell::new() }
    }

    /// Whether the word of whoever issued the caller's token counts here.
    pub fn counts(&self, issuers: &Issuers) -> bool {
        if issuers.0.is_empty() {
            return *self.home.get_or_init(|| self.question.from_home_issuer());
        }
        let issuer = self.issuer.get_or_init(|| self.question.issuer());
        issuer.as_ref().is_some_and(|issuer| issuers.0.iter().any(|named| **named == **issuer))
    }
}

impl<'a> FromConfig<'a> for Issuers {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Error> {
        let mut names: Vec<Box<str>> = Vec::new();
        for name in NonEmpty::<Text<'a>>::read(reader)? {
            let name = name.as_str();
            // As it stands in `iss`: nothing is added, taken away or folded.
            let control = |byte: u8| byte < b' ' || byte == 0x7f;
            if name.starts_with(' ') || name.ends_with(' ') || name.bytes().any(control) {
                return Err(Error::new(format!(
                    "`{name}` is not the name of an issuer, as in `https://id.example`"
                )));
            }
            names.push(name.into());
        }
        Ok(Self(names))
    }

    fn absent() -> Option<Self> {
        Some(Self::default())
    }
}

impl Constant<'_> for Issuers {
    fn pack(&self, to: &mut Packer) {
        self.0.pack(to);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        Vec::unpack(from).map(Self)
    }
}
