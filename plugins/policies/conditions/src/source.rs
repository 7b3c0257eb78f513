//! Where a condition gets its values from.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;

use ztlib_policy::Question;
use ztlib_policy::config::{Issuers, Text, Vouchers, from_json};
use ztlib_policy::constants::{Constant, Packer, Unpacker};

use crate::number::Number;

/// The question at hand, on behalf of one rule.
pub(crate) struct Asking<'q> {
    pub(crate) question: &'q Question<'q>,
    pub(crate) vouchers: &'q Vouchers<'q>,
    pub(crate) issuers: &'q Issuers,
}

impl Asking<'_> {
    /// Whether the word of the token's issuer counts for this rule.
    pub(crate) fn vouches(&self) -> bool {
        self.vouchers.counts(self.issuers)
    }
}

/// What a condition asks about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// A parameter of the route.
    Param(Box<str>),
    /// A label that the application attached.
    Label(Box<str>),
    /// A claim of the token, by JSON pointer.
    Claim(Box<str>),
    /// A signal that the service supplies.
    Signal(Box<str>),
    /// The token's subject.
    Subject,
}

impl Source {
    /// Whether what it gives is the word of the token's issuer.
    pub(crate) fn is_of_token(&self) -> bool {
        matches!(self, Self::Claim(_) | Self::Subject)
    }

    /// What is there: the text, and of a claim its JSON. None where it is absent, or in a token of
    /// an issuer whose word does not count.
    pub(crate) fn read(&self, asking: &Asking<'_>) -> Option<String> {
        if self.is_of_token() && !asking.vouches() {
            return None;
        }
        match self {
            Self::Param(name) => asking.question.param(name),
            Self::Label(name) => asking.question.label(name),
            // Of any type: a claim of another one than is asked for is no fault but another value.
            Self::Claim(pointer) => asking.question.claim_json(pointer),
            Self::Signal(name) => asking.question.signal(name),
            Self::Subject => asking.question.subject(),
        }
    }

    /// The text in what was read; none where that is of another kind, or empty: two values that say
    /// nothing are not the same.
    pub(crate) fn text_of(&self, read: String) -> Option<String> {
        match self {
            Self::Claim(_) => from_json::<Text<'_>>(read.as_bytes()).ok().map(|text| text.as_str().into()),
            _ => (!read.is_empty()).then_some(read),
        }
    }

    /// The number that is there; none where something else is. A claim that is a string is no
    /// number, whatever it spells.
    pub(crate) fn number(&self, asking: &Asking<'_>) -> Option<Number> {
        Number::parse(&self.read(asking)?)
    }

    /// As a configuration has it.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Param(name) => format!("param {name}"),
            Self::Label(name) => format!("label {name}"),
            Self::Claim(pointer) => format!("claim {pointer}"),
            Self::Signal(name) => format!("signal {name}"),
            Self::Subject => String::from("subject"),
        }
    }
}

impl Constant<'_> for Source {
    fn pack(&self, to: &mut Packer) {
        let (kind, name) = match self {
            Self::Param(name) => (0, Some(name)),
            Self::Label(name) => (1, Some(name)),
            Self::Claim(pointer) => (2, Some(pointer)),
            Self::Signal(name) => (3, Some(name)),
            Self::Subject => (4, None),
        };
        to.number(kind);
        if let Some(name) = name {
            name.pack(to);
        }
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        Some(match from.number()? {
            0 => Self::Param(Constant::unpack(from)?),
            1 => Self::Label(Constant::unpack(from)?),
            2 => Self::Claim(Constant::unpack(from)?),
            3 => Self::Signal(Constant::unpack(from)?),
            4 => Self::Subject,
            _ => return None,
        })
    }
}
