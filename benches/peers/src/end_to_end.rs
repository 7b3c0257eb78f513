//! mTLS over loopback, in turn: plain hyper and tokio-rustls, our server without the guard, and
//! with it.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tokio::runtime::Runtime;
use ztlib::tls::{RequestBody, Server};
use ztlib_axum::GuardedRouter;
use ztlib_conformance::{Load, LoadReport};
use ztlib_testing::TlsClient;

use crate::Failure;
use crate::measure::{cpu_of_threads, median};
use crate::ours::{AuditLog, PATH, Wire, rbac, router, whole_guard};
use crate::plain;

/// Which protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// 8 connections, 32 requests at a time on each.
    Http2,
    /// 32 connections, a request at a time on each.
    Http1,
}

/// One server.
#[derive(Debug, Clone, Copy, Default)]
pub struct Served {
    /// Requests answered in a second, at the median of the rounds.
    pub per_second: f64,
    /// Microseconds of CPU of the server's one worker thread for a request, at the median of the
    /// rounds. The audit writer is a thread of its own and not in it.
    pub cpu: f64,
    /// Microseconds of CPU of the whole process for a request: the client's thread, the audit
    /// writer and the recorder count.
    pub process: f64,
}

/// The three servers, each with a runtime of one worker thread, and the client with another.
#[derive(Debug)]
pub struct Servers {
    client_runtime: Runtime,
    _servers: [Runtime; 3],
    addresses: [SocketAddr; 3],
    client: TlsClient,
    bearer: String,
    log: AuditLog,
}

/// The names of the servers' threads.
const THREADS: [&str; 3] = ["zt-plain", "zt-bare", "zt-guarded"];

impl Servers {
    /// Starts them. The guarded one has `rbac` with 200 rules, an audit log, and the recorder of
    /// the process.
    ///
    /// # Errors
    /// A server does not start.
    pub fn start(wire: &Wire) -> Result<Self, Failure> {
        let runtime = |name: &str| {
            tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .thread_name(name)
                .enable_all()
                .build()
        };
        let servers = [runtime(THREADS[0])?, runtime(THREADS[1])?, runtime(THREADS[2])?];
        let (guard, log) = whole_guard(wire, rbac(&crate::task::rules(200))?)?;
        let bind = || async {
            let acceptor = wire.caller.acceptor(&wire.trust);
            let server = Server::bind("127.0.0.1:0", acceptor).await?;
            let address = server.local_addr()?;
            Ok::<_, Failure>((server, address))
        };
        let listener = servers[0].block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))?;
        let plain_at = listener.local_addr()?;
        servers[0].spawn(plain::serve(listener, plain::acceptor(&wire.caller)?));
        let (bare, bare_at) = servers[1].block_on(bind())?;
        let service = tower::ServiceExt::map_request(router(), |request: Request<RequestBody>| {
            request.map(axum::body::Body::new)
        });
        servers[1].spawn(bare.serve(service, std::future::pending()));
        let (guarded, guarded_at) = servers[2].block_on(bind())?;
        servers[2].spawn(ztlib_axum::serve(
            guarded,
            GuardedRouter::new(guard, router()),
            std::future::pending(),
        ));
        Ok(Self {
            client_runtime: runtime("zt-client")?,
            _servers: servers,
            addresses: [plain_at, bare_at, guarded_at],
            client: TlsClient::new(&wire.caller.mesh, Some(&wire.caller.peer)),
            bearer: format!("Bearer {}", wire.token),
            log,
        })
    }

    /// Loads them in turn, so many rounds, so many requests a round: plain hyper, our server
    /// without the guard, and with it.
    ///
    /// # Errors
    /// A request is not answered with a 200, or leaves no audit event.
    pub fn measure(&self, protocol: Protocol, rounds: usize, requests: u64) -> Result<[Served; 3], Failure> {
        let mut throughput = [Vec::new(), Vec::new(), Vec::new()];
        let mut cpu = [Vec::new(), Vec::new(), Vec::new()];
        let mut process = [Vec::new(), Vec::new(), Vec::new()];
        for round in 0..=rounds {
            for which in 0..3 {
                let (before, all_before) = (cpu_of_threads(THREADS[which]), cpu_of_threads(""));
                let lines = self.log.lines();
                let report = self.load(self.addresses[which], protocol, requests)?;
                let used = cpu_of_threads(THREADS[which]) - before;
                if report.with_status(200) != requests {
                    return Err(format!("{} server: {report}", THREADS[which]).into());
                }
                self.log.wait_for(lines + requests * u64::from(which == 2));
                let all = cpu_of_threads("") - all_before;
                // The first round warms up.
                if round > 0 {
                    throughput[which].push(report.throughput());
                    cpu[which].push(used as f64 / 1000.0 / requests as f64);
                    process[which].push(all as f64 / 1000.0 / requests as f64);
                }
            }
        }
        let served = |which: usize| Served {
            per_second: median(&mut throughput[which].clone()),
            cpu: median(&mut cpu[which].clone()),
            process: median(&mut process[which].clone()),
        };
        Ok([served(0), served(1), served(2)])
    }

    fn load(&self, address: SocketAddr, protocol: Protocol, requests: u64) -> Result<LoadReport, Failure> {
        let load = Load::new(address, self.client.clone()).requests(requests);
        let load = match protocol {
            Protocol::Http2 => load.connections(8).http2(32),
            Protocol::Http1 => load.connections(32),
        };
        let (bearer, http2) =
            (http::HeaderValue::try_from(self.bearer.as_str())?, protocol == Protocol::Http2);
        let make = move |_| {
            let mut request = Request::new(Full::<Bytes>::default());
            // HTTP/1.1 names the host in a header, HTTP/2 in the URI.
            if http2 {
                *request.uri_mut() = format!("https://localhost{PATH}").parse().unwrap_or_default();
            } else {
                *request.uri_mut() = http::Uri::from_static(PATH);
                let host = http::HeaderValue::from_static("localhost");
                request.headers_mut().insert(http::header::HOST, host);
            }
            request.headers_mut().insert(http::header::AUTHORIZATION, bearer.clone());
            request
        };
        self.client_runtime.block_on(async {
            match tokio::time::timeout(Duration::from_secs(30), load.run(make)).await {
                Ok(report) => report,
                Err(_) => Err("the load did not end within 30 s".into()),
            }
        })
    }
}
