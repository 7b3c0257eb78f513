//! A read: one tracked question of a policy, with its arguments, and what came back.

use std::fmt;
use std::sync::Arc;

use ztlib_pattern::{reads, symbols};

use super::attribute::{Kind, symbols_behind, tell};
use super::decision::FaultOrigin;
use super::reader::Reader;

/// The Rust type of an argument.
macro_rules! argument {
    (text) => { Box<str> };
    (seconds) => { u32 };
    (moment) => { u64 };
    (number) => { i64 };
}

/// The Rust type of an argument of a method.
macro_rules! given {
    (text) => {
        &str
    };
    ($other:ident) => {
        argument!($other)
    };
}

/// The Rust type of what a method returns.
macro_rules! given_back {
    (yes) => { bool };
    (text) => { Arc<str> };
    (texts) => { Arc<[Box<str>]> };
    (moment) => { u64 };
    (maybe_text) => { Option<Arc<str>> };
    (maybe_number) => { Option<i64> };
    (maybe_yes) => { Option<bool> };
}

/// The attribute behind a read: `Kind name`, `Kind`, or the symbols of a pointer into a document.
macro_rules! about {
    ($each:ident, Document $pointer:expr) => {
        symbols_behind($pointer, $each)
    };
    ($each:ident, $kind:ident $name:expr) => {
        tell($each, Kind::$kind, $name)
    };
    ($each:ident, $kind:ident) => {
        tell($each, Kind::$kind, "")
    };
}

/// What the table says of one read besides its form.
struct Row {
    function: &'static str,
    whose: Whose,
    flags: &'static [Flag],
    rather: Option<&'static str>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    Caller,
    Request,
    Service,
    Time,
    Document,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Flag {
    Private,
    Word,
    Issuer,
}

/// An argument: how it prints, and its bytes.
trait Argument {
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;
    fn size(&self) -> usize {
        0
    }
}

impl Argument for Box<str> {
    /// Escaped: a policy chose it, perhaps from what a caller sent.
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.escape_debug())
    }

    fn size(&self) -> usize {
        self.len()
    }
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Argument for $number {
            fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )*};
}
numbers!(u32, u64, i64);

macro_rules! define {
    ($($interface:ident { $($(#[$doc:meta])* $variant:ident $method:ident $function:literal
        $(( $($argument:ident : $kind:ident),+ ))? -> $value:ident,
        of $whose:ident $($flag:ident)*, about $about:ident $($name:expr)?
        $(, rather $rather:literal)?;)* })*) => {
        /// One tracked host call with its arguments: the unit of the trace.
        ///
        /// The variants are the functions of the contract's interfaces `request`, `principal` and
        /// `context`; [`fmt::Display`] prints a read as the contract spells it:
        /// `has-scope("orders:write")`.
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Read {
            $($($(#[$doc])* $variant $(( $(argument!($kind)),+ ))?,)*)*
        }

        impl Read {
            fn row(&self) -> &'static Row {
                match self {
                    $($(Self::$variant { .. } => &Row {
                        function: $function,
                        whose: Whose::$whose,
                        flags: &[$(Flag::$flag),*],
                        rather: [$(Some($rather),)? None][0],
                    },)*)*
                }
            }

            /// Calls `each` with its arguments, in order.
            #[allow(unused_variables, reason = "many reads have no arguments")]
            fn each_argument(&self, mut each: impl FnMut(&dyn Argument)) {
                match self {
                    $($(Self::$variant $(( $($argument),+ ))? => { $($(each($argument);)+)? })*)*
                }
            }

            /// Tells which attributes it is about. Documents are none, but the symbols in their
            /// pointers are.
            #[allow(unused_variables, reason = "few reads are about one of their arguments")]
            pub(crate) fn attributes(&self, each: &mut dyn FnMut(Kind, &str)) {
                match self {
                    $($(Self::$variant $(( $($argument),+ ))? => about!(each, $about $($name)?),)*)*
                }
            }
        }

        impl Reader {
            $($(
                $(#[$doc])*
                ///
                /// # Errors
                /// Every [`ReadFault`]; see [`read`](Self::read).
                #[allow(clippy::wrong_self_convention, reason = "it is called so in the contract")]
                pub fn $method(&mut self $(, $($argument: given!($kind)),+)?)
                    -> Result<given_back!($value), ReadFault>
                {
                    let value = self.read(Read::$variant $(( $($argument.into()),+ ))?)?;
                    value.try_into().map_err(|_| ReadFault::WrongType("what the contract says"))
                }
            )*)*
        }
    };
}
reads!(define);

impl Read {
    /// The function's name in the contract.
    pub fn function(&self) -> &'static str {
        self.row().function
    }

    /// What to ask instead where the answers vary so much that decisions are hardly ever found
    /// again: with each caller, each request or each second. `None` where nothing can be asked more
    /// narrowly.
    ///
    /// ```
    /// use ztlib_contract::Read;
    /// assert_eq!(Read::Scopes.narrower(), Some("`has-scope`"));
    /// assert_eq!(Read::HasScope("orders:write".into()).narrower(), None);
    /// ```
    pub fn narrower(&self) -> Option<&'static str> {
        self.row().rather
    }

    /// Whether nothing but who calls decides what it returns: it returns the same for as long as peer
    /// and claims are the very same ones. What depends on the time as well (`before-claim`), or on
    /// a document, is not among them.
    pub fn is_of_caller(&self) -> bool {
        self.row().whose == Whose::Caller
    }

    /// Whether what it returns was sent by the caller, in the request or in a credential, so that the
    /// caller chooses how long it is.
    pub fn is_sent(&self) -> bool {
        matches!(self.row().whose, Whose::Request | Whose::Caller)
    }

    /// Whether an audit event hides what it returns, unless a rule shows it.
    pub fn is_private(&self) -> bool {
        self.row().flags.contains(&Flag::Private)
    }

    /// Whether it asks who issued the token.
    pub fn asks_for_issuer(&self) -> bool {
        self.row().flags.contains(&Flag::Issuer)
    }

    /// Whether it returns what an issuer says of its own users, without saying which issuer: `alice`
    /// of one is not `alice` of another. A document that is looked into under `{issuer}` keeps
    /// them apart.
    pub fn is_word_of_an_issuer(&self) -> bool {
        match self {
            Self::DataString(_, pointer) | Self::DataJson(_, pointer) | Self::DataContains(_, pointer, _) => {
                symbols(pointer).any(|symbol| symbol == "subject" || symbol.starts_with("claim:"))
                    && !symbols(pointer).any(|symbol| symbol == "issuer")
            }
            _ => self.row().flags.contains(&Flag::Word),
        }
    }

    /// Bytes of its arguments, as the budget counts them.
    pub fn size(&self) -> usize {
        let mut bytes = 8;
        self.each_argument(|argument| bytes += argument.size());
        bytes
    }
}

impl fmt::Display for Read {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.function())?;
        let (mut before, mut result) = ("(", Ok(()));
        self.each_argument(|argument| {
            if result.is_ok() {
                result = f.write_str(before).and_then(|()| argument.show(f));
            }
            before = ", ";
        });
        result?;
        if before == "(" { Ok(()) } else { f.write_str(")") }
    }
}

