//! A source: what a copied header is a copy of, as a symbol.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use http::HeaderName;

use super::decision::FaultOrigin;
use super::documents::check_pointer;
use super::facts::SECRET_HEADERS;
use super::obligation::same_spelling;
use super::outcome_fault::OutcomeFault;
use super::question::Question;
use super::read::{Read, ReadFault, Value};
use super::view::View;

/// The longest name of a parameter, a header or a label, in bytes.
const MAX_NAME_BYTES: usize = 128;

/// What a copied header is a copy of. It is parsed when a policy says it, so that a wrong one is a
/// fault then and for everybody, and its value is taken from each request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// What a policy would be told if it made this read. Nobody makes it: it is in no trace.
    Fact(Read),
    /// The id that ties the request to its audit event.
    RequestId,
}

impl Source {
    /// Parses a symbol: exactly one, and nothing around it, since two values side by side could be
    /// taken apart in several ways.
    ///
    /// # Errors
    /// [`OutcomeFault::MalformedSource`], [`OutcomeFault::SecretSource`].
    pub(crate) fn parse(text: &str, secret_headers: &HashSet<HeaderName>) -> Result<Self, OutcomeFault> {
        const FORM: OutcomeFault = OutcomeFault::MalformedSource("it begins with `{` and ends with `}`");
        let symbol = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).ok_or(FORM)?;
        if symbol.contains(['{', '}']) {
            return Err(FORM);
        }
        let fact = match symbol.split_once(':') {
            None => match symbol {
                "subject" => Read::Subject,
                "issuer" => Read::Issuer,
                "peer" => Read::PeerSpiffeId,
                "trust-domain" => Read::PeerTrustDomain,
                "remote-ip" => Read::RemoteIp,
                "request-id" => return Ok(Self::RequestId),
                _ => return Err(OutcomeFault::MalformedSource("there is no such symbol")),
            },
            Some(("claim", pointer)) => Read::ClaimString(claim(pointer)?),
            Some(("param", name)) => Read::Param(named(name)?),
            Some(("label", name)) => Read::Label(named(name)?),
            Some(("header", name)) => Read::Header(header(&named(name)?, secret_headers)?),
            Some(_) => return Err(OutcomeFault::MalformedSource("there is no such symbol")),
        };
        Ok(Self::Fact(fact))
    }

    /// Its value for a request; none where it is absent.
    ///
    /// # Errors
    /// As for a policy that makes the read.
    pub(crate) fn value(
        &self,
        question: &mut Question,
        view: &View,
        id: &dyn fmt::Display,
    ) -> Result<Option<Arc<str>>, ReadFault> {
        match self {
            Self::RequestId => Ok(Some(id.to_string().into())),
            Self::Fact(read) => match question.answer(read, view)? {
                Value::Text(text) => Ok(Some(text)),
                Value::Absent => Ok(None),
                _ => Err(ReadFault::WrongType("a string")),
            },
        }
    }

    /// Whose doing it is where its value is absent or cannot be used: what callers send, or what
    /// the application and its server say.
    pub(crate) fn origin(&self) -> FaultOrigin {
        match self {
            Self::Fact(read) if read.is_sent() => FaultOrigin::Request,
            Self::Fact(_) | Self::RequestId => FaultOrigin::Service,
        }
    }

    /// The read that would give its value; none for what no read returns.
    pub(crate) fn read(&self) -> Option<&Read> {
        match self {
            Self::Fact(read) => Some(read),
            Self::RequestId => None,
        }
    }

    /// Its bytes, for bounds.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::RequestId => 0,
            Self::Fact(read) => read.size(),
        }
    }
}

/// As the contract spells it, escaped: a policy chose it.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (symbol, name) = match self {
            Self::RequestId => ("request-id", None),
            Self::Fact(Read::Subject) => ("subject", None),
            Self::Fact(Read::Issuer) => ("issuer", None),
            Self::Fact(Read::PeerSpiffeId) => ("peer", None),
            Self::Fact(Read::PeerTrustDomain) => ("trust-domain", None),
            Self::Fact(Read::RemoteIp) => ("remote-ip", None),
            Self::Fact(Read::ClaimString(name)) => ("claim", Some(name)),
            Self::Fact(Read::Param(name)) => ("param", Some(name)),
            Self::Fact(Read::Label(name)) => ("label", Some(name)),
            Self::Fact(Read::Header(name)) => ("header", Some(name)),
            // `parse` makes no other.
            Self::Fact(other) => return write!(f, "{{{other}}}"),
        };
        match name {
            None => write!(f, "{{{symbol}}}"),
            Some(name) => write!(f, "{{{symbol}:{}}}", name.escape_debug()),
        }
    }
}

