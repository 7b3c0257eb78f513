//! Handshakes through the real acceptor, in memory.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::future::Future as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Extensions;
use proptest::prelude::*;
use rustls::{ClientConfig, HandshakeKind, RootCertStore, ServerConfig};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use ztlib::RemoteAddr;
use ztlib::authenticate::peer::{PeerAuthenticator, PeerCertificates, Trust};
use ztlib::authorize::{Answer, Fault, NativePolicy, Outcome, Reader};
use ztlib::enforce::{Guard, GuardBuilder, WantsTokens};
use ztlib::policies::PolicySetBuilder;
use ztlib::tls::{
    AcceptError, Acceptor, AcceptorBuilder, Connection, HttpVersion, ServerIdentity, WantsNothing,
};
use ztlib_testing::{Authority, Issued, ManualClock, TlsClient, a_day, peer_extensions};

/// A server, its authority, and the roots of its peers in `td`.
struct Setting {
    servers: Authority,
    server: Issued,
    peers: Authority,
    trust: Trust,
    clock: ManualClock,
}

impl Setting {
    fn new() -> Self {
        let servers = Authority::new("servers");
        let server = servers.leaf().dns("localhost").for_servers().issue();
        let peers = Authority::new("peers");
        let trust = trusting(&peers);
        Self { servers, server, peers, trust, clock: ManualClock::new(a_day()) }
    }

    fn required(&self) -> AcceptorBuilder<WantsNothing> {
        self.identified().peers(&self.trust).clock(self.clock.clone())
    }

    fn optional(&self) -> AcceptorBuilder<WantsNothing> {
        self.identified().allow_unauthenticated_peers(&self.trust).clock(self.clock.clone())
    }

    fn identified(&self) -> AcceptorBuilder<ztlib::tls::WantsClients> {
        Acceptor::builder().identity(self.server.chain(), self.server.key()).unwrap()
    }

    fn client(&self, peer: Option<&Issued>) -> TlsClient {
        TlsClient::new(&self.servers, peer)
    }

    fn authenticate(&self, connection: &Connection) -> String {
        let mut extensions = Extensions::new();
        connection.extend(&mut extensions);
        let peers = PeerAuthenticator::new(self.trust.clone());
        match peers.authenticate(&extensions, ztlib::Clock::now(&self.clock)) {
            Ok(identity) => identity.unwrap().to_string(),
            Err(error) => error.code().to_owned(),
        }
    }
}

fn trusting(authority: &Authority) -> Trust {
    Trust::builder().trust("td".parse().unwrap(), [authority.certificate()]).unwrap().build().unwrap()
}

fn code<T>(result: Result<T, AcceptError>) -> &'static str {
    result.map_or_else(|error| error.code(), |_| "accepted")
}

#[tokio::test]
async fn a_verified_peer_is_accepted_and_known() {
    let setting = Setting::new();
    let peer = setting.peers.issue_spiffe("spiffe://td/a");
    let handshake =
        setting.client(Some(&peer)).handshake(&setting.required().build().unwrap()).await.unwrap();
    assert_eq!(setting.authenticate(&handshake.connection), "spiffe://td/a");
    let mut extensions = Extensions::new();
    handshake.connection.extend(&mut extensions);
    assert_eq!(extensions.get::<RemoteAddr>().unwrap().0, SocketAddr::from(([192, 0, 2, 1], 4711)));
}

#[tokio::test]
async fn a_peer_without_a_certificate_needs_a_verb() {
    let setting = Setting::new();
    let nobody = setting.client(None);
    assert_eq!(code(nobody.handshake(&setting.required().build().unwrap()).await), "missing-certificate");
    let handshake = nobody.handshake(&setting.optional().build().unwrap()).await.unwrap();
    assert!(handshake.connection.peer().is_none());
    assert_eq!(setting.authenticate(&handshake.connection), "missing-certificate");
    let anonymous = setting.identified().allow_anonymous_peers_only().build().unwrap();
    assert!(nobody.handshake(&anonymous).await.unwrap().connection.peer().is_none());
    // Where nobody is asked, a certificate is not even sent.
    let peer = setting.peers.issue_spiffe("spiffe://td/a");
    assert!(setting.client(Some(&peer)).handshake(&anonymous).await.unwrap().connection.peer().is_none());
}