/// What a read gave.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Value {
    /// Known to be absent.
    Absent,
    /// Yes or no.
    Bool(bool),
    /// A signed integer.
    Int(i64),
    /// Seconds since 1970-01-01T00:00:00Z.
    Time(u64),
    /// A text.
    Text(Arc<str>),
    /// Texts, in the order that the read's documentation gives.
    List(Arc<[Box<str>]>),
}

impl Value {
    /// Its bytes, as the budget counts them.
    pub fn size(&self) -> usize {
        match self {
            Self::Absent | Self::Bool(_) => 1,
            Self::Int(_) | Self::Time(_) => 8,
            Self::Text(text) => text.len() + 8,
            Self::List(items) => items.iter().map(|item| item.len() + 8).sum::<usize>() + 8,
        }
    }
}

/// The value, where it is of this type; else the value is given back.
macro_rules! values {
    ($($type:ty: $pattern:pat => $value:expr;)*) => {$(
        impl TryFrom<Value> for $type {
            type Error = Value;

            fn try_from(value: Value) -> Result<Self, Value> {
                match value {
                    $pattern => Ok($value),
                    other => Err(other),
                }
            }
        }
    )*};
}

values! {
    bool: Value::Bool(yes) => yes;
    u64: Value::Time(seconds) => seconds;
    Arc<str>: Value::Text(text) => text;
    Arc<[Box<str>]>: Value::List(items) => items;
}

macro_rules! values_or_absent {
    ($($type:ty: $pattern:pat => $value:expr;)*) => {$(
        impl TryFrom<Value> for Option<$type> {
            type Error = Value;

            fn try_from(value: Value) -> Result<Self, Value> {
                match value {
                    Value::Absent => Ok(None),
                    $pattern => Ok(Some($value)),
                    other => Err(other),
                }
            }
        }
    )*};
}

values_or_absent! {
    bool: Value::Bool(yes) => yes;
    i64: Value::Int(number) => number;
    Arc<str>: Value::Text(text) => text;
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("absent"),
            Self::Bool(true) => f.write_str("yes"),
            Self::Bool(false) => f.write_str("no"),
            Self::Int(number) => write!(f, "{number}"),
            Self::Time(seconds) => write!(f, "{seconds}"),
            Self::Text(text) => write!(f, "\"{}\"", text.escape_debug()),
            Self::List(items) => {
                f.write_str("[")?;
                for (index, item) in items.iter().enumerate() {
                    let separator = if index == 0 { "" } else { ", " };
                    write!(f, "{separator}\"{}\"", item.escape_debug())?;
                }
                f.write_str("]")
            }
        }
    }
}

