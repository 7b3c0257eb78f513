//! A guarded gRPC server over real mTLS sockets, as tonic's own client sees it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test"
)]
#![allow(clippy::result_large_err, reason = "tonic::Status is the error of every tonic method")]

#[path = "../../ztlib/tests/support/mod.rs"]
mod support;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::{Buf as _, BufMut as _, Bytes};
use http_body_util::{BodyExt as _, Full};
use tokio_stream::{Stream, StreamExt as _};
use tonic::client::Grpc as ClientGrpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataValue;
use tonic::server::{Grpc, NamedService};
use tonic::service::Routes;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Request, Response, Status, Streaming};
use tower::{Service, ServiceExt as _, service_fn};
use ztlib::authorize::{Answer, Labels, Read, Value};
use ztlib::enforce::{Ask, Guard, Refusal};
use ztlib::observe::Verdict;
use ztlib::tls::{Acceptor, Server};
use ztlib_testing::HttpsClient;
use ztlib_tonic::{GuardedRequest as _, GuardedRoutes};

use support::{FRONTEND, World, deciding, text};

// A service made by hand, of bytes.

#[derive(Debug, Clone, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        let length = from.remaining();
        Ok(Some(from.copy_to_bytes(length)))
    }
}

type Messages = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;

#[derive(Clone, Default)]
struct Echo {
    runs: Arc<AtomicUsize>,
    guard: Option<Guard>,
}

impl NamedService for Echo {
    const NAME: &'static str = "test.Echo";
}

impl Service<http::Request<tonic::body::Body>> for Echo {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        self.runs.fetch_add(1, Ordering::SeqCst);
        let guard = self.guard.clone();
        Box::pin(async move {
            let mut grpc = Grpc::new(Raw);
            let path = request.uri().path().to_owned();
            Ok(match path.strip_prefix("/test.Echo/").unwrap_or_default() {
                "Unary" => {
                    let unary = |request: Request<Bytes>| async {
                        Ok::<_, Status>(Response::new(request.into_inner()))
                    };
                    grpc.unary(service_fn(unary), request).await
                }
                "Repeat" => {
                    let repeat = |request: Request<Bytes>| async {
                        let said = request.into_inner();
                        let three: Messages =
                            Box::pin(tokio_stream::iter([Ok(said.clone()), Ok(said.clone()), Ok(said)]));
                        Ok::<_, Status>(Response::new(three))
                    };
                    grpc.server_streaming(service_fn(repeat), request).await
                }
                "Join" => {
                    let join = |request: Request<Streaming<Bytes>>| async {
                        let mut joined = Vec::new();
                        let mut messages = request.into_inner();
                        while let Some(message) = messages.message().await? {
                            joined.extend_from_slice(&message);
                        }
                        Ok::<_, Status>(Response::new(Bytes::from(joined)))
                    };
                    grpc.client_streaming(service_fn(join), request).await
                }
                "Chat" => {
                    let chat = |request: Request<Streaming<Bytes>>| async {
                        let back: Messages = Box::pin(request.into_inner());
                        Ok::<_, Status>(Response::new(back))
                    };
                    grpc.streaming(service_fn(chat), request).await
                }
                "WhoAmI" => {
                    let who = |request: Request<Bytes>| async move {
                        let peer = request.peer_identity()?.to_string();
                        let claims: serde::de::IgnoredAny = request.claims()?;
                        let (permit, principal) = (request.permit()?, request.principal()?);
                        let subject =
                            principal.claims().and_then(|claims| claims.subject()).unwrap_or("nobody");
                        let said =
                            format!("{peer} {subject} {} {} {claims:?}", permit.enforced(), permit.id());
                        Ok::<_, Status>(Response::new(Bytes::from(said)))
                    };
                    grpc.unary(service_fn(who), request).await
                }
                // The method's own question, refused in the method's own words.
                "Ask" => {
                    let ask = move |request: Request<Bytes>| {
                        let guard = guard.clone();
                        async move {
                            let guard = guard.ok_or_else(|| Status::internal("no guard"))?;
                            let action = String::from_utf8_lossy(request.get_ref()).into_owned();
                            let ask = Ask::new(action).object("echo", "7").labels(Labels::new());
                            guard.ask_about(request.principal()?, ask).map_err(ztlib_tonic::status)?;
                            Ok::<_, Status>(Response::new(Bytes::from("asked")))
                        }
                    };
                    grpc.unary(service_fn(ask), request).await
                }
                "Where" => {
                    let from = |request: Request<Bytes>| async move {
                        let from = request.remote_addr().map(|address| address.ip().to_string());
                        Ok::<_, Status>(Response::new(Bytes::from(from.unwrap_or_default())))
                    };
                    grpc.unary(service_fn(from), request).await
                }
                "Never" => {
                    let never = |_: Request<Bytes>| std::future::pending::<Result<Response<Bytes>, Status>>();
                    grpc.unary(service_fn(never), request).await
                }
                _ => Status::unimplemented("no such method").into_http(),
            })
        })
    }
}

