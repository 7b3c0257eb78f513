//! From a transport to a verified connection.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use rustls::server::{NoClientAuth, NoServerSessionStorage};
use rustls::time_provider::TimeProvider;
use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

use super::connection::{Connection, HttpVersion};
use super::handshakes::Handshakes;
use super::identity::Resolver;
use super::identity::provider;
use super::limits::{TIMEOUTS, within};
use super::stream::{Heard, TlsStream};
use super::verifier::{PeerVerifier, Verdict};
use super::{AcceptError, ServerIdentity, TlsConfigError};
use crate::Clock;
use crate::authenticate::peer::{PeerError, Trust};
use crate::clock::{SharedClock, unix_seconds};
use crate::remote_addr::RemoteAddr;

/// Turns transports into verified connections. Clones share the count of handshakes in progress.
///
/// - Client certificates are required.
///   [`allow_unauthenticated_peers`](AcceptorBuilder::allow_unauthenticated_peers) admits peers
///   without a certificate, never peers with a bad one.
/// - **No session is ever resumed**: rustls does not ask the verifier about a resumed session, so a
///   peer whose roots were removed could return. There is no session store, no ticket and no early
///   data, and each handshake has a configuration of its own.
/// - TLS 1.3 only; [`allow_tls12`](AcceptorBuilder::allow_tls12) adds TLS 1.2.
/// - A handshake has a deadline (10 s). 512 may be in progress, and 4096 more connections may wait.
///   Silent peers make room for those that speak.
///
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use ztlib::authenticate::peer::Trust;
/// use ztlib::tls::Acceptor;
///
/// # let authority = ztlib_testing::Authority::new("example root");
/// # let server = authority.leaf().dns("localhost").for_servers().issue();
/// let trust =
///     Trust::builder().trust("example.org".parse()?, [authority.certificate()])?.build()?;
/// let acceptor =
///     Acceptor::builder().identity(server.chain(), server.key())?.peers(&trust).build()?;
///
/// // A transport that does not speak TLS is refused.
/// let (mut garbage, transport) = tokio::io::duplex(1024);
/// tokio::io::AsyncWriteExt::write_all(&mut garbage, b"GET / HTTP/1.1\r\n\r\n").await?;
/// let error = acceptor.accept(transport, "192.0.2.1:4711".parse()?).await.unwrap_err();
/// assert_eq!(error.code(), "handshake-failed");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Acceptor {
    settings: Arc<Settings>,
    handshakes: Handshakes,
}

#[derive(Clone)]
struct Settings {
    identity: ServerIdentity,
    peers: Peers,
    versions: &'static [&'static SupportedProtocolVersion],
    protocols: &'static [&'static [u8]],
    deadline: Duration,
    max_handshakes: usize,
    clock: SharedClock,
}

#[derive(Clone)]
enum Peers {
    Required(Trust),
    Optional(Trust),
    NotAsked,
}

impl Acceptor {
    /// Begins with the service's own certificate. The next choice is which peers may connect.
    pub fn builder() -> AcceptorBuilder<WantsIdentity> {
        AcceptorBuilder(WantsIdentity(()))
    }

    /// Performs the handshake over the transport and verifies the peer. `remote` becomes the
    /// [`RemoteAddr`] of each request.
    ///
    /// Do not await this in the loop that accepts transports: a peer can take until the deadline.
    ///
    /// # Errors
    /// If the connection is not accepted; the error says why. The transport is then already closed.
    pub async fn accept<IO>(
        &self,
        io: IO,
        remote: SocketAddr,
    ) -> Result<(TlsStream<IO>, Connection), AcceptError>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let arrival = self.handshakes.arrive();
        let handshake = async {
            let io = Heard::first(io, &arrival.slot).await.map_err(|error| AcceptError::Io(error.kind()))?;
            let _place = arrival.begin().await;
            let (config, verdict) = self.settings.configure().map_err(|_| AcceptError::Handshake)?;
            let stream = TlsAcceptor::from(Arc::new(config)).accept(io).await;
            Ok((stream.map_err(|error| refusal(&error, &verdict))?, verdict))
        };
        let mut handshake = pin!(handshake);
        let mut deadline = pin!(tokio::time::sleep(self.settings.deadline));
        let mut displaced = pin!(arrival.slot.displaced());
        let (stream, verdict) = poll_fn(|cx| {
            // Before the handshake, as in `drive`.
            if deadline.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Err(AcceptError::Deadline));
            }
            if let Poll::Ready(done) = handshake.as_mut().poll(cx) {
                return Poll::Ready(done);
            }
            displaced.as_mut().poll(cx).map(|()| Err(AcceptError::Displaced))
        })
        .await?;
        let session = stream.get_ref().1;
        if session.handshake_kind() == Some(HandshakeKind::Resumed) {
            return Err(AcceptError::Resumed);
        }
        let peer = match verdict.get() {
            Some(Ok(certificates)) => Some(certificates.clone()),
            Some(Err(error)) => return Err(AcceptError::Peer(error.clone())),
            None if matches!(self.settings.peers, Peers::Required(_)) => {
                return Err(AcceptError::Peer(PeerError::MissingCertificate));
            }
            None => None,
        };
        let protocol = self.settings.protocol(session.alpn_protocol());
        Ok((TlsStream::new(stream), Connection { peer, remote: RemoteAddr(remote), protocol }))
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor")
            .field("deadline", &self.settings.deadline)
            .field("max_handshakes", &self.settings.max_handshakes)
            .finish_non_exhaustive()
    }
}