/// One that denies everything.
struct Nobody;

impl NativePolicy for Nobody {
    fn decide(&self, _: &mut Reader, _: &mut Outcome) -> Result<Answer, Fault> {
        Ok(Answer::Deny)
    }
}

#[tokio::test]
async fn the_acceptor_of_a_guard_asks_whom_the_guard_asks() {
    let setting = Setting::new();
    let identity = ServerIdentity::new(setting.server.chain(), setting.server.key()).unwrap();
    let acceptor = |peers: GuardBuilder<WantsTokens>| {
        let policies = PolicySetBuilder::new().native("nobody", Nobody).load().unwrap();
        let guard = peers.allow_requests_without_token().policies(policies).clock(setting.clock.clone());
        guard.build().acceptor(&identity).build().unwrap()
    };
    let required = acceptor(Guard::builder().peers(&setting.trust));
    let optional = PeerAuthenticator::new(setting.trust.clone()).allow_unauthenticated();
    let optional = acceptor(Guard::builder().peers(optional));
    let none = acceptor(Guard::builder().allow_unauthenticated_peers());
    let peer = setting.peers.issue_spiffe("spiffe://td/a");
    let stranger = Authority::new("strangers").issue_spiffe("spiffe://td/a");
    for (acceptor, of_nobody, of_stranger, has_peer) in [
        (&required, "missing-certificate", "untrusted-issuer", true),
        (&optional, "accepted", "untrusted-issuer", true),
        // It asks for no certificate, so none is sent.
        (&none, "accepted", "accepted", false),
    ] {
        assert_eq!(code(setting.client(None).handshake(acceptor).await), of_nobody);
        assert_eq!(code(setting.client(Some(&stranger)).handshake(acceptor).await), of_stranger);
        let handshake = setting.client(Some(&peer)).handshake(acceptor).await.unwrap();
        assert_eq!(handshake.connection.peer().is_some(), has_peer);
    }

    // Roots that are replaced are replaced for both.
    setting.trust.replace(trusting(&Authority::new("others")));
    assert_eq!(code(setting.client(Some(&peer)).handshake(&required).await), "untrusted-issuer");
}

#[tokio::test]
async fn a_bad_certificate_is_refused_also_where_none_is_needed() {
    let setting = Setting::new();
    let acceptors = [setting.required().build().unwrap(), setting.optional().build().unwrap()];
    let leaf = || setting.peers.leaf();
    for (peer, expected) in [
        (leaf().spiffe("spiffe://td/a").issue(), "accepted"),
        (leaf().spiffe("spiffe://td/a").expired_at(a_day()).issue(), "expired"),
        (leaf().spiffe("spiffe://td/a").not_yet_valid_at(a_day()).issue(), "not-yet-valid"),
        (leaf().spiffe("spiffe://td/a").spiffe("spiffe://td/b").issue(), "two-uri-sans"),
        (leaf().spiffe("spiffe://TD/a").issue(), "trust-domain-upper-case"),
        (leaf().spiffe("spiffe://other/a").issue(), "unknown-trust-domain"),
        (leaf().spiffe("spiffe://td/a").as_authority().issue(), "leaf-is-ca"),
        (leaf().spiffe("spiffe://td/a").for_servers().issue(), "not-for-client-authentication"),
        (leaf().common_name("spiffe://td/a").issue(), "no-identity"),
        (leaf().dns("a.example").issue(), "no-authorities"),
        (Authority::new("stranger").issue_spiffe("spiffe://td/a"), "untrusted-issuer"),
    ] {
        for acceptor in &acceptors {
            assert_eq!(code(setting.client(Some(&peer)).handshake(acceptor).await), expected);
        }
    }
}

