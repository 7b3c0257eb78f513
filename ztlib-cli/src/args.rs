//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};

/// The desk of a service author and of a policy author: start a service; write, build, test,
/// explain, measure, look through, replay and sign policies.
///
/// Exit codes: 0 all is well; 1 a test or a lint failed, or a replay found a change; 2 the command
/// line is wrong; 3 something cannot be read, built, loaded, signed or verified.
#[derive(Debug, Parser)]
#[command(name = "ztlib", version, propagate_version = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// Print one JSON value instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a service: a folder with a guarded service that compiles, policies, tests and keys
    Init(Init),
    /// Keys and tokens to try a service with, on this machine only
    #[command(subcommand)]
    Desk(DeskCommand),
    /// Policies: make, build, test, explain, measure, look through, replay, sign
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// A policy set as a whole
    #[command(subcommand)]
    Set(SetCommand),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeskCommand {
    /// Make keys for the desk: roots, certificates of the service and of two callers, a key set.
    /// They are good for 30 days
    Keys(Keys),
    /// Print a token, good for 15 minutes
    Token(Token),
}

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Make a folder with a policy that compiles: source, configuration, manifest, tests
    New(New),
    /// Compile the policy of a folder, make it a component, and pin its digest in the manifest
    Build(Build),
    /// Run the cases that a manifest names, in the sandbox
    Test(Test),
    /// Show what is decided about one question, and why
    Explain(Box<Explain>),
    /// Measure how long cases take
    Bench(Bench),
    /// Show what policies are made of, what they may use, and what they read in their cases
    Inspect(Inspect),
    /// Show what a set would have decided otherwise, on what a service recorded
    Replay(Replay),
    /// Write a first set of policies from what a service recorded: the smallest peers, roles and
    /// scopes that allow it
    Suggest(Suggest),
    /// Write the digests of a manifest's modules into it, and of their configurations where it has
    /// a version. It says: I trust these files
    Pin(Pin),
    /// Sign a manifest that passes its own cases: the signature is put beside it, with `.sig`
    /// behind its name
    Sign(Sign),
    /// Check a manifest's signature and digests: who signed, what is bound by it, and what is not
    Verify(Verify),
}

#[derive(Debug, Subcommand)]
pub(crate) enum SetCommand {
    /// Find policies that never decide, reasons that are never given, facts that are never read,
    /// routes that nobody covers
    Lint(Lint),
}

