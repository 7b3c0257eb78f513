//! Load on a service that asks for client certificates, which wrk and h2load cannot present: here
//! on the quickstart's shop.
//!
//! ```text
//! cargo run --example quickstart -- --serve demo
//! cargo run --example load -- demo alice 20000     # in another terminal: FOLDER USER REQUESTS
//! ```

#![allow(clippy::print_stdout, reason = "this is a program that prints")]

use http::{Method, Request};
use ztlib_conformance::Load;
use ztlib_testing::TlsClient;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut arguments = std::env::args().skip(1);
    let folder =
        arguments.next().ok_or("FOLDER USER REQUESTS: the folder that `quickstart --serve` printed")?;
    let user = arguments.next().unwrap_or_else(|| "alice".to_owned());
    let requests: u64 = arguments.next().unwrap_or_else(|| "10000".to_owned()).parse()?;
    let read =
        |name: &str| std::fs::read(format!("{folder}/{name}")).map_err(|error| format!("{name}: {error}"));
    let client = TlsClient::from_pem(&read("ca.pem")?, &read("frontend.pem")?, &read("frontend.key")?)?;
    let bearer = format!("Bearer {}", String::from_utf8(read(&format!("{user}.token"))?)?);
    for method in [Method::GET, Method::DELETE] {
        let (of, bearer) = (method.clone(), bearer.clone());
        let make = move |n: u64| {
            let request = Request::builder().method(&of).uri(format!("https://localhost:8443/orders/{n}"));
            request.header("authorization", &bearer).body(Default::default()).unwrap_or_default()
        };
        let load = Load::new(([127, 0, 0, 1], 8443).into(), client.clone()).http2(16).requests(requests);
        println!("{method} /orders/{{n}} for {user}: {}", load.run(make).await?);
    }
    Ok(())
}
