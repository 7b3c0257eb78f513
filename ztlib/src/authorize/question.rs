//! The question: everything that a policy may ask about, and nothing that it may not.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::SystemTime;

use http::HeaderName;
use http::request::Parts;

use super::documents::{Documents, Symbols, check_pointer};
use super::pattern;
use super::read::{Read, ReadFault, Value};
use super::signals::SignalSource;
use crate::authenticate::Principal;
use crate::authenticate::token::{ClaimError, VerifiedClaims};
use crate::clock::unix_seconds;

/// The longest that the text of a failed signal may be in an audit event, in bytes.
const MAX_SIGNAL_ERROR_BYTES: usize = 256;

/// What the application attaches to a request or to a question of its own: classification, owner, tenant.
///
/// ```
/// use ztlib::authorize::Labels;
/// let labels = Labels::new().with("owner", "alice").with("classification", "internal");
/// assert_eq!(labels.label("owner"), Some("alice"));
/// assert_eq!(labels.label("Owner"), None);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels(BTreeMap<Box<str>, Arc<str>>);

impl Labels {
    /// No labels.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with one more; a label of the same name is replaced.
    #[must_use]
    pub fn with(mut self, name: impl Into<Box<str>>, value: impl Into<Arc<str>>) -> Self {
        self.0.insert(name.into(), value.into());
        self
    }

    /// The label of this name.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(AsRef::as_ref)
    }
}

/// One question: may this principal do this, now? It owns what it is about, so that a sandbox can hold it.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) principal: Principal,
    pub(crate) asked: Asked,
    pub(crate) labels: Labels,
    /// The request's one moment: every read of time sees it.
    pub(crate) now: SystemTime,
    /// Signals that were asked for already: each is asked once a question.
    signals: BTreeMap<Box<str>, Result<Option<Arc<str>>, ReadFault>>,
}

/// What is asked about.
#[derive(Debug)]
pub(crate) enum Asked {
    /// May this request pass?
    Request(Box<RequestFacts>),
    /// A question of the application's own, by name.
    Action(Arc<str>),
}

/// A request, checked to be in normal form (`enforce::target`).
#[derive(Debug)]
pub(crate) struct RequestFacts {
    pub(crate) parts: Parts,
    /// The one host, canonical.
    pub(crate) host: Box<str>,
    /// The path as the router saw it; `parts.uri` may have lost a prefix in a nested router.
    pub(crate) path: Box<str>,
    pub(crate) route: Option<Arc<str>>,
    pub(crate) params: Vec<(Box<str>, Box<str>)>,
}

/// What the policy set brings to a question: the same for all requests of one revision.
#[derive(Clone, Default)]
pub(crate) struct View {
    pub(crate) documents: Arc<Documents>,
    pub(crate) declared_signals: Arc<BTreeSet<Box<str>>>,
    pub(crate) secret_headers: Arc<HashSet<HeaderName>>,
    pub(crate) signal_source: Option<Arc<dyn SignalSource>>,
}

impl Question {
    pub(crate) fn new(principal: Principal, asked: Asked, labels: Labels, now: SystemTime) -> Self {
        Self { principal, asked, labels, now, signals: BTreeMap::new() }
    }

    /// Answers one read. Every fact that a policy learns comes through here.
    pub(crate) fn answer(&mut self, read: &Read, view: &View) -> Result<Value, ReadFault> {
        match read {
            Read::Signal(name) => Ok(Value::text(self.signal(name, view)?)),
            Read::SignalAtLeast(name, number) => Ok(Value::Bool(match self.signal(name, view)? {
                None => false,
                Some(text) => text.parse::<i64>().map_err(|_| ReadFault::WrongType("an integer"))? >= *number,
            })),
            _ => self.fact(read, view),
        }
    }

