//! Which compiler makes policies here.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::{BROKEN, Failure};

const TARGET: &str = "wasm32-unknown-unknown";

/// A compiler for WebAssembly.
#[derive(Debug)]
pub(crate) enum Toolchain {
    /// The target is installed for the `rustc` that is found first.
    Installed { sysroot: PathBuf },
    /// Debian's, which builds the standard library from its source.
    Debian { sysroot: PathBuf },
}

impl Toolchain {
    pub(crate) fn find() -> Result<Self, Failure> {
        if let Some(sysroot) =
            sysroot("rustc").filter(|sysroot| sysroot.join("lib/rustlib").join(TARGET).is_dir())
        {
            return Ok(Self::Installed { sysroot });
        }
        let mut missing = vec!["the target wasm32-unknown-unknown of the `rustc` on the PATH".to_owned()];
        let mut lacks = |what: &str, there: bool| {
            if !there {
                missing.push(what.to_owned());
            }
            there
        };
        let source = sysroot("/usr/bin/rustc");
        let compiler = lacks("/usr/bin/rustc", source.is_some());
        let cargo = lacks("/usr/bin/cargo", Path::new("/usr/bin/cargo").exists());
        let core = source
            .as_ref()
            .is_some_and(|root| root.join("lib/rustlib/src/rust/library/core/src/lib.rs").exists());
        let core = lacks("the standard library's source (rust-web-src)", core);
        let linker = lacks("wasm-ld (lld)", Command::new("wasm-ld").arg("--version").output().is_ok());
        match source {
            Some(sysroot) if compiler && cargo && core && linker => Ok(Self::Debian { sysroot }),
            _ => Err(Failure::new(
                BROKEN,
                "no-toolchain",
                format!(
                    "there is no Rust compiler for WebAssembly here. Get one in one of two ways:\n  rustup:  rustup target add {TARGET}\n  Debian:  apt-get install rustc-web cargo-web rust-web-src lld\nwhat was looked for and not found: {}",
                    missing.join(", ")
                ),
            )),
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Installed { .. } => "the installed target",
            Self::Debian { .. } => "Debian's compiler",
        }
    }

    pub(crate) fn cargo(&self) -> Command {
        match self {
            Self::Installed { .. } => Command::new("cargo"),
            Self::Debian { .. } => {
                let mut cargo = Command::new("/usr/bin/cargo");
                // rustup's `rustc` must not be found instead.
                let path = std::env::var("PATH").unwrap_or_default();
                cargo.env("PATH", format!("/usr/bin:{path}")).env("RUSTC", "/usr/bin/rustc");
                cargo
            }
        }
    }

    /// The command that compiles a policy for WebAssembly.
    pub(crate) fn build(&self, folder: &Path, no_std: bool, offline: bool) -> Command {
        let mut cargo = self.cargo();
        cargo.args(["build", "--release", "--target", TARGET]).current_dir(folder);
        if offline {
            cargo.arg("--offline");
        }
        let (Self::Installed { sysroot } | Self::Debian { sysroot }) = self;
        if let Self::Debian { .. } = self {
            cargo.arg(if no_std { "-Zbuild-std=core,alloc" } else { "-Zbuild-std=std,panic_abort" });
            cargo.env("RUSTC_BOOTSTRAP", "1").env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", "wasm-ld");
        }
        // No path of this machine goes into a policy, and a small stack leaves room in its first
        // page.
        let home = std::env::var("CARGO_HOME")
            .or_else(|_| std::env::var("HOME").map(|home| format!("{home}/.cargo")));
        let mut flags = vec![
            format!("--remap-path-prefix={}=/policy", folder.display()),
            format!("--remap-path-prefix={}/lib/rustlib/src/rust=/rust", sysroot.display()),
            "-Clink-arg=-zstack-size=32768".to_owned(),
        ];
        flags.extend(home.map(|home| format!("--remap-path-prefix={home}=/cargo")));
        cargo.env_remove("RUSTFLAGS").env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
        cargo
    }
}

fn sysroot(rustc: &str) -> Option<PathBuf> {
    let output = Command::new(rustc).args(["--print", "sysroot"]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| PathBuf::from(text.trim()))
}
