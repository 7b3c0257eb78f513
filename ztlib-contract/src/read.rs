//! A read: one tracked question of a policy, with its arguments, and what came back.

use std::fmt;
use std::sync::Arc;

use super::decision::FaultOrigin;
use ztlib_pattern::symbols;

/// One tracked host call with its arguments: the unit of the trace.
///
/// The variants are the functions of the contract's interfaces `request`, `principal` and
/// `context`, which describe them; [`fmt::Display`] prints a read as the contract spells it:
/// `has-scope("orders:write")`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[allow(
    missing_docs,
    reason = "each variant is the function of the same name in wit/policy.wit, documented there"
)]
pub enum Read {
    Action,
    Method,
    Host,
    Path,
    Route,
    Param(Box<str>),
    PathMatches(Box<str>),
    Header(Box<str>),
    HeaderValues(Box<str>),
    HeaderNames,
    Query(Box<str>),
    Label(Box<str>),

    HasPeer,
    PeerSpiffeId,
    PeerTrustDomain,
    PeerAuthority,
    PeerDnsNames,
    PeerMatches(Box<str>),
    PeerHasDnsName(Box<str>),
    HasToken,
    FromHomeIssuer,
    Issuer,
    Subject,
    HasScope(Box<str>),
    Scopes,
    HasAudience(Box<str>),
    ClaimString(Box<str>),
    ClaimInt(Box<str>),
    ClaimBool(Box<str>),
    ClaimJson(Box<str>),
    ClaimContains(Box<str>, Box<str>),
    AuthenticatedWithin(u32),
    UsesMethod(Box<str>),
    AcrIs(Box<str>),

    RemoteIp,
    RemoteIpIn(Box<str>),
    Before(u64),
    BeforeClaim(Box<str>),
    InWindow(Box<str>),
    Now,
    Signal(Box<str>),
    SignalAtLeast(Box<str>, i64),
    DataString(Box<str>, Box<str>),
    DataJson(Box<str>, Box<str>),
    DataContains(Box<str>, Box<str>, Box<str>),
}

