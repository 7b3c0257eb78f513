//! Real TLS handshakes in memory: what a guard needs from a connection, without a socket.

#![allow(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "in a test, a client that cannot be made ends the test"
)]

use std::net::SocketAddr;
use std::sync::Arc;

use http::Extensions;
use rustls::{ClientConfig, HandshakeKind, RootCertStore, SupportedProtocolVersion};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio_rustls::TlsConnector;
use ztlib::Clock;
use ztlib::authenticate::peer::Trust;
use ztlib::tls::{AcceptError, Acceptor, Connection};

use crate::{Authority, Issued};

/// A TLS client for tests, that trusts one authority and calls every server `localhost`. It keeps
/// its sessions, and would resume them if a server let it. Cloning shares the sessions.
#[derive(Debug, Clone)]
pub struct TlsClient(Arc<ClientConfig>);

/// The certificates of a PEM text. The reader passes over what it does not know, so that the blocks
/// are counted.
fn certificates(
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, Box<dyn std::error::Error + Send + Sync>> {
    const BEGIN: &[u8] = b"BEGIN ";
    let found = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>()?;
    let blocks = pem.windows(BEGIN.len()).filter(|part| *part == BEGIN).count();
    if found.is_empty() || found.len() != blocks {
        return Err(format!("{} of {blocks} blocks can be read as certificates", found.len()).into());
    }
    Ok(found)
}

impl TlsClient {
    /// Shows this certificate, or none.
    pub fn new(server_authority: &Authority, peer: Option<&Issued>) -> Self {
        Self(Arc::new(client_config(server_authority, peer, rustls::ALL_VERSIONS)))
    }

    /// Speaks this version of TLS only.
    #[doc(hidden)]
    pub fn of_version(
        server_authority: &Authority,
        peer: Option<&Issued>,
        version: &'static SupportedProtocolVersion,
    ) -> Self {
        Self(Arc::new(client_config(server_authority, peer, &[version])))
    }

    /// Trusts these roots and shows this certificate (its chain and its key), all in PEM: what the
    /// quickstart's `--serve` writes.
    ///
    /// # Errors
    /// What is not PEM, holds nothing, or does not fit together.
    pub fn from_pem(
        roots: &[u8],
        chain: &[u8],
        key: &[u8],
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let mut trusted = RootCertStore::empty();
        for root in certificates(roots)? {
            trusted.add(root)?;
        }
        let chain = certificates(chain)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let builder = builder.with_root_certificates(trusted);
        Ok(Self(Arc::new(builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key)?)?)))
    }

    /// Offers these protocols by ALPN (RFC 7301), `h2` for example. Forgets its sessions.
    #[must_use]
    pub fn protocols(self, names: &[&str]) -> Self {
        let mut config = ClientConfig::clone(&self.0);
        config.alpn_protocols = names.iter().map(|name| name.as_bytes().to_vec()).collect();
        Self(Arc::new(config))
    }

    /// The connector, for tests over sockets.
    pub fn connector(&self) -> TlsConnector {
        TlsConnector::from(Arc::clone(&self.0))
    }

    /// Makes a handshake in memory, and lets the server send one byte, so that a session ticket
    /// would have arrived.
    ///
    /// # Errors
    /// What the acceptor says.
    pub async fn handshake(&self, acceptor: &Acceptor) -> Result<Handshake, AcceptError> {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let connector = self.connector();
        let client = tokio::spawn(async move {
            let name = ServerName::try_from("localhost").expect("a host name");
            let mut stream = connector.connect(name, near).await?;
            let _ = stream.read_u8().await;
            let resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
            Ok::<_, std::io::Error>((stream, resumed))
        });
        let remote = SocketAddr::from(([192, 0, 2, 1], 4711));
        let (mut server, connection) = acceptor.accept(far, remote).await?;
        server.write_u8(0).await.map_err(|error| AcceptError::Io(error.kind()))?;
        server.flush().await.map_err(|error| AcceptError::Io(error.kind()))?;
        let (client, resumed) = client
            .await
            .expect("the client does not panic")
            .map_err(|error| AcceptError::Io(error.kind()))?;
        Ok(Handshake { connection, resumed, server, client })
    }
}

/// Both ends after a handshake.
#[derive(Debug)]
pub struct Handshake {
    /// What the acceptor found out.
    pub connection: Connection,
    /// Whether the client resumed a session.
    pub resumed: bool,
    /// The server's end.
    pub server: ztlib::tls::TlsStream<DuplexStream>,
    /// The client's end.
    pub client: tokio_rustls::client::TlsStream<DuplexStream>,
}

/// The extensions that each request of this peer carries, after a real handshake with our acceptor:
/// a handler is tested without sockets, but through the real guard.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use ztlib::SystemClock;
/// use ztlib::authenticate::peer::{PeerAuthenticator, Trust};
/// use ztlib_testing::{Authority, peer_extensions};
///
/// let authority = Authority::new("example root");
/// let payments = authority.issue_spiffe("spiffe://example.org/payments");
/// let trust = Trust::builder().trust("example.org".parse()?, [authority.certificate()])?.build()?;
///
/// let extensions = peer_extensions(&trust, Some(&payments), SystemClock).await?;
/// let peer = PeerAuthenticator::new(trust).authenticate(&extensions, ztlib_testing::a_day())?;
/// assert_eq!(peer.unwrap().to_string(), "spiffe://example.org/payments");
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// What the acceptor says; a peer without a certificate is accepted, as the guard is to judge it.
pub async fn peer_extensions(
    trust: &Trust,
    peer: Option<&Issued>,
    clock: impl Clock,
) -> Result<Extensions, AcceptError> {
    let authority = Authority::new("server root");
    let server = authority.leaf().dns("localhost").for_servers().issue();
    let acceptor = Acceptor::builder()
        .identity(server.chain(), server.key())
        .expect("a fresh identity")
        .allow_unauthenticated_peers(trust)
        .clock(clock)
        .build()
        .expect("the defaults are possible");
    let handshake = TlsClient::new(&authority, peer).handshake(&acceptor).await?;
    let mut extensions = Extensions::new();
    handshake.connection.extend(&mut extensions);
    Ok(extensions)
}

fn client_config(
    server_authority: &Authority,
    peer: Option<&Issued>,
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(server_authority.certificate()).expect("an authority's certificate is a root");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .expect("the provider speaks these versions")
        .with_root_certificates(roots);
    match peer {
        Some(peer) => builder.with_client_auth_cert(peer.chain(), peer.key()).expect("a fresh certificate"),
        None => builder.with_no_client_auth(),
    }
}