impl Settings {
    /// A configuration for one handshake. It costs a few microseconds, and leaves connections
    /// nothing to share.
    fn configure(&self) -> Result<(ServerConfig, Arc<Verdict>), rustls::Error> {
        let provider = provider();
        let algorithms = provider.signature_verification_algorithms;
        let builder = ServerConfig::builder_with_details(provider, Arc::new(Time(self.clock.clone())))
            .with_protocol_versions(self.versions)?;
        let verifier = match &self.peers {
            Peers::Required(trust) => Some(PeerVerifier::new(trust.clone(), true, algorithms)),
            Peers::Optional(trust) => Some(PeerVerifier::new(trust.clone(), false, algorithms)),
            Peers::NotAsked => None,
        };
        let verdict = verifier.as_ref().map(PeerVerifier::verdict).unwrap_or_default();
        let builder = match verifier {
            Some(verifier) => builder.with_client_cert_verifier(Arc::new(verifier)),
            None => builder.with_client_cert_verifier(Arc::new(NoClientAuth)),
        };
        let mut config = builder.with_cert_resolver(Arc::new(Resolver(self.identity.clone())));
        config.alpn_protocols = self.protocols.iter().map(|name| name.to_vec()).collect();
        // Nobody verifies the peer of a resumed session. No tickets are made, because `ticketer` is
        // not set.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.max_early_data_size = 0;
        config.send_half_rtt_data = false;
        Ok((config, verdict))
    }

    /// A peer that negotiates no protocol speaks HTTP/1.1, or HTTP/2 if only that is offered.
    fn protocol(&self, agreed: Option<&[u8]>) -> HttpVersion {
        match agreed {
            Some(b"h2") => HttpVersion::Http2,
            None if self.protocols == H2 => HttpVersion::Http2,
            _ => HttpVersion::Http1,
        }
    }
}

fn refusal(error: &io::Error, verdict: &Verdict) -> AcceptError {
    if let Some(Err(error)) = verdict.get() {
        return AcceptError::Peer(error.clone());
    }
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::NoCertificatesPresented) => AcceptError::Peer(PeerError::MissingCertificate),
        Some(_) => AcceptError::Handshake,
        None => AcceptError::Io(error.kind()),
    }
}

/// The service's clock, in the form that rustls needs.
#[derive(Debug)]
struct Time(SharedClock);

impl TimeProvider for Time {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(unix_seconds(self.0.now()))))
    }
}

const MOST_HANDSHAKES: usize = 100_000;

static TLS13_ONLY: &[&SupportedProtocolVersion] = &[&TLS13];
static TLS13_AND_12: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

const H2: &[&[u8]] = &[b"h2"];
const HTTP1: &[&[u8]] = &[b"http/1.1"];
const BOTH: &[&[u8]] = &[b"h2", b"http/1.1"];

/// Builds an [`Acceptor`]: first the service's own certificate, then its peers, then the optional
/// settings.
#[must_use = "nothing is accepted before `build`"]
pub struct AcceptorBuilder<State>(State);

/// The service's own certificate is missing.
#[derive(Debug)]
pub struct WantsIdentity(());

/// The choice of peers is missing.
#[derive(Debug)]
pub struct WantsClients(ServerIdentity);

/// The remaining settings have defaults.
pub struct WantsNothing(Settings);

impl AcceptorBuilder<WantsIdentity> {
    /// Presents this chain, leaf first, and signs with this key.
    ///
    /// # Errors
    /// The errors of [`ServerIdentity::new`].
    pub fn identity(
        self,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<AcceptorBuilder<WantsClients>, TlsConfigError> {
        Ok(self.server_identity(&ServerIdentity::new(chain, key)?))
    }

    /// As [`identity`](Self::identity), from PEM text.
    ///
    /// # Errors
    /// The errors of [`ServerIdentity::from_pem`].
    pub fn identity_pem(
        self,
        chain: &[u8],
        key: &[u8],
    ) -> Result<AcceptorBuilder<WantsClients>, TlsConfigError> {
        Ok(self.server_identity(&ServerIdentity::from_pem(chain, key)?))
    }

    /// Presents the certificate that this identity holds at the time of each handshake.
    pub fn server_identity(self, identity: &ServerIdentity) -> AcceptorBuilder<WantsClients> {
        AcceptorBuilder(WantsClients(identity.clone()))
    }
}

impl AcceptorBuilder<WantsClients> {
    /// Accepts only peers with a certificate that chains to these roots.
    pub fn peers(self, trust: &Trust) -> AcceptorBuilder<WantsNothing> {
        self.with(Peers::Required(trust.clone()))
    }