#[tokio::test]
async fn a_peer_that_does_not_hold_the_key_is_refused() {
    let setting = Setting::new();
    let victim = setting.peers.issue_spiffe("spiffe://td/a");
    let thief = setting.peers.issue_spiffe("spiffe://td/b");
    // The victim's certificate, the thief's key: rustls' own client would not do that.
    let mut roots = RootCertStore::empty();
    roots.add(setting.servers.certificate()).unwrap();
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let key = provider.key_provider.load_private_key(thief.key()).unwrap();
    let stolen = Arc::new(rustls::sign::CertifiedKey::new(victim.chain(), key));
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(stolen)));
    let (near, far) = tokio::io::duplex(64 * 1024);
    let client = tokio::spawn(async move {
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, near).await?;
        stream.read_u8().await
    });
    let acceptor = setting.optional().build().unwrap();
    let refused = acceptor.accept(far, SocketAddr::from(([192, 0, 2, 1], 1))).await;
    assert_eq!(code(refused), "handshake-failed");
    assert!(client.await.unwrap().is_err());
}

/// Threat 46. A client that keeps its sessions comes back: each time it is verified anew.
#[tokio::test]
async fn no_session_is_resumed() {
    for tls12 in [false, true] {
        let setting = Setting::new();
        let required =
            if tls12 { setting.required().allow_tls12() } else { setting.required() }.build().unwrap();
        let optional =
            if tls12 { setting.optional().allow_tls12() } else { setting.optional() }.build().unwrap();
        let peer = setting.peers.leaf().spiffe("spiffe://td/a");
        let peer = peer.valid_between(a_day(), a_day() + Duration::from_secs(60)).issue();
        let client = if tls12 { tls12_client(&setting, &peer) } else { setting.client(Some(&peer)) };
        for acceptor in [&required, &required, &optional, &optional, &required] {
            let handshake = client.handshake(acceptor).await.unwrap();
            assert!(!handshake.resumed);
            assert_eq!(setting.authenticate(&handshake.connection), "spiffe://td/a");
        }
        // After the certificate has expired.
        setting.clock.advance(Duration::from_secs(61));
        assert_eq!(code(client.handshake(&required).await), "expired");
        assert_eq!(code(client.handshake(&optional).await), "expired");
        setting.clock.set(a_day());
        assert_eq!(code(client.handshake(&required).await), "accepted");
        // After the roots were replaced.
        setting.trust.replace(trusting(&Authority::new("others")));
        assert_eq!(code(client.handshake(&required).await), "untrusted-issuer");
        assert_eq!(code(client.handshake(&optional).await), "untrusted-issuer");
        // A session from a listener that asks nobody is of no use where a certificate is required.
        let anonymous = setting.identified().allow_anonymous_peers_only().build().unwrap();
        let nobody = setting.client(None);
        assert!(!nobody.handshake(&anonymous).await.unwrap().resumed);
        assert_eq!(code(nobody.handshake(&required).await), "missing-certificate");
    }
}

fn tls12_client(setting: &Setting, peer: &Issued) -> TlsClient {
    TlsClient::of_version(&setting.servers, Some(peer), &rustls::version::TLS12)
}

/// The other side of `no_session_is_resumed`: against a server that gives out tickets, the same
/// client does resume.
#[tokio::test]
async fn the_client_of_these_tests_would_resume_a_session() {
    let setting = Setting::new();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(setting.server.chain(), setting.server.key())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let connector = setting.client(None).connector();
    let mut kinds = Vec::new();
    for _ in 0..2 {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let acceptor = acceptor.clone();
        let server = tokio::spawn(async move {
            let mut stream = acceptor.accept(far).await.unwrap();
            stream.write_u8(0).await.unwrap();
            stream.flush().await.unwrap();
            let _ = stream.read_u8().await;
        });
        let mut client = connector.connect(ServerName::try_from("localhost").unwrap(), near).await.unwrap();
        client.read_u8().await.unwrap();
        kinds.push(client.get_ref().1.handshake_kind());
        drop(client);
        server.await.unwrap();
    }
    assert_eq!(kinds.last(), Some(&Some(HandshakeKind::Resumed)));
}