/// Why a read failed. A failed read is a fault, never an absence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadFault {
    /// The question is the application's own and has no request: read `action` first.
    #[error("there is no request to read this from: the application asked a question of its own")]
    NoRequest,
    /// A single value was asked for and the request has several: a header or a query parameter that
    /// is there twice, a parameter that the route's template names twice.
    #[error("there are several values where one was asked for")]
    SeveralValues,
    /// The query cannot be taken apart.
    #[error("the query has a `%` without two hexadecimal digits")]
    MalformedQuery,
    /// What was read of the request is longer than the policy's budget for reads.
    #[error("what was read of the request is longer than the budget for the bytes of reads")]
    TooLong,
    /// A claim is there and of another type.
    #[error("the claim is not {0}")]
    ClaimOfWrongType(&'static str),
    /// The value, of the request, is not UTF-8.
    #[error("the value is not UTF-8")]
    NotUtf8,
    /// The header carries a secret.
    #[error("the header carries a secret and cannot be read")]
    Secret,
    /// A name, pattern, network, schedule or pointer in the arguments cannot be understood.
    #[error("malformed argument: {0}")]
    Malformed(&'static str),
    /// The value, of a document or a signal, is there and of another type.
    #[error("the value is not {0}")]
    WrongType(&'static str),
    /// The manifest declares no such document.
    #[error("the manifest declares no document of this name")]
    UndeclaredDocument,
    /// The manifest declares no such signal.
    #[error("the manifest declares no signal of this name")]
    UndeclaredSignal,
    /// The source of signals failed.
    #[error("the signal could not be had: {0}")]
    SignalFailed(String),
    /// The budget for reads, their arguments or their values is spent.
    #[error("the budget for {0} is spent")]
    Budget(&'static str),
    /// The question was put together from a record of earlier traffic, which does not have this.
    #[error("the record of the request does not have this")]
    NotRecorded,
    /// The question was put together from a record of earlier traffic, in which this is hidden by
    /// rule.
    #[error("this is hidden in the record of the request")]
    Hidden,
}

impl ReadFault {
    /// A stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoRequest => "read-no-request",
            Self::SeveralValues => "read-several-values",
            Self::MalformedQuery => "read-malformed-query",
            Self::TooLong => "read-too-long",
            Self::NotUtf8 => "read-not-utf8",
            Self::Secret => "read-secret",
            Self::Malformed(_) => "read-malformed-argument",
            Self::WrongType(_) | Self::ClaimOfWrongType(_) => "read-wrong-type",
            Self::UndeclaredDocument => "read-undeclared-document",
            Self::UndeclaredSignal => "read-undeclared-signal",
            Self::SignalFailed(_) => "read-signal-failed",
            Self::Budget(_) => "read-budget",
            Self::NotRecorded => "read-not-recorded",
            Self::Hidden => "read-hidden",
        }
    }

    /// Whose doing it is. A claim was written by the issuer, but it is the caller who brings it:
    /// the bearer of one odd token must not be able to make a service look broken.
    pub fn origin(&self) -> FaultOrigin {
        match self {
            Self::SeveralValues
            | Self::MalformedQuery
            | Self::TooLong
            | Self::ClaimOfWrongType(_)
            | Self::NotUtf8 => FaultOrigin::Request,
            Self::NoRequest
            | Self::Secret
            | Self::Malformed(_)
            | Self::WrongType(_)
            | Self::UndeclaredDocument
            | Self::UndeclaredSignal
            | Self::SignalFailed(_)
            | Self::Budget(_)
            | Self::NotRecorded
            | Self::Hidden => FaultOrigin::Service,
        }
    }
}

impl From<ztlib_pattern::Malformed> for ReadFault {
    fn from(malformed: ztlib_pattern::Malformed) -> Self {
        Self::Malformed(malformed.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_keeps_issuers_apart_where_the_issuer_is_a_symbol_of_its_pointer() {
        let heard = |pointer: &str| Read::DataString("d".into(), pointer.into()).is_word_of_an_issuer();
        for pointer in ["/{subject}", "/users/{claim:/org}", "/{subject}/~2issuer~3", "/{claim:/{issuer}"] {
            assert!(heard(pointer), "{pointer}");
        }
        for pointer in ["/{issuer}/{subject}", "/{claim:/org}/{issuer}", "/{peer}", "/subject", ""] {
            assert!(!heard(pointer), "{pointer}");
        }
    }

    #[test]
    fn a_read_prints_as_the_contract_spells_it_and_escapes_what_callers_chose() {
        assert_eq!(Read::HasScope("orders:write".into()).to_string(), r#"has-scope("orders:write")"#);
        assert_eq!(Read::Method.to_string(), "method");
        assert_eq!(Read::Before(7).to_string(), "before(7)");
        assert_eq!(Read::SignalAtLeast("risk".into(), -1).to_string(), r#"signal-at-least("risk", -1)"#);
        assert_eq!(Read::Header("a\r\n\u{2028}".into()).to_string(), r#"header("a\r\n\u{2028}")"#);
        assert_eq!(Value::List(["a\"b".into()].into()).to_string(), r#"["a\"b"]"#);
    }
}