/// A guarded server on a socket.
struct Stand {
    world: World,
    address: SocketAddr,
    runs: Arc<AtomicUsize>,
    channel: Channel,
}

impl Stand {
    async fn start() -> Self {
        let world = World::new();
        let guard = world.guard(deciding(|question, outcome| {
            outcome.log(&text(question, Read::Route)?.unwrap_or_else(|| "no route".to_owned()))?;
            let asked = match text(question, Read::Action)? {
                Some(action) => Some(action),
                None => text(question, Read::Subject)?,
            };
            match asked.as_deref() {
                Some("alice") if question.read(Read::Route)? != Value::Absent => Ok(Answer::Allow),
                Some("faulty") => Ok(question.read(Read::Signal("x".into())).map(|_| Answer::Allow)?),
                Some("odd") => Ok(question.read(Read::ClaimInt("/sub".into())).map(|_| Answer::Allow)?),
                Some("stepping") => {
                    outcome.reason("step-up-required")?;
                    outcome.challenge_step_up(Some("urn:mfa"), Some(60))?;
                    Ok(Answer::Deny)
                }
                _ => {
                    outcome.reason("no-role")?;
                    outcome.message("100% für dich nicht")?;
                    Ok(Answer::Deny)
                }
            }
        }));
        let guard = guard.build();
        let echo = Echo { guard: Some(guard.clone()), ..Echo::default() };
        let runs = echo.runs.clone();
        let server = world.mesh.leaf().dns("localhost").for_servers().issue();
        let acceptor =
            Acceptor::builder().identity(server.chain(), server.key()).unwrap().peers(&world.trust);
        let acceptor = acceptor.http2_only().clock(world.clock.clone()).build().unwrap();
        let server = Server::bind("127.0.0.1:0", acceptor).await.unwrap();
        let address = server.local_addr().unwrap();
        tokio::spawn(ztlib_tonic::serve(
            server,
            GuardedRoutes::new(guard, Routes::new(echo)),
            std::future::pending(),
        ));
        let frontend = world.mesh.issue_spiffe(FRONTEND);
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(world.mesh.certificate_pem()))
            .identity(Identity::from_pem(frontend.chain_pem(), frontend.key_pem()))
            .domain_name("localhost");
        let endpoint = Endpoint::from_shared(format!("https://localhost:{}", address.port())).unwrap();
        let channel = endpoint.tls_config(tls).unwrap().connect().await.unwrap();
        Self { world, address, runs, channel }
    }

    fn token(&self, subject: &str) -> String {
        format!("Bearer {}", self.world.token().subject(subject).sign())
    }

    fn request<T>(&self, message: T, authorization: Option<&str>) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(authorization) = authorization {
            request.metadata_mut().insert("authorization", MetadataValue::try_from(authorization).unwrap());
        }
        request
    }

    async fn client(&self) -> ClientGrpc<Channel> {
        let mut client = ClientGrpc::new(self.channel.clone());
        client.ready().await.unwrap();
        client
    }

    async fn unary(
        &self,
        path: &'static str,
        message: &'static str,
        authorization: Option<&str>,
    ) -> Result<Bytes, Status> {
        let request = self.request(Bytes::from(message), authorization);
        let path = http::uri::PathAndQuery::from_static(path);
        self.client().await.unary(request, path, Raw).await.map(Response::into_inner)
    }

    /// Calls a method of the kind that its name says, and gives back its outcome.
    async fn any(&self, method: &'static str, authorization: Option<&str>) -> Result<Vec<Bytes>, Status> {
        let path = http::uri::PathAndQuery::try_from(format!("/test.Echo/{method}")).unwrap();
        let many = || tokio_stream::iter(["a", "b"].map(Bytes::from));
        let mut client = self.client().await;
        let streamed = match method {
            "Unary" => {
                return client
                    .unary(self.request("ab".into(), authorization), path, Raw)
                    .await
                    .map(|one| vec![one.into_inner()]);
            }
            "Join" => {
                return client
                    .client_streaming(self.request(many(), authorization), path, Raw)
                    .await
                    .map(|one| vec![one.into_inner()]);
            }
            "Repeat" => client.server_streaming(self.request("ab".into(), authorization), path, Raw).await?,
            _ => client.streaming(self.request(many(), authorization), path, Raw).await?,
        };
        streamed.into_inner().collect::<Result<Vec<_>, _>>().await
    }

    fn runs(&self) -> usize {
        self.runs.swap(0, Ordering::SeqCst)
    }
}

