//! Texts of a configuration that have a form: what could never match, or would be a fault when it
//! is asked, is an error of the load.

use alloc::format;
use alloc::string::String;

use crate::config::{Error, FromConfig, Reader, Text};
use ztlib_pattern::{self as pattern, Malformed, symbols};

/// A text with a form: its type, what checks it, and the words for what is wrong.
macro_rules! form {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name<'a>(Text<'a>);

        impl $name<'_> {
            /// The text as it is written.
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }
        }

        impl<'a> FromConfig<'a> for $name<'a> {
            fn read(reader: &mut Reader<'a>) -> Result<Self, Error> {
                let text = Text::read(reader)?;
                let checked: Result<(), &'static str> = ($check)(text.as_str());
                match checked {
                    Ok(()) => Ok(Self(text)),
                    Err(what) => Err(wrong(text.as_str(), what)),
                }
            }

            fn key(&self) -> Option<&str> {
                self.0.key()
            }
        }
    };
}

form! {
    /// A weekly window, in the form that [`Question::in_window`](crate::Question::in_window) takes:
    /// "mon-fri 08:00-18:00".
    Schedule, |text| matched(pattern::in_window(text, 0))
}

form! {
    /// A network, in the form that [`Question::remote_ip_in`](crate::Question::remote_ip_in) takes:
    /// "10.0.0.0/8".
    Network, |text| matched(pattern::ip_in(text, None))
}

form! {
    /// A pattern of paths, in the form that
    /// [`Question::path_matches`](crate::Question::path_matches) takes: "/orders/*".
    PathPattern, |text| matched(pattern::path_matches(text, ""))
}

form! {
    /// A pattern of SPIFFE IDs, in the form that
    /// [`Question::peer_matches`](crate::Question::peer_matches) takes:
    /// "spiffe://example.org/shop/*".
    PeerPattern, peer_pattern
}

form! {
    /// One scope (RFC 6749 section 3.3): "orders:read orders:write" is two, and no token has it as
    /// one.
    Scope, |text: &str| {
        let allowed = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
        if text.bytes().all(allowed) { Ok(()) } else { Err("is not one scope") }
    }
}

form! {
    /// An authentication context class that a caller can be asked for: 1 to 256 of visible ASCII
    /// without quotes and backslashes.
    ContextClass, |text: &str| {
        let allowed = |byte: u8| (0x20..0x7f).contains(&byte) && byte != b'"' && byte != b'\\';
        let fits = text.len() <= 256 && text.bytes().all(allowed);
        if fits { Ok(()) } else { Err("is no context class that a caller can be asked for") }
    }
}

form! {
    /// The name of a header (RFC 9110 section 5.1), of at most 128 bytes.
    HeaderName, |text: &str| {
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let fits = text.len() <= 128 && text.bytes().all(token);
        if fits { Ok(()) } else { Err("is not the name of a header") }
    }
}

form! {
    /// A DNS name of a peer, in full: a wildcard, a trailing dot and an address are no identity,
    /// and match nothing.
    DnsName, |text: &str| {
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(letter);
        let is_number = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
        let fits = text.len() <= 253 && text.split('.').all(label) && !text.rsplit('.').next().is_none_or(is_number);
        if fits { Ok(()) } else { Err("is not a DNS name in full, as in `erp.partner.example`") }
    }
}

form! {
    /// A pointer into a document (RFC 6901) that may hold symbols, in the form that
    /// [`Question::data_string`](crate::Question::data_string) takes: "/users/{subject}".
    DocumentPointer, document_pointer
}

impl DocumentPointer<'_> {
    /// Whether what it leads to hangs on who the token is of: a subject or a claim stands in it.
    pub fn is_of_token(&self) -> bool {
        symbols(self.as_str()).any(|symbol| symbol == "subject" || symbol.starts_with("claim:"))
    }

    /// Whether the issuer of the token stands in it, so that what it leads to is each issuer's own.
    pub fn is_of_issuer(&self) -> bool {
        symbols(self.as_str()).any(|symbol| symbol == "issuer")
    }
}

#[cold]
fn wrong(text: &str, what: &str) -> Error {
    Error::new(format!("`{text}` {what}"))
}

fn matched(result: Result<bool, Malformed>) -> Result<(), &'static str> {
    result.map(|_| ()).map_err(|Malformed(what)| what)
}

/// What the host takes, and no more than what a SPIFFE ID can have (SPIFFE-ID section 2.2): another
/// letter never matches.
fn peer_pattern(text: &str) -> Result<(), &'static str> {
    const FORM: &str = "is not a pattern of SPIFFE IDs, as in `spiffe://example.org/shop/*`; `*` is a whole segment, `**` the last one";
    matched(pattern::spiffe_matches(text, None)).map_err(|_| FORM)?;
    let path = text.splitn(4, '/').nth(3).unwrap_or_default();
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let literal = |segment: &str| !matches!(segment, "" | "." | "..") && segment.bytes().all(letter);
    if path.split('/').all(|segment| matches!(segment, "*" | "**") || literal(segment)) {
        Ok(())
    } else {
        Err(FORM)
    }
}