impl Read {
    /// The function's name in the contract.
    pub fn function(&self) -> &'static str {
        match self {
            Self::Action => "action",
            Self::Method => "method",
            Self::Host => "host",
            Self::Path => "path",
            Self::Route => "route",
            Self::Param(_) => "param",
            Self::PathMatches(_) => "path-matches",
            Self::Header(_) => "header",
            Self::HeaderValues(_) => "header-values",
            Self::HeaderNames => "header-names",
            Self::Query(_) => "query",
            Self::Label(_) => "label",
            Self::HasPeer => "has-peer",
            Self::PeerSpiffeId => "peer-spiffe-id",
            Self::PeerTrustDomain => "peer-trust-domain",
            Self::PeerAuthority => "peer-authority",
            Self::PeerDnsNames => "peer-dns-names",
            Self::PeerMatches(_) => "peer-matches",
            Self::PeerHasDnsName(_) => "peer-has-dns-name",
            Self::HasToken => "has-token",
            Self::FromHomeIssuer => "from-home-issuer",
            Self::Issuer => "issuer",
            Self::Subject => "subject",
            Self::HasScope(_) => "has-scope",
            Self::Scopes => "scopes",
            Self::HasAudience(_) => "has-audience",
            Self::ClaimString(_) => "claim-string",
            Self::ClaimInt(_) => "claim-int",
            Self::ClaimBool(_) => "claim-bool",
            Self::ClaimJson(_) => "claim-json",
            Self::ClaimContains(..) => "claim-contains",
            Self::AuthenticatedWithin(_) => "authenticated-within",
            Self::UsesMethod(_) => "uses-method",
            Self::AcrIs(_) => "acr-is",
            Self::RemoteIp => "remote-ip",
            Self::RemoteIpIn(_) => "remote-ip-in",
            Self::Before(_) => "before",
            Self::BeforeClaim(_) => "before-claim",
            Self::InWindow(_) => "in-window",
            Self::Now => "now",
            Self::Signal(_) => "signal",
            Self::SignalAtLeast(..) => "signal-at-least",
            Self::DataString(..) => "data-string",
            Self::DataJson(..) => "data-json",
            Self::DataContains(..) => "data-contains",
        }
    }

    /// What to ask instead where the answers vary so much that decisions are hardly ever found
    /// again: with each caller, each request or each second. None where nothing can be asked
    /// more narrowly.
    ///
    /// ```
    /// use ztlib::authorize::Read;
    /// assert_eq!(Read::Scopes.narrower(), Some("`has-scope`"));
    /// assert_eq!(Read::HasScope("orders:write".into()).narrower(), None);
    /// ```
    pub fn narrower(&self) -> Option<&'static str> {
        Some(match self {
            Self::Now => "`before`, `in-window` or `authenticated-within`",
            Self::Path => "`route` or `path-matches`",
            Self::Param(_) => "`data-contains` with `{param:…}`, or a label",
            Self::Subject | Self::PeerSpiffeId => {
                "`data-contains` with `{subject}` or `{peer}`, or `peer-matches`"
            }
            Self::ClaimString(_) | Self::ClaimJson(_) | Self::ClaimInt(_) => {
                "`claim-contains` or `before-claim`, or copy it (`{claim:…}`)"
            }
            Self::Header(_) | Self::HeaderValues(_) | Self::HeaderNames | Self::Query(_) => {
                "for a label, in which the application puts what matters of it, or copy it (`{header:…}`)"
            }
            Self::Label(_) => {
                "for a label that says less: what matters of the object, and not which one it is"
            }
            Self::Host => "in a policy set of its own for each host, or `route`",
            Self::RemoteIp => "`remote-ip-in`",
            Self::Scopes => "`has-scope`",
            Self::PeerDnsNames => "`peer-has-dns-name`",
            Self::Signal(_) => "`signal-at-least`",
            Self::DataJson(..) | Self::DataString(..) => "`data-contains`",
            _ => return None,
        })
    }

    /// Whether nothing but who calls decides what it gives: it gives the same for as long as peer
    /// and claims are the very same ones. What hangs on the time as well (`before-claim`), or
    /// on a document, is not among them.
    pub fn is_of_caller(&self) -> bool {
        matches!(
            self,
            Self::HasPeer
                | Self::PeerSpiffeId
                | Self::PeerTrustDomain
                | Self::PeerAuthority
                | Self::PeerDnsNames
                | Self::PeerMatches(_)
                | Self::PeerHasDnsName(_)
                | Self::HasToken
                | Self::FromHomeIssuer
                | Self::Issuer
                | Self::Subject
                | Self::HasScope(_)
                | Self::Scopes
                | Self::HasAudience(_)
                | Self::ClaimString(_)
                | Self::ClaimInt(_)
                | Self::ClaimBool(_)
                | Self::ClaimJson(_)
                | Self::ClaimContains(..)
                | Self::UsesMethod(_)
                | Self::AcrIs(_)
        )
    }

    /// Whether what it gives was sent by the caller, in the request or in a credential, so that the
    /// caller chooses how long it is.
    pub fn is_sent(&self) -> bool {
        let of_request = matches!(
            self,
            Self::Method
                | Self::Host
                | Self::Path
                | Self::Param(_)
                | Self::Header(_)
                | Self::HeaderValues(_)
                | Self::HeaderNames
                | Self::Query(_)
        );
        of_request || self.is_of_caller()
    }

    /// Whether an audit event hides what it gives, unless a rule shows it.
    pub fn is_private(&self) -> bool {
        matches!(
            self,
            Self::Header(_)
                | Self::HeaderValues(_)
                | Self::Query(_)
                | Self::Label(_)
                | Self::ClaimString(_)
                | Self::ClaimInt(_)
                | Self::ClaimJson(_)
                | Self::Scopes
                | Self::HeaderNames
                | Self::Signal(_)
                | Self::DataString(..)
                | Self::DataJson(..)
        )
    }

    /// Whether it asks who issued the token.
    pub fn asks_for_issuer(&self) -> bool {
        matches!(self, Self::FromHomeIssuer | Self::Issuer)
    }

    /// Whether it gives what an issuer says of its own users, without saying which issuer: `alice`
    /// of one is not `alice` of another. A document that is looked into under `{issuer}` keeps
    /// them apart.
    pub fn is_word_of_an_issuer(&self) -> bool {
        match self {
            Self::Subject
            | Self::HasScope(_)
            | Self::Scopes
            | Self::HasAudience(_)
            | Self::ClaimString(_)
            | Self::ClaimInt(_)
            | Self::ClaimBool(_)
            | Self::ClaimJson(_)
            | Self::ClaimContains(..)
            | Self::AuthenticatedWithin(_)
            | Self::UsesMethod(_)
            | Self::AcrIs(_)
            | Self::BeforeClaim(_) => true,
            Self::DataString(_, pointer) | Self::DataJson(_, pointer) | Self::DataContains(_, pointer, _) => {
                symbols(pointer).any(|symbol| symbol == "subject" || symbol.starts_with("claim:"))
                    && !symbols(pointer).any(|symbol| symbol == "issuer")
            }
            _ => false,
        }
    }

    /// Its textual arguments, in order.
    fn arguments(&self) -> [Option<&str>; 3] {
        match self {
            Self::Param(a)
            | Self::PathMatches(a)
            | Self::Header(a)
            | Self::HeaderValues(a)
            | Self::Query(a)
            | Self::Label(a)
            | Self::PeerMatches(a)
            | Self::PeerHasDnsName(a)
            | Self::HasScope(a)
            | Self::HasAudience(a)
            | Self::ClaimString(a)
            | Self::ClaimInt(a)
            | Self::ClaimBool(a)
            | Self::ClaimJson(a)
            | Self::UsesMethod(a)
            | Self::AcrIs(a)
            | Self::RemoteIpIn(a)
            | Self::BeforeClaim(a)
            | Self::InWindow(a)
            | Self::Signal(a)
            | Self::SignalAtLeast(a, _) => [Some(a), None, None],
            Self::ClaimContains(a, b) | Self::DataString(a, b) | Self::DataJson(a, b) => {
                [Some(a), Some(b), None]
            }
            Self::DataContains(a, b, c) => [Some(a), Some(b), Some(c)],
            _ => [None; 3],
        }
    }

    /// Bytes of its arguments, as the budget counts them.
    pub fn size(&self) -> usize {
        self.arguments().into_iter().flatten().map(str::len).sum::<usize>() + 8
    }
}

impl fmt::Display for Read {
    /// Arguments are escaped: a policy chose them, perhaps from what a caller sent.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.function())?;
        let number: Option<i128> = match self {
            Self::AuthenticatedWithin(n) => Some((*n).into()),
            Self::Before(n) => Some((*n).into()),
            Self::SignalAtLeast(_, n) => Some((*n).into()),
            _ => None,
        };
        let arguments = self.arguments();
        if number.is_none() && arguments == [None; 3] {
            return Ok(());
        }
        f.write_str("(")?;
        let mut separator = "";
        for argument in arguments.into_iter().flatten() {
            write!(f, "{separator}\"{}\"", argument.escape_debug())?;
            separator = ", ";
        }
        if let Some(number) = number {
            write!(f, "{separator}{number}")?;
        }
        f.write_str(")")
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