/// The whole of the claims is not a string, so the pointer is not empty.
fn claim(pointer: &str) -> Result<Box<str>, OutcomeFault> {
    match check_pointer(pointer) {
        Ok(()) if !pointer.is_empty() => Ok(pointer.into()),
        Ok(()) => Err(OutcomeFault::MalformedSource("a claim is named by a JSON pointer that is not empty")),
        Err(ReadFault::Malformed(what)) => Err(OutcomeFault::MalformedSource(what)),
        Err(_) => Err(OutcomeFault::MalformedSource("the pointer cannot be used")),
    }
}

fn named(name: &str) -> Result<Box<str>, OutcomeFault> {
    match name.len() {
        0 => Err(OutcomeFault::MalformedSource("the symbol names nothing")),
        1..=MAX_NAME_BYTES => Ok(name.into()),
        _ => Err(OutcomeFault::MalformedSource("a name in a symbol is at most 128 bytes")),
    }
}

/// The name of a header that may be copied. A secret is one in all spellings.
fn header(name: &str, secret_headers: &HashSet<HeaderName>) -> Result<Box<str>, OutcomeFault> {
    let name: HeaderName =
        name.parse().map_err(|_| OutcomeFault::MalformedSource("this is not a header name"))?;
    let is = |secret: &str| same_spelling(name.as_str(), secret);
    if SECRET_HEADERS.into_iter().any(is) || secret_headers.iter().any(|secret| is(secret.as_str())) {
        return Err(OutcomeFault::SecretSource(name));
    }
    Ok(name.as_str().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Source, OutcomeFault> {
        Source::parse(text, &HashSet::from([HeaderName::from_static("x-api-key")]))
    }

    #[test]
    fn a_source_is_exactly_one_symbol() {
        for text in [
            "{subject}",
            "{issuer}",
            "{peer}",
            "{trust-domain}",
            "{remote-ip}",
            "{request-id}",
            "{claim:/tenant}",
            "{claim:/org/na~1me:x}",
            "{param:id}",
            "{label:owner}",
            "{header:x-tenant}",
        ] {
            assert_eq!(parse(text).unwrap().to_string(), text);
        }
        let long = "x".repeat(1025);
        let (long_name, long_claim) = (format!("{{label:{long}}}"), format!("{{claim:/{long}}}"));
        for text in [
            "",
            "acme",
            "subject",
            "{subject",
            "subject}",
            "{}",
            "{Subject}",
            "{subject} ",
            "{subject}{peer}",
            "user {subject}",
            "{{subject}}",
            "{subject:}",
            "{nobody}",
            "{data:/roles}",
            "{claim}",
            "{claim:}",
            "{claim:tenant}",
            "{claim:/~2}",
            "{param:}",
            "{param}",
            "{label:}",
            "{header:}",
            "{header:x tenant}",
            "{header:x\r\ny}",
            "{token}",
            long_name.as_str(),
            long_claim.as_str(),
        ] {
            assert!(matches!(parse(text), Err(OutcomeFault::MalformedSource(_))), "{text}");
        }
    }

    #[test]
    fn a_secret_is_never_a_source_in_any_spelling() {
        for name in [
            "authorization",
            "Cookie",
            "DPoP",
            "proxy-authorization",
            "Proxy_Authorization",
            "set_cookie",
            "X-Api-Key",
            "x_api_key",
        ] {
            let secret = parse(&format!("{{header:{name}}}"));
            assert!(matches!(secret, Err(OutcomeFault::SecretSource(_))), "{name}: {secret:?}");
        }
        assert_eq!(parse("{header:X-Api-Version}").unwrap().to_string(), "{header:x-api-version}");
    }
}
