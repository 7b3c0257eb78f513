//! A server over mTLS on a real socket, asked as a client would: HTTP/1.1 byte by byte, gRPC over
//! HTTP/2.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::client::ResolvesClientCert;
use rustls::sign::CertifiedKey;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_rustls::{TlsConnector, client::TlsStream};
use ztlib::enforce::Guard;
use ztlib::tls::{Acceptor, Server};

use super::{Reply, Seen, StackUnderTest, bare, secrets};
use crate::scenario::{Case, Cast, Exchange, Proof, ScenarioError};
use ztlib_testing::{Authority, Events, Issued, Log, ManualClock, a_day};

/// A server that runs until it is dropped.
pub type Serving = Pin<Box<dyn Future<Output = ()> + Send>>;

/// An adapter's server over mTLS, one for each service, on loopback.
pub struct SocketStack {
    name: &'static str,
    grpc: bool,
    serve: Box<dyn Fn(Server, Guard) -> Serving>,
    runtime: Runtime,
    log: Log,
    identity: Issued,
    authority: Authority,
    servers: BTreeMap<String, (SocketAddr, Events)>,
}

impl std::fmt::Debug for SocketStack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SocketStack").field("name", &self.name).finish_non_exhaustive()
    }
}

impl SocketStack {
    /// `serve` serves a guarded router of the adapter's for ever: the routes
    /// [`HTTP_ROUTES`](super::HTTP_ROUTES), each answering with its template in the header
    /// `x-reached`, or for gRPC the [`SERVICES`](super::SERVICES), with `method`; and `fallback`
    /// for the rest.
    ///
    /// # Errors
    /// There is no runtime, or another subscriber of `tracing` was installed before.
    pub fn new(
        name: &'static str,
        grpc: bool,
        serve: impl Fn(Server, Guard) -> Serving + 'static,
    ) -> Result<Self, ScenarioError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let authority = Authority::new("the servers of the scenarios");
        Ok(Self {
            name,
            grpc,
            serve: Box::new(serve),
            runtime: runtime.map_err(|error| ScenarioError::because("the runtime", &error))?,
            log: Log::of_this_process()
                .ok_or_else(|| ScenarioError::new("another subscriber of tracing is installed"))?,
            identity: authority.leaf().dns("localhost").for_servers().issue(),
            authority,
            servers: BTreeMap::new(),
        })
    }

    fn server(&mut self, cast: &Cast<'_>, service: &str) -> Result<(SocketAddr, Events), ScenarioError> {
        if let Some(known) = self.servers.get(service) {
            return Ok(known.clone());
        }
        let wrong = |error: &dyn std::fmt::Display| ScenarioError::because("the server", error);
        let (guard, events) = cast.guard(service, false)?;
        let builder = Acceptor::builder()
            .identity(self.identity.chain(), self.identity.key())
            .map_err(|error| wrong(&error))?;
        let builder = match cast.scenarios().service(service)?.peers {
            Proof::Required => builder.peers(cast.trust()),
            Proof::Optional => builder.allow_unauthenticated_peers(cast.trust()),
            Proof::NotAsked => builder.allow_anonymous_peers_only(),
        };
        let builder = builder.clock(ManualClock::new(a_day()));
        let builder = if self.grpc { builder.http2_only() } else { builder };
        let acceptor = builder.build().map_err(|error| wrong(&error))?;
        let server =
            self.runtime.block_on(Server::bind("127.0.0.1:0", acceptor)).map_err(|error| wrong(&error))?;
        let address = server.local_addr().map_err(|error| wrong(&error))?;
        self.runtime.spawn((self.serve)(server, guard));
        self.servers.insert(service.to_owned(), (address, events.clone()));
        Ok((address, events))
    }
}

impl StackUnderTest for SocketStack {
    fn name(&self) -> &'static str {
        self.name
    }

    fn takes(&self, exchange: &Exchange) -> bool {
        exchange.grpc == self.grpc
    }

    fn send(&mut self, cast: &Cast<'_>, case: &Case, exchange: &Exchange) -> Result<Seen, ScenarioError> {
        let (address, events) = self.server(cast, &case.service)?;
        drop((events.take(), self.log.take()));
        let config = client(&self.authority, cast.peer(case), self.grpc)?;
        let grpc = self.grpc;
        let exchanged = self.runtime.block_on(async {
            let stream = connect(address, config).await?;
            if grpc { call(stream, exchange).await } else { request(stream, exchange).await }
        });
        let logged = self.log.take();
        if let Some(leaked) = secrets(exchange).find(|secret| logged.iter().any(|line| line.contains(secret)))
        {
            return Err(ScenarioError::new(format!("a part of the token was logged: {leaked}")));
        }
        let refused_connection = match exchanged {
            Ok((status, headers, body)) => {
                let reply = Reply::read(status, &headers, &body)?;
                return Ok(Seen { events: events.take(), reply: Some(reply), refused_connection: None });
            }
            Err(problem) => code_of_refused_connection(&logged).ok_or(problem)?,
        };
        Ok(Seen { events: events.take(), reply: None, refused_connection: Some(refused_connection) })
    }
}