fn document_pointer(text: &str) -> Result<(), &'static str> {
    const FORM: &str = "is not a pointer into a document, as in `/users/{subject}`";
    const SYMBOL: &str =
        "has another symbol than {issuer}, {subject}, {peer}, {param:NAME} and {claim:/POINTER}";
    const ESCAPE: &str = "has a `~` that is no escape: `~0` is `~`, `~1` is `/`, `~2` is `{` and `~3` is `}`";
    if !text.starts_with('/') || text.len() > 1024 {
        return Err(FORM);
    }
    if text.split('~').skip(1).any(|rest| !rest.starts_with(['0', '1', '2', '3'])) {
        return Err(ESCAPE);
    }
    // Two values in one segment could be parted in two ways.
    const ONE_SYMBOL: &str = "has two symbols in one segment: give each a segment of its own";
    let (mut rest, mut is_first) = (text, true);
    while let Some((before, after)) = rest.split_once('{') {
        if !is_first && !before.contains('/') {
            return Err(ONE_SYMBOL);
        }
        is_first = false;
        let (symbol, after) = after.split_once('}').ok_or(SYMBOL)?;
        let known = match symbol.split_once(':') {
            None => matches!(symbol, "issuer" | "subject" | "peer"),
            Some(("param", name)) => !name.is_empty(),
            Some(("claim", pointer)) => is_pointer(pointer),
            Some(_) => false,
        };
        if before.contains('}') || !known {
            return Err(SYMBOL);
        }
        rest = after;
    }
    if rest.contains('}') { Err(SYMBOL) } else { Ok(()) }
}

/// RFC 6901 section 3; of the claims as a whole nothing is a string.
pub(crate) fn is_pointer(text: &str) -> bool {
    text.starts_with('/')
        && text.len() <= 1024
        && text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']))
}

/// What is wrong with a template of a route where no request could ever match it; none where one
/// could.
pub(crate) fn unmatchable(template: &str) -> Option<String> {
    let because = |what: &str| Some(format!("the route `{template}` matches no request: {what}"));
    let Some(relative) = template.strip_prefix('/') else {
        return Some(format!("the route `{template}` does not begin with `/`"));
    };
    let mut segments = relative.split('/').peekable();
    while let Some(segment) = segments.next() {
        if segment.is_empty() && segments.peek().is_some() {
            return because("it has an empty segment");
        }
        if matches!(segment, "." | "..") {
            return because("it has a dot segment");
        }
        let foreign = segment.starts_with(':')
            || (segment.starts_with('<') && segment.ends_with('>'))
            || (segment.starts_with('[') && segment.ends_with(']'));
        if foreign {
            return because(
                "this is another router's way to write a parameter; here it is `{id}`, or `{*rest}` for the rest",
            );
        }
        if let Some(what) = wrong_in_segment(segment) {
            return because(what);
        }
    }
    None
}

