//! What many connections in one state do to a server and to a good client, each state of
//! docs/connections.md in turn:
//!
//! ```text
//! cargo run --example connection_states         # 300 connections a state, two seconds
//! cargo run --example connection_states 9900 60 # a minute; needs 10 000 descriptors
//! cargo run --example connection_states 9900 60 shut # only states with this in the name
//! ```
//!
//! The server is a process of its own, with the defaults. A good client opens a connection for each
//! of its requests. What is opened first may have been ended by its timer before the last is open
//! or the time is over: "left" is what the server still holds then. It ends with 1 where
//! the good client was refused although connections without a request held the places, or where a
//! shutdown took longer than its limit. Linux only.

#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a measurement")]

use std::convert::Infallible;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use ztlib::tls::{Acceptor, RequestBody, Server};
use ztlib_testing::{Authority, HttpsClient, TlsClient};

type Failure = Box<dyn std::error::Error + Send + Sync>;

const SHUTDOWN_LIMIT: Duration = Duration::from_secs(20);
/// Handshakes under way at a time while connections are opened.
const OPENING: usize = 64;

/// A state: what is sent, inside of TLS where a protocol is named, until the connection is in it.
struct State {
    name: &'static str,
    protocol: Option<&'static str>,
    sent: &'static [u8],
    /// What comes back is read until this much has come.
    awaited: usize,
    /// A request is under way, so that the connection does not make room.
    busy: bool,
}

const fn state(name: &'static str, protocol: Option<&'static str>, sent: &'static [u8]) -> State {
    State { name, protocol, sent, awaited: 0, busy: false }
}

const H1: Option<&str> = Some("http/1.1");
const H2: Option<&str> = Some("h2");
/// The preface, SETTINGS without windows for streams, and GET /big.
const SHUT_WINDOW: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\0\0\
    \0\0\x13\x01\x05\0\0\0\x01\x82\x87\x44\x04/big\x41\x09localhost";

const STATES: [State; 11] = [
    state("silent", None, b""),
    state("half a ClientHello", None, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    state("HTTP/1.1, no byte", H1, b""),
    state("HTTP/1.1, half a header section", H1, b"GET / HTTP/1.1\r\nhost: loc"),
    State {
        awaited: 70,
        ..state("HTTP/1.1, idle after a request", H1, b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
    },
    state("HTTP/2, no preface", H2, b""),
    state("HTTP/2, preface and no request", H2, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"),
    State {
        busy: true,
        ..state(
            "HTTP/1.1, no body",
            H1,
            b"POST /read HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n",
        )
    },
    State {
        busy: true,
        ..state("HTTP/1.1, a long poll", H1, b"GET /wait HTTP/1.1\r\nhost: localhost\r\n\r\n")
    },
    State {
        busy: true,
        ..state("HTTP/1.1, answer not read", H1, b"GET /big HTTP/1.1\r\nhost: localhost\r\n\r\n")
    },
    State { busy: true, ..state("HTTP/2, window shut", H2, SHUT_WINDOW) },
];

fn main() -> Result<ExitCode, Failure> {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, flag, folder] = arguments.as_slice()
        && flag == "--server"
    {
        return server(Path::new(folder)).map(|()| ExitCode::SUCCESS);
    }
    let number = |at: usize, or: u64| arguments.get(at).map_or(Ok(or), |text| text.parse::<u64>());
    let (count, seconds) = (usize::try_from(number(1, 300)?)?, number(2, 2)?);
    let only = arguments.get(3).map_or("", String::as_str);
    runtime()?.block_on(measure(count, Duration::from_secs(seconds), only))
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()
}

/// The server: says where it listens, and shuts down when its input ends. Then it says how long
/// that took.
fn server(folder: &Path) -> Result<(), Failure> {
    runtime()?.block_on(async {
        let read = |name: &str| std::fs::read(folder.join(name));
        let acceptor = Acceptor::builder().identity_pem(&read("server.pem")?, &read("server.key")?)?;
        let server = Server::bind("127.0.0.1:0", acceptor.allow_anonymous_peers_only().build()?).await?;
        // Before anybody looks at what memory there is.
        let big = Bytes::from(vec![b'x'; 64 << 20]);
        println!("{}", server.local_addr()?);
        let (stop, stopped) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let _ = std::io::stdin().lines().next();
            let _ = stop.send(Instant::now());
        });
        let service = tower::service_fn(move |request| answer(request, big.clone()));
        let mut began = None;
        let ended = server.serve(service, async { began = stopped.await.ok() }).await;
        println!("{} {}", began.map_or(0, |began: Instant| began.elapsed().as_millis()), ended.cut);
        // What is left belongs to nobody.
        std::process::exit(0);
    })
}

async fn answer(request: Request<RequestBody>, big: Bytes) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = match request.uri().path() {
        "/read" => request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default(),
        "/wait" => std::future::pending().await,
        "/big" => big,
        _ => Bytes::from_static(b"hello"),
    };
    Ok(Response::new(Full::new(body)))
}

/// A server process.
struct Served {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
    address: SocketAddr,
}

impl Served {
    /// With as many file descriptors as it may have.
    fn start(folder: &Path) -> Result<Self, Failure> {
        let mut child = Command::new("sh")
            .args(["-c", "ulimit -n \"$(ulimit -Hn)\" && exec \"$0\" --server \"$1\""])
            .args([std::env::current_exe()?.as_path(), folder])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut output = BufReader::new(child.stdout.take().ok_or("the server has no output")?);
        let mut line = String::new();
        output.read_line(&mut line)?;
        Ok(Self { child, output, address: line.trim().parse()? })
    }

