//! Headers → exactly one `BearerToken`.

use std::fmt;

use http::{HeaderMap, HeaderName, header};

use super::error::TokenError;
use super::jws::MAX_TOKEN_BYTES;

/// A token as the caller sent it. Nothing about it is known but that it is at most
/// [`MAX_TOKEN_BYTES`](super::MAX_TOKEN_BYTES) of the characters that a bearer token may have (RFC 6750 section 2.1).
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
    /// [`TokenError::Missing`] where it is empty, [`TokenError::TooLong`], [`TokenError::MalformedCredentials`].
    pub fn new(text: &'r str) -> Result<Self, TokenError> {
        if text.is_empty() {
            Err(TokenError::Missing)
        } else {
            Self::from_bytes(text.as_bytes(), BearerSource::Header)
        }
    }

    /// The only token of the `authorization` header; none where there is no such header.
    ///
    /// The header is `Bearer`, in any letter case, one space, and the token. Anything else is an error, and so is a second
    /// `authorization` header.
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
            return Err(TokenError::TooLong);
        }
        let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte);
        if bytes.is_empty() || !bytes.iter().all(allowed) {
            return Err(TokenError::MalformedCredentials);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| TokenError::MalformedCredentials)?;
        Ok(Self { text, source })
    }
}

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
