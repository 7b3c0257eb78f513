//! What a request names: host, path and method. What cannot be judged without guessing is refused
//! before anything else; nothing is rewritten, so the policy, the router and the handler all see
//! the same bytes.

use std::borrow::Cow;
use std::fmt;

use http::header::{CONTENT_TYPE, HOST};
use http::request::Parts;
use http::{HeaderMap, Method, Uri, Version, uri::Authority};

use super::spelling::Spellings;

/// The longest path that is looked at, in bytes.
pub const MAX_PATH_BYTES: usize = 8 * 1024;

/// Why a request cannot be judged as it stands. The caller gets 400 (gRPC: INVALID_ARGUMENT) with
/// the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TargetError {
    /// The path does not begin with `/` (and is not the `*` of `OPTIONS *`).
    PathNotAbsolute,
    /// The path is longer than [`MAX_PATH_BYTES`].
    PathTooLong,
    /// The path has an empty segment before its last.
    PathEmptySegment,
    /// The path has a segment `.` or `..`.
    PathDotSegment,
    /// The path has a `%` without two hexadecimal digits behind it.
    PathMalformedEscape,
    /// The path escapes what needs no escape, or with digits in lower case (RFC 3986 section
    /// 6.2.2).
    PathNeedlessEscape,
    /// The path has an escaped slash, and its route does not allow one.
    PathEncodedSlash,
    /// The path has an escaped backslash or control character, or an escape that is not UTF-8.
    PathUnsafeEscape,
    /// The path has a character that RFC 3986 does not allow there.
    PathIllegalCharacter,
    /// A parameter of the route holds `.` or `..` as a segment once it is decoded.
    ParameterDotSegment,
    /// No host is named; on HTTP/1.1, by the header `Host`.
    HostMissing,
    /// Several hosts are named, or `Host` and the request target differ.
    HostAmbiguous,
    /// The host is not a name or an address, or comes with a user name.
    HostMalformed,
    /// The request wants a tunnel.
    MethodConnect,
    /// A header that may occur once occurs more than once.
    HeaderRepeated,
}

impl TargetError {
    /// A stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::PathNotAbsolute => "path-not-absolute",
            Self::PathTooLong => "path-too-long",
            Self::PathEmptySegment => "path-empty-segment",
            Self::PathDotSegment => "path-dot-segment",
            Self::PathMalformedEscape => "path-malformed-escape",
            Self::PathNeedlessEscape => "path-needless-escape",
            Self::PathEncodedSlash => "path-encoded-slash",
            Self::PathUnsafeEscape => "path-unsafe-escape",
            Self::PathIllegalCharacter => "path-illegal-character",
            Self::ParameterDotSegment => "parameter-dot-segment",
            Self::HostMissing => "host-missing",
            Self::HostAmbiguous => "host-ambiguous",
            Self::HostMalformed => "host-malformed",
            Self::MethodConnect => "method-connect",
            Self::HeaderRepeated => "header-repeated",
        }
    }
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PathNotAbsolute => "the path does not begin with `/`",
            Self::PathTooLong => "the path is too long",
            Self::PathEmptySegment => "the path has an empty segment",
            Self::PathDotSegment => "the path has a dot segment",
            Self::PathMalformedEscape => "the path has a malformed escape",
            Self::PathNeedlessEscape => "the path has an escape that is not in normal form",
            Self::PathEncodedSlash => "the path has an escaped slash",
            Self::PathUnsafeEscape => "the path has an unsafe escape",
            Self::PathIllegalCharacter => "the path has an illegal character",
            Self::ParameterDotSegment => "a parameter of the path has a dot segment",
            Self::HostMissing => "the request names no host",
            Self::HostAmbiguous => "the request names more than one host",
            Self::HostMalformed => "the host is malformed",
            Self::MethodConnect => "CONNECT is not served",
            Self::HeaderRepeated => "a header that may occur once is repeated",
        })
    }
}

impl std::error::Error for TargetError {}

/// What a request names, checked.
#[derive(Debug, PartialEq, Eq)]
pub struct Checked<'r> {
    /// Canonical.
    pub host: Cow<'r, str>,
    /// Whether the path has an escaped slash, which only some routes allow.
    pub encoded_slash: bool,
}

