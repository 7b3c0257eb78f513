//! Headers → exactly one `BearerToken`.

use std::fmt;

use http::{HeaderMap, HeaderName, header};

use super::error::TokenError;
use super::limits::MAX_TOKEN_BYTES;

/// A token as the caller sent it. Nothing about it is known but that it is at most
/// [`MAX_TOKEN_BYTES`](super::MAX_TOKEN_BYTES) of the characters that a bearer token may have (RFC
/// 6750 section 2.1).
///
/// `Debug` does not show it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BearerToken<'r> {
    text: &'r str,
    source: BearerSource,
}

/// Where a request brought its token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BearerSource {
    /// The `authorization` header.
    Header,
    /// A cookie.
    Cookie,
    /// An entry of `sec-websocket-protocol`.
    WebSocketSubprotocol,
}

impl<'r> BearerToken<'r> {
    /// Takes the token itself, without scheme, from a place that only the application knows.
    ///
    /// # Errors
    /// [`TokenError::Missing`] where it is empty, [`TokenError::TooLong`],
    /// [`TokenError::MalformedCredentials`].
    pub fn new(text: &'r str) -> Result<Self, TokenError> {
        if text.is_empty() {
            Err(TokenError::Missing)
        } else {
            Self::from_bytes(text.as_bytes(), BearerSource::Header)
        }
    }

    /// The only token of the `authorization` header; none where there is no such header.
    ///
    /// The header is `Bearer`, in any letter case, one space, and the token. Anything else is an
    /// error, and so is a second `authorization` header.
    ///
    /// # Errors
    /// [`TokenError::SeveralHeaders`], [`TokenError::NotBearer`], [`TokenError::TooLong`],
    /// [`TokenError::MalformedCredentials`].
    pub fn from_headers(headers: &'r HeaderMap) -> Result<Option<Self>, TokenError> {
        let Some(value) = only(headers, &header::AUTHORIZATION)? else { return Ok(None) };
        let (scheme, token) = match value.iter().position(|&byte| byte == b' ') {
            Some(at) => value.split_at_checked(at).ok_or(TokenError::MalformedCredentials)?,
            None => (value, &[][..]),
        };
        if !scheme.eq_ignore_ascii_case(b"bearer") {
            return Err(TokenError::NotBearer);
        }
        let token = token.strip_prefix(b" ").ok_or(TokenError::MalformedCredentials)?;
        Self::from_bytes(token, BearerSource::Header).map(Some)
    }

    /// The token of the only cookie of this name; none where there is none.
    pub(super) fn from_cookie(headers: &'r HeaderMap, name: &str) -> Result<Option<Self>, TokenError> {
        // HTTP/2 may send each cookie in a header of its own (RFC 9113 section 8.2.3).
        let pairs = headers
            .get_all(header::COOKIE)
            .iter()
            .flat_map(|value| value.as_bytes().split(|&byte| byte == b';'));
        let tokens = pairs.filter_map(|pair| {
            pair.trim_ascii()
                .strip_prefix(name.as_bytes())
                .and_then(|rest| rest.trim_ascii_start().strip_prefix(b"="))
        });
        Self::from_only(tokens, BearerSource::Cookie)
    }

    /// The token of the only subprotocol with this prefix; none where there is none.
    pub(super) fn from_subprotocol(headers: &'r HeaderMap, prefix: &str) -> Result<Option<Self>, TokenError> {
        let values = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
        let entries = values.flat_map(|value| value.as_bytes().split(|&byte| byte == b','));
        let tokens = entries.filter_map(|entry| entry.trim_ascii().strip_prefix(prefix.as_bytes()));
        Self::from_only(tokens, BearerSource::WebSocketSubprotocol)
    }

    /// Where the request brought it.
    pub fn source(&self) -> BearerSource {
        self.source
    }

    pub(crate) fn as_str(&self) -> &'r str {
        self.text
    }

    fn from_only(
        mut tokens: impl Iterator<Item = &'r [u8]>,
        source: BearerSource,
    ) -> Result<Option<Self>, TokenError> {
        match (tokens.next(), tokens.next()) {
            (None, _) => Ok(None),
            (Some(token), None) => Self::from_bytes(token, source).map(Some),
            (Some(_), Some(_)) => Err(TokenError::SeveralTokens),
        }
    }

    fn from_bytes(bytes: &'r [u8], source: BearerSource) -> Result<Self, TokenError> {
        if bytes.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::TooLong { limit: MAX_TOKEN_BYTES });
        }
        let allowed = |byte: &u8| ALLOWED.get(usize::from(*byte)).is_some_and(|allowed| *allowed);
        // All bytes are looked at, many at a time, rather than up to the first bad one: nearly
        // always there is none.
        if bytes.is_empty() || !bytes.iter().map(allowed).fold(true, |all, one| all & one) {
            return Err(TokenError::MalformedCredentials);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| TokenError::MalformedCredentials)?;
        Ok(Self { text, source })
    }
}

