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
    /// A block of the PEM text is damaged, of another kind, or one too many. Nothing of the text is
    /// shown.
    #[error("the PEM text cannot be used: line {line}: {what}")]
    Pem {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
    /// The private key cannot be read, or is of a kind that is not supported.
    #[error("the private key cannot be used: give RSA, ECDSA or Ed25519 as PKCS #8, PKCS #1 or SEC 1")]
    PrivateKey,
    /// The private key does not match the leaf certificate.
    #[error("the private key does not match the leaf: give the key of the first certificate in the chain")]
    KeyMismatch,
    /// The TLS library refuses the settings; it gives the reason.
    #[error("invalid TLS settings: {0}")]
    Settings(String),
    /// A limit or timeout that would refuse every connection, or limit nothing.
    #[error("`{setting}` cannot be {given}: use a value from {allowed}")]
    OutOfRange {
        /// The method that sets it.
        setting: &'static str,
        /// The value it was given.
        given: String,
        /// The values it accepts.
        allowed: String,
    },
}

/// As [`fmt::Display`](std::fmt::Display), because `fn main() -> Result<(), Box<dyn Error>>` prints
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

/// Why a connection was not accepted. The connection is closed, and nothing of it reached a
/// service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// The peer's certificates were refused, or are missing although required.
    #[error("the peer was not authenticated: {0}")]
    Peer(PeerError),
    /// The handshake took longer than its deadline.
    #[error("the TLS handshake timed out")]
    Deadline,
    /// Too many handshakes were in progress, and this one was dropped because its peer was silent.
    #[error("too many TLS handshakes were in progress, and this peer was silent")]
    Displaced,
    /// The peer does not speak TLS, or supports no version or algorithm that is accepted here.
    #[error("the TLS handshake failed")]
    Handshake,
    /// A session was resumed, which must not happen: that would skip the verification of the peer.
    #[error("a TLS session was resumed, which is never allowed")]
    Resumed,
    /// The transport failed.
    #[error("the connection failed: {0}")]
    Io(io::ErrorKind),
}

impl AcceptError {
    /// A stable name for the reason; for a peer error, the code of that error.
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