    fn fact(&self, read: &Read, view: &View) -> Result<Value, ReadFault> {
        let peer = self.principal.peer();
        let claims = self.principal.claims();
        let text = |text: Option<&str>| Ok(Value::text(text));
        let yes = |yes: bool| Ok(Value::Bool(yes));
        match read {
            Read::Action => match &self.asked {
                Asked::Action(name) => Ok(Value::Text(name.clone())),
                Asked::Request(_) => Ok(Value::Absent),
            },
            Read::Method => Ok(Value::Text(self.request()?.parts.method.as_str().into())),
            Read::Host => Ok(Value::Text(self.request()?.host.as_ref().into())),
            Read::Path => Ok(Value::Text(self.request()?.path.as_ref().into())),
            // Absent, and no fault, for a question of the application's own: absent matches no rule.
            Read::Route => Ok(Value::text(self.request().ok().and_then(|request| request.route.clone()))),
            Read::Param(name) => text(self.param(name)),
            Read::PathMatches(pattern) => yes(pattern::path_matches(pattern, &self.request()?.path)?),
            Read::Header(name) => self.request()?.header(name, view),
            Read::HeaderValues(name) => self.request()?.header_values(name, view),
            Read::HeaderNames => {
                let names: BTreeSet<&str> =
                    self.request()?.parts.headers.keys().map(HeaderName::as_str).collect();
                Ok(Value::list(names))
            }
            Read::Query(name) => self.request()?.query(name),
            Read::Label(name) => text(self.labels.label(name)),

            Read::HasPeer => yes(peer.is_some()),
            Read::PeerSpiffeId => text(peer.and_then(|p| p.spiffe_id()).map(|id| id.as_str())),
            Read::PeerTrustDomain => {
                text(peer.and_then(|p| p.spiffe_id()).map(|id| id.trust_domain().as_str()))
            }
            Read::PeerAuthority => text(peer.and_then(|p| p.authority())),
            Read::PeerDnsNames => Ok(Value::list(peer.map_or(&[][..], |p| p.dns_names()).iter().cloned())),
            Read::PeerMatches(pattern) => {
                let id = peer.and_then(|p| p.spiffe_id()).map(|id| id.as_str());
                yes(pattern::spiffe_matches(pattern, id)?)
            }
            Read::PeerHasDnsName(name) => {
                yes(peer.is_some_and(|p| p.dns_names().iter().any(|n| n.eq_ignore_ascii_case(name))))
            }
            Read::HasToken => yes(claims.is_some()),
            Read::Issuer => text(claims.map(VerifiedClaims::issuer)),
            Read::Subject => text(claims.and_then(VerifiedClaims::subject)),
            Read::HasScope(scope) => yes(claims.is_some_and(|c| c.has_scope(scope))),
            Read::Scopes => {
                let scopes: BTreeSet<&str> =
                    claims.map_or(&[][..], |c| c.scopes()).iter().map(String::as_str).collect();
                Ok(Value::list(scopes))
            }
            Read::HasAudience(audience) => yes(claims.is_some_and(|c| c.has_audience(audience))),
            Read::ClaimString(pointer) => Ok(Value::text(
                self.claim(pointer, |c| c.claim_string(pointer).map(|v| v.map(str::to_owned)))?,
            )),
            Read::ClaimInt(pointer) => {
                Ok(self.claim(pointer, |c| c.claim_int(pointer))?.map_or(Value::Absent, Value::Int))
            }
            Read::ClaimBool(pointer) => {
                Ok(self.claim(pointer, |c| c.claim_bool(pointer))?.map_or(Value::Absent, Value::Bool))
            }
            Read::ClaimJson(pointer) => Ok(Value::text(self.claim(pointer, |c| c.claim_json(pointer))?)),
            Read::ClaimContains(pointer, value) => {
                yes(self.claim(pointer, |c| c.claim_contains(pointer, value).map(Some))?.unwrap_or(false))
            }
            Read::AuthenticatedWithin(seconds) => {
                let login = claims.and_then(VerifiedClaims::auth_time).map(unix_seconds);
                // A login in the future is no login yet.
                let age = login.and_then(|login| self.now_seconds().checked_sub(login));
                yes(age.is_some_and(|age| age <= u64::from(*seconds)))
            }
            Read::UsesMethod(method) => {
                yes(claims.is_some_and(|c| c.amr().iter().any(|used| **used == **method)))
            }
            Read::AcrIs(acr) => yes(claims.and_then(VerifiedClaims::acr) == Some(acr)),

            Read::RemoteIp => {
                Ok(Value::text(self.principal.remote_ip().map(|ip| ip.to_canonical().to_string())))
            }
            Read::RemoteIpIn(cidr) => yes(pattern::ip_in(cidr, self.principal.remote_ip())?),
            Read::Before(moment) => yes(self.now_seconds() < *moment),
            Read::BeforeClaim(pointer) => {
                let moment = self.claim(pointer, |c| c.claim_int(pointer))?;
                // A moment before 1970 is over.
                yes(moment.is_some_and(|m| u64::try_from(m).is_ok_and(|m| self.now_seconds() < m)))
            }
            Read::InWindow(schedule) => yes(pattern::in_window(schedule, self.now_seconds())?),
            Read::Now => Ok(Value::Time(self.now_seconds())),
            Read::DataString(document, pointer) => view.documents.string(document, pointer, self),
            Read::DataJson(document, pointer) => view.documents.json(document, pointer, self),
            Read::DataContains(document, pointer, value) => {
                view.documents.contains(document, pointer, value, self)
            }
            // `answer` keeps these two to itself: they are remembered.
            Read::Signal(_) | Read::SignalAtLeast(..) => Err(ReadFault::UndeclaredSignal),
        }
    }

    pub(crate) fn request(&self) -> Result<&RequestFacts, ReadFault> {
        match &self.asked {
            Asked::Request(facts) => Ok(facts),
            Asked::Action(_) => Err(ReadFault::NoRequest),
        }
    }

    fn now_seconds(&self) -> u64 {
        unix_seconds(self.now)
    }

    fn param(&self, name: &str) -> Option<&str> {
        let params = self.request().map_or(&[][..], |request| &request.params);
        params.iter().find(|(own, _)| own.as_ref() == name).map(|(_, value)| value.as_ref())
    }

