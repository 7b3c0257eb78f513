//! `--serve`: both services stay up, and the lines to try them are printed.

use std::fs;
use std::path::Path;
use std::time::Duration;

use ztlib::observe::JsonLinesSink;
use ztlib::policies::PolicyStore;

use crate::world::{Failure, World};

/// The ports of the two services.
pub const PORTS: (u16, u16) = (8443, 8444);

pub async fn run(folder: &Path) -> Result<(), Failure> {
    let world = World::make(folder)?;
    write_files(&world)?;
    let log = JsonLinesSink::to_file(folder.join("audit.jsonl"), 65_536)?;
    let crate::Services { guard, shop, inventory, .. } = crate::start(&world, PORTS, log).await?;
    let at = folder.display();
    println!("The shop (axum) listens on {shop}, the inventory (tonic) on {inventory}.");
    println!(
        "Certificates, keys, tokens and policies are in {at}; each decision is a line of audit.jsonl there."
    );
    println!("Policy revision {}. Ctrl-C ends it.\n", guard.policies().status().revision);
    let curl = format!("curl --cacert {at}/ca.pem --cert {at}/frontend.pem --key {at}/frontend.key");
    let token = |name: &str| format!("-H \"Authorization: Bearer $(cat {at}/{name}.token)\"");
    let url = format!("https://localhost:{}", PORTS.0);
    println!("# 200: alice is a viewer\n{curl} {} {url}/orders/7\n", token("alice"));
    println!("# 403 no-role: a viewer deletes nothing\n{curl} {} -X DELETE {url}/orders/7\n", token("alice"));
    println!("# 200: root is an admin\n{curl} {} -X DELETE {url}/orders/7\n", token("root"));
    println!(
        "# 401 step-up-required: a refund needs MFA\n{curl} {} -i -X POST {url}/orders/7/refund\n",
        token("root")
    );
    println!(
        "# 200 for five minutes: root has logged in with MFA\n{curl} {} -X POST {url}/orders/7/refund\n",
        token("root-mfa")
    );
    println!("# 401: no token\n{curl} {url}/orders/7\n");
    println!("# no connection: no certificate\ncurl --cacert {at}/ca.pem {url}/orders/7\n");
    println!("# 400 path-empty-segment\n{curl} {} --path-as-is {url}//orders/7\n", token("root"));
    println!("# gRPC, with Python's grpcio\npython3 examples/quickstart/call_inventory.py {at} carl\n");
    println!(
        "# change a policy: who may do what is in {at}/policies/rbac.yaml, and in force within a second\n"
    );
    println!("# see it decided\ntail -f {at}/audit.jsonl");
    let policies = guard.policies().clone();
    std::thread::spawn(move || tell_refusals(&policies));
    tokio::signal::ctrl_c().await?;
    Ok(())
}

/// Says why changed policies are not in force. It ends with the process.
fn tell_refusals(policies: &PolicyStore) {
    let mut told = 0;
    loop {
        if policies.wait_until(Duration::from_secs(3600), |status| status.failures > told) {
            let status = policies.status();
            told = status.failures;
            if let Some((error, _)) = status.last_error {
                eprintln!("the policies in force stay: {error}");
            }
        }
    }
}

fn write_files(world: &World) -> Result<(), Failure> {
    let write = |name: String, content: &str| fs::write(world.folder.join(name), content);
    write("ca.pem".into(), &world.mesh.certificate_pem())?;
    for name in ["frontend", "reporting"] {
        let service = world.service(name);
        write(format!("{name}.pem"), &service.chain_pem())?;
        write(format!("{name}.key"), &service.key_pem())?;
    }
    write("roots.pem".into(), &world.mesh.certificate_pem())?;
    write("jwks.json".into(), &String::from_utf8(world.tokens.jwks())?)?;
    let server = world.mesh.leaf().dns("localhost").for_servers().issue();
    write("server.pem".into(), &server.chain_pem())?;
    write("server.key".into(), &server.key_pem())?;
    let fresh = world.token("root", &["admin"]).claim("amr", ["mfa"]).authenticated_ago(Duration::ZERO);
    write("root-mfa.token".into(), &fresh.sign())?;
    for (subject, role) in [("alice", "viewer"), ("root", "admin"), ("carl", "clerk")] {
        let token = world.token(subject, &[role]).expires_in(Duration::from_secs(12 * 3600)).sign();
        write(format!("{subject}.token"), &token)?;
    }
    Ok(())
}
