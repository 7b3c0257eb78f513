//! A part of a query, as it stands in a URI.

/// A name or a value of a query, escaped; decoding returns the same text. What a query may hold as
/// it is (RFC 3986 section 3.4) stays as it is, since a URI has a bound: only `&`, `=` and `+`,
/// which mean something in a query, are escaped besides.
pub fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~!$'()*,;:@/?".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_part_or_end_a_query_is_escaped_and_nothing_else() {
        assert_eq!(encoded("a b"), "a%20b");
        assert_eq!(encoded("c&d=é#+%"), "c%26d%3D%C3%A9%23%2B%25");
        assert_eq!(encoded("09azAZ-._~!$'()*,;:@/?"), "09azAZ-._~!$'()*,;:@/?");
    }
}