/// Checks what a request names, by the rules that hold where no verb loosens one.
pub fn check_strictly<'r>(parts: &'r Parts, path: &str) -> Result<Checked<'r>, TargetError> {
    check(parts, path, Spellings::default())
}

/// Checks what a request names. `path` is the path as the outermost router sees it.
pub fn check<'r>(parts: &'r Parts, path: &str, allowed: Spellings) -> Result<Checked<'r>, TargetError> {
    if parts.method == Method::CONNECT {
        return Err(TargetError::MethodConnect);
    }
    let encoded_slash = check_path(path, &parts.method, allowed)?;
    // RFC 9112 section 3.2: on HTTP/1.1 the header must be there although the target names the
    // host. Which of the two somebody in front went by, the request then no longer says.
    if parts.version == Version::HTTP_11 && !parts.headers.contains_key(HOST) {
        return Err(TargetError::HostMissing);
    }
    let host = one_host(&parts.uri, &parts.headers)?;
    if parts.headers.get_all(CONTENT_TYPE).iter().nth(1).is_some() {
        return Err(TargetError::HeaderRepeated);
    }
    Ok(Checked { host, encoded_slash })
}

/// RFC 3986 sections 3.3 and 6.2.2. Gives whether there is an escaped slash.
fn check_path(path: &str, method: &Method, allowed: Spellings) -> Result<bool, TargetError> {
    if path.len() > MAX_PATH_BYTES {
        return Err(TargetError::PathTooLong);
    }
    // RFC 9112 section 3.2.4: a question about the server as a whole. No route matches it.
    if path == "*" && *method == Method::OPTIONS {
        return Ok(false);
    }
    let Some(relative) = path.strip_prefix('/') else {
        return Err(TargetError::PathNotAbsolute);
    };
    if is_plain(relative) {
        return Ok(false);
    }
    let mut encoded_slash = false;
    let mut segments = relative.split('/').peekable();
    let mut decoded = Vec::new();
    while let Some(segment) = segments.next() {
        if segment.is_empty() && segments.peek().is_some() {
            return Err(TargetError::PathEmptySegment);
        }
        decoded.clear();
        encoded_slash |= check_segment(segment, allowed, &mut decoded)?;
        if decoded == b"." || decoded == b".." {
            return Err(TargetError::PathDotSegment);
        }
        if std::str::from_utf8(&decoded).is_err() {
            return Err(TargetError::PathUnsafeEscape);
        }
    }
    Ok(encoded_slash)
}

/// Nothing to decode, nothing illegal, no empty segment and none that begins with a dot: nearly
/// every path, in one pass. What is not plain is looked at closely.
fn is_plain(relative: &str) -> bool {
    let mut before = b'/';
    relative.bytes().all(|byte| {
        let begins = std::mem::replace(&mut before, byte) == b'/';
        let plain = PLAIN.get(usize::from(byte)).is_some_and(|plain| *plain);
        plain && !(begins && matches!(byte, b'.' | b'/'))
    })
}

/// What stands for itself in a path, and the slash.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0;
    let mut rest: &mut [bool] = &mut plain;
    while let Some((first, others)) = rest.split_first_mut() {
        *first = is_pchar(byte) || byte == b'/';
        byte = byte.wrapping_add(1);
        rest = others;
    }
    plain
};

/// Checks one segment and decodes it. A dot segment is named as such even where it is escaped.
fn check_segment(segment: &str, allowed: Spellings, decoded: &mut Vec<u8>) -> Result<bool, TargetError> {
    let mut encoded_slash = false;
    let mut lowercase = false;
    let mut needless = false;
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            let raw = allowed.raw && matches!(byte, b'[' | b']' | b'|');
            if !raw && !is_pchar(byte) {
                return Err(TargetError::PathIllegalCharacter);
            }
            decoded.push(byte);
            continue;
        }
        let mut digit = || {
            let digit = bytes.next().ok_or(TargetError::PathMalformedEscape)?;
            lowercase |= digit.is_ascii_lowercase();
            char::from(digit).to_digit(16).ok_or(TargetError::PathMalformedEscape)
        };
        let value = digit()? * 16 + digit()?;
        let value = u8::try_from(value).map_err(|_| TargetError::PathMalformedEscape)?;
        match value {
            b'/' => encoded_slash = true,
            b'\\' | 0..=0x1f | 0x7f => return Err(TargetError::PathUnsafeEscape),
            _ => needless |= is_unreserved(value),
        }
        decoded.push(value);
    }
    let unusual = (lowercase && !allowed.lowercase) || (needless && !allowed.needless);
    if unusual && !matches!(decoded.as_slice(), b"." | b"..") {
        return Err(TargetError::PathNeedlessEscape);
    }
    Ok(encoded_slash)
}

