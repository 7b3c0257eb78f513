//! Attributes: what stands behind the reads, so that another question can be asked of the same
//! thing later.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use super::documents::check_pointer;
use super::printable::shown;
use super::read::Read;

/// The longest name of an attribute that is recorded, in bytes.
const MAX_NAME_BYTES: usize = 256;

/// Claims that ztlib itself gives a meaning to: they are recorded whole, since their form is
/// checked when they are put together again.
const REGISTERED: [&str; 10] = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "auth_time", "acr", "amr"];

/// One thing that policies can ask about: the header `x-tenant`, the claim `/org/id`, the peer.
/// `has-scope("a")` and `scopes` are two reads of one attribute. It prints, and parses, as
/// `header:x-tenant`, `claim:/org/id`, `peer`.
///
/// What a token says is `claim:` and its pointer, the subject (`claim:/sub`), the scopes
/// (`claim:/scope`), the audiences, the issuer and the login, too. Documents are no attributes:
/// they belong to the policy set.
///
/// ```
/// use ztlib_contract::Attribute;
/// let tenant: Attribute = "claim:/tenant".parse()?;
/// assert_eq!(tenant, Attribute::claim("/tenant"));
/// assert_eq!("header:X-Tag".parse::<Attribute>()?.to_string(), "header:x-tag");
/// assert!(
///     "cookie-jar".parse::<Attribute>().unwrap_err().to_string().contains("is not an attribute")
/// );
/// # Ok::<(), ztlib_contract::UnknownAttribute>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attribute {
    /// What kind of thing it is.
    pub kind: Kind,
    /// Which of its kind; empty where there is one.
    pub name: Box<str>,
}

/// What kind of thing an attribute is.
#[allow(missing_docs, reason = "each prints as what it is")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Method,
    Route,
    Action,
    Token,
    Time,
    Host,
    Path,
    Param,
    Header,
    HeaderNames,
    Query,
    Label,
    Peer,
    Claim,
    RemoteIp,
    Signal,
}

impl Kind {
    const ALL: [(Self, &'static str); 16] = [
        (Self::Method, "method"),
        (Self::Route, "route"),
        (Self::Action, "action"),
        (Self::Token, "token"),
        (Self::Time, "time"),
        (Self::Host, "host"),
        (Self::Path, "path"),
        (Self::Param, "param"),
        (Self::Header, "header"),
        (Self::HeaderNames, "header-names"),
        (Self::Query, "query"),
        (Self::Label, "label"),
        (Self::Peer, "peer"),
        (Self::Claim, "claim"),
        (Self::RemoteIp, "remote-ip"),
        (Self::Signal, "signal"),
    ];

    fn has_name(self) -> bool {
        matches!(self, Self::Param | Self::Header | Self::Query | Self::Label | Self::Claim | Self::Signal)
    }

    /// In every record, whatever policies read.
    pub fn is_always_recorded(self) -> bool {
        matches!(self, Self::Method | Self::Route | Self::Action | Self::Token | Self::Time)
    }

    /// Of a request: a question of the application's own has none of it.
    pub fn is_of_request(self) -> bool {
        matches!(self, Self::Host | Self::Path | Self::Param | Self::Header | Self::HeaderNames | Self::Query)
    }
}

impl Attribute {
    /// Who the peer is: its SPIFFE ID with the trust domain, or the authority that vouches for it
    /// and its DNS names.
    pub fn peer() -> Self {
        Self { kind: Kind::Peer, name: "".into() }
    }

    /// The address that the connection comes from.
    pub fn remote_ip() -> Self {
        Self { kind: Kind::RemoteIp, name: "".into() }
    }

    /// The host.
    pub fn host() -> Self {
        Self { kind: Kind::Host, name: "".into() }
    }

    /// The path.
    pub fn path() -> Self {
        Self { kind: Kind::Path, name: "".into() }
    }

    /// The names of all headers.
    pub fn header_names() -> Self {
        Self { kind: Kind::HeaderNames, name: "".into() }
    }

    /// A header.
    pub fn header(name: &str) -> Self {
        Self::named(Kind::Header, name)
    }