const KINDS: [&str; 4] = ["Unary", "Repeat", "Join", "Chat"];

/// Whether the details are a status with this code, this reason and this id.
fn check_details(status: &Status, reason: &str, id: &str) {
    let details = status.details();
    assert_eq!(&details[..2], &[8, status.code() as u8], "the code again");
    let text = String::from_utf8_lossy(details);
    for part in ["type.googleapis.com/google.rpc.ErrorInfo", "ztlib", reason, id] {
        assert!(text.contains(part), "{part} in {text:?}");
    }
}

#[tokio::test]
async fn calls_of_all_four_kinds_pass_with_one_decision_each() {
    let stand = Stand::start().await;
    let alice = stand.token("alice");
    for (method, expected) in [
        ("Unary", vec!["ab"]),
        ("Repeat", vec!["ab", "ab", "ab"]),
        ("Join", vec!["ab"]),
        ("Chat", vec!["a", "b"]),
    ] {
        let answer = stand.any(method, Some(&alice)).await.unwrap();
        assert_eq!(answer, expected, "{method}");
        let event = stand.world.events.one();
        assert_eq!(
            (event.verdict(), event.route()),
            (Verdict::Allow, Some(format!("/test.Echo/{method}").as_str()))
        );
        assert_eq!((event.method().map(http::Method::as_str), stand.runs()), (Some("POST"), 1));
    }
}

#[tokio::test]
async fn refusals_of_all_four_kinds_are_what_tonics_client_reads() {
    let stand = Stand::start().await;
    for method in KINDS {
        for (authorization, code, reason, message, precise) in [
            (Some(stand.token("bob")), Code::PermissionDenied, "no-role", "100% für dich nicht", "no-role"),
            (
                None,
                Code::Unauthenticated,
                "unauthenticated",
                "the caller is not authenticated",
                "token-missing",
            ),
            (
                Some("Bearer x".to_owned()),
                Code::Unauthenticated,
                "unauthenticated",
                "the caller is not authenticated",
                "token-malformed",
            ),
            (
                Some(stand.token("faulty")),
                Code::Unavailable,
                "fault",
                "no decision could be reached",
                "read-undeclared-signal",
            ),
            (
                Some(stand.token("odd")),
                Code::InvalidArgument,
                "read-wrong-type",
                "the request cannot be judged",
                "read-wrong-type",
            ),
            (
                Some(stand.token("stepping")),
                Code::Unauthenticated,
                "step-up-required",
                "a stronger or fresher login is needed",
                "step-up-required",
            ),
        ] {
            let status = stand.any(method, authorization.as_deref()).await.unwrap_err();
            let event = stand.world.events.one();
            assert_eq!(
                (status.code(), status.message(), event.reason()),
                (code, message, Some(precise)),
                "{method}"
            );
            check_details(&status, reason, &event.id().to_string());
            let challenge = status.metadata().get("www-authenticate").map(|value| value.to_str().unwrap());
            let expected = match precise {
                "token-missing" => Some("Bearer"),
                "token-malformed" => Some("Bearer error=\"invalid_token\""),
                "step-up-required" => Some(
                    "Bearer error=\"insufficient_user_authentication\", acr_values=\"urn:mfa\", max_age=60",
                ),
                _ => None,
            };
            assert_eq!(challenge, expected, "{method} {precise}");
        }
    }
    assert_eq!(stand.runs(), 0);
}

