//! Three deployments of `docs/deployments.md` for clients and proxies that share no code with
//! ztlib: behind a load balancer, on a unix socket, and for a browser. `examples/deployments` has
//! scripts that put nginx and Chromium in front of them.
//!
//! ```text
//! cargo run --example deployments FOLDER
//! ```
//!
//! It writes tokens, and a certificate for `shop.example` and its subdomains, into the folder, says
//! where it listens, and says of each request what the policy saw.

#![allow(clippy::print_stdout, reason = "what it prints is for the scripts")]

mod behind_a_balancer;
mod browser;
mod unix_socket;

use std::error::Error;
use std::path::PathBuf;

use axum::Router;
use axum::routing::get;
use tokio::net::{TcpListener, UnixListener};
use ztlib::authenticate::token::{Algorithm, Issuer, KeySet, TokenVerifier};
use ztlib::authorize::{Answer, Fault, NativePolicy, Outcome, Read, Reader, Value};
use ztlib::policies::{PolicySetBuilder, PolicyStore};
use ztlib::tls::{Acceptor, Server};
use ztlib_testing::{Authority, TokenIssuer};

/// Lets alice do what has a route, and says what it saw.
struct Alice;

impl NativePolicy for Alice {
    fn decide(&self, question: &mut Reader, outcome: &mut Outcome) -> Result<Answer, Fault> {
        let mut saw = String::new();
        let mut read = |name: &str, read| {
            let text = match question.read(read)? {
                Value::Text(text) => text.to_string(),
                _ => "none".to_owned(),
            };
            saw.push_str(&format!(" {name}={text}"));
            Ok::<_, Fault>(text)
        };
        let subject = read("subject", Read::Subject)?;
        read("method", Read::Method)?;
        let route = read("route", Read::Route)?;
        read("peer", Read::PeerSpiffeId)?;
        read("address", Read::RemoteIp)?;
        read("user", Read::Label("unix-user".into()))?;
        println!("saw{saw}");
        if subject == "alice" && route != "none" {
            return Ok(Answer::Allow);
        }
        outcome.reason("no-role")?;
        Ok(Answer::Deny)
    }
}

fn policies() -> Result<PolicyStore, ztlib::policies::LoadError> {
    PolicySetBuilder::new().native("alice", Alice).reasons(["no-role"]).load()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("give a folder")?);
    let id = TokenIssuer::new("https://id.example");
    for subject in ["alice", "bob"] {
        let token = id.token().subject(subject).audience("shop").sign();
        std::fs::write(folder.join(format!("{subject}.token")), token)?;
    }
    let tokens = || -> Result<TokenVerifier, Box<dyn Error>> {
        let issuer = Issuer::new(id.name()).audience("shop").algorithms([Algorithm::ES256]);
        Ok(TokenVerifier::builder().issuer(issuer.keys(KeySet::from_jwks(&id.jwks())?)).build()?)
    };

    let authority = Authority::new("shop root");
    let names = authority.leaf().dns("localhost").dns("shop.example").dns("*.shop.example");
    let server = names.dns("evil.example").for_servers().issue();
    std::fs::write(folder.join("ca.pem"), authority.certificate_pem())?;
    std::fs::write(folder.join("server.pem"), server.chain_pem())?;
    std::fs::write(folder.join("server.key"), server.key_pem())?;

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("balancer {}", listener.local_addr()?);
    let balancer = behind_a_balancer::serve(tokens()?, policies()?, listener);

    let socket = folder.join("shop.sock");
    let listener = UnixListener::bind(&socket)?;
    println!("socket {}", socket.display());
    let socket = unix_socket::serve(tokens()?, policies()?, listener);

    let orders = get(async || "an order").post(async || "changed").delete(async || "deleted");
    let shop = browser::guarded(tokens()?, policies()?, Router::new().route("/orders/{id}", orders))?;
    let acceptor = Acceptor::builder().identity(server.chain(), server.key())?;
    let acceptor = acceptor.allow_anonymous_peers_only().build()?;
    let server = Server::bind("127.0.0.1:0", acceptor).await?;
    println!("browser {}", server.local_addr()?);
    let browser = ztlib_axum::serve(server, shop, std::future::pending());
    println!("ready");
    let (balancer, socket, _) = tokio::join!(balancer, socket, browser);
    balancer.and(socket).map_err(Into::into)
}
