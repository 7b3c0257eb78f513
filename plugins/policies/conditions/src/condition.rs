//! What must hold, and whether it does.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use ztlib_policy::constant_struct;
use ztlib_policy::constants::{Constant, Packer, Unpacker};

use crate::hours::Hours;
use crate::source::{Asking, Source};

/// The longest that the words for one condition are in a log line, in bytes.
const MAX_WORDS_BYTES: usize = 400;

/// What must hold.
#[derive(Debug, PartialEq)]
pub(crate) enum Condition {
    /// A value is the same as one of these.
    Is(Source, Vec<Term>),
    /// A claim is one of these texts, or a list that holds one.
    Has(Box<str>, Vec<Box<str>>),
    /// A value is a number within bounds.
    Within(Source, Bounds),
    /// It is now inside of these hours.
    Hours(Hours),
}

/// What a value is compared with.
#[derive(Debug, PartialEq)]
pub(crate) enum Term {
    /// What another source gives.
    Source(Source),
    Text(Box<str>),
    /// A claim's `true` or `false`.
    Bool(bool),
}

constant_struct! {
    /// Bounds of a number; a number that is not whole can lie between two of them.
    #[derive(Debug, Default, PartialEq)]
    pub(crate) struct Bounds {
        pub(crate) below: Option<i64>,
        pub(crate) at_most: Option<i64>,
        pub(crate) at_least: Option<i64>,
        pub(crate) above: Option<i64>,
    }
}

impl Condition {
    /// Whether what it asks about is the word of the token's issuer.
    pub(crate) fn is_of_token(&self) -> bool {
        match self {
            Self::Is(source, terms) => {
                let of_token = |term: &Term| matches!(term, Term::Source(source) if source.is_of_token());
                source.is_of_token() || terms.iter().any(of_token)
            }
            Self::Has(..) => true,
            Self::Within(source, _) => source.is_of_token(),
            Self::Hours(_) => false,
        }
    }

    /// The parameters of the route that it reads.
    pub(crate) fn params(&self) -> impl Iterator<Item = &str> {
        let (source, terms): (_, &[Term]) = match self {
            Self::Is(source, terms) => (Some(source), terms),
            Self::Within(source, _) => (Some(source), &[]),
            Self::Has(..) | Self::Hours(_) => (None, &[]),
        };
        let others =
            terms.iter().filter_map(|term| if let Term::Source(other) = term { Some(other) } else { None });
        source.into_iter().chain(others).filter_map(|source| match source {
            Source::Param(name) => Some(&**name),
            _ => None,
        })
    }

    /// Whether it holds. What is absent, or of another kind, holds nothing.
    pub(crate) fn holds(&self, asking: &Asking<'_>) -> bool {
        match self {
            Self::Is(source, terms) => is(asking, source, terms),
            Self::Has(claim, texts) => {
                asking.vouches() && texts.iter().any(|text| asking.question.claim_contains(claim, text))
            }
            Self::Within(source, bounds) => source.number(asking).is_some_and(|number| {
                bounds.below.is_none_or(|limit| number.is_below(limit))
                    && bounds.at_most.is_none_or(|limit| number.is_at_most(limit))
                    && bounds.at_least.is_none_or(|limit| !number.is_below(limit))
                    && bounds.above.is_none_or(|limit| !number.is_at_most(limit))
            }),
            Self::Hours(hours) => hours.include_now(asking.question),
        }
    }

    /// As a configuration has it, for the audit event. Nothing of a caller is in it.
    pub(crate) fn words(&self) -> String {
        let mut words = match self {
            Self::Is(source, terms) => {
                let terms: Vec<String> = terms.iter().map(Term::words).collect();
                format!("{} is {}", source.words(), terms.join(" or "))
            }
            Self::Has(claim, texts) => format!("claim {claim} has {}", texts.join(" or ")),
            Self::Within(source, bounds) => source.words() + &bounds.words(),
            Self::Hours(hours) => hours.words(),
        };
        words.truncate(words.floor_char_boundary(MAX_WORDS_BYTES));
        words
    }
}

fn is(asking: &Asking<'_>, source: &Source, terms: &[Term]) -> bool {
    let Some(read) = source.read(asking) else { return false };
    if matches!(source, Source::Claim(_)) && matches!(&*read, "true" | "false") {
        return terms.iter().any(|term| matches!(term, Term::Bool(yes) if *yes == (read == "true")));
    }
    let Some(text) = source.text_of(read) else { return false };
    terms.iter().any(|term| match term {
        Term::Source(other) => {
            other.read(asking).and_then(|read| other.text_of(read)).is_some_and(|other| other == text)
        }
        Term::Text(value) => **value == *text,
        Term::Bool(_) => false,
    })
}

impl Term {
    fn words(&self) -> String {
        match self {
            Self::Source(source) => source.words(),
            Self::Text(text) => (**text).to_owned(),
            Self::Bool(yes) => String::from(if *yes { "true" } else { "false" }),
        }
    }
}

impl Bounds {
    fn words(&self) -> String {
        let mut words = String::new();
        for (word, limit) in [
            ("above", self.above),
            ("at-least", self.at_least),
            ("below", self.below),
            ("at-most", self.at_most),
        ] {
            if let Some(limit) = limit {
                words.push_str(&format!(" {word} {limit}"));
            }
        }
        words
    }
}

impl Constant<'_> for Term {
    fn pack(&self, to: &mut Packer) {
        match self {
            Self::Source(source) => {
                to.number(0);
                source.pack(to);
            }
            Self::Text(text) => {
                to.number(1);
                text.pack(to);
            }
            Self::Bool(yes) => to.number(if *yes { 3 } else { 2 }),
        }
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        Some(match from.number()? {
            0 => Self::Source(Source::unpack(from)?),
            1 => Self::Text(Constant::unpack(from)?),
            2 => Self::Bool(false),
            3 => Self::Bool(true),
            _ => return None,
        })
    }
}

impl Constant<'_> for Condition {
    fn pack(&self, to: &mut Packer) {
        match self {
            Self::Is(source, terms) => {
                to.number(0);
                source.pack(to);
                terms.pack(to);
            }
            Self::Has(claim, texts) => {
                to.number(1);
                claim.pack(to);
                texts.pack(to);
            }
            Self::Within(source, bounds) => {
                to.number(2);
                source.pack(to);
                bounds.pack(to);
            }
            Self::Hours(hours) => {
                to.number(3);
                hours.pack(to);
            }
        }
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        Some(match from.number()? {
            0 => Self::Is(Source::unpack(from)?, Vec::unpack(from)?),
            1 => Self::Has(Constant::unpack(from)?, Vec::unpack(from)?),
            2 => Self::Within(Source::unpack(from)?, Bounds::unpack(from)?),
            3 => Self::Hours(Hours::unpack(from)?),
            _ => return None,
        })
    }
}
