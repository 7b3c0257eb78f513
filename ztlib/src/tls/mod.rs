//! Turns transports into verified connections, and serves HTTP on them.
//!
//! [`Acceptor`] performs handshakes and verifies peers; [`Server`] is a complete server around it.
//! Every request carries [`PeerCertificates`](crate::authenticate::peer::PeerCertificates) and
//! [`RemoteAddr`](crate::RemoteAddr) in its extensions, for the guard.
//!
//! | loosening | verb |
//! |---|---|
//! | peers without a certificate | [`AcceptorBuilder::allow_unauthenticated_peers`] |
//! | no peer is asked for a certificate | [`AcceptorBuilder::allow_anonymous_peers_only`] |
//! | TLS 1.2 | [`AcceptorBuilder::allow_tls12`] |
//! | a listener without TLS, for probes | [`Server::allow_plaintext_probes`] |
//! | bodies of HTTP/2 requests that pause for any time | [`Server::allow_idle_request_streams`] |
//!
//! **Deployment.** The service must end TLS itself. A load balancer in front has to pass TCP
//! through: if it ends TLS, the peer's certificate does not reach the service. Unless the balancer
//! preserves addresses, [`RemoteAddr`](crate::RemoteAddr) is the balancer's.
//!
//! For how long each state of a connection may last, see the project's `docs/connections.md`.

mod accept_loop;
mod acceptor;
mod body;
mod connection;
mod drive;
mod error;
mod exchange;
mod handshakes;
mod identity;
mod limits;
mod places;
mod probes;
mod serve_connection;
mod server;
mod stream;
mod streams;
mod transport;
mod verifier;

#[cfg(test)]
mod tests;

pub use acceptor::{Acceptor, AcceptorBuilder, WantsClients, WantsIdentity, WantsNothing};
pub use body::{RequestBody, RequestBodyError};
pub use connection::{Connection, HttpVersion};
pub use error::{AcceptError, TlsConfigError};
pub use identity::ServerIdentity;
pub use server::{Server, ShutDown};
pub use stream::TlsStream;
