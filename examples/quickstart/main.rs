//! A shop (axum) and an inventory (tonic) behind one kind of guard, and callers of every sort.
//!
//! ```text
//! cargo run --example quickstart              # prints who was let through and why, and ends
//! cargo run --example quickstart -- --serve   # stays up, and prints the curl lines to try
//! cargo run --example quickstart -- --record traffic.jsonl   # and writes what its guard recorded
//! ```
//!
//! It makes its authorities, certificates and tokens on the spot, in a temporary folder, and talks
//! to itself over real connections on loopback. It fails where a decision is not the expected one.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is a program that prints")]
#![allow(clippy::disallowed_methods, reason = "its certificates are valid now")]
#![allow(missing_docs, unreachable_pub, reason = "a program has no API")]

mod client;
mod inventory;
mod scenes;
mod serve;
mod shop;
mod table;
mod timing;
mod trial;
mod world;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use tonic::service::Routes;
use ztlib::enforce::Guard;
use ztlib::observe::{AuditEvent, AuditSink};
use ztlib_tonic::GuardedRoutes;

use client::Answer;
use inventory::{InventoryServer, Warehouse};
use scenes::{Expected, Scene};
use table::Row;
use timing::Timings;
use world::{Failure, World};

#[tokio::main]
async fn main() -> ExitCode {
    let (flag, path) = (std::env::args().nth(1), std::env::args().nth(2).map(PathBuf::from));
    let passing = || std::env::temp_dir().join(format!("ztlib-quickstart-{}", std::process::id()));
    let result = match (flag.as_deref(), path) {
        (Some("--serve"), folder) => {
            let folder = folder.unwrap_or_else(|| std::env::temp_dir().join("ztlib-quickstart"));
            serve::run(&folder).await.map(|()| 0)
        }
        (None, _) => play_in(&passing(), None).await,
        (Some("--record"), Some(file)) => play_in(&passing(), Some(&file)).await,
        (Some(other), _) => {
            eprintln!("`{other}` is not known; there are `--serve [FOLDER]` and `--record FILE`");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(0) => ExitCode::SUCCESS,
        Ok(wrong) => {
            eprintln!("{wrong} decisions are not the expected ones");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("the quickstart failed: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Plays in a folder that is removed afterwards.
async fn play_in(folder: &Path, record: Option<&Path>) -> Result<usize, Failure> {
    let result = play(folder, record).await;
    let _ = std::fs::remove_dir_all(folder);
    result
}

/// How often a request is sent again to see what it costs then.
const AGAIN: usize = 15;

/// Audit events for the table.
struct Events(Mutex<std::sync::mpsc::Sender<AuditEvent>>);

impl AuditSink for Events {
    fn record(&self, event: AuditEvent) {
        if let Ok(events) = self.0.lock() {
            // The receiver is gone only when the program ends.
            let _ = events.send(event);
        }
    }
}

/// Both services: their guard, where they listen, and what they take.
pub struct Services {
    guard: Guard,
    shop: SocketAddr,
    inventory: SocketAddr,
    timings: Timings,
}

/// Both services, until the program ends.
pub async fn start(world: &World, ports: (u16, u16), audit: impl AuditSink) -> Result<Services, Failure> {
    let (guard, trust) = world.guard(audit)?;
    guard.policies().watch()?;
    let named = |port: u16| {
        move |error: Failure| format!("127.0.0.1:{port}: {error} (is another quickstart running?)")
    };
    let shop = world.server(ports.0, &trust, false).await.map_err(named(ports.0))?;
    let inventory = world.server(ports.1, &trust, true).await.map_err(named(ports.1))?;
    let addresses = (shop.local_addr()?, inventory.local_addr()?);
    let timings = Timings::default();
    let router = shop::guarded(guard.clone()).layer_outside(timings.clone());
    let routes = GuardedRoutes::new(guard.clone(), Routes::new(InventoryServer::new(Warehouse)));
    let routes = routes.layer_outside(timings.clone());
    tokio::spawn(ztlib_axum::serve(shop, router, std::future::pending()));
    tokio::spawn(ztlib_tonic::serve(inventory, routes, std::future::pending()));
    Ok(Services { guard, shop: addresses.0, inventory: addresses.1, timings })
}

/// Plays all scenes and prints the table. Gives how many decisions were not the expected ones.
async fn play(folder: &Path, record: Option<&Path>) -> Result<usize, Failure> {
    let world = World::make(folder)?;
    let (sender, events) = channel();
    let services = start(&world, (0, 0), Events(Mutex::new(sender))).await?;
    let (guard, shop, inventory) = (&services.guard, services.shop, services.inventory);

    println!("A shop (axum, {shop}) and an inventory (tonic, {inventory}), guarded by ztlib.");
    println!(
        "PolicyStore: peers (peer-allow-list), rbac, step-up; revision {}.\n",
        guard.policies().status().revision
    );
    println!(
        "why: the policy and its reason, or the code of what else refused; read: what the policies asked, in order, and what they were told."
    );
    println!(
        "first, again: microseconds inside of the service, of the first such request and of the same again (the median of {AGAIN}, each on a connection of its own). \
         Where the policies were asked, what they read is the key under which the answer is found again."
    );
    println!(
        "no connection: the handshake failed with this TLS alert; no HTTP was spoken, and there is no audit event.\n"
    );
    let mut rows = Vec::new();
    for scene in scenes::all(&world) {
        rows.push(play_one(&world, scene, &services, &events).await?);
    }
    table::print(&rows);

    println!("\nNow rbac.yaml changes on disk, while both services run: viewers may delete orders.");
    let before = guard.policies().status().revision.to_string();
    let config = world.policies().join("rbac.yaml");
    let changed = std::fs::read_to_string(&config)?.replace(
        "methods: [GET], routes: [\"/orders/{id}\"",
        "methods: [GET, DELETE], routes: [\"/orders/{id}\"",
    );
    std::fs::write(&config, changed)?;
    world.write_manifest()?;
    let began = Instant::now();
    while guard.policies().status().revision.to_string() == before {
        if began.elapsed() > Duration::from_secs(10) {
            return Err("the change was not picked up within ten seconds".into());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    println!(
        "Revision {} is in force after {} ms.\n",
        guard.policies().status().revision,
        began.elapsed().as_millis()
    );
    let mut changed = Vec::new();
    for scene in scenes::after_the_change(&world) {
        changed.push(play_one(&world, scene, &services, &events).await?);
    }
    table::print(&changed);
    rows.append(&mut changed);

    println!();
    trial::play(&world, &services, record).await?;
    let mut promoted = Vec::new();
    for scene in scenes::after_the_promotion(&world) {
        promoted.push(play_one(&world, scene, &services, &events).await?);
    }
    table::print(&promoted);
    rows.append(&mut promoted);
    Ok(rows.iter().filter(|row| !row.as_expected).count())
}

async fn play_one(
    world: &World,
    scene: Scene,
    services: &Services,
    events: &Receiver<AuditEvent>,
) -> Result<Row, Failure> {
    // What earlier scenes left behind is not this one's.
    while events.try_recv().is_ok() {}
    services.timings.take();
    let answer = client::send(world, &scene, services.shop, services.inventory).await?;
    // The last event decides: a handler that asks leaves one of its own.
    let event = events.try_iter().last();
    let first = services.timings.take().first().copied();
    for _ in 0..if first.is_some() { AGAIN } else { 0 } {
        client::send(world, &scene, services.shop, services.inventory).await?;
    }
    let mut again = services.timings.take();
    again.sort_unstable();
    let took = first.zip(again.get(again.len() / 2).copied());
    let reason = event.as_ref().and_then(|event| event.reason());
    let as_expected = match (&scene.expected, &answer) {
        (Expected::NoConnection, Answer::NoConnection(_)) => event.is_none(),
        (Expected::Allow, Answer::Http(200, _) | Answer::Grpc(0)) => reason.is_none() && event.is_some(),
        (Expected::Refused(status, why), Answer::Http(actual, id)) => {
            let told = event.as_ref().map(|event| event.id().to_string());
            status == actual && reason == Some(why) && *id == told
        }
        (Expected::Refused(code, why), Answer::Grpc(actual)) => code == actual && reason == Some(why),
        _ => false,
    };
    Ok(Row::new(scene, &answer, event.as_ref(), took, as_expected))
}