/// Why the connection was refused, as the server logged it.
fn code_of_refused_connection(log: &[String]) -> Option<String> {
    let line = log
        .iter()
        .find(|line| line.starts_with("ztlib::refusal ") && line.contains(" stage=\"connection\""))?;
    let (_, rest) = line.split_once(" code=\"")?;
    rest.split_once('"').map(|(code, _)| code.to_owned())
}

type Exchanged = Result<(StatusCode, HeaderMap, Bytes), ScenarioError>;

/// Shows the certificate whatever is wrong with it; rustls would rather not.
#[derive(Debug)]
struct Shown(Option<Arc<CertifiedKey>>);

impl ResolvesClientCert for Shown {
    fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.clone()
    }

    fn has_certs(&self) -> bool {
        self.0.is_some()
    }
}

fn client(
    authority: &Authority,
    peer: Option<&Issued>,
    grpc: bool,
) -> Result<rustls::ClientConfig, ScenarioError> {
    let wrong = |error: &dyn std::fmt::Display| ScenarioError::because("the client", error);
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let key = |peer: &Issued| {
        let key = provider.key_provider.load_private_key(peer.key())?;
        Ok::<_, rustls::Error>(Arc::new(CertifiedKey::new(peer.chain(), key)))
    };
    let shown = peer.map(key).transpose().map_err(|error| wrong(&error))?;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.certificate()).map_err(|error| wrong(&error))?;
    let builder =
        rustls::ClientConfig::builder_with_provider(Arc::new(provider)).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| wrong(&error))?.with_root_certificates(roots);
    let mut config = builder.with_client_cert_resolver(Arc::new(Shown(shown)));
    config.alpn_protocols = vec![if grpc { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
    Ok(config)
}

async fn connect(
    address: SocketAddr,
    config: rustls::ClientConfig,
) -> Result<TlsStream<TcpStream>, ScenarioError> {
    let wrong = |error: &dyn std::fmt::Display| ScenarioError::because("no connection", error);
    let stream = TcpStream::connect(address).await.map_err(|error| wrong(&error))?;
    stream.set_nodelay(true).map_err(|error| wrong(&error))?;
    let name = ServerName::try_from("localhost").map_err(|error| wrong(&error))?;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(|error| wrong(&error))
}

/// HTTP/1.1, written as it stands: a client library would mend what is to be refused.
async fn request(mut stream: TlsStream<TcpStream>, exchange: &Exchange) -> Exchanged {
    let wrong = |error: &dyn std::fmt::Display| ScenarioError::because("no reply", error);
    let mut text = format!("{} {} HTTP/1.1\r\nconnection: close\r\n", exchange.method, exchange.target);
    if let Some(host) = &exchange.host {
        text.push_str(&format!("host: {host}\r\n"));
    }
    for (name, value) in &exchange.headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    stream.write_all(text.as_bytes()).await.map_err(|error| wrong(&error))?;
    let mut reply = Vec::new();
    let read = stream.read_to_end(&mut reply).await;
    match (read, reply.is_empty()) {
        (Err(error), true) => Err(wrong(&error)),
        (Ok(_), true) => Err(ScenarioError::new("the connection was closed without a reply")),
        (_, false) => parse(&reply).ok_or_else(|| {
            ScenarioError::new(format!("no HTTP/1.1 reply: {}", String::from_utf8_lossy(&reply)))
        }),
    }
}

/// Status, headers, and the body as it stands: nothing here is chunked.
fn parse(reply: &[u8]) -> Option<(StatusCode, HeaderMap, Bytes)> {
    let end = reply.windows(4).position(|window| window == b"\r\n\r\n")?;
    let (head, body) = reply.split_at_checked(end)?;
    let mut lines = std::str::from_utf8(head).ok()?.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':')?;
        headers.append(name.parse::<HeaderName>().ok()?, HeaderValue::from_str(value.trim()).ok()?);
    }
    Some((status, headers, Bytes::copy_from_slice(body.get(4..)?)))
}

/// HTTP/2, without a body: what a guard decides depends on none.
async fn call(stream: TlsStream<TcpStream>, exchange: &Exchange) -> Exchanged {
    let wrong = |error: &dyn std::fmt::Display| ScenarioError::because("no reply", error);
    let io = TokioIo::new(stream);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake::<_, _, Full<Bytes>>(TokioExecutor::new(), io)
            .await
            .map_err(|error| wrong(&error))?;
    tokio::spawn(connection);
    let response = sender.send_request(bare::request(exchange)?).await.map_err(|error| wrong(&error))?;
    let (parts, body) = response.into_parts();
    let body = body.collect().await.map_err(|error| wrong(&error))?.to_bytes();
    Ok((parts.status, parts.headers, body))
}
