//! In the place of `peer` where ztlib is built without the feature `peers`: types of which there is
//! no value, so that what is said of peers elsewhere compiles to nothing.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::SystemTime;

use http::Extensions;
use ztlib_contract::facts::PeerFacts;

use super::token::LastTokens;

/// Nobody: this build authenticates no peers.
#[derive(Debug, Clone)]
pub enum PeerIdentity {}

impl Deref for PeerIdentity {
    type Target = PeerFacts;

    fn deref(&self) -> &PeerFacts {
        match *self {}
    }
}

impl PeerIdentity {
    pub(crate) fn facts(&self) -> &Arc<PeerFacts> {
        match *self {}
    }

    pub(crate) fn valid_until(&self) -> SystemTime {
        match *self {}
    }

    pub(crate) fn fingerprint_hex(&self) -> &str {
        match *self {}
    }

    pub(crate) fn check_validity(&self, _: u64) -> Result<(), PeerError> {
        match *self {}
    }
}

impl fmt::Display for PeerIdentity {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

/// No certificates: this build looks at none.
#[derive(Debug, Clone)]
pub enum PeerCertificates {}

impl PeerCertificates {
    pub(crate) fn last_tokens(&self) -> &LastTokens {
        match *self {}
    }
}

/// Nothing that could be wrong with a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerError {}

impl PeerError {
    pub(crate) fn code(&self) -> &'static str {
        match *self {}
    }
}

impl fmt::Display for PeerError {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

impl std::error::Error for PeerError {}

/// Nobody who could authenticate a peer.
#[derive(Debug, Clone)]
pub enum PeerAuthenticator {}

impl PeerAuthenticator {
    pub(crate) fn authenticate(
        &self,
        _: &Extensions,
        _: SystemTime,
    ) -> Result<Option<PeerIdentity>, PeerError> {
        match *self {}
    }

    pub(crate) fn known(&self, _: Option<&PeerCertificates>, _: SystemTime) -> Option<PeerIdentity> {
        match *self {}
    }

    pub(crate) fn recheck(&self, _: &PeerIdentity, _: u64) -> Result<PeerIdentity, PeerError> {
        match *self {}
    }
}