/// RFC 3986 section 2.3.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// RFC 3986 section 3.3, without the escapes.
const fn is_pchar(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(
            byte,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'@'
        )
}

/// Whether a decoded parameter holds a dot segment: possible only where an escaped slash is
/// allowed.
pub fn check_parameter(value: &str) -> Result<(), TargetError> {
    if value.split('/').any(|segment| segment == "." || segment == "..") {
        return Err(TargetError::ParameterDotSegment);
    }
    Ok(())
}

/// The one host that `:authority`, an absolute request target and `Host` agree on (RFC 9110 section
/// 7.2, RFC 9113 section 8.3.1).
fn one_host<'r>(uri: &'r Uri, headers: &'r HeaderMap) -> Result<Cow<'r, str>, TargetError> {
    let mut values = headers.get_all(HOST).iter();
    let header = match (values.next(), values.next()) {
        (None, _) => None,
        (Some(value), None) => {
            let text = value.to_str().map_err(|_| TargetError::HostMalformed)?;
            Some(canonical_host(text)?)
        }
        (Some(_), Some(_)) => return Err(TargetError::HostAmbiguous),
    };
    let target = uri.authority().map(Authority::as_str).map(canonical_host).transpose()?;
    match (header, target) {
        (None, None) => Err(TargetError::HostMissing),
        (Some((host, _)), None) | (None, Some((host, _))) => Ok(host),
        (Some((host, port)), Some((other, other_port))) => {
            let ports_differ = port.is_some() && other_port.is_some() && port != other_port;
            if host != other || ports_differ { Err(TargetError::HostAmbiguous) } else { Ok(host) }
        }
    }
}

