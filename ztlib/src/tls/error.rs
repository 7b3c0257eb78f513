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
    /// The leaf is no certificate.
    #[error("the chain is no X.509 certificate: give DER, or PEM with `BEGIN CERTIFICATE`")]
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
    #[error("the private key is not the leaf's: give the key that the first certificate was issued for")]
    KeyMismatch,
    /// The TLS library refuses the settings.
    #[error("these TLS settings are not possible")]
    Settings,
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
            Self::Settings => "tls-settings",
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
    /// The handshake was not over in time.
    #[error("the handshake was not over in time")]
    Deadline,
    /// Too many connections had not finished their handshake, and this one, whose peer was silent,
    /// made room.
    #[error("too many handshakes were not finished, this one made room for another")]
    Displaced,
    /// What the peer sent is no TLS that we speak.
    #[error("the TLS handshake failed")]
    Handshake,
    /// A session was resumed, which must not happen: it would skip the verification of the peer.
    #[error("a session was resumed")]
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