#[tokio::test]
async fn tls12_needs_a_verb() {
    let setting = Setting::new();
    let peer = setting.peers.issue_spiffe("spiffe://td/a");
    let client = tls12_client(&setting, &peer);
    assert_eq!(code(client.handshake(&setting.required().build().unwrap()).await), "handshake-failed");
    assert_eq!(code(client.handshake(&setting.required().allow_tls12().build().unwrap()).await), "accepted");
}

#[tokio::test]
async fn the_protocol_is_the_one_agreed_on() {
    let setting = Setting::new();
    let peer = setting.peers.issue_spiffe("spiffe://td/a");
    let both = setting.required().build().unwrap();
    let h2 = setting.required().http2_only().build().unwrap();
    let h1 = setting.required().http1_only().build().unwrap();
    let client = |names: &[&str]| setting.client(Some(&peer)).protocols(names);
    for (acceptor, offer, expected) in [
        (&both, &["h2", "http/1.1"][..], Some(HttpVersion::Http2)),
        (&both, &["http/1.1"], Some(HttpVersion::Http1)),
        (&both, &["h2"], Some(HttpVersion::Http2)),
        (&both, &[], Some(HttpVersion::Http1)),
        (&both, &["spdy/3"], None),
        (&h2, &["h2", "http/1.1"], Some(HttpVersion::Http2)),
        (&h2, &["http/1.1"], None),
        (&h2, &[], Some(HttpVersion::Http2)),
        (&h1, &["h2", "http/1.1"], Some(HttpVersion::Http1)),
        (&h1, &["h2"], None),
    ] {
        let protocol =
            client(offer).handshake(acceptor).await.map(|handshake| handshake.connection.protocol());
        assert_eq!(protocol.ok(), expected, "{offer:?}");
    }
}

#[tokio::test]
async fn the_servers_certificate_changes_while_it_runs() {
    let setting = Setting::new();
    let identity = ServerIdentity::new(setting.server.chain(), setting.server.key()).unwrap();
    let acceptor = Acceptor::builder().server_identity(&identity).peers(&setting.trust).build().unwrap();
    let peer = setting.peers.issue_spiffe("spiffe://td/a");
    let shown = async |client: &TlsClient| {
        let handshake = client.handshake(&acceptor).await.unwrap();
        handshake.client.get_ref().1.peer_certificates().unwrap().to_vec()
    };
    let client = setting.client(Some(&peer));
    assert_eq!(shown(&client).await, setting.server.chain());
    let next = setting.servers.leaf().dns("localhost").for_servers().issue();
    let mut waits = tokio_test::task::spawn(identity.changed(1));
    assert!(waits.poll().is_pending());
    assert_eq!(identity.replace_pem(next.chain_pem().as_bytes(), next.key_pem().as_bytes()).unwrap(), 2);
    assert!(waits.is_woken());
    assert_eq!(waits.await, 2);
    assert_eq!(shown(&client).await, next.chain());
    // What cannot be used changes nothing.
    let code = |result: Result<u64, ztlib::tls::TlsConfigError>| result.unwrap_err().code();
    assert_eq!(code(identity.replace(setting.server.chain(), next.key())), "key-mismatch");
    assert_eq!(code(identity.replace(Vec::new(), next.key())), "no-certificate");
    assert_eq!(code(identity.replace_pem(next.chain_pem().as_bytes(), b"")), "private-key");
    assert_eq!(code(identity.replace_pem(b"", next.key_pem().as_bytes())), "no-certificate");
    assert_eq!((shown(&client).await, identity.generation()), (next.chain(), 2));
}

