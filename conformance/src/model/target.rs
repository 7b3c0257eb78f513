//! Path, host and method: what can be judged without guessing (RFC 3986 sections 3.3 and 6.2.2, RFC
//! 9110 section 7.2).

use std::net::Ipv6Addr;

use crate::scenario::{Exchange, Service, Spelling};

/// The path of a request target.
pub(super) fn path_of(target: &str) -> &str {
    let after_authority = match target.split_once("://") {
        Some((_, rest)) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/"),
        None => target,
    };
    after_authority.split(['?', '#']).next().unwrap_or_default()
}

pub(super) fn check(
    exchange: &Exchange,
    route: Option<&str>,
    params: &[(String, String)],
    service: &Service,
) -> Result<(), &'static str> {
    if exchange.method == "CONNECT" {
        return Err("method-connect");
    }
    let path = path_of(&exchange.target);
    let encoded_slash = check_spelled_path(path, &exchange.method, &service.path_spellings)?;
    check_host(exchange)?;
    if exchange.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("content-type")).count() > 1 {
        return Err("header-repeated");
    }
    if encoded_slash
        && !route.is_some_and(|route| service.encoded_slash_routes.iter().any(|allowed| allowed == route))
    {
        return Err("path-encoded-slash");
    }
    let dots = |value: &str| value.split('/').any(|segment| matches!(segment, "." | ".."));
    if params.iter().any(|(_, value)| dots(value)) { Err("parameter-dot-segment") } else { Ok(()) }
}

/// Whether a path is in normal form; `Ok(true)` where it is but for an escaped slash.
///
/// # Errors
/// The code of the first rule that it breaks, segment by segment.
pub fn check_path(path: &str, method: &str) -> Result<bool, &'static str> {
    check_spelled_path(path, method, &[])
}

fn check_spelled_path(path: &str, method: &str, allowed: &[Spelling]) -> Result<bool, &'static str> {
    if path.len() > 8 * 1024 {
        return Err("path-too-long");
    }
    if path == "*" && method == "OPTIONS" {
        return Ok(false);
    }
    let Some(path) = path.strip_prefix('/') else { return Err("path-not-absolute") };
    let segments: Vec<&str> = path.split('/').collect();
    let mut encoded_slash = false;
    for (at, segment) in segments.iter().enumerate() {
        if segment.is_empty() && at + 1 < segments.len() {
            return Err("path-empty-segment");
        }
        encoded_slash |= check_segment(segment.as_bytes(), allowed)?;
    }
    Ok(encoded_slash)
}

fn check_segment(mut segment: &[u8], allowed: &[Spelling]) -> Result<bool, &'static str> {
    const UNRESERVED: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    let mut decoded = Vec::new();
    let (mut encoded_slash, mut needless, mut lowercase) = (false, false, false);
    let passes = |spelling| allowed.contains(&spelling);
    while let Some((first, rest)) = segment.split_first() {
        segment = rest;
        if *first != b'%' {
            let raw = b"[]|".contains(first) && passes(Spelling::RawBracketsAndBars);
            if !raw && !UNRESERVED.contains(first) && !b"!$&'()*+,;=:@".contains(first) {
                return Err("path-illegal-character");
            }
            decoded.push(*first);
            continue;
        }
        let digits = segment.get(..2).and_then(|digits| std::str::from_utf8(digits).ok()).unwrap_or_default();
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) || digits.is_empty() {
            return Err("path-malformed-escape");
        }
        let byte = u8::from_str_radix(digits, 16).map_err(|_| "path-malformed-escape")?;
        if byte < 0x20 || byte == 0x7f || byte == b'\\' {
            return Err("path-unsafe-escape");
        }
        encoded_slash |= byte == b'/';
        needless |= UNRESERVED.contains(&byte);
        lowercase |= digits.bytes().any(|digit| digit.is_ascii_lowercase());
        decoded.push(byte);
        segment = segment.get(2..).unwrap_or_default();
    }
    match decoded.as_slice() {
        b"." | b".." => Err("path-dot-segment"),
        _ if needless && !passes(Spelling::NeedlessEscapes) => Err("path-needless-escape"),
        _ if lowercase && !passes(Spelling::LowercaseEscapes) => Err("path-needless-escape"),
        _ if std::str::from_utf8(&decoded).is_err() => Err("path-unsafe-escape"),
        _ => Ok(encoded_slash),
    }
}

/// All that name a host name the same one, and at least one does.
fn check_host(exchange: &Exchange) -> Result<(), &'static str> {
    let others = exchange
        .headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("host"))
        .map(|(_, value)| value.as_str());
    let named: Vec<&str> = exchange.host.as_deref().into_iter().chain(others).collect();
    // Over HTTP/2 the usual place is `:authority`; over HTTP/1.1 it is the one header `Host`.
    let (authority, headers) =
        if exchange.grpc { named.split_at(named.len().min(1)) } else { named.split_at(0) };
    let absolute = exchange
        .target
        .split_once("://")
        .map(|(_, rest)| rest.split(['/', '?', '#']).next().unwrap_or_default());
    if headers.len() > 1 {
        return Err("host-ambiguous");
    }
    // RFC 9112 section 3.2: an absolute target does not stand in for the header.
    if !exchange.grpc && headers.is_empty() {
        return Err("host-missing");
    }
    let mut known: Option<(String, Option<u16>)> = None;
    for host in headers.iter().copied().chain(authority.iter().copied()).chain(absolute) {
        let (name, port) = canonical(host).ok_or("host-malformed")?;
        match &known {
            None => known = Some((name, port)),
            Some((other, other_port)) => {
                if *other != name || matches!((port, other_port), (Some(one), Some(other)) if one != *other) {
                    return Err("host-ambiguous");
                }
            }
        }
    }
    if known.is_none() { Err("host-missing") } else { Ok(()) }
}

/// Lower case, no dot at the end, the port apart.
fn canonical(host: &str) -> Option<(String, Option<u16>)> {
    let (name, port) = if let Some(rest) = host.strip_prefix('[') {
        let (address, rest) = rest.split_once(']')?;
        let address: Ipv6Addr = address.parse().ok()?;
        (format!("[{address}]"), if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
    } else {
        let (name, port) = host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port)));
        let name = name.strip_suffix('.').unwrap_or(name);
        let plain = |label: &str| {
            !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        if name.len() > 253 || !name.split('.').all(plain) {
            return None;
        }
        (name.to_ascii_lowercase(), port)
    };
    let number =
        |port: &str| port.bytes().all(|digit| digit.is_ascii_digit()).then(|| port.parse().ok()).flatten();
    match port {
        None => Some((name, None)),
        Some(port) => Some((name, Some(number(port)?))),
    }
}
