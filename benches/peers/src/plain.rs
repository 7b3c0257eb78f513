//! The third arm of end to end: hyper and tokio-rustls as their own documentation sets them up,
//! without anything of ztlib.

use std::sync::Arc;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use ztlib_benches::Caller;

use crate::Failure;
use crate::ours::router;

/// mTLS with the same roots, the same cryptography and the same two protocols as ztlib's acceptor.
///
/// # Errors
/// The configuration is not taken.
pub fn acceptor(caller: &Caller) -> Result<TlsAcceptor, Failure> {
    let mut roots = RootCertStore::empty();
    roots.add(caller.mesh.certificate())?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build()?;
    let server = caller.mesh.leaf().dns("localhost").for_servers().issue();
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(server.chain(), server.key())?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // As ours: a resumed session would skip the verifier.
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Serves the router that is guarded elsewhere until the runtime ends.
pub async fn serve(listener: TcpListener, acceptor: TlsAcceptor) {
    let service =
        TowerToHyperService::new(tower::ServiceExt::map_request(router(), |request: Request<Incoming>| {
            request.map(axum::body::Body::new)
        }));
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, service) = (acceptor.clone(), service.clone());
        tokio::spawn(async move {
            let _ = stream.set_nodelay(true);
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            let io = TokioIo::new(stream);
            // What ends a connection ends a measurement: the client counts its answers.
            if is_http2 {
                let _ = http2::Builder::new(TokioExecutor::new())
                    .timer(TokioTimer::new())
                    .serve_connection(io, service)
                    .await;
            } else {
                let _ = http1::Builder::new().timer(TokioTimer::new()).serve_connection(io, service).await;
            }
        });
    }
}