/// Threat 64: a handshake that arrives byte by byte is a handshake.
#[tokio::test]
async fn a_handshake_in_single_bytes_is_understood() {
    let setting = Setting::new();
    let acceptor = setting.required().build().unwrap();
    let connector = setting.client(Some(&setting.peers.issue_spiffe("spiffe://td/a"))).connector();
    let (near, relay_near) = tokio::io::duplex(64 * 1024);
    let (relay_far, far) = tokio::io::duplex(64 * 1024);
    let client = tokio::spawn(async move {
        let mut stream = connector.connect(ServerName::try_from("localhost").unwrap(), near).await.unwrap();
        stream.read_u8().await.unwrap()
    });
    let (mut from_client, mut to_client) = tokio::io::split(relay_near);
    let (mut from_server, mut to_server) = tokio::io::split(relay_far);
    tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
    tokio::spawn(async move {
        while let Ok(byte) = from_client.read_u8().await {
            to_server.write_u8(byte).await.unwrap();
            // The server is given each byte before the next.
            tokio::task::yield_now().await;
        }
    });
    let (mut stream, connection) = acceptor.accept(far, SocketAddr::from(([192, 0, 2, 1], 1))).await.unwrap();
    assert_eq!(setting.authenticate(&connection), "spiffe://td/a");
    stream.write_u8(7).await.unwrap();
    stream.flush().await.unwrap();
    assert_eq!(client.await.unwrap(), 7);
}

#[tokio::test]
async fn every_setting_of_an_acceptor_has_a_range() {
    let setting = Setting::new();
    let code = |builder: AcceptorBuilder<WantsNothing>| builder.build().unwrap_err().code();
    assert_eq!(code(setting.required().max_handshakes(0)), "setting-out-of-range");
    assert_eq!(code(setting.required().max_handshakes(usize::MAX)), "setting-out-of-range");
    for bad in [Duration::ZERO, Duration::from_micros(999), Duration::from_secs(3601), Duration::MAX] {
        let error = setting.required().handshake_deadline(bad).build().unwrap_err();
        assert_eq!(error.code(), "setting-out-of-range");
        assert!(error.to_string().contains("`handshake_deadline`"), "{error}");
    }
    for good in [Duration::from_millis(1), Duration::from_secs(3600)] {
        assert!(setting.required().handshake_deadline(good).build().is_ok());
    }
}

#[tokio::test]
async fn a_silent_peer_is_refused_at_the_deadline() {
    let setting = Setting::new();
    let acceptor = setting.required().handshake_deadline(Duration::from_millis(20)).build().unwrap();
    let (_silent, far) = tokio::io::duplex(1024);
    let refused = acceptor.accept(far, SocketAddr::from(([192, 0, 2, 1], 1))).await;
    assert_eq!(code(refused), "handshake-deadline");
}

/// Opens connections that send these bytes and then nothing, and says how each of them ends.
fn stalling(
    acceptor: &Acceptor,
    connections: u16,
    bytes: &'static [u8],
) -> (Vec<tokio::io::DuplexStream>, Vec<tokio::task::JoinHandle<&'static str>>) {
    (0..connections)
        .map(|port| {
            let (mut near, far) = tokio::io::duplex(1024);
            let acceptor = acceptor.clone();
            let handshake = tokio::spawn(async move {
                code(acceptor.accept(far, SocketAddr::from(([192, 0, 2, 1], port))).await)
            });
            let sent = std::pin::pin!(near.write_all(bytes));
            let waker = std::task::Waker::noop();
            assert!(sent.poll(&mut std::task::Context::from_waker(waker)).is_ready());
            (near, handshake)
        })
        .unzip()
}

#[tokio::test]
async fn silent_peers_do_not_delay_one_that_speaks() {
    let setting = Setting::new();
    let acceptor = setting.required().max_handshakes(2).build().unwrap();
    let (_kept, silent) = stalling(&acceptor, 100, b"");
    while silent.iter().filter(|handshake| handshake.is_finished()).count() < 84 {
        tokio::task::yield_now().await;
    }
    let peer = setting.peers.issue_spiffe("spiffe://td/a");
    assert_eq!(code(setting.client(Some(&peer)).handshake(&acceptor).await), "accepted");
    let (mut displaced, mut waiting) = (0, 0);
    for handshake in silent {
        if handshake.is_finished() {
            assert_eq!(handshake.await.unwrap(), "handshake-displaced");
            displaced += 1;
        } else {
            waiting += 1;
        }
    }
    // Eight may wait for each of the two places.
    assert!(displaced >= 84 && waiting <= 16, "{displaced} displaced, {waiting} waiting");
}

