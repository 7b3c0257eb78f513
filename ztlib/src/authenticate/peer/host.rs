//! DNS names of a leaf that can be an identity.

/// The name in the form in which policies compare it, or none where it cannot be an identity.
///
/// Case has no meaning in DNS (RFC 4343), so it is folded. What is left must be a plain host name:
/// at most 253 bytes, labels of 1 to 63 bytes `[a-z0-9_-]` that neither begin nor end with a
/// hyphen. So a wildcard stands for nobody, a point at the end is another spelling that no policy
/// would be written for, and an address is not a name. `xn--` labels stay as they are, and `_` is
/// taken since names in private networks have it.
pub(super) fn identity(name: &[u8]) -> Option<String> {
    let host = std::str::from_utf8(name).ok()?.to_ascii_lowercase();
    (is_plain(&host) && !is_address(&host)).then_some(host)
}

fn is_plain(host: &str) -> bool {
    host.len() <= 253
        && host.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
        })
}

/// Whether some resolver would take the text for an IPv4 address: in parts, in octal, in
/// hexadecimal, as one number. They all do so where the last label is a number, and no top-level
/// domain is one (RFC 3696 section 2). An IPv6 address has colons and so is not a plain host.
pub(super) fn is_address(host: &str) -> bool {
    let last = host.strip_suffix('.').unwrap_or(host).rsplit('.').next().unwrap_or_default();
    match last.get(..2) {
        Some("0x" | "0X") => last.bytes().skip(2).all(|byte| byte.is_ascii_hexdigit()),
        _ => !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()),
    }
}
