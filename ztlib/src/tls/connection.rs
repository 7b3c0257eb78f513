//! What every request of a connection carries.

use std::net::SocketAddr;

use http::Extensions;

use crate::authenticate::peer::PeerCertificates;
use crate::remote_addr::RemoteAddr;

/// What is known about an accepted connection. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Connection {
    pub(super) peer: Option<PeerCertificates>,
    pub(super) remote: RemoteAddr,
    pub(super) protocol: HttpVersion,
}

/// What is spoken inside TLS, as agreed by ALPN (RFC 7301).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpVersion {
    /// HTTP/1.1; also where the peer named no protocol.
    Http1,
    /// HTTP/2.
    Http2,
}

impl Connection {
    /// Puts what the guard needs into the extensions of a request, and removes what is there of the
    /// same types.
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

    /// The verified certificates; `None` where the peer showed none and need not.
    pub fn peer(&self) -> Option<&PeerCertificates> {
        self.peer.as_ref()
    }

    /// The other end's address.
    pub fn remote_addr(&self) -> SocketAddr {
        self.remote.0
    }

    /// What is spoken.
    pub fn protocol(&self) -> HttpVersion {
        self.protocol
    }
}