#[tokio::test]
async fn unknown_services_and_methods_are_told_apart_only_by_who_may_know() {
    let stand = Stand::start().await;
    let (alice, bob) = (stand.token("alice"), stand.token("bob"));
    for (path, route) in [
        ("/test.Echo/Nothing", Some("/test.Echo/Nothing")),
        ("/test.Other/Unary", None),
        ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", None),
        ("/grpc.health.v1.Health/Check", None),
        ("/test.Echo/Unary/more", None),
        ("/test.Echo", None),
        ("/nothing", None),
    ] {
        // Who is nobody learns nothing of what is there.
        let status = stand.unary(path, "x", None).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{path}");
        assert_eq!(stand.world.events.one().reason(), Some("token-missing"));
        // Nor does who may not call.
        let status = stand.unary(path, "x", Some(&bob)).await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied, "{path}");
        let event = stand.world.events.one();
        assert_eq!((event.route(), event.log()[0].1), (route, route.unwrap_or("no route")), "{path}");
        assert_eq!(stand.runs(), 0);
        // Where no route matched, no rule that names routes allows it.
        let status = stand.unary(path, "x", Some(&alice)).await.unwrap_err();
        let expected = if route.is_some() { Code::Unimplemented } else { Code::PermissionDenied };
        assert_eq!((status.code(), stand.runs()), (expected, usize::from(route.is_some())), "{path}");
        stand.world.events.one();
    }
}

#[tokio::test]
async fn odd_paths_and_content_types_on_a_method_are_judged_like_any_call() {
    let stand = Stand::start().await;
    let frontend = stand.world.mesh.issue_spiffe(FRONTEND);
    let client =
        HttpsClient::new(stand.world.mesh.certificate(), Some((frontend.chain(), frontend.key()))).unwrap();
    let send = |method: &str, path: &str, content_type: &str, authorization: Option<String>| {
        let request = http::Request::builder()
            .method(method)
            .uri(format!("https://localhost{path}"))
            .version(http::Version::HTTP_2);
        let mut request = request.body(Full::new(Bytes::from_static(&[0, 0, 0, 0, 0]))).unwrap();
        if !content_type.is_empty() {
            request.headers_mut().insert("content-type", content_type.parse().unwrap());
        }
        if let Some(authorization) = authorization {
            request.headers_mut().insert("authorization", authorization.parse().unwrap());
        }
        let (client, address) = (client.clone(), stand.address);
        async move { client.send(address, request).await.unwrap() }
    };
    for content_type in [
        "application/grpc",
        "application/grpc+json",
        "application/grpc+proto",
        "application/json",
        "text/plain",
        "application/grpc-web",
        "application/grpc-web-text+proto",
        "",
    ] {
        let grpc = content_type.starts_with("application/grpc") && !content_type.contains("-web");
        for (authorization, http, code) in [(None, 401, "16"), (Some(stand.token("bob")), 403, "7")] {
            let response = send("POST", "/test.Echo/Unary", content_type, authorization).await;
            assert_eq!(response.status().as_u16(), if grpc { 200 } else { http }, "{content_type}");
            let status = response.headers().get("grpc-status").map(|value| value.to_str().unwrap());
            assert_eq!(status, grpc.then_some(code), "{content_type}");
            let answered = response.headers().get("content-type").unwrap();
            assert_eq!(answered, if grpc { "application/grpc" } else { "application/problem+json" });
            assert_eq!((stand.world.events.take().len(), stand.runs()), (1, 0), "{content_type}");
        }
    }
    let alice = || Some(stand.token("alice"));
    for (method, path, reason) in [
        ("POST", "/test.Echo//Unary", "path-empty-segment"),
        ("POST", "//test.Echo/Unary", "path-empty-segment"),
        ("POST", "/test.Echo/%55nary", "path-needless-escape"),
        ("POST", "/test.Echo/x/../Unary", "path-dot-segment"),
        ("POST", "/test.Echo%2FUnary", "path-encoded-slash"),
        ("POST", "/TEST.Echo/Unary", "no-route"),
    ] {
        let response = send(method, path, "application/grpc", alice()).await;
        let code = if reason == "no-route" { "7" } else { "3" };
        assert_eq!(
            (response.status().as_u16(), &response.headers()["grpc-status"]),
            (200, &http::HeaderValue::from_static(code)),
            "{path}"
        );
        assert_eq!((stand.world.events.one().reason(), stand.runs()), (Some(reason), 0), "{path}");
    }
    // A GET of a method is judged, and the policy sees that it is one.
    send("GET", "/test.Echo/Unary", "", alice()).await;
    assert_eq!(stand.world.events.one().method().unwrap(), http::Method::GET);
}

#[tokio::test]
async fn a_method_gets_what_the_guard_established() {
    let stand = Stand::start().await;
    let said = stand.unary("/test.Echo/WhoAmI", "", Some(&stand.token("alice"))).await.unwrap();
    let id = stand.world.events.one().id();
    assert_eq!(said, format!("{FRONTEND} alice true {id} IgnoredAny"));
}

