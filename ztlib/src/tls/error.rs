//! Why an acceptor cannot be built, and why a connection was not accepted.

use std::io;

use crate::authenticate::peer::PeerError;

/// Why a server identity, an acceptor or a setting of a server cannot be used.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsConfigError {
    /// The chain is empty.
    #[error("the chain has no certificate: give at least the leaf")]
    NoCertificate,
    /// The leaf is not a certificate.
    #[error("the chain does not begin with an X.509 certificate: give DER, or PEM with `BEGIN CERTIFICATE`")]
    Certificate,
    /// A block of a PEM text is damaged, of another kind, or one too many. Nothing of the text is
    /// told.
    #[error("the PEM text cannot be used: line {line}: {what}")]
    Pem {
        /// On which line, from 1.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
    /// The private key cannot be read, or is of a kind that is not supported.
    #[error("the private key cannot be used: give RSA, ECDSA or Ed25519 as PKCS #8, PKCS #1 or SEC 1")]
    PrivateKey,
    /// The private key belongs to another certificate.
    #[error(
        "the private key does not belong to the leaf: give the key that the first certificate was issued for"
    )]
    KeyMismatch,
    /// The TLS library refuses the settings, for the reason that it gives.
    #[error("invalid TLS settings: {0}")]
    Settings(String),
    /// A limit or a time that would refuse every connection, or bound nothing.
    #[error("`{setting}` cannot be {given}: give {allowed}")]
    OutOfRange {
        /// The verb that sets it.
        setting: &'static str,
        /// What it was given.
        given: String,
        /// What it takes.
        allowed: String,
    },
}

/// As [`fmt::Display`](std::fmt::Display): what `fn main() -> Result<(), Box<dyn Error>>` prints is
/// this, and it should say what to do.
impl std::fmt::Debug for TlsConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl TlsConfigError {
    /// A stable name for the reason.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoCertificate => "no-certificate",
            Self::Certificate => "certificate",
            Self::Pem { .. } => "pem",
            Self::PrivateKey => "private-key",
            Self::KeyMismatch => "key-mismatch",
            Self::Settings(_) => "tls-settings",
            Self::OutOfRange { .. } => "setting-out-of-range",
        }
    }
}

/// Why a connection was not accepted. The connection is closed; nothing of it reached a service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// The peer's certificates were refused, or it has none and needs some.
    #[error("the peer was not authenticated: {0}")]
    Peer(PeerError),
    /// The handshake took longer than its deadline.
    #[error("the TLS handshake timed out")]
    Deadline,
    /// Too many handshakes were under way, and this one was dropped because its peer was silent.
    #[error("too many TLS handshakes were under way, and this peer was silent")]
    Displaced,
    /// The peer does not speak TLS, or no version or algorithm that is accepted here.
    #[error("the TLS handshake failed")]
    Handshake,
    /// A session was resumed, which must not happen: it would skip the verification of the peer.
    #[error("a TLS session was resumed, which is never allowed")]
    Resumed,
    /// The transport failed.
    #[error("the connection failed: {0}")]
    Io(io::ErrorKind),
}

impl AcceptError {
    /// A stable name for the reason; that of the peer's error where there is one.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Peer(error) => error.code(),
            Self::Deadline => "handshake-deadline",
            Self::Displaced => "handshake-displaced",
            Self::Handshake => "handshake-failed",
            Self::Resumed => "session-resumed",
            Self::Io(_) => "connection-failed",
        }
    }
}
