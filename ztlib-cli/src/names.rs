//! Names that cargo builds.

use crate::failure::{Failure, USAGE};

/// Words that a crate cannot be called: Rust's own (cargo refuses them), and its libraries.
const TAKEN: &[&str] = &[
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "core",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "proc-macro",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "yield",
];

/// Folders in which cargo puts what it builds, so that no program there can have the name.
const FOLDERS: &[&str] = &["build", "deps", "examples", "incremental"];

/// Crates that the service depends on, besides those that begin with `ztlib-`.
const DEPENDENCIES: &[&str] =
    &["axum", "prost", "tokio", "tonic", "tonic-build", "tonic-health", "tonic-prost", "tower", "ztlib"];

/// Whether a service can have this name, which stands in its crate's name, its trust domain and its
/// issuer.
///
/// # Errors
/// `bad-name`: what is wrong with it.
pub(crate) fn check(name: &str) -> Result<(), Failure> {
    let shown = name.escape_debug();
    if !is_well_formed(name, 40) {
        return Err(bad(format!(
            "`{shown}` cannot be a service's name: use 1 to 40 of `a-z`, `0-9` and `-`, a letter first (`--name`)"
        )));
    }
    let why = if TAKEN.contains(&name) {
        "a word of Rust's own"
    } else if FOLDERS.contains(&name) {
        "a folder of cargo's own"
    } else if DEPENDENCIES.contains(&name) || name.starts_with("ztlib-") {
        "a crate that the service depends on"
    } else {
        return Ok(());
    };
    Err(bad(format!("`{shown}` cannot be a service's name, it is {why}: choose another one (`--name`)")))
}

/// Whether a name has 1 to `most` of `a-z`, `0-9` and `-`, a letter first and no `-` last: what a
/// crate, a policy, a file and the label of a domain can have.
pub(crate) fn is_well_formed(name: &str, most: usize) -> bool {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let begins = name.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
    begins && name.len() <= most && !name.ends_with('-') && name.bytes().all(good)
}

fn bad(text: String) -> Failure {
    Failure::new(USAGE, "bad-name", text)
}
