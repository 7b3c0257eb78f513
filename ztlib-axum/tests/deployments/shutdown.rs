//! Graceful shutdown inside of Kubernetes' grace period.

use std::error::Error;
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use http::Version;
use tokio::net::TcpStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use ztlib::enforce::Guard;
use ztlib::tls::{Server, ShutDown};
use ztlib_axum::GuardedRouter;

use crate::{House, empty, listener, plain, says, told};

// page: from here
/// 5 s + 15 s, and up to 5 s for the audit log: inside of the 30 s from SIGTERM to SIGKILL.
const STILL_CALLED: Duration = Duration::from_secs(5);
const FINISH_WITHIN: Duration = Duration::from_secs(15);

async fn serve(
    server: Server,
    probes: TcpListener,
    shop: GuardedRouter,
    still_called: Duration, // STILL_CALLED
) -> Result<ShutDown, Box<dyn Error + Send + Sync>> {
    let stopping = Arc::new(AtomicBool::new(false));
    let stops = stopping.clone();
    let ready = move |path: &str| path == "/livez" || !stops.load(Ordering::Relaxed);
    let server = server.shutdown_limit(FINISH_WITHIN)?;
    let server = server.allow_plaintext_probes(probes, ["/livez", "/readyz"], ready)?;
    let mut terminated = signal(SignalKind::terminate())?;
    let shutdown = async move {
        terminated.recv().await;
        stopping.store(true, Ordering::Relaxed); // from now on readiness fails,
        tokio::time::sleep(still_called).await; // and until all have heard of it, calls still come
    };
    Ok(ztlib_axum::serve(server, shop, shutdown).await)
}
// page: to here

/// Until this holds; the test's own limit ends it where it never does.
async fn until(mut holds: impl AsyncFnMut() -> bool) {
    while !holds().await {
        tokio::task::yield_now().await;
    }
}

async fn probe(house: &House, address: SocketAddr, path: &str) -> u16 {
    plain(address, empty(house.get(Version::HTTP_11, path, None))).await.status().as_u16()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sigterm_readiness_fails_first_and_requests_in_flight_finish() {
    let house = House::new();
    let guard = Guard::builder().peers(house.trust()).tokens(house.tokens()).policies(house.policies());
    let guard = guard.build();
    let acceptor = guard.acceptor(&house.identity()).build().unwrap();
    let (arrived, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let slow = {
        let (arrived, go_on) = (arrived.clone(), go_on.clone());
        async move || {
            arrived.notify_one();
            go_on.notified().await;
            "a slow order"
        }
    };
    let router = Router::new().route("/slow", get(slow)).route("/orders/{id}", get(async || "an order"));
    let (guarded, address) = listener();
    let (probes, probed) = listener();
    let server = Server::from_listener(guarded, acceptor).unwrap();
    let still_called = Duration::from_secs(3);
    assert!(STILL_CALLED + FINISH_WITHIN + Duration::from_secs(5) < Duration::from_secs(30));
    let serving = tokio::spawn(serve(server, probes, GuardedRouter::new(guard, router), still_called));
    // The first answer of the probes comes after the signal's handler is there.
    assert_eq!(probe(&house, probed, "/readyz").await, 200);

    let frontend = house.client(Some(&house.frontend()));
    let in_flight = tokio::spawn({
        let (client, request) = (frontend.clone(), house.get(Version::HTTP_2, "/slow", Some("alice")));
        async move { client.send(address, empty(request)).await.map_err(|error| error.to_string()) }
    });
    arrived.notified().await;
    let kill = format!("kill -TERM {}", std::process::id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());

    until(async || probe(&house, probed, "/readyz").await == 503).await;
    assert_eq!(probe(&house, probed, "/livez").await, 200, "it is alive, and must not be restarted");
    let late = empty(house.get(Version::HTTP_11, "/orders/7", Some("alice")));
    assert_eq!(told(&frontend.send(address, late).await.unwrap()), says(200, "an order"));

    // Then nobody is let in, and what was begun is finished.
    until(async || TcpStream::connect(address).await.is_err()).await;
    assert_eq!(probe(&house, probed, "/readyz").await, 503, "probes are answered until the end");
    go_on.notify_one();
    assert_eq!(told(&in_flight.await.unwrap().unwrap()), says(200, "a slow order"));
    assert_eq!(serving.await.unwrap().unwrap().cut, 0);
}
