//! Where a connection comes from.

use std::net::{IpAddr, SocketAddr};

/// The address of the other end of the connection, in the extensions of each request. It is the
/// transport's; no header changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RemoteAddr(
    /// Address and port.
    pub SocketAddr,
);

impl RemoteAddr {
    /// The address without the port.
    pub fn ip(&self) -> IpAddr {
        self.0.ip()
    }
}