/// Calls without a socket.
async fn oneshot<S>(service: S, request: http::Request<Full<Bytes>>) -> http::Response<()>
where
    S: Service<http::Request<axum::body::Body>, Response = http::Response<axum::body::Body>>,
    S::Error: std::fmt::Debug,
{
    let response = service.oneshot(request.map(axum::body::Body::new)).await.unwrap();
    let (mut parts, body) = response.into_parts();
    let collected = body.collect().await.unwrap();
    if let Some(trailers) = collected.trailers() {
        parts.headers.extend(trailers.clone());
    }
    http::Response::from_parts(parts, ())
}

fn message_to(world: &World, peer: &http::Extensions, path: &str) -> http::Request<Full<Bytes>> {
    let mut request = support::over_grpc(world.request_of(peer));
    *request.uri_mut() = path.parse().unwrap();
    *request.body_mut() = Full::new(Bytes::from_static(&[0, 0, 0, 0, 0]));
    request.extensions_mut().remove::<ztlib::enforce::MatchedRoute>();
    request
}

#[tokio::test]
async fn the_address_of_the_caller_comes_from_connect_info_where_another_server_accepted() {
    let world = World::new();
    let peer = world.frontend().await;
    let guard = world.guard(deciding(|question, outcome| {
        outcome.log(&text(question, Read::RemoteIp)?.unwrap_or_else(|| "absent".to_owned()))?;
        Ok(Answer::Allow)
    }));
    let guarded = GuardedRoutes::new(guard.build(), Routes::new(Echo::default()));
    for (address, seen) in [(Some("192.0.2.7:1234"), "192.0.2.7"), (None, "absent")] {
        let mut message = message_to(&world, &peer, "/test.Echo/Unary");
        message.extensions_mut().remove::<ztlib::RemoteAddr>();
        if let Some(address) = address {
            let address: SocketAddr = address.parse().unwrap();
            message.extensions_mut().insert(axum::extract::ConnectInfo(address));
        }
        oneshot(guarded.clone(), message).await;
        assert_eq!(world.events.one().log()[0].1, seen);
    }
}

#[tokio::test]
async fn outside_of_a_guard_or_on_a_public_method_there_is_nobody_to_ask_for() {
    let world = World::new();
    let peer = world.frontend().await;
    let bare = Routes::new(Echo::default()).prepare().into_axum_router();
    let answer = oneshot(bare, message_to(&world, &peer, "/test.Echo/WhoAmI")).await;
    let status = Status::from_header_map(answer.headers()).unwrap();
    assert_eq!((status.code(), status.message()), (Code::Internal, "internal error"));

    let guard = world.guard(support::deny()).allow_public_route("/test.Echo/WhoAmI").build();
    let guarded = GuardedRoutes::new(guard, Routes::new(Echo::default()));
    let answer = oneshot(guarded.clone(), message_to(&world, &peer, "/test.Echo/WhoAmI")).await;
    assert_eq!(
        Status::from_header_map(answer.headers()).unwrap().code(),
        Code::Internal,
        "nobody was asked who they are"
    );
    assert_eq!(world.events.one().verdict(), Verdict::Public);
    let answer = oneshot(guarded, message_to(&world, &peer, "/test.Echo/Unary")).await;
    assert_eq!(answer.extensions().get::<Refusal>().unwrap().cause().code(), "no-role");
}

