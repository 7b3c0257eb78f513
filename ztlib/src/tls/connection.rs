//! What all requests of a connection have in common.

use std::net::SocketAddr;

use http::Extensions;

use crate::authenticate::peer::PeerCertificates;
use crate::remote_addr::RemoteAddr;

/// The facts about an accepted connection. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Connection {
    pub(super) peer: Option<PeerCertificates>,
    pub(super) remote: RemoteAddr,
    pub(super) protocol: HttpVersion,
}

/// The protocol inside TLS, as agreed by ALPN (RFC 7301).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpVersion {
    /// HTTP/1.1. Also used if the peer negotiated no protocol.
    Http1,
    /// HTTP/2.
    Http2,
}

impl Connection {
    /// Puts what the guard needs into a request's extensions, replacing values of the same types.
    pub fn extend(&self, extensions: &mut Extensions) {
        extensions.insert(self.remote);
        match &self.peer {
            Some(certificates) => {
                extensions.insert(certificates.clone());
            }
            None => {
                extensions.remove::<PeerCertificates>();
            }
        }
    }

    /// The verified certificates. `None` if the peer presented none and need not.
    pub fn peer(&self) -> Option<&PeerCertificates> {
        self.peer.as_ref()
    }

    /// The peer's address.
    pub fn remote_addr(&self) -> SocketAddr {
        self.remote.0
    }

    /// The protocol in use.
    pub fn protocol(&self) -> HttpVersion {
        self.protocol
    }
}
