# The one front door. `just` alone lists what there is; every recipe also works by hand.

default:
    @just --list

# All tests of the workspace: unit, integration, documentation. Needs cargo alone.
test *arguments:
    cargo test --workspace {{arguments}}

# The tests that measure, where nothing else runs: what takes too long fails. Without this they print what it took.
quiet:
    ZTLIB_QUIET_MACHINE=1 cargo test --workspace --test reloads --test server -- --nocapture --test-threads=1

# Two guarded services on loopback, several callers, a table of what was decided and why.
quickstart *arguments:
    cargo run --example quickstart -- {{arguments}}

# What reviewers see first: format, lints, documentation.
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    RUSTDOCFLAGS=-Dwarnings cargo doc --workspace --no-deps

# Format everything, the workspaces of policies and fuzz targets too.
fmt:
    cargo fmt --all
    cd plugins && cargo fmt --all
    cd fuzz && cargo fmt --all
    cd benches/peers && cargo fmt --all

# The policies' own tests, native: no WebAssembly needed.
policy-tests:
    cd plugins && cargo test

# Write docs/tutorial.md anew from what its commands say. Needs a compiler for wasm32-unknown-unknown.
tutorial:
    ZTLIB_BLESS=1 cargo test --workspace --test tutorial

# Build every policy from source into plugins/artifacts (see plugins/README.md for the toolchain).
policies:
    plugins/build.sh

# Compare the committed components with what the source gives.
policies-check:
    plugins/build.sh --check

# Every fuzz target for this many seconds. Needs cargo-fuzz.
fuzz seconds="10":
    fuzz/run.sh {{seconds}}

# Takes each condition of the decision cache away in a scratch copy, and shows that the test named for it fails.
mutants *conditions:
    ztlib/tests/mutations/run.sh {{conditions}}

# Compares remembered with fresh answers, so many times.
cached-equals-fresh cases="10000000" threads="2":
    ZTLIB_CACHE_CASES={{cases}} ZTLIB_CACHE_THREADS={{threads}} cargo test --workspace --release --test cached_equals_fresh -- --nocapture

# The memory of a service under a flood of distinct requests, routes and tokens.
flood count="1000000":
    cargo run --release --example flood {{count}}

# Many connections in each state of docs/connections.md: a good client is served, and a shutdown ends.
connection-states count="300" seconds="2":
    cargo run --example connection_states {{count}} {{seconds}}

# What takes too long for the gate: an hour and more on two cores.
nightly:
    cargo run --example connection_states 9000 60
    ztlib/tests/mutations/run.sh
    fuzz/run.sh 60
    # What `ztlib init` writes: built with the features of a service, run and called.
    cargo test --workspace --test init_builds -- --ignored
    ZTLIB_CACHE_CASES=10000000 ZTLIB_CACHE_THREADS=2 cargo test --workspace --release --test cached_equals_fresh -- --nocapture

# Criterion, one bench a stage.
bench *arguments:
    cargo bench -p ztlib-benches {{arguments}}

# Every target of speed beside its floor or its peers, in one table. Builds them the first time, which takes long.
scoreboard *arguments:
    cargo run --release --manifest-path benches/peers/Cargo.toml --bin scoreboard -- {{arguments}}

# Count the instructions of each path anew and write them down. Needs valgrind.
instructions:
    benches/instructions.sh --renew

# Licenses, bans and advisories. Needs cargo-deny; the advisories need the network.
deny:
    cargo deny check

# The whole gate, as on a clean clone. It installs Debian packages.
ci:
    .ci/run
