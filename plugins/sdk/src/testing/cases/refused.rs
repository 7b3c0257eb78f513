//! What no policy is ever asked about: requests that the guard refuses before, peers and claims that nothing could have verified. It cannot be a
//! case in the sandbox, so it is none here.

use std::net::Ipv6Addr;

use serde_json::{Map, Value as Json};

/// The longest path that the guard looks at, in bytes.
const MAX_PATH_BYTES: usize = 8 * 1024;
/// The end of the year 9999.
const LATEST_DATE: f64 = 253_402_300_799.0;

/// RFC 9110 section 9.1.
pub(super) fn is_method(method: &str) -> bool {
    !method.is_empty() && method.bytes().all(is_token)
}

/// RFC 3986 sections 3.3 and 6.2.2: the normal form, of which the guard takes no other.
pub(super) fn check_path(path: &str) -> Result<(), &'static str> {
    if path.len() > MAX_PATH_BYTES {
        return Err("the path is too long (path-too-long)");
    }
    let relative = path.strip_prefix('/').ok_or("the path does not begin with `/` (path-not-absolute)")?;
    let mut segments = relative.split('/').peekable();
    while let Some(segment) = segments.next() {
        if segment.is_empty() && segments.peek().is_some() {
            return Err("the path has an empty segment (path-empty-segment)");
        }
        check_segment(segment)?;
    }
    Ok(())
}

fn check_segment(segment: &str) -> Result<(), &'static str> {
    let (mut decoded, mut needless) = (Vec::new(), false);
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            if !is_unreserved(byte) && !b"!$&'()*+,;=:@".contains(&byte) {
                return Err("the path has an illegal character (path-illegal-character)");
            }
            decoded.push(byte);
            continue;
        }
        let mut digit = || {
            let digit = bytes.next()?;
            needless |= digit.is_ascii_lowercase();
            char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
        };
        let value = digit().zip(digit()).map(|(high, low)| high * 16 + low);
        let value = value.ok_or("the path has a malformed escape (path-malformed-escape)")?;
        if value.is_ascii_control() || value == b'\\' {
            return Err("the path has an unsafe escape (path-unsafe-escape)");
        }
        needless |= is_unreserved(value);
        decoded.push(value);
    }
    match decoded.as_slice() {
        b"." | b".." => Err("the path has a dot segment (path-dot-segment)"),
        _ if needless => Err("the path has an escape that is not in normal form (path-needless-escape)"),
        decoded if std::str::from_utf8(decoded).is_err() => {
            Err("the path has an unsafe escape (path-unsafe-escape)")
        }
        _ => Ok(()),
    }
}

/// The host as policies see it (in lower case, without port and without a trailing dot), and the port.
pub(super) fn canonical_host(text: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let address: Ipv6Addr = address.parse().ok()?;
        (format!("[{address}]"), port)
    } else {
        let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
        let host = host.strip_suffix('.').unwrap_or(host);
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let label = |label: &str| !label.is_empty() && label.bytes().all(letter);
        if host.len() > 253 || !host.split('.').all(label) {
            return None;
        }
        (host.to_ascii_lowercase(), port)
    };
    if port.is_empty() {
        return Some((host, None));
    }
    let digits = port.strip_prefix(':').filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()))?;
    Some((host, Some(digits.parse().ok()?)))
}

/// A parameter of the route, once it is decoded.
pub(super) fn check_parameter(value: &str) -> Result<(), &'static str> {
    match value.split('/').any(|segment| segment == "." || segment == "..") {
        true => Err("a parameter of the path has a dot segment (parameter-dot-segment)"),
        false => Ok(()),
    }
}

/// RFC 9110 section 5.1; in whatever case.
pub(super) fn is_header_name(name: &str) -> bool {
    !name.is_empty() && name.len() < 1 << 16 && name.bytes().all(is_token)
}

/// Visible ASCII, blanks and tabs.
pub(super) fn is_header_value(value: &str) -> bool {
    value.bytes().all(|byte| byte == b'\t' || (0x20..0x7f).contains(&byte))
}

/// SPIFFE-ID section 2.
pub(super) fn check_spiffe_id(id: &str) -> Result<(), &'static str> {
    if id.len() > 2048 {
        return Err("it is longer than 2048 bytes");
    }
    let rest = id.strip_prefix("spiffe://").ok_or("it begins with `spiffe://` in lower case")?;
    let (domain, path) = rest.split_once('/').map_or((rest, None), |(domain, path)| (domain, Some(path)));
    let letter =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_');
    if domain.is_empty() || domain.len() > 255 || !domain.bytes().all(letter) {
        return Err("its trust domain is 1 to 255 of `a-z`, `0-9`, `.`, `-` and `_`");
    }
    let segment = |segment: &str| {
        !matches!(segment, "" | "." | "..")
            && segment.bytes().all(|byte| letter(byte) || byte.is_ascii_uppercase())
    };
    match path.is_none_or(|path| path.split('/').all(segment)) {
        true => Ok(()),
        false => Err(
            "the segments of its path are letters, digits, `.`, `-` and `_`, and none is empty or a dot segment",
        ),
    }
}

/// Whether no token has room for these claims; the sandbox takes as many.
pub(super) fn is_too_large(claims: &Map<String, Json>) -> bool {
    fn members(json: &Json) -> usize {
        match json {
            Json::Object(inside) => inside.len() + inside.values().map(members).sum::<usize>(),
            Json::Array(items) => items.iter().map(members).sum(),
            _ => 0,
        }
    }
    let all = claims.len() + claims.values().map(members).sum::<usize>();
    all > 512 || serde_json::to_string(claims).map_or(true, |text| text.len() > 8192)
}

type Form<'f> = &'f dyn Fn(&Json) -> bool;

/// The claims that ztlib itself gives a meaning to are of exactly one type each. Gives the first that is not.
pub(super) fn misshapen(claims: &Map<String, Json>) -> Option<&'static str> {
    let text = |json: &Json| json.as_str().is_some_and(|text| !text.is_empty());
    let texts = |json: &Json| json.as_array().is_some_and(|items| items.iter().all(text));
    let audiences = |json: &Json| text(json) || texts(json) && json != &Json::Array(Vec::new());
    // RFC 6749 section 3.3.
    let scopes = |json: &Json| {
        let visible = |byte: u8| (0x20..0x7f).contains(&byte) && byte != b'"' && byte != b'\\';
        json.as_str().is_some_and(|scopes| scopes.bytes().all(visible))
    };
    let date = |json: &Json| json.as_f64().is_some_and(|seconds| (0.0..=LATEST_DATE).contains(&seconds));
    let forms: [(&str, Form<'_>); 11] = [
        ("iss", &text),
        ("sub", &text),
        ("jti", &text),
        ("acr", &text),
        ("aud", &audiences),
        ("scope", &scopes),
        ("exp", &date),
        ("nbf", &date),
        ("iat", &date),
        ("auth_time", &date),
        ("amr", &texts),
    ];
    let wrong = forms.into_iter().find(|(name, fits)| claims.get(*name).is_some_and(|json| !fits(json)));
    wrong.map(|(name, _)| name)
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// RFC 3986 section 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}