/// The characters of a bearer token (RFC 6750 section 2.1).
const ALLOWED: [bool; 256] = {
    let mut allowed = [false; 256];
    let mut byte = 0_u8;
    let mut rest: &mut [bool] = &mut allowed;
    while let Some((first, others)) = rest.split_first_mut() {
        *first =
            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=');
        byte = byte.wrapping_add(1);
        rest = others;
    }
    allowed
};

/// The only value of a header.
fn only<'r>(headers: &'r HeaderMap, name: &HeaderName) -> Result<Option<&'r [u8]>, TokenError> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (_, Some(_)) => Err(TokenError::SeveralHeaders),
        (first, None) => Ok(first.map(http::HeaderValue::as_bytes)),
    }
}

impl fmt::Debug for BearerToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BearerToken({:?}, {} bytes, redacted)", self.source, self.text.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &[u8])]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, http::HeaderValue::from_bytes(value).unwrap());
        }
        headers
    }

    fn found(verdict: Result<Option<BearerToken<'_>>, TokenError>) -> String {
        match verdict {
            Ok(Some(token)) => format!("{:?} {}", token.source(), token.as_str()),
            Ok(None) => "none".to_owned(),
            Err(error) => error.code().to_owned(),
        }
    }

    fn in_header(value: &[u8]) -> String {
        found(BearerToken::from_headers(&headers(&[("authorization", value)])))
    }

    #[test]
    fn the_scheme_is_bearer_in_any_letter_case() {
        for value in ["Bearer a.b.c", "bearer a.b.c", "BEARER a.b.c"] {
            assert_eq!(in_header(value.as_bytes()), "Header a.b.c");
        }
        for value in ["Basic a.b.c", "a.b.c", "Bearer:a.b.c", "Bearertoken", "DPoP a.b.c", "", "\tBearer a"] {
            assert_eq!(in_header(value.as_bytes()), "token-not-bearer", "{value}");
        }
    }

    #[test]
    fn odd_white_space_and_characters_are_refused() {
        let odd: [&[u8]; 12] = [
            b"Bearer",
            b"Bearer ",
            b"Bearer  a",
            b"Bearer \ta",
            b"Bearer a ",
            b"Bearer a b",
            b"Bearer a,b",
            b"Bearer a, Bearer b",
            b"Bearer \"a\"",
            b"Bearer a\xc3\xa9",
            b"Bearer a\xff",
            b"Bearer a;b",
        ];
        for value in odd {
            assert_eq!(in_header(value), "token-malformed-credentials", "{}", value.escape_ascii());
        }
        assert_eq!(in_header(b"Bearer\ta"), "token-not-bearer");
    }

    #[test]
    fn a_second_authorization_header_is_refused() {
        let two = headers(&[("authorization", b"Bearer a"), ("authorization", b"Bearer a")]);
        assert_eq!(found(BearerToken::from_headers(&two)), "token-several-headers");
        let other = headers(&[("authorization", b"Bearer a"), ("authorization", b"Basic b")]);
        assert_eq!(found(BearerToken::from_headers(&other)), "token-several-headers");
        assert_eq!(found(BearerToken::from_headers(&HeaderMap::new())), "none");
    }

    #[test]
    fn a_token_beyond_every_limit_is_refused_unread() {
        let longest = format!("Bearer {}", "a".repeat(MAX_TOKEN_BYTES));
        assert!(in_header(longest.as_bytes()).starts_with("Header aaa"));
        assert_eq!(in_header(format!("{longest}a").as_bytes()), "token-too-long");
    }

    #[test]
    fn exactly_one_cookie_of_the_name_counts() {
        let cookie =
            |value: &'static [u8]| found(BearerToken::from_cookie(&headers(&[("cookie", value)]), "token"));
        assert_eq!(cookie(b"token=a.b.c"), "Cookie a.b.c");
        assert_eq!(cookie(b"x=1; token=a.b.c; y=2"), "Cookie a.b.c");
        assert_eq!(cookie(b"xtoken=a; tokenx=b; Token=c"), "none");
        assert_eq!(cookie(b"token=a; token=b"), "token-several");
        assert_eq!(cookie(b"token=a; token =a"), "token-several");
        assert_eq!(cookie(b"token="), "token-malformed-credentials");
        assert_eq!(cookie(b"token=\"a\""), "token-malformed-credentials");
        let two = headers(&[("cookie", b"token=a"), ("cookie", b"token=b")]);
        assert_eq!(found(BearerToken::from_cookie(&two, "token")), "token-several");
    }

    #[test]
    fn exactly_one_subprotocol_with_the_prefix_counts() {
        let entry = |value: &'static [u8]| {
            found(BearerToken::from_subprotocol(&headers(&[("sec-websocket-protocol", value)]), "bearer."))
        };
        assert_eq!(entry(b"chat, bearer.a.b.c"), "WebSocketSubprotocol a.b.c");
        assert_eq!(entry(b"chat"), "none");
        assert_eq!(entry(b"bearer.a, bearer.b"), "token-several");
        assert_eq!(entry(b"bearer."), "token-malformed-credentials");
    }
}