    /// A parameter of the route.
    pub fn param(name: &str) -> Self {
        Self::named(Kind::Param, name)
    }

    /// A parameter of the query.
    pub fn query(name: &str) -> Self {
        Self::named(Kind::Query, name)
    }

    /// A label.
    pub fn label(name: &str) -> Self {
        Self::named(Kind::Label, name)
    }

    /// A claim, by its pointer (RFC 6901), with everything below it. A registered claim (`/sub`,
    /// `/aud`) is always taken whole.
    pub fn claim(pointer: &str) -> Self {
        Self::named(Kind::Claim, pointer)
    }

    /// A signal.
    pub fn signal(name: &str) -> Self {
        Self::named(Kind::Signal, name)
    }

    /// One of its kind.
    pub fn named(kind: Kind, name: &str) -> Self {
        Self { kind, name: normal(kind, name).into() }
    }

    /// Whether what is known of this attribute says everything about that one: a claim holds all
    /// claims below it.
    pub fn covers(&self, kind: Kind, name: &str) -> bool {
        self.kind == kind
            && if kind == Kind::Claim { is_below(name, &self.name) } else { *self.name == *name }
    }

    /// Whether one of the two would tell something of the other. A path holds its parameters; the
    /// host may stand in a header, too.
    pub fn overlaps(&self, kind: Kind, name: &str) -> bool {
        let path_and_param =
            matches!((self.kind, kind), (Kind::Param, Kind::Path) | (Kind::Path, Kind::Param));
        let host_and_header = match (self.kind, kind) {
            (Kind::Host, Kind::Header) => name == "host",
            (Kind::Header, Kind::Host) => *self.name == *"host",
            _ => false,
        };
        path_and_param
            || host_and_header
            || self.covers(kind, name)
            || (kind == Kind::Claim && self.kind == kind && is_below(&self.name, name))
    }
}

/// Whether it can be recorded at all: what it names is well-formed and not too long.
pub fn is_usable(kind: Kind, name: &str) -> bool {
    name.len() <= MAX_NAME_BYTES && (kind != Kind::Claim || check_pointer(name).is_ok())
}

/// Whether a pointer is another one, or leads on from it.
fn is_below(pointer: &str, above: &str) -> bool {
    pointer.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A name as it is compared.
fn normal(kind: Kind, name: &str) -> Cow<'_, str> {
    match kind {
        Kind::Header if name.bytes().any(|b| b.is_ascii_uppercase()) => Cow::Owned(name.to_ascii_lowercase()),
        Kind::Claim => {
            let first = name.strip_prefix('/').and_then(|rest| rest.split('/').next()).unwrap_or_default();
            let whole = REGISTERED.contains(&first) || first == "scope";
            Cow::Borrowed(if whole { name.get(..first.len() + 1).unwrap_or(name) } else { name })
        }
        _ => Cow::Borrowed(name),
    }
}

/// Tells which attributes a read is about. Documents are none, but the symbols in their pointers
/// are.
pub fn behind(read: &Read, mut each: impl FnMut(Kind, &str)) {
    read.attributes(&mut each);
}

pub(crate) fn tell(each: &mut dyn FnMut(Kind, &str), kind: Kind, name: &str) {
    each(kind, &normal(kind, name));
}

/// The attributes that the symbols of a pointer name: `{issuer}`, `{subject}`, `{peer}`,
/// `{param:id}`, `{claim:/tenant}`.
pub(crate) fn symbols_behind(text: &str, each: &mut dyn FnMut(Kind, &str)) {
    for part in text.split('{').skip(1) {
        let Some((symbol, _)) = part.split_once('}') else { continue };
        match symbol.split_once(':') {
            None if symbol == "issuer" => tell(each, Kind::Claim, "/iss"),
            None if symbol == "subject" => tell(each, Kind::Claim, "/sub"),
            None if symbol == "peer" => tell(each, Kind::Peer, ""),
            Some(("param", name)) => tell(each, Kind::Param, name),
            Some(("claim", pointer)) => tell(each, Kind::Claim, pointer),
            _ => {}
        }
    }
}

impl Attribute {
    fn word(&self) -> &'static str {
        Kind::ALL.iter().find(|(kind, _)| *kind == self.kind).map_or("", |(_, word)| word)
    }

