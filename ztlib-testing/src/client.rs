//! A small HTTPS client with a client certificate, for tests over real sockets.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// What a client call returns: the whole response, or why there is none.
pub type ClientResult = Result<Response<Bytes>, Box<dyn std::error::Error + Send + Sync>>;

/// An HTTPS client that trusts one authority and may present one certificate. It opens a connection
/// for each request, so every request is a full handshake.
#[derive(Clone)]
pub struct HttpsClient {
    config: Arc<rustls::ClientConfig>,
}

impl std::fmt::Debug for HttpsClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HttpsClient")
    }
}

impl HttpsClient {
    /// A client that trusts `root` and presents `identity` (the chain, leaf first, and its key), or
    /// nothing.
    ///
    /// # Errors
    /// Where the root or the identity cannot be used.
    pub fn new(
        root: CertificateDer<'static>,
        identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(root)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let config = match identity {
            Some((chain, key)) => builder.with_client_auth_cert(chain, key)?,
            None => builder.with_no_client_auth(),
        };
        Ok(Self { config: Arc::new(config) })
    }

    /// Sends one request to `address` (whatever its URI says) and reads the whole response. The
    /// version of the request chooses the protocol: HTTP/2 or HTTP/1.1.
    ///
    /// # Errors
    /// Where the connection, the handshake or the exchange fails. Under TLS 1.3 a refused
    /// certificate shows here, on the first read.
    pub async fn send(&self, address: SocketAddr, request: Request<Full<Bytes>>) -> ClientResult {
        let http2 = request.version() == Version::HTTP_2;
        let mut config = (*self.config).clone();
        config.alpn_protocols = vec![if http2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("localhost")?;
        let io = TokioIo::new(TlsConnector::from(Arc::new(config)).connect(name, stream).await?);
        let (sent, connection) = if http2 {
            let (mut sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await?;
            let connection = tokio::spawn(connection);
            (sender.send_request(request).await, connection)
        } else {
            let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await?;
            let connection = tokio::spawn(connection.with_upgrades());
            (sender.send_request(request).await, connection)
        };
        match sent {
            Ok(response) => {
                let (parts, body) = response.into_parts();
                Ok(Response::from_parts(parts, body.collect().await?.to_bytes()))
            }
            // The connection knows why it ended: a TLS alert, for example.
            Err(error) => match connection.await {
                Ok(Err(why)) => Err(innermost(&why).into()),
                _ => Err(innermost(&error).into()),
            },
        }
    }
}

/// The last of a chain of causes: the others only say that something failed.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