#[tokio::test]
async fn peers_that_stop_half_way_make_room_for_one_that_goes_on() {
    let setting = Setting::new();
    let acceptor = setting.required().max_handshakes(2).build().unwrap();
    let (_kept, stopped) = stalling(&acceptor, 10, &[22, 3, 1, 2]);
    let peer = setting.peers.issue_spiffe("spiffe://td/a");
    // The good one is behind ten others in the queue for two places; each pair leaves after its
    // patience is over.
    assert_eq!(code(setting.client(Some(&peer)).handshake(&acceptor).await), "accepted");
    for handshake in stopped {
        if handshake.is_finished() {
            assert_eq!(handshake.await.unwrap(), "handshake-displaced");
        }
    }
}

#[tokio::test]
async fn many_clients_at_once_are_all_served() {
    let setting = Setting::new();
    let acceptor = setting.required().max_handshakes(4).build().unwrap();
    let peer = setting.peers.issue_spiffe("spiffe://td/a");
    let client = setting.client(Some(&peer));
    let handshakes: Vec<_> = (0..32)
        .map(|_| {
            let (client, acceptor) = (client.clone(), acceptor.clone());
            tokio::spawn(async move { code(client.handshake(&acceptor).await) })
        })
        .collect();
    for handshake in handshakes {
        assert_eq!(handshake.await.unwrap(), "accepted");
    }
}

#[tokio::test]
async fn extensions_for_handlers_come_from_a_real_handshake() {
    let root = Authority::new("root");
    let trust = trusting(&root);
    let clock = ManualClock::new(a_day());
    let good = root.issue_spiffe("spiffe://td/a");
    let extensions = peer_extensions(&trust, Some(&good), clock.clone()).await.unwrap();
    let peers = PeerAuthenticator::from(&trust);
    assert_eq!(peers.authenticate(&extensions, a_day()).unwrap().unwrap().to_string(), "spiffe://td/a");
    let extensions = peer_extensions(&trust, None, clock.clone()).await.unwrap();
    assert!(extensions.get::<PeerCertificates>().is_none());
    assert_eq!(peers.authenticate(&extensions, a_day()).unwrap_err().code(), "missing-certificate");
    let expired = root.leaf().spiffe("spiffe://td/a").expired_at(a_day()).issue();
    assert_eq!(code(peer_extensions(&trust, Some(&expired), clock).await), "expired");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Threat 64: whatever comes first, in whatever pieces, ends in an error and never in a panic.
    #[test]
    fn no_first_bytes_panic_the_acceptor(garbage in prop::collection::vec(any::<u8>(), 0..400), piece in 1_usize..50, hello: bool) {
        thread_local! {
            static RUNTIME: (tokio::runtime::Runtime, Acceptor) = (
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap(),
                Setting::new().required().build().unwrap(),
            );
        }
        RUNTIME.with(|(runtime, acceptor)| runtime.block_on(async {
            let (mut near, far) = tokio::io::duplex(16);
            let sent = tokio::spawn(async move {
                // A record that says it is a ClientHello leads further into the parser.
                if hello {
                    let length = u16::try_from(garbage.len() + 4).unwrap().to_be_bytes();
                    let body = u16::try_from(garbage.len()).unwrap().to_be_bytes();
                    let head = [22, 3, 1, length[0], length[1], 1, 0, body[0], body[1]];
                    let _ = near.write_all(&head).await;
                }
                for bytes in garbage.chunks(piece) {
                    if near.write_all(bytes).await.is_err() {
                        return;
                    }
                }
            });
            let refused = acceptor.accept(far, SocketAddr::from(([192, 0, 2, 1], 1))).await;
            assert!(refused.is_err());
            sent.await.unwrap();
        }));
    }
}
