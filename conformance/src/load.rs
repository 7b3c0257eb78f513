//! Load with a client certificate: what h2load and wrk cannot present.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::Instant;

use ztlib_testing::TlsClient;

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Make = Arc<dyn Fn(u64) -> Request<Full<Bytes>> + Send + Sync>;

/// Sends many requests over a few connections, and counts answers and microseconds. Each stream of
/// each connection sends its next request when the last one is answered.
///
/// ```no_run
/// # type Failure = Box<dyn std::error::Error + Send + Sync>;
/// # async fn example(
/// #     address: std::net::SocketAddr,
/// #     client: ztlib_testing::TlsClient,
/// # ) -> Result<(), Failure> {
/// use http::Request;
/// use ztlib_conformance::Load;
///
/// let report = Load::new(address, client)
///     .http2(16)
///     .connections(8)
///     .requests(100_000)
///     .run(|n| {
///         Request::get(format!("https://localhost/orders/{n}"))
///             .body(Default::default())
///             .unwrap_or_default()
///     })
///     .await?;
/// println!("{report}");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing is sent before `run`"]
pub struct Load {
    address: SocketAddr,
    client: TlsClient,
    connections: usize,
    /// Requests at a time on an HTTP/2 connection; `None` is HTTP/1.1.
    streams: Option<usize>,
    requests: u64,
}

impl Load {
    /// 10 000 requests by HTTP/1.1 over 8 connections, unless set.
    pub fn new(address: SocketAddr, client: TlsClient) -> Self {
        Self { address, client, connections: 8, streams: None, requests: 10_000 }
    }

    /// Speaks HTTP/2, with this many requests at a time on each connection; at least one.
    pub fn http2(mut self, streams: usize) -> Self {
        self.streams = Some(streams.max(1));
        self
    }

    /// Over this many connections; at least one.
    pub fn connections(mut self, connections: usize) -> Self {
        self.connections = connections.max(1);
        self
    }

    /// This many requests in all.
    pub fn requests(mut self, requests: u64) -> Self {
        self.requests = requests;
        self
    }

    /// Opens the connections, then sends the requests that `make` gives for 0, 1, 2… The time of
    /// the handshakes is not counted. A request that fails ends its stream.
    ///
    /// # Errors
    /// A connection cannot be opened.
    pub async fn run(
        self,
        make: impl Fn(u64) -> Request<Full<Bytes>> + Send + Sync + 'static,
    ) -> Result<LoadReport, BoxError> {
        let mut streams = Vec::new();
        for _ in 0..self.connections {
            self.open(&mut streams).await?;
        }
        let make: Make = Arc::new(make);
        let next = Arc::new(AtomicU64::new(0));
        let start = Instant::now();
        let workers: Vec<_> = streams
            .into_iter()
            .map(|stream| tokio::spawn(work(stream, Arc::clone(&next), self.requests, Arc::clone(&make))))
            .collect();
        let mut report = LoadReport::default();
        for worker in workers {
            report.add(worker.await?);
        }
        report.elapsed = start.elapsed();
        report.microseconds.sort_unstable();
        Ok(report)
    }

    async fn open(&self, streams: &mut Vec<Stream>) -> Result<(), BoxError> {
        let protocol = if self.streams.is_some() { "h2" } else { "http/1.1" };
        let transport = TcpStream::connect(self.address).await?;
        transport.set_nodelay(true)?;
        let connector = self.client.clone().protocols(&[protocol]).connector();
        let io = TokioIo::new(connector.connect(ServerName::try_from("localhost")?, transport).await?);
        match self.streams {
            Some(count) => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
                tokio::spawn(connection);
                streams.extend((0..count).map(|_| Stream::Http2(sender.clone())));
            }
            None => {
                let (sender, connection) = http1::handshake(io).await?;
                tokio::spawn(connection);
                streams.push(Stream::Http1(sender));
            }
        }
        Ok(())
    }
}

enum Stream {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Stream {
    async fn send(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<Response<Incoming>> {
        match self {
            Self::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
            Self::Http2(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
        }
    }
}

async fn work(mut stream: Stream, next: Arc<AtomicU64>, requests: u64, make: Make) -> LoadReport {
    let mut report = LoadReport::default();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= requests {
            return report;
        }
        let start = Instant::now();
        let answered = async {
            let response = stream.send(make(number)).await?;
            let status = response.status().as_u16();
            let bytes = response.into_body().collect().await?.to_bytes().len();
            Ok::<_, hyper::Error>((status, bytes))
        };
        match answered.await {
            Ok((status, bytes)) => {
                *report.statuses.entry(status).or_default() += 1;
                report.body_bytes += bytes as u64;
                report.microseconds.push(u32::try_from(start.elapsed().as_micros()).unwrap_or(u32::MAX));
            }
            Err(_) => {
                report.failures += 1;
                return report;
            }
        }
    }
}

/// Its outcome.
#[derive(Debug, Clone, Default)]
pub struct LoadReport {
    elapsed: Duration,
    statuses: BTreeMap<u16, u64>,
    failures: u64,
    body_bytes: u64,
    /// Sorted.
    microseconds: Vec<u32>,
}

impl LoadReport {
    fn add(&mut self, other: Self) {
        for (status, count) in other.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
        self.failures += other.failures;
        self.body_bytes += other.body_bytes;
        self.microseconds.extend(other.microseconds);
    }

    /// How many requests were answered.
    pub fn answers(&self) -> u64 {
        self.statuses.values().sum()
    }

    /// How many requests were answered with this status.
    pub fn with_status(&self, status: u16) -> u64 {
        self.statuses.get(&status).copied().unwrap_or(0)
    }

    /// How many streams ended with an error.
    pub fn failures(&self) -> u64 {
        self.failures
    }

    /// Bytes in the bodies of the answers.
    pub fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    /// From the first request to the last answer.
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// Answers a second.
    pub fn throughput(&self) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds > 0.0 { self.answers() as f64 / seconds } else { 0.0 }
    }

    /// The latency that this share of the answers stayed within, as in `0.99`.
    pub fn latency(&self, share: f64) -> Duration {
        let last = self.microseconds.len().saturating_sub(1);
        let at = (share.clamp(0.0, 1.0) * last as f64).round() as usize;
        Duration::from_micros(self.microseconds.get(at).copied().unwrap_or(0).into())
    }
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} answers in {:.2?}: {:.0} a second; latency p50 {:?}, p90 {:?}, p99 {:?}, max {:?}; statuses {:?}, {} failures",
            self.answers(),
            self.elapsed,
            self.throughput(),
            self.latency(0.5),
            self.latency(0.9),
            self.latency(0.99),
            self.latency(1.0),
            self.statuses,
            self.failures,
        )
    }
}
