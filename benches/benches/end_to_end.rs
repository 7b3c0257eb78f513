//! All of it over mTLS on loopback: one request after the other on one connection, with the guard
//! and without.

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::ServerName;
use ztlib::authenticate::peer::Trust;
use ztlib::authenticate::token::Algorithm;
use ztlib::tls::Server;
use ztlib_axum::GuardedRouter;
use ztlib_benches::{Caller, guard, rbac, router};
use ztlib_testing::TlsClient;

fn end_to_end(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let caller = Caller::new(Algorithm::ES256);
    let trust = caller.trust();
    let serve = |guarded: bool| {
        runtime.block_on(async {
            let server = server(&caller, &trust).await;
            let address = server.local_addr().unwrap();
            if guarded {
                let router = GuardedRouter::new(guard(&caller, &trust, rbac(200)), router());
                tokio::spawn(ztlib_axum::serve(server, router, std::future::pending()));
            } else {
                let service =
                    tower::ServiceExt::map_request(router(), |request: Request<ztlib::tls::RequestBody>| {
                        request.map(axum::body::Body::new)
                    });
                tokio::spawn(server.serve(service, std::future::pending()));
            }
            address
        })
    };
    let mut group = c.benchmark_group("end_to_end");
    for (name, guarded) in [("unguarded", false), ("guarded, rbac 200 rules", true)] {
        let address = serve(guarded);
        let build = || {
            let request = Request::get("https://localhost/orders/7");
            let request = request.header("authorization", format!("Bearer {}", caller.token));
            request.body(Empty::<Bytes>::new()).unwrap()
        };
        let connect = |protocol: &'static str| {
            let client = TlsClient::new(&caller.mesh, Some(&caller.peer)).protocols(&[protocol]);
            async move {
                let stream = tokio::net::TcpStream::connect(address).await.unwrap();
                stream.set_nodelay(true).unwrap();
                let name = ServerName::try_from("localhost").unwrap();
                TokioIo::new(client.connector().connect(name, stream).await.unwrap())
            }
        };
        let client = runtime.block_on(async {
            let (client, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), connect("h2").await)
                    .await
                    .unwrap();
            tokio::spawn(connection);
            client
        });
        group.bench_function(format!("http/2, {name}"), |b| {
            b.iter(|| {
                let mut client = client.clone();
                runtime.block_on(async move {
                    let response = client.send_request(build()).await.unwrap();
                    assert_eq!(response.status(), 200);
                    response.into_body().collect().await.unwrap()
                })
            });
        });
        let mut client = runtime.block_on(async {
            let (client, connection) =
                hyper::client::conn::http1::handshake(connect("http/1.1").await).await.unwrap();
            tokio::spawn(connection);
            client
        });
        group.bench_function(format!("http/1.1, {name}"), |b| {
            b.iter(|| {
                runtime.block_on(async {
                    client.ready().await.unwrap();
                    let mut request = build();
                    *request.uri_mut() = "/orders/7".parse().unwrap();
                    request.headers_mut().insert("host", "localhost".parse().unwrap());
                    let response = client.send_request(request).await.unwrap();
                    assert_eq!(response.status(), 200);
                    response.into_body().collect().await.unwrap()
                })
            });
        });
    }
    group.finish();
}

async fn server(caller: &Caller, trust: &Trust) -> Server {
    Server::bind("127.0.0.1:0", caller.acceptor(trust)).await.unwrap()
}

criterion_group!(benches, end_to_end);
criterion_main!(benches);
