//! `ztlib init` → `cargo run` → the first refusal, explained: the way of somebody who starts a
//! service, played to its end. It builds two services, so it runs where it is asked for:
//! `just nightly`.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test says what it shows by its name, and fails by panicking"
)]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use bytes::Bytes;
use http::{Request, Version};
use http_body_util::Full;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use ztlib_testing::HttpsClient;

/// A new service in a folder of its own, built.
struct Project {
    folder: PathBuf,
    name: String,
}

impl Project {
    /// `ztlib init`, and the service's own tests. They build the service, too.
    fn start(framework: &str) -> Self {
        let name = format!("demo-{framework}");
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("init-{framework}-{}", std::process::id()))
            .join(&name);
        let _ = fs::remove_dir_all(&folder);
        let project = Self { folder, name };
        let init =
            Command::new(env!("CARGO_BIN_EXE_ztlib")).args(["init", framework]).arg(&project.folder).output();
        let init = init.unwrap();
        assert!(init.status.success(), "{}", String::from_utf8_lossy(&init.stderr));
        // With the profile of this workspace, what has the same features is there already.
        let workspace =
            fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml")).unwrap();
        let profile = workspace.find("[profile.dev]").map(|at| workspace.split_at(at).1).unwrap();
        let file = project.folder.with_extension("profile.toml");
        fs::write(&file, profile).unwrap();
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.arg("--config").arg(&file);
        cargo.args(["test", "--offline", "--target-dir"]).arg(target()).current_dir(&project.folder);
        let test = cargo.output().unwrap();
        let (said, errors) = (String::from_utf8_lossy(&test.stdout), String::from_utf8_lossy(&test.stderr));
        assert!(test.status.success(), "{said}\n{errors}");
        assert!(said.contains("test result: ok. 5 passed;"), "{said}");
        assert!(!errors.contains("warning:"), "{errors}");
        project
    }

    /// What `cargo run` runs.
    fn serve(&self) -> Service {
        let mut child = Command::new(target().join("debug").join(&self.name))
            .current_dir(&self.folder)
            .env("LISTEN", "127.0.0.1:0")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let audit = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on https://").map(|address| address.parse());
        let address = address.unwrap_or_else(|| panic!("{line}")).unwrap();
        Service { child, address, audit }
    }

    fn desk(&self, name: &str) -> Vec<u8> {
        fs::read(self.folder.join("desk").join(name)).unwrap()
    }

    /// A client with the certificate of this caller, or without one.
    fn client(&self, caller: Option<&str>) -> HttpsClient {
        let root = CertificateDer::from_pem_slice(&self.desk("roots.pem")).unwrap();
        let identity = caller.map(|caller| {
            let chain = CertificateDer::from_pem_slice(&self.desk(&format!("{caller}.pem"))).unwrap();
            (vec![chain], PrivateKeyDer::from_pem_slice(&self.desk(&format!("{caller}.key"))).unwrap())
        });
        HttpsClient::new(root, identity).unwrap()
    }

    /// `ztlib desk token`.
    fn token(&self, subject: &str, role: &str) -> String {
        let token = Command::new(env!("CARGO_BIN_EXE_ztlib"))
            .args(["desk", "token", subject, "--role", role])
            .current_dir(&self.folder)
            .output()
            .unwrap();
        String::from_utf8(token.stdout).unwrap().trim().to_owned()
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let _ = self.folder.parent().map(fs::remove_dir_all);
    }
}

/// A running service, until it is dropped.
struct Service {
    child: Child,
    address: SocketAddr,
    audit: BufReader<ChildStdout>,
}

impl Service {
    /// The next line of the audit log.
    fn audit(&mut self) -> Value {
        let mut line = String::new();
        self.audit.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where this workspace is built: the service's dependencies are there already, as far as they have
/// the same features.
fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().to_owned()
}

/// A line of a README's first block that calls the service: the command, and what it says behind.
fn calls(readme: &str) -> (String, Vec<(String, String)>) {
    let block = readme.split("```sh\n").nth(1).and_then(|rest| rest.split("\n```").next()).unwrap();
    let (functions, lines) = block.split_once("\n\n").unwrap();
    let call = |line: &str| {
        let (command, says) = line.rsplit_once(" # ").unwrap();
        (command.trim().to_owned(), says.to_owned())
    };
    (functions.to_owned(), lines.lines().filter(|line| !line.is_empty()).map(call).collect())
}

/// Each line of the README's, as somebody pastes it into a shell: the status that it names, and the
/// text.
fn the_readme_says_what_curl_says(project: &Project, service: &Service, port: &str, status: &str) {
    if Command::new("curl").arg("--version").output().is_err() {
        eprintln!("SKIPPED: the lines of the README, since there is no curl here");
        return;
    }
    let readme = fs::read_to_string(project.folder.join("README.md")).unwrap();
    let readme =
        readme.replace(&format!("localhost:{port}"), &format!("localhost:{}", service.address.port()));
    let (functions, calls) = calls(&readme);
    let functions = functions.replace("curl ", "curl --include ");
    assert_eq!(calls.len(), 6);
    let binary = Path::new(env!("CARGO_BIN_EXE_ztlib")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
    for (command, says) in calls {
        let (code, text) = says.split_once(": ").unwrap_or((&says, ""));
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("{functions}\n{command}")]);
        let output =
            shell.current_dir(&project.folder).env("PATH", &path).stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(&format!("{status}{code}")), "{command}\n{said}{errors}");
        assert!(said.contains(text), "{command}\n{said}{errors}");
    }
}