    /// A claim; absent where there is no token, but a malformed pointer is a fault even then: whether a
    /// policy is wrong must not hang on who calls.
    fn claim<T>(
        &self,
        pointer: &str,
        of: impl FnOnce(&VerifiedClaims) -> Result<Option<T>, ClaimError>,
    ) -> Result<Option<T>, ReadFault> {
        match self.principal.claims() {
            None => check_pointer(pointer).map(|()| None),
            Some(claims) => of(claims).map_err(|error| match error {
                ClaimError::WrongType { expected, .. } => ReadFault::WrongType(expected),
                _ => ReadFault::Malformed("a JSON pointer is empty or begins with `/` (RFC 6901)"),
            }),
        }
    }

    fn signal(&mut self, name: &str, view: &View) -> Result<Option<Arc<str>>, ReadFault> {
        if !view.declared_signals.contains(name) {
            return Err(ReadFault::UndeclaredSignal);
        }
        if let Some(known) = self.signals.get(name) {
            return known.clone();
        }
        let value = match &view.signal_source {
            None => Err(ReadFault::SignalFailed("the service has no source of signals".to_owned())),
            Some(source) => {
                source.signal(name, &self.principal).map(|value| value.map(Into::into)).map_err(|error| {
                    let mut text = error.to_string();
                    text.truncate(text.floor_char_boundary(MAX_SIGNAL_ERROR_BYTES));
                    ReadFault::SignalFailed(text)
                })
            }
        };
        self.signals.insert(name.into(), value.clone());
        value
    }
}

impl Symbols for Question {
    fn symbol(&self, name: &str) -> Result<Option<Cow<'_, str>>, ReadFault> {
        if let Some(param) = name.strip_prefix("param:") {
            return Ok(self.param(param).map(Cow::Borrowed));
        }
        if let Some(pointer) = name.strip_prefix("claim:") {
            return Ok(self
                .claim(pointer, |c| c.claim_string(pointer).map(|v| v.map(str::to_owned)))?
                .map(Cow::Owned));
        }
        match name {
            "subject" => Ok(self.principal.claims().and_then(VerifiedClaims::subject).map(Cow::Borrowed)),
            "peer" => {
                Ok(self.principal.peer().and_then(|p| p.spiffe_id()).map(|id| Cow::Borrowed(id.as_str())))
            }
            _ => Err(ReadFault::Malformed("a symbol is {subject}, {peer}, {param:NAME} or {claim:/POINTER}")),
        }
    }
}

impl RequestFacts {
    fn header(&self, name: &str, view: &View) -> Result<Value, ReadFault> {
        let name = readable(name, view)?;
        let mut values = self.parts.headers.get_all(&name).iter();
        match (values.next(), values.next()) {
            (None, _) => Ok(Value::Absent),
            (Some(value), None) => Ok(Value::Text(utf8(value)?.into())),
            (Some(_), Some(_)) => Err(ReadFault::SeveralValues),
        }
    }

    fn header_values(&self, name: &str, view: &View) -> Result<Value, ReadFault> {
        let name = readable(name, view)?;
        let values: Result<Vec<&str>, ReadFault> =
            self.parts.headers.get_all(&name).iter().map(utf8).collect();
        Ok(Value::list(values?))
    }

    fn query(&self, name: &str) -> Result<Value, ReadFault> {
        let mut found = None;
        for pair in self.parts.uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            if decode(key)? == name && found.replace(decode(value)?).is_some() {
                return Err(ReadFault::SeveralValues);
            }
        }
        Ok(Value::text(found))
    }
}

/// Headers that carry secrets in every service.
pub(super) const SECRET_HEADERS: [&str; 5] =
    ["authorization", "proxy-authorization", "cookie", "set-cookie", "dpop"];

/// Secrets cannot be read at all, whoever asks.
fn readable(name: &str, view: &View) -> Result<HeaderName, ReadFault> {
    if name.len() > 128 {
        return Err(ReadFault::Malformed("a header name is at most 128 bytes"));
    }
    let name: HeaderName = name.parse().map_err(|_| ReadFault::Malformed("this is not a header name"))?;
    if SECRET_HEADERS.contains(&name.as_str()) || view.secret_headers.contains(&name) {
        return Err(ReadFault::Secret);
    }
    Ok(name)
}

fn utf8(value: &http::HeaderValue) -> Result<&str, ReadFault> {
    std::str::from_utf8(value.as_bytes()).map_err(|_| ReadFault::NotUtf8)
}

/// Decodes a part of a query as forms are decoded (WHATWG URL, application/x-www-form-urlencoded): `+` is a space. A `%`
/// without two hexadecimal digits behind it is a fault: readers disagree on it.
fn decode(text: &str) -> Result<String, ReadFault> {
    const MALFORMED: ReadFault = ReadFault::Malformed("the query has a `%` without two hexadecimal digits");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || rest.next().and_then(|b| char::from(b).to_digit(16)).ok_or(MALFORMED);
                let value = digit()? * 16 + digit()?;
                u8::try_from(value).map_err(|_| MALFORMED)?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).map_err(|_| ReadFault::NotUtf8)
}