/// What serves the requests.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Framework {
    /// HTTP
    Axum,
    /// gRPC
    Tonic,
}

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// What serves the requests
    pub(crate) framework: Framework,
    /// The folder: a new one, or an empty one
    #[arg(default_value = ".", value_hint = ValueHint::DirPath)]
    pub(crate) folder: PathBuf,
    /// The service's name: 1 to 40 of a-z, 0-9 and `-`, a letter first. Unless given, the folder's
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// A checkout of ztlib, from which the service takes its crates until they are released. Unless
    /// given, the one that this command was built from
    #[arg(long, value_name = "PATH", value_hint = ValueHint::DirPath)]
    pub(crate) ztlib: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Keys {
    /// The service's name, as in its Cargo.toml
    pub(crate) name: String,
    /// The folder: a new one, or an empty one
    #[arg(default_value = "desk", value_hint = ValueHint::DirPath)]
    pub(crate) folder: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Token {
    /// Whom it is for: the claim `sub`
    pub(crate) subject: String,
    /// A role, in the claim `roles`; once for each
    #[arg(long = "role", value_name = "ROLE")]
    pub(crate) roles: Vec<String>,
    /// Further claims, as JSON: `{"scope": "orders:read"}`
    #[arg(long, value_name = "JSON")]
    pub(crate) claims: Option<String>,
    /// The folder that `ztlib desk keys` made
    #[arg(long, value_name = "FOLDER", default_value = "desk", value_hint = ValueHint::DirPath)]
    pub(crate) keys: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct New {
    /// Its name: 1 to 64 of a-z, 0-9 and `-`, a letter first; also the folder's
    pub(crate) name: String,
    /// The folder of the SDK `ztlib-policy` (plugins/sdk in a checkout of ztlib). Needed until the
    /// SDK is released
    #[arg(long, value_hint = ValueHint::DirPath)]
    pub(crate) sdk: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Build {
    /// The folder of the policy
    #[arg(default_value = ".", value_hint = ValueHint::DirPath)]
    pub(crate) folder: PathBuf,
    /// Take nothing from the network
    #[arg(long)]
    pub(crate) offline: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Test {
    /// The manifest
    #[arg(default_value = "policies.toml", value_hint = ValueHint::FilePath)]
    pub(crate) manifest: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The manifest
    #[arg(default_value = "policies.toml", value_hint = ValueHint::FilePath)]
    pub(crate) manifest: PathBuf,
    /// A case that the manifest names, by its name
    #[arg(long, value_name = "NAME", conflicts_with_all = ["path", "action"])]
    pub(crate) case: Option<String>,
    /// Ask this policy alone
    #[arg(long, value_name = "NAME")]
    pub(crate) policy: Option<String>,
    /// The request's path
    #[arg(long, required_unless_present_any = ["case", "action"], conflicts_with = "action")]
    pub(crate) path: Option<String>,
    /// A question of the application's own instead of a request
    #[arg(long)]
    pub(crate) action: Option<String>,
    /// The request's method
    #[arg(long)]
    pub(crate) method: Option<String>,
    /// The request's host
    #[arg(long)]
    pub(crate) host: Option<String>,
    /// The template of the route that matched, of a gRPC call its path
    #[arg(long)]
    pub(crate) route: Option<String>,
    /// A parameter of the route. They come of path and route by themselves, and have to agree with
    /// them
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) params: Vec<(String, String)>,
    /// A parameter of the query
    #[arg(long = "query", value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) queries: Vec<(String, String)>,
    /// A header
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) headers: Vec<(String, String)>,
    /// A label
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) labels: Vec<(String, String)>,
    /// A signal
    #[arg(long = "signal", value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) signals: Vec<(String, String)>,
    /// The peer's SPIFFE ID
    #[arg(long, value_name = "SPIFFE-ID")]
    pub(crate) peer: Option<String>,
    /// The claims of the caller's token, as JSON
    #[arg(long, value_name = "JSON")]
    pub(crate) claims: Option<String>,
    /// The home issuer: the first that the service takes tokens of. Unless given, the one that the
    /// set's files of cases name
    #[arg(long, value_name = "ISSUER", conflicts_with = "case")]
    pub(crate) home_issuer: Option<String>,
    /// The caller's address
    #[arg(long, value_name = "IP")]
    pub(crate) remote_ip: Option<String>,
    /// The moment, in seconds since 1970
    #[arg(long, value_name = "SECONDS")]
    pub(crate) now: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// The manifest
    #[arg(default_value = "policies.toml", value_hint = ValueHint::FilePath)]
    pub(crate) manifest: PathBuf,
    /// Only this case
    #[arg(long, value_name = "NAME")]
    pub(crate) case: Option<String>,
    /// How often each case is asked
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) times: u32,
}

#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// A component (.wasm), or a manifest
    #[arg(default_value = "policies.toml", value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// The manifest of the set to try
    #[arg(default_value = "policies.toml", value_hint = ValueHint::FilePath)]
    pub(crate) manifest: PathBuf,
    /// What the service recorded (`Recording::save`)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) recorded: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Suggest {
    /// What the service recorded (`Recording::save`)
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) recorded: PathBuf,
    /// The folder to write: it must not exist, or be empty
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub(crate) out: PathBuf,
    /// Where roles are in the token, as JSON pointers [default: /roles and /groups]
    #[arg(long = "role-claim", value_name = "POINTER")]
    pub(crate) role_claims: Vec<String>,
    /// Also take requests that the policies denied: for recordings of a guard that only observed
    #[arg(long)]
    pub(crate) allow_denied: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Pin {
    /// The manifest
    #[arg(default_value = "policies.toml", value_hint = ValueHint::FilePath)]
    pub(crate) manifest: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Sign {
    /// The manifest
    #[arg(default_value = "policies.toml", value_hint = ValueHint::FilePath)]
    pub(crate) manifest: PathBuf,
    /// Sign without loading the set and running its cases
    #[arg(long)]
    pub(crate) no_test: bool,
    /// The private key: PEM (PKCS#8, not encrypted), Ed25519 or P-256, as `openssl genpkey` writes
    /// it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) key: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// The manifest
    #[arg(default_value = "policies.toml", value_hint = ValueHint::FilePath)]
    pub(crate) manifest: PathBuf,
    /// A file with public keys (PEM) that may have signed; once for each file
    #[arg(long, value_name = "FILE", required = true, value_hint = ValueHint::FilePath)]
    pub(crate) trust: Vec<PathBuf>,
    /// The service that is to load it: it has to be one of those that the set is `for`
    #[arg(long, value_name = "NAME")]
    pub(crate) service: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Lint {
    /// The manifest
    #[arg(default_value = "policies.toml", value_hint = ValueHint::FilePath)]
    pub(crate) manifest: PathBuf,
    /// The service's routes, one a line: `GET /orders/{id}`
    #[arg(long, value_hint = ValueHint::FilePath)]
    pub(crate) routes: Option<PathBuf>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}