    /// How many connections it holds: what it has open as a file.
    fn open_files(&self) -> Result<usize, Failure> {
        Ok(std::fs::read_dir(format!("/proc/{}/fd", self.child.id()))?.count())
    }

    fn kilobytes(&self) -> Result<u64, Failure> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }

    /// How long the shutdown took, and how many requests it cut.
    fn stop(mut self) -> Result<(Duration, u64), Failure> {
        if let Some(mut input) = self.child.stdin.take() {
            input.write_all(b"stop\n")?;
        }
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        self.child.wait()?;
        let (took, cut) = line.trim().split_once(' ').ok_or("the server said nothing")?;
        Ok((Duration::from_millis(took.parse()?), cut.parse()?))
    }
}

/// Opens one connection and brings it into the state; it is kept for as long as the value is.
async fn open(
    state: &State,
    address: SocketAddr,
    tls: &TlsClient,
) -> Result<Box<dyn std::any::Any + Send>, Failure> {
    let mut stream = TcpStream::connect(address).await?;
    let Some(protocol) = state.protocol else {
        stream.write_all(state.sent).await?;
        return Ok(Box::new(stream));
    };
    let connector = tls.clone().protocols(&[protocol]).connector();
    let mut stream = connector.connect(ServerName::try_from("localhost")?, stream).await?;
    stream.write_all(state.sent).await?;
    stream.flush().await?;
    let mut awaited = vec![0; state.awaited];
    stream.read_exact(&mut awaited).await?;
    Ok(Box::new(stream))
}

/// As many file descriptors as this process may have.
fn allowed_files() -> Result<usize, Failure> {
    let limits = std::fs::read_to_string("/proc/self/limits")?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).ok_or("no limit")?;
    let soft = line.split_whitespace().next().ok_or("no limit")?;
    Ok(if soft == "unlimited" { usize::MAX } else { soft.parse()? })
}

async fn measure(count: usize, time: Duration, only: &str) -> Result<ExitCode, Failure> {
    let (needed, allowed) = (count.saturating_add(100), allowed_files()?);
    if allowed < needed {
        return Err(format!("{needed} file descriptors are needed and {allowed} allowed: `ulimit -n`").into());
    }
    let folder = std::env::temp_dir().join(format!("ztlib-connection-states-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let authority = Authority::new("states");
    let issued = authority.leaf().dns("localhost").for_servers().issue();
    std::fs::write(folder.join("server.pem"), issued.chain_pem())?;
    std::fs::write(folder.join("server.key"), issued.key_pem())?;
    let tls = TlsClient::new(&authority, None);
    let good = HttpsClient::new(authority.certificate(), None)?;
    println!("{count} connections in each state, for {} s\n", time.as_secs());
    println!(
        "| state | opened | not | left at the end | good client: served | p50 ms | p99 ms | KiB each | shutdown | cut |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    let mut faults = 0;
    for state in STATES.iter().filter(|state| state.name.contains(only)) {
        let served = Served::start(&folder)?;
        let address = served.address;
        let (before, files) = (served.kilobytes()?, served.open_files()?);
        let places = Arc::new(Semaphore::new(OPENING));
        let mut opening = tokio::task::JoinSet::new();
        for _ in 0..count {
            let (places, tls) = (Arc::clone(&places), tls.clone());
            opening.spawn(async move {
                let _place = places.acquire().await;
                tokio::time::timeout(Duration::from_secs(10), open(state, address, &tls)).await.ok()?.ok()
            });
        }
        let opened: Vec<_> = opening.join_all().await.into_iter().flatten().collect();
        // Once all are open: what has ended by its timer since has given its memory to nobody in
        // particular.
        let open = served.open_files()?.saturating_sub(files);
        let grown = served.kilobytes()?.saturating_sub(before);
        let memory = u64::try_from(open).ok().and_then(|open| grown.checked_div(open));
        let memory = memory.map_or_else(|| "-".to_owned(), |each| each.to_string());
        let (began, mut took, mut asked) = (Instant::now(), Vec::new(), 0_u32);
        while began.elapsed() < time {
            let request =
                Request::get("https://localhost/").header("host", "localhost").body(Full::default())?;
            let sent = Instant::now();
            asked += 1;
            let answer = tokio::time::timeout(Duration::from_secs(5), good.send(address, request)).await;
            if matches!(answer, Ok(Ok(response)) if response.status() == 200) {
                took.push(sent.elapsed());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let left = served.open_files()?.saturating_sub(files);
        let (shutdown, cut) = served.stop()?;
        took.sort_unstable();
        let at = |part: usize| {
            took.get((took.len() * part / 100).min(took.len().saturating_sub(1)))
                .map_or_else(|| "-".to_owned(), |took| format!("{:.1}", took.as_secs_f64() * 1000.0))
        };
        println!(
            "| {} | {} | {} | {left} | {} of {asked} | {} | {} | {memory} | {:.1} s | {cut} |",
            state.name,
            opened.len(),
            count - opened.len(),
            took.len(),
            at(50),
            at(99),
            shutdown.as_secs_f64()
        );
        let refused = took.len() < usize::try_from(asked)? && !state.busy;
        let late = shutdown > SHUTDOWN_LIMIT + Duration::from_secs(2);
        let wrong = cut > 0 && !state.busy;
        for (fault, what) in [
            (refused, "the good client was refused"),
            (late, "the shutdown took longer than its limit"),
            (wrong, "connections without a request were reported as requests in flight"),
        ] {
            if fault {
                faults += 1;
                println!("FAILED: {}: {what}", state.name);
            }
        }
    }
    std::fs::remove_dir_all(&folder)?;
    Ok(if faults == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