/// The first refusal, as its audit line explains it.
fn is_the_refusal_of_a_viewer(event: &Value) {
    assert_eq!((&event["verdict"], &event["reason"]), (&"deny".into(), &"no-role".into()), "{event}");
    assert_eq!((&event["policy"], &event["subject"]), (&"rbac".into(), &"alice".into()), "{event}");
    let reads = event["reads"].as_array().unwrap();
    let why = reads.iter().find(|read| read["read"] == "claim-contains(\"/roles\", \"admin\")");
    assert_eq!(why.map(|read| &read["value"]), Some(&"no".into()), "{event}");
}

#[tokio::test]
#[ignore = "it builds a service: `just nightly`"]
async fn an_axum_service_is_built_refuses_and_says_why() {
    let project = Project::start("axum");
    let mut service = project.serve();
    let (viewer, admin) = (project.token("alice", "viewer"), project.token("root", "admin"));
    let request = |method: &str, path: &str, token: Option<&str>| {
        let mut request = Request::builder().method(method).uri(path).header("host", "localhost");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        request.body(Full::new(Bytes::new())).unwrap()
    };
    let frontend = project.client(Some("frontend"));
    let address = service.address;

    let answer = frontend.send(address, request("GET", "/orders/7", Some(&viewer))).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.body(), "order 7, for alice through spiffe://demo-axum.example/frontend\n");
    assert_eq!(service.audit()["verdict"], "allow");

    let answer = frontend.send(address, request("DELETE", "/orders/7", Some(&viewer))).await.unwrap();
    assert_eq!(answer.status(), 403);
    let problem: Value = serde_json::from_slice(answer.body()).unwrap();
    let event = service.audit();
    assert_eq!((&problem["code"], &problem["id"]), (&"no-role".into(), &event["id"]));
    is_the_refusal_of_a_viewer(&event);

    let answer =
        project.client(Some("batch")).send(address, request("DELETE", "/orders/7", Some(&admin))).await;
    assert_eq!(answer.unwrap().status(), 403);
    assert_eq!(service.audit()["reason"], "peer-not-allowed");

    let answer = frontend.send(address, request("GET", "/healthz", None)).await.unwrap();
    assert_eq!((answer.status().as_u16(), &answer.body()[..]), (200, &b"ok\n"[..]));
    assert_eq!(service.audit()["route"], "/healthz");

    // Without a certificate no HTTP is spoken.
    assert!(project.client(None).send(address, request("GET", "/healthz", None)).await.is_err());
    the_readme_says_what_curl_says(&project, &service, "8443", "HTTP/2 ");
}

#[tokio::test]
#[ignore = "it builds a service: `just nightly`"]
async fn a_tonic_service_is_built_refuses_and_says_why() {
    let project = Project::start("tonic");
    let mut service = project.serve();
    let (viewer, admin) = (project.token("alice", "viewer"), project.token("root", "admin"));
    // A message of one field, the id "7"; five bytes before it: not compressed, its length.
    let order = b"\0\0\0\0\x03\x0a\x017";
    let request = |path: &str, token: Option<&str>, message: &'static [u8]| {
        let mut request = Request::post(format!("https://localhost{path}"))
            .version(Version::HTTP_2)
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        request.body(Full::new(Bytes::from_static(message))).unwrap()
    };
    let frontend = project.client(Some("frontend"));
    let address = service.address;
    let (show, cancel) = ("/orders.v1.Orders/Show", "/orders.v1.Orders/Cancel");

    let answer = frontend.send(address, request(show, Some(&viewer), order)).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers().get("grpc-status")), (200, None));
    let text = String::from_utf8_lossy(answer.body()).into_owned();
    assert!(text.ends_with("order 7, for alice through spiffe://demo-tonic.example/frontend"), "{text}");
    assert_eq!(service.audit()["verdict"], "allow");

    let answer = frontend.send(address, request(cancel, Some(&viewer), order)).await.unwrap();
    assert_eq!(answer.headers()["grpc-status"], "7");
    is_the_refusal_of_a_viewer(&service.audit());

    let answer =
        project.client(Some("batch")).send(address, request(cancel, Some(&admin), order)).await.unwrap();
    assert_eq!(answer.headers()["grpc-status"], "7");
    assert_eq!(service.audit()["reason"], "peer-not-allowed");

    let answer =
        frontend.send(address, request("/grpc.health.v1.Health/Check", None, &[0; 5])).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers().get("grpc-status")), (200, None));
    assert_eq!(service.audit()["route"], "/grpc.health.v1.Health/Check");

    // Without a certificate no gRPC is spoken.
    assert!(project.client(None).send(address, request(show, Some(&viewer), order)).await.is_err());
    the_readme_says_what_curl_says(&project, &service, "8444", "grpc-status: ");
}