/// Lower case, without port and without a trailing dot.
fn canonical_host(text: &str) -> Result<(Cow<'_, str>, Option<u16>), TargetError> {
    const MALFORMED: TargetError = TargetError::HostMalformed;
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, rest) = rest.split_once(']').ok_or(MALFORMED)?;
            let address: std::net::Ipv6Addr = address.parse().map_err(|_| MALFORMED)?;
            let port = if rest.is_empty() { None } else { Some(rest.strip_prefix(':').ok_or(MALFORMED)?) };
            (Cow::Owned(format!("[{address}]")), port)
        }
        None => {
            let (mut in_label, mut upper, mut end) = (false, false, text.len());
            for (at, byte) in text.bytes().enumerate() {
                match byte {
                    b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => in_label = true,
                    b'A'..=b'Z' => (in_label, upper) = (true, true),
                    b'.' if in_label => in_label = false,
                    b':' => {
                        end = at;
                        break;
                    }
                    _ => return Err(MALFORMED),
                }
            }
            let (host, rest) = text.split_at(end);
            let host = host.strip_suffix('.').unwrap_or(host);
            if host.is_empty() || host.len() > 253 {
                return Err(MALFORMED);
            }
            let host = if upper { Cow::Owned(host.to_ascii_lowercase()) } else { Cow::Borrowed(host) };
            (host, rest.strip_prefix(':'))
        }
    };
    let port = match port {
        None => None,
        Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => Some(port.parse().map_err(|_| MALFORMED)?),
        Some(_) => return Err(MALFORMED),
    };
    Ok((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn parts(method: &str, uri: &str, hosts: &[&str]) -> Parts {
        let mut request = Request::builder().method(method).uri(uri);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn path(path: &str) -> Result<bool, TargetError> {
        check_path(path, &Method::GET, Spellings::default())
    }

    #[test]
    fn a_path_in_normal_form_passes_as_it_stands() {
        for good in [
            "/",
            "/orders/7",
            "/orders/",
            "/a;b=c",
            "/ADMIN",
            "/a%20b",
            "/%E2%82%AC",
            "/%252E",
            "/a:b@c",
            "/..a/b..",
        ] {
            assert_eq!(path(good), Ok(false), "{good}");
        }
    }

    #[test]
    fn a_path_in_another_form_is_refused_by_name() {
        use TargetError::*;
        let long = format!("/{}", "a".repeat(MAX_PATH_BYTES));
        for (bad, error) in [
            ("", PathNotAbsolute),
            ("admin", PathNotAbsolute),
            ("*", PathNotAbsolute),
            ("//admin", PathEmptySegment),
            ("/a//b", PathEmptySegment),
            ("///x", PathEmptySegment),
            ("/.", PathDotSegment),
            ("/a/../b", PathDotSegment),
            ("/a/%2E%2E/b", PathDotSegment),
            ("/a/%2e./b", PathDotSegment),
            ("/%61dmin", PathNeedlessEscape),
            ("/a%3a", PathNeedlessEscape),
            ("/a%", PathMalformedEscape),
            ("/a%2", PathMalformedEscape),
            ("/a%zz", PathMalformedEscape),
            ("/a%u0041", PathMalformedEscape),
            ("/a%5Cb", PathUnsafeEscape),
            ("/a%00", PathUnsafeEscape),
            ("/a%0A", PathUnsafeEscape),
            ("/a%7F", PathUnsafeEscape),
            ("/a%FF", PathUnsafeEscape),
            ("/a%C0%AE", PathUnsafeEscape),
            ("/a\\b", PathIllegalCharacter),
            ("/a b", PathIllegalCharacter),
            ("/é", PathIllegalCharacter),
            ("/a\"b", PathIllegalCharacter),
            ("/a|b", PathIllegalCharacter),
            (long.as_str(), PathTooLong),
        ] {
            assert_eq!(path(bad), Err(error), "{bad}");
        }
    }

    #[test]
    fn each_spelling_passes_by_its_own_verb_and_by_no_other() {
        use TargetError::*;
        let spelled = |allowed: Spellings, path: &str| check_path(path, &Method::GET, allowed);
        let none = Spellings::default();
        let lowercase = Spellings { lowercase: true, ..none };
        let needless = Spellings { needless: true, ..none };
        let raw = Spellings { raw: true, ..none };
        let all = Spellings { lowercase: true, needless: true, raw: true };
        for (path, error, by) in [
            ("/caf%c3%a9", PathNeedlessEscape, &[lowercase][..]),
            ("/a%3a", PathNeedlessEscape, &[lowercase]),
            ("/%7Euser", PathNeedlessEscape, &[needless]),
            ("/%61dmin", PathNeedlessEscape, &[needless]),
            ("/a%2Eb", PathNeedlessEscape, &[needless]),
            ("/%7euser", PathNeedlessEscape, &[]),
            ("/a[0]", PathIllegalCharacter, &[raw]),
            ("/a|b", PathIllegalCharacter, &[raw]),
        ] {
            assert_eq!(spelled(none, path), Err(error), "{path}");
            for one in [lowercase, needless, raw] {
                assert_eq!(spelled(one, path).is_ok(), by.contains(&one), "{path} {one:?}");
            }
            assert_eq!(spelled(all, path), Ok(false), "{path}");
        }
        // No verb lets pass what decodes to something that paths must not hold.
        for (path, error) in [
            ("/a/%2e%2e/b", PathDotSegment),
            ("/a/%2E/b", PathDotSegment),
            ("/a/.%2e", PathDotSegment),
            ("/a%5cb", PathUnsafeEscape),
            ("/a%0a", PathUnsafeEscape),
            ("/a%00", PathUnsafeEscape),
            ("/a%7f", PathUnsafeEscape),
            ("/a%c3", PathUnsafeEscape),
            ("/a%ff", PathUnsafeEscape),
            ("/a%zz", PathMalformedEscape),
            ("/a%", PathMalformedEscape),
            ("/a\\b", PathIllegalCharacter),
            ("/a^b", PathIllegalCharacter),
            ("/a{b}", PathIllegalCharacter),
            ("/a b", PathIllegalCharacter),
            ("//a", PathEmptySegment),
        ] {
            assert_eq!(spelled(all, path), Err(error), "{path}");
        }
        assert_eq!(spelled(all, "/a%2fb"), Ok(true), "an encoded slash needs its own verb besides");
    }

    #[test]
    fn an_encoded_slash_is_reported_and_its_parameter_checked() {
        assert_eq!(path("/files/a%2Fb"), Ok(true));
        assert_eq!(path("/files/a%2fb"), Err(TargetError::PathNeedlessEscape));
        assert_eq!(check_parameter("a/b"), Ok(()));
        assert_eq!(check_parameter("../../etc"), Err(TargetError::ParameterDotSegment));
    }

    #[test]
    fn an_asterisk_is_only_for_options() {
        assert_eq!(check_path("*", &Method::OPTIONS, Spellings::default()), Ok(false));
        assert_eq!(check_path("*", &Method::GET, Spellings::default()), Err(TargetError::PathNotAbsolute));
    }

    #[test]
    fn exactly_one_host_in_one_form() {
        let host = |uri: &str, hosts: &[&str]| {
            let parts = parts("GET", uri, hosts);
            one_host(&parts.uri, &parts.headers).map(Cow::into_owned)
        };
        for (uri, hosts) in [
            ("/", &["a.test"][..]),
            ("/", &["A.Test"]),
            ("/", &["a.test."]),
            ("/", &["a.test:443"]),
            ("https://a.test/", &[]),
            ("https://A.test:443/", &["a.test"]),
        ] {
            assert_eq!(host(uri, hosts).as_deref(), Ok("a.test"), "{uri} {hosts:?}");
        }
        use TargetError::*;
        for (uri, hosts, error) in [
            ("/", &[][..], HostMissing),
            ("/", &["a.test", "a.test"], HostAmbiguous),
            ("https://b.test/", &["a.test"], HostAmbiguous),
            ("https://a.test:1/", &["a.test:2"], HostAmbiguous),
            ("https://user:pw@a.test/", &[], HostMalformed),
            ("/", &["user@a.test"], HostMalformed),
            ("/", &[""], HostMalformed),
            ("/", &["a..test"], HostMalformed),
            ("/", &["a.test:"], HostMalformed),
            ("/", &["a.test:x"], HostMalformed),
            ("/", &["a.test:99999"], HostMalformed),
            ("/", &["a,b"], HostMalformed),
            ("/", &["[::1"], HostMalformed),
        ] {
            assert_eq!(host(uri, hosts), Err(error), "{uri} {hosts:?}");
        }
        assert_eq!(host("/", &["[::1]:80"]).as_deref(), Ok("[::1]"));
    }

    #[test]
    fn on_http_1_1_the_header_names_the_host_whatever_the_target_says() {
        let checked = |version: Version, hosts: &[&str]| {
            let mut parts = parts("GET", "http://a.test/", hosts);
            parts.version = version;
            check_strictly(&parts, "/").map(|checked| checked.host.into_owned())
        };
        assert_eq!(checked(Version::HTTP_11, &[]), Err(TargetError::HostMissing));
        // HTTP/1.0 has no such header, HTTP/2 and HTTP/3 have `:authority`.
        for version in [Version::HTTP_10, Version::HTTP_2, Version::HTTP_3] {
            assert_eq!(checked(version, &[]).as_deref(), Ok("a.test"), "{version:?}");
        }
        for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2, Version::HTTP_3] {
            assert_eq!(checked(version, &["a.test"]).as_deref(), Ok("a.test"), "{version:?}");
        }
    }

    #[test]
    fn connect_and_repeated_content_types_are_refused() {
        let connect = parts("CONNECT", "a.test:443", &["a.test"]);
        assert_eq!(check_strictly(&connect, "/"), Err(TargetError::MethodConnect));
        let mut repeated = parts("GET", "/", &["a.test"]);
        repeated.headers.append(CONTENT_TYPE, "text/plain".parse().unwrap());
        assert!(check_strictly(&repeated, "/").is_ok());
        repeated.headers.append(CONTENT_TYPE, "application/json".parse().unwrap());
        assert_eq!(check_strictly(&repeated, "/"), Err(TargetError::HeaderRepeated));
    }
}