fn wrong_in_segment(segment: &str) -> Option<&'static str> {
    let mut rest = segment;
    loop {
        let (literal, parameter) = match rest.find(['{', '}']) {
            None => (rest, None),
            Some(at) => match rest.split_at_checked(at) {
                Some((literal, from)) => (literal, Some(from)),
                None => (rest, None),
            },
        };
        if literal.bytes().any(|byte| !byte.is_ascii_graphic() || b"?#<>\"\\^`".contains(&byte)) {
            return Some(
                "a path has no such character; what is beyond ASCII is escaped in it, as in `%C3%A4`",
            );
        }
        let hex = |rest: &str| rest.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
        if literal.split('%').skip(1).any(|rest| !hex(rest)) {
            return Some("a `%` stands before two hexadecimal digits");
        }
        let from = parameter?;
        // Doubled, a brace is itself.
        if let Some(after) = from.strip_prefix("{{").or_else(|| from.strip_prefix("}}")) {
            rest = after;
            continue;
        }
        let Some((name, after)) = from.strip_prefix('{').and_then(|inside| inside.split_once('}')) else {
            return Some("a brace has no other half");
        };
        let name = name.strip_prefix('*').unwrap_or(name);
        // By bytes: characters bring tables with them, which a policy that is loaded pays for.
        let foreign = |byte: u8| byte <= b' ' || byte == 0x7f || b"{:?=<>*()[]|,".contains(&byte);
        if name.is_empty() || name.bytes().any(foreign) {
            return Some("a parameter is a name in braces, and nothing says what it has to look like");
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::from_json;

    fn read<'a, T: FromConfig<'a>>(json: &'a str) -> bool {
        from_json::<T>(json.as_bytes()).is_ok()
    }

    /// Findings D4: what could never match is found when the policy is loaded.
    #[test]
    fn what_can_never_match_is_refused_and_what_can_is_not() {
        for good in [
            "/",
            "/orders",
            "/orders/",
            "/orders/{id}",
            "/files/{*rest}",
            "/orders/{id}.json",
            "/orders/{id}:cancel",
            "/shop.Inventory/Reserve",
            "/a/%C3%A4",
            "/a/{{x}}",
            "/@me",
            "/~alice",
            "/a;b=c",
            "/a+b,c",
        ] {
            assert_eq!(unmatchable(good), None, "{good}");
        }
        for bad in [
            "orders",
            "",
            "/orders/:id",
            "/orders/<id>",
            "/orders/<int:id>",
            "/orders/[id]",
            "/orders/{id:[0-9]+}",
            "/orders/{id?}",
            "/orders/{}",
            "/orders/{id",
            "/orders/id}",
            "//orders",
            "/a/../b",
            "/./a",
            "/orders?x=1",
            "/orders#x",
            "/a b",
            "/ä",
            "/a/%zz",
            "/a\\b",
            "/orders/{ id }",
            "https://shop.example/orders",
        ] {
            let text = unmatchable(bad).unwrap_or_else(|| panic!("{bad} is taken"));
            assert!(text.contains(&format!("`{bad}`")), "{text}");
        }
    }

    #[test]
    fn what_would_be_a_fault_when_it_is_asked_is_refused() {
        assert!(read::<Schedule<'_>>(r#""mon-fri 08:00-18:00; sat 10:00-12:00""#));
        for bad in ["mon-fri 8-18", "fri-mon 08:00-18:00", "mon 08:00-25:00", "always", "mon 18:00-08:00"] {
            assert!(!read::<Schedule<'_>>(&format!("\"{bad}\"")), "{bad}");
        }
        assert!(read::<Network<'_>>(r#""10.0.0.0/8""#) && read::<Network<'_>>(r#""2001:db8::/32""#));
        for bad in ["10.0.0.0", "10.0.0.1/8", "10.0.0.0/33", "::1/64", "host/8", "10.0.0/8"] {
            assert!(!read::<Network<'_>>(&format!("\"{bad}\"")), "{bad}");
        }
        assert!(read::<PathPattern<'_>>(r#""/orders/**""#) && !read::<PathPattern<'_>>(r#""orders""#));
        assert!(!read::<PathPattern<'_>>(r#""/orders*""#));
        assert!(
            read::<PeerPattern<'_>>(r#""spiffe://td/ns/*/sa/web""#)
                && read::<PeerPattern<'_>>(r#""spiffe://td/**""#)
        );
        for bad in [
            "spiffe://TD/a",
            "spiffe://td",
            "spiffe://td/a*",
            "spiffe://td/a b",
            "spiffe://td//a",
            "spiffe://td/",
            "spiffe://*/a",
            "spiffe://td/a/../b",
            "spiffe://td/{ns}",
            "spiffe://td:80/a",
            "td/a",
        ] {
            assert!(!read::<PeerPattern<'_>>(&format!("\"{bad}\"")), "{bad}");
        }
        assert!(read::<Scope<'_>>(r#""orders:read""#) && !read::<Scope<'_>>(r#""a b""#));
        assert!(
            read::<ContextClass<'_>>(r#""urn:shop:gold""#) && !read::<ContextClass<'_>>(r#""say \"x\"""#)
        );
        assert!(read::<HeaderName<'_>>(r#""x-tenant""#) && !read::<HeaderName<'_>>(r#""x tenant""#));
        assert!(read::<DnsName<'_>>(r#""erp.partner.example""#) && read::<DnsName<'_>>(r#""ERP""#));
        for bad in ["*.partner.example", "erp.partner.example.", "10.0.0.1", "a..b", "a b", "127.1"] {
            assert!(!read::<DnsName<'_>>(&format!("\"{bad}\"")), "{bad}");
        }
        for good in [
            "/users/{subject}",
            "/{issuer}/{subject}",
            "/{claim:/org/id}",
            "/{claim:/a~1b}",
            "/{param:id}/~2x~3",
        ] {
            assert!(read::<DocumentPointer<'_>>(&format!("\"{good}\"")), "{good}");
        }
        for bad in [
            "users",
            "/{user}",
            "/{subject",
            "/subject}",
            "/~4",
            "/{param:}",
            "/{claim:org}",
            "/{header:x}",
            "/{}",
            "/{issuer}{subject}",
            "/{param:kind}-{param:id}",
        ] {
            assert!(!read::<DocumentPointer<'_>>(&format!("\"{bad}\"")), "{bad}");
        }
    }
}
