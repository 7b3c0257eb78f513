//! In the place of `token` where ztlib is built without the feature `tokens`: types of which there
//! is no value, so that what is said of tokens elsewhere compiles to nothing.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::SystemTime;

use http::HeaderMap;
use ztlib_contract::facts::Claims;

use super::peer::PeerCertificates;

/// Nothing: this build verifies no tokens.
#[derive(Debug, Clone)]
pub enum VerifiedClaims {}

impl Deref for VerifiedClaims {
    type Target = Claims;

    fn deref(&self) -> &Claims {
        match *self {}
    }
}

impl VerifiedClaims {
    pub(crate) fn facts(&self) -> &Arc<Claims> {
        match *self {}
    }

    pub(crate) fn valid_until(&self) -> SystemTime {
        match *self {}
    }

    pub(crate) fn recheck(&self, _: SystemTime) -> Result<(), TokenError> {
        match *self {}
    }
}

/// Nothing that could be wrong with a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenError {}

impl TokenError {
    pub(crate) fn code(&self) -> &'static str {
        match *self {}
    }

    pub(crate) fn kind(&self) -> TokenErrorKind {
        match *self {}
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

impl std::error::Error for TokenError {}

/// What the caller is told of a [`TokenError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenErrorKind {
    Missing,
    InvalidRequest,
    InvalidToken,
}

/// Nobody who could verify a token.
#[derive(Debug, Clone)]
pub enum TokenAuthenticator {}

impl TokenAuthenticator {
    pub(crate) fn authenticate_on(
        &self,
        _: Option<&PeerCertificates>,
        _: &HeaderMap,
        _: SystemTime,
    ) -> Result<Option<VerifiedClaims>, TokenError> {
        match *self {}
    }

    pub(crate) fn known(
        &self,
        _: &HeaderMap,
        _: Option<&PeerCertificates>,
        _: SystemTime,
    ) -> Option<VerifiedClaims> {
        match *self {}
    }

    pub(crate) fn recheck(&self, _: &VerifiedClaims, _: SystemTime) -> Result<VerifiedClaims, TokenError> {
        match *self {}
    }
}

/// The tokens that a connection sent last: none.
#[derive(Debug, Default)]
pub struct LastTokens {
    _none: (),
}