    /// Loosens: also accepts peers without a certificate. A certificate that is presented must be
    /// valid.
    pub fn allow_unauthenticated_peers(self, trust: &Trust) -> AcceptorBuilder<WantsNothing> {
        self.with(Peers::Optional(trust.clone()))
    }

    /// Loosens: asks no peer for a certificate. For a listener whose callers are known by their
    /// tokens. Browsers would show a dialogue if asked for a certificate.
    pub fn allow_anonymous_peers_only(self) -> AcceptorBuilder<WantsNothing> {
        self.with(Peers::NotAsked)
    }

    fn with(self, peers: Peers) -> AcceptorBuilder<WantsNothing> {
        AcceptorBuilder(WantsNothing(Settings {
            identity: self.0.0,
            peers,
            versions: TLS13_ONLY,
            protocols: BOTH,
            deadline: Duration::from_secs(10),
            max_handshakes: 512,
            clock: SharedClock::default(),
        }))
    }
}

impl AcceptorBuilder<WantsNothing> {
    /// Offers HTTP/2 only, as gRPC needs.
    pub fn http2_only(mut self) -> Self {
        self.0.0.protocols = H2;
        self
    }

    /// Offers HTTP/1.1 only.
    pub fn http1_only(mut self) -> Self {
        self.0.0.protocols = HTTP1;
        self
    }

    /// Loosens: accepts TLS 1.2 as well (RFC 5246), where the peer's certificate is sent
    /// unencrypted.
    pub fn allow_tls12(mut self) -> Self {
        self.0.0.versions = TLS13_AND_12;
        self
    }

    /// The maximum duration of a handshake, from the arrival of the connection. 10 seconds by
    /// default; from a millisecond to an hour.
    pub fn handshake_deadline(mut self, deadline: Duration) -> Self {
        self.0.0.deadline = deadline;
        self
    }

    /// How many handshakes may be in progress; 512 by default, from 1 to 100 000. Eight times as
    /// many connections may wait to send their first bytes, or for a slot; when there are more, the
    /// oldest that has sent nothing makes room. While a peer that has spoken waits for a slot,
    /// peers that have been silent for half a second during their handshake are closed.
    pub fn max_handshakes(mut self, limit: usize) -> Self {
        self.0.0.max_handshakes = limit;
        self
    }

    /// Uses another clock to judge certificates.
    pub fn clock(self, clock: impl Clock) -> Self {
        self.shared_clock(SharedClock::new(clock))
    }

    pub(crate) fn shared_clock(mut self, clock: SharedClock) -> Self {
        self.0.0.clock = clock;
        self
    }

    /// Checks the settings and builds the acceptor.
    ///
    /// # Errors
    /// If a limit or timeout is out of range, or the TLS library refuses the settings.
    pub fn build(self) -> Result<Acceptor, TlsConfigError> {
        let settings = self.0.0;
        within("handshake_deadline", settings.deadline, TIMEOUTS)?;
        within("max_handshakes", settings.max_handshakes, 1..=MOST_HANDSHAKES)?;
        settings.configure().map_err(|error| TlsConfigError::Settings(error.to_string()))?;
        let handshakes = Handshakes::new(settings.max_handshakes);
        Ok(Acceptor { settings: Arc::new(settings), handshakes })
    }
}

impl<State> fmt::Debug for AcceptorBuilder<State> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AcceptorBuilder")
    }
}

impl fmt::Debug for WantsNothing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WantsNothing")
    }
}

#[cfg(test)]
mod tests {
    use ztlib_testing::Authority;

    use super::*;

    /// Nothing that a client could resume is ever made, whatever peers may connect and whatever TLS
    /// version is used.
    #[test]
    fn no_handshake_leaves_anything_to_resume() {
        let root = Authority::new("root");
        let server = root.leaf().dns("localhost").for_servers().issue();
        let trust =
            Trust::builder().trust("td".parse().unwrap(), [root.certificate()]).unwrap().build().unwrap();
        let builder = || Acceptor::builder().identity(server.chain(), server.key()).unwrap();
        for settings in [
            builder().peers(&trust),
            builder().allow_unauthenticated_peers(&trust).allow_tls12(),
            builder().allow_anonymous_peers_only().http2_only(),
        ] {
            let acceptor = settings.build().unwrap();
            let (one, _) = acceptor.settings.configure().unwrap();
            let (other, _) = acceptor.settings.configure().unwrap();
            for config in [&one, &other] {
                assert!(!config.session_storage.can_cache());
                assert!(!config.ticketer.enabled());
                assert_eq!((config.send_tls13_tickets, config.max_early_data_size), (0, 0));
                assert!(!config.send_half_rtt_data);
            }
            assert!(!Arc::ptr_eq(&one.session_storage, &other.session_storage));
        }
    }
}
