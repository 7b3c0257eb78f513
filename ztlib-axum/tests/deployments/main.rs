//! Where a service runs: each deployment of `docs/deployments.md`, over real sockets. The page
//! shows the lines between `page: from here` and `page: to here`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test"
)]
#![allow(clippy::result_large_err, reason = "tonic::Status is the error of every tonic method")]

#[path = "../../../ztlib/tests/support/mod.rs"]
mod support;

mod behind_a_balancer;
mod behind_a_mesh;
mod browser;
mod layers;
mod one_port;
mod page;
mod probes;
mod shutdown;
mod unix_socket;
mod with_axum_server;
mod with_ztlib;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use ztlib::authenticate::token::{Algorithm, Issuer, KeySet, TokenVerifier};
use ztlib::authorize::{Answer, Read};
use ztlib::policies::PolicyStore;
use ztlib_testing::{Authority, HttpsClient, Issued, TokenIssuer};

use support::{deciding, text};

/// What the policy saw of a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Caller {
    peer: Option<String>,
    subject: Option<String>,
    address: Option<String>,
    route: Option<String>,
    user_id: Option<String>,
    forwarded: Vec<Option<String>>,
}

impl Caller {
    /// A GET of an order by alice.
    fn alice() -> Self {
        Self {
            subject: Some("alice".to_owned()),
            route: Some("/orders/{id}".to_owned()),
            forwarded: vec![None; 3],
            ..Self::default()
        }
    }
}

/// An authority, an issuer and a policy that lets alice do what has a route, and keeps what it saw.
/// All of it by the machine's clock, as the lines of the page take it.
struct House {
    authority: Authority,
    id: TokenIssuer,
    seen: Arc<Mutex<Vec<Caller>>>,
}

impl House {
    fn new() -> Self {
        Self {
            authority: Authority::new("shop root"),
            id: TokenIssuer::new("https://id.example"),
            seen: Arc::default(),
        }
    }

    fn trust(&self) -> ztlib::authenticate::peer::Trust {
        let trust = ztlib::authenticate::peer::Trust::builder();
        let trust = trust.trust("shop.example".parse().unwrap(), [self.authority.certificate()]);
        trust.unwrap().build().unwrap()
    }

    fn tokens(&self) -> TokenVerifier {
        let issuer = Issuer::new(self.id.name()).audience("shop").algorithms([Algorithm::ES256]);
        let keys = KeySet::from_jwks(&self.id.jwks()).unwrap();
        TokenVerifier::builder().issuer(issuer.keys(keys)).build().unwrap()
    }

    fn policies(&self) -> PolicyStore {
        self.deciding(false)
    }

    /// The same, and it asks for a peer.
    fn policies_for_peers(&self) -> PolicyStore {
        self.deciding(true)
    }

    fn deciding(&self, for_peers: bool) -> PolicyStore {
        let seen = self.seen.clone();
        deciding(move |question, outcome| {
            let forwarded = ["x-forwarded-client-cert", "client-cert", "ztlib-peer"];
            let forwarded = forwarded.map(|name| text(question, Read::Header(name.into())));
            let caller = Caller {
                peer: text(question, Read::PeerSpiffeId)?,
                subject: text(question, Read::Subject)?,
                address: text(question, Read::RemoteIp)?,
                route: text(question, Read::Route)?,
                user_id: text(question, Read::Label("unix-user".into()))?,
                forwarded: forwarded.into_iter().collect::<Result<_, _>>()?,
            };
            let allowed = caller.subject.as_deref() == Some("alice") && caller.route.is_some();
            let nobody = for_peers && caller.peer.is_none();
            seen.lock().unwrap().push(caller);
            if nobody {
                outcome.reason("not-yours")?;
                return Ok(Answer::Deny);
            }
            if allowed {
                return Ok(Answer::Allow);
            }
            outcome.reason("no-role")?;
            Ok(Answer::Deny)
        })
    }

    /// What the policy saw since the last look.
    fn seen(&self) -> Vec<Caller> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }

    fn frontend(&self) -> Issued {
        self.authority.issue_spiffe("spiffe://shop.example/frontend")
    }

    fn server(&self) -> Issued {
        self.authority.leaf().dns("localhost").for_servers().issue()
    }

    fn identity(&self) -> ztlib::tls::ServerIdentity {
        let server = self.server();
        ztlib::tls::ServerIdentity::new(server.chain(), server.key()).unwrap()
    }

    fn client(&self, peer: Option<&Issued>) -> HttpsClient {
        let identity = peer.map(|peer| (peer.chain(), peer.key()));
        HttpsClient::new(self.authority.certificate(), identity).unwrap()
    }

    fn token(&self, subject: &str) -> String {
        self.id.token().subject(subject).audience("shop").sign()
    }

    fn bearer(&self, subject: &str) -> String {
        format!("Bearer {}", self.token(subject))
    }

    /// A GET with a token of this subject, where one is given.
    fn get(&self, version: Version, path: &str, subject: Option<&str>) -> http::request::Builder {
        let uri = match version {
            Version::HTTP_2 => format!("https://localhost{path}"),
            _ => path.to_owned(),
        };
        let mut request = Request::get(uri).version(version);
        if version == Version::HTTP_11 {
            request = request.header("host", "localhost");
        }
        match subject {
            Some(subject) => request.header("authorization", self.bearer(subject)),
            None => request,
        }
    }
}

const VERSIONS: [Version; 2] = [Version::HTTP_11, Version::HTTP_2];

fn empty(request: http::request::Builder) -> Request<Full<Bytes>> {
    request.body(Full::default()).unwrap()
}

/// A port of its own, and its address.
fn listener() -> (std::net::TcpListener, SocketAddr) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// The same for servers that take tokio's.
fn tokio_listener() -> (tokio::net::TcpListener, SocketAddr) {
    let (listener, address) = listener();
    listener.set_nonblocking(true).unwrap();
    (tokio::net::TcpListener::from_std(listener).unwrap(), address)
}

/// Sends a request without TLS.
async fn plain(address: SocketAddr, request: Request<Full<Bytes>>) -> Response<Bytes> {
    exchange(TcpStream::connect(address).await.unwrap(), request).await
}

/// One request over a connection of its own, in the version that it names.
async fn exchange<IO>(io: IO, request: Request<Full<Bytes>>) -> Response<Bytes>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let io = TokioIo::new(io);
    let response = if request.version() == Version::HTTP_2 {
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        sender.send_request(request).await.unwrap()
    } else {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        sender.send_request(request).await.unwrap()
    };
    let (parts, body) = response.into_parts();
    Response::from_parts(parts, body.collect().await.unwrap().to_bytes())
}

/// The status, and the code of a refusal or what the handler said.
fn told(response: &Response<Bytes>) -> (u16, String) {
    let code = serde_json::from_slice::<serde_json::Value>(response.body());
    let code = code.ok().and_then(|body| body.get("code")?.as_str().map(str::to_owned));
    let text = || String::from_utf8_lossy(response.body()).into_owned();
    (response.status().as_u16(), code.unwrap_or_else(text))
}

fn says(status: u16, text: &str) -> (u16, String) {
    (status, text.to_owned())
}