#[tokio::test]
async fn an_outer_layer_sees_refusals_and_does_not_reach_a_method() {
    let world = World::new();
    let peer = world.frontend().await;
    let echo = Echo::default();
    let runs = echo.runs.clone();
    let counting =
        axum::middleware::from_fn(async |request: axum::extract::Request, next: axum::middleware::Next| {
            let mut response = next.run(request).await;
            let code = response
                .extensions()
                .get::<Refusal>()
                .map_or("passed", |refusal| refusal.cause().code())
                .to_owned();
            response.headers_mut().insert("x-seen-outside", code.parse().unwrap());
            response
        });
    let guarded =
        GuardedRoutes::new(world.guard(support::deny()).build(), Routes::new(echo)).layer_outside(counting);
    for path in ["/test.Echo/Unary", "/test.Other/X"] {
        let answer = oneshot(guarded.clone(), message_to(&world, &peer, path)).await;
        assert_eq!(answer.headers()["x-seen-outside"], "no-role");
    }
    assert_eq!(runs.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_template_of_a_router_outside_does_not_make_an_unknown_service_known() {
    let world = World::new();
    let peer = world.frontend().await;
    let guarded = GuardedRoutes::new(world.guard(support::deny()).build(), Routes::new(Echo::default()));
    let outer = axum::Router::new().route_service("/{*rest}", guarded);
    for (path, route) in [("/test.Echo/Unary", Some("/test.Echo/Unary")), ("/test.Other/X", None)] {
        oneshot(outer.clone(), message_to(&world, &peer, path)).await;
        assert_eq!(world.events.one().route(), route);
    }
}

#[tokio::test]
async fn a_method_that_a_caller_made_up_is_cut_in_the_audit_event() {
    let world = World::new();
    let peer = world.frontend().await;
    let guarded = GuardedRoutes::new(world.guard(support::deny()).build(), Routes::new(Echo::default()));
    let path = format!("/test.Echo/{}", "x".repeat(4096));
    oneshot(guarded, message_to(&world, &peer, &path)).await;
    assert_eq!(world.events.one().route(), Some(&path[..512]));
}

#[tokio::test]
async fn a_method_sees_the_callers_address_where_tonic_has_it() {
    let stand = Stand::start().await;
    let alice = stand.token("alice");
    assert_eq!(stand.unary("/test.Echo/Where", "", Some(&alice)).await.unwrap(), "127.0.0.1");
}

/// Without tonic's client, which gives up by itself: it is the server that ends the call.
#[tokio::test]
async fn a_call_ends_when_the_time_that_its_caller_gave_has_passed() {
    let stand = Stand::start().await;
    let frontend = stand.world.mesh.issue_spiffe(FRONTEND);
    let client = HttpsClient::new(stand.world.mesh.certificate(), Some((frontend.chain(), frontend.key())));
    let client = client.unwrap();
    let call = async |method: &str, subject: &str, given: &str| {
        let request = http::Request::post(format!("https://localhost/test.Echo/{method}"))
            .version(http::Version::HTTP_2)
            .header("content-type", "application/grpc")
            .header("authorization", stand.token(subject))
            .header("grpc-timeout", given);
        let request = request.body(Full::from(&[0_u8; 5][..])).unwrap();
        let answer = client.send(stand.address, request).await.unwrap();
        let status = answer.headers().get("grpc-status").map(|status| status.to_str().unwrap().to_owned());
        (status, stand.world.events.one().verdict())
    };
    let late = Some("4".to_owned());
    assert_eq!(call("Never", "alice", "20m").await, (late, Verdict::Allow));
    assert_eq!(call("Unary", "alice", "1H").await, (None, Verdict::Allow), "an answer with a message");
    assert_eq!(call("Never", "bob", "1H").await, (Some("7".to_owned()), Verdict::Deny));
}

#[tokio::test]
async fn a_refusal_that_a_method_returns_reads_like_the_guards_own() {
    let stand = Stand::start().await;
    let alice = stand.token("alice");
    for (subject, code) in [("bob", Code::PermissionDenied), ("stepping", Code::Unauthenticated)] {
        let own = stand.unary("/test.Echo/Unary", "", Some(&stand.token(subject))).await.unwrap_err();
        let own_id = stand.world.events.one().id();
        // The same denial of a question that the method asks by that name.
        let action: &'static str = subject;
        let asked = stand.unary("/test.Echo/Ask", action, Some(&alice)).await.unwrap_err();
        let events = stand.world.events.take();
        let asked_id = &events[1].id();
        assert_eq!((events[1].parent(), events[1].object()), (Some(events[0].id()), Some(("echo", "7"))));
        assert_eq!(events[1].route(), Some("/test.Echo/Ask"));
        assert_eq!((own.code(), asked.code()), (code, code));
        assert_eq!(own.message(), asked.message());
        let without_id =
            |status: &Status, id: &str| String::from_utf8_lossy(status.details()).replace(id, "ID");
        assert_eq!(without_id(&own, &own_id.to_string()), without_id(&asked, &asked_id.to_string()));
        check_details(
            &asked,
            if subject == "bob" { "no-role" } else { "step-up-required" },
            &asked_id.to_string(),
        );
        for name in ["www-authenticate", "cache-control"] {
            assert_eq!(own.metadata().get(name), asked.metadata().get(name), "{name}");
        }
    }
    let fault = stand.unary("/test.Echo/Ask", "faulty", Some(&alice)).await.unwrap_err();
    assert_eq!(fault.code(), Code::Unavailable);
}