    /// As it is parsed, with nothing escaped.
    pub fn spelled(&self) -> String {
        let word = self.word();
        if self.kind.has_name() { format!("{word}:{}", self.name) } else { word.to_owned() }
    }
}

impl fmt::Display for Attribute {
    /// The name is escaped: a policy chose it, perhaps from what a caller sent.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())?;
        if self.kind.has_name() { write!(f, ":{}", self.name.escape_debug()) } else { Ok(()) }
    }
}

impl fmt::Debug for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that does not name an attribute.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not an attribute: write `header:x-tenant`, `param:id`, `query:full`, `label:owner`, `claim:/tenant`, `signal:risk`, or one of `peer`, `host`, `path`, `remote-ip` and `header-names`"
)]
pub struct UnknownAttribute {
    text: Box<str>,
}

impl FromStr for Attribute {
    type Err = UnknownAttribute;

    fn from_str(text: &str) -> Result<Self, UnknownAttribute> {
        let (word, name) = text.split_once(':').map_or((text, None), |(word, name)| (word, Some(name)));
        let kind = Kind::ALL.iter().find(|(_, own)| *own == word).map(|(kind, _)| *kind);
        let attribute = match (kind, name) {
            (Some(kind), Some(name)) if kind.has_name() => Some(Self::named(kind, name)),
            (Some(kind), None) if !kind.has_name() => Some(Self::named(kind, "")),
            _ => None,
        };
        attribute
            .filter(|one| is_usable(one.kind, &one.name))
            .ok_or_else(|| UnknownAttribute { text: shown(text) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(read: &Read) -> Vec<String> {
        let mut names = Vec::new();
        behind(read, |kind, name| names.push(Attribute::named(kind, name).to_string()));
        names
    }

    #[test]
    fn symbols_in_arguments_are_attributes_of_the_read() {
        let read = Read::DataContains(
            "roles".into(),
            "/{issuer}/{claim:/org/id}/users/{subject}/{param:id}{peer}".into(),
            "{label:no-symbol}{subject}".into(),
        );
        assert_eq!(of(&read), ["claim:/iss", "claim:/org/id", "claim:/sub", "param:id", "peer"]);
        assert_eq!(of(&Read::DataString("roles".into(), "/a/{nonsense}/{".into())), [""; 0]);
        assert_eq!(of(&Read::Header("X-Tag".into())), ["header:x-tag"]);
        assert_eq!(of(&Read::ClaimString("/aud/0".into())), ["claim:/aud"]);
    }

    #[test]
    fn a_claim_covers_what_is_below_it_and_nothing_beside_it() {
        let org = Attribute::claim("/org");
        for below in ["/org", "/org/id", "/org/"] {
            assert!(org.covers(Kind::Claim, below), "{below}");
        }
        for beside in ["/organ", "", "/o"] {
            assert!(!org.covers(Kind::Claim, beside), "{beside}");
        }
        assert!(org.overlaps(Kind::Claim, "") && !org.overlaps(Kind::Claim, "/organ"));
        assert!(Attribute::claim("").covers(Kind::Claim, "/org"), "all claims");
        assert!(
            Attribute::host().overlaps(Kind::Header, "host")
                && !Attribute::host().overlaps(Kind::Header, "x")
        );
        assert!(Attribute::header("Host").overlaps(Kind::Host, ""));
    }

    #[test]
    fn every_kind_prints_and_parses_as_itself() {
        for (kind, word) in Kind::ALL {
            let attribute = Attribute::named(kind, if kind.has_name() { "/x" } else { "" });
            assert!(attribute.to_string().starts_with(word));
            assert_eq!(attribute.to_string().parse::<Attribute>().unwrap(), attribute);
        }
        for wrong in ["", "header", "peer:x", "claim:x", "claim:/~2"] {
            assert_eq!(wrong.parse::<Attribute>().unwrap_err().text, shown(wrong));
        }
    }
}
