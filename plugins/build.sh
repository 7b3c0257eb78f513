#!/usr/bin/env bash
# Builds every policy from source into plugins/artifacts/. See plugins/README.md, "Building".
#
#   plugins/build.sh            build, and write artifacts/*.wasm, artifacts/TOOLCHAIN, artifacts/SHA256SUMS
#   plugins/build.sh --check    build into a temporary folder and compare with the committed artifacts
#   plugins/build.sh --into FOLDER NAME…   build only these: a package of Rust, or office-hours-c
#
# Exit codes: 0 done, or equal · 1 the build failed, or the bytes differ though the toolchain is the same ·
# 2 no toolchain for wasm32-unknown-unknown, in Rust or in C · 3 (--check) another toolchain, other bytes: the last line printed is
# `ZTLIB_ARTIFACTS=<folder>`; put its files in the place of `artifacts/` and run the tests, as CI does.
set -euo pipefail

plugins=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
artifacts=$plugins/artifacts
target=wasm32-unknown-unknown
check=${1:-}
case $check in
    '' | --check) ;;
    --into) into=${2:?a folder} && shift 2 ;;
    *) echo "usage: plugins/build.sh [--check | --into FOLDER NAME…]" >&2; exit 1 ;;
esac

# Rust policies: name of the package. Everything in hostile/*.wat, and the policy in C, come besides.
packages=(
    ztlib-rbac ztlib-peer-allow-list ztlib-token-scope ztlib-step-up ztlib-conditions
    ztlib-allow-all ztlib-deny-all ztlib-rbac-linear ztlib-probe ztlib-office-hours
)

# Those that the crate `ztlib-policies` holds: artifacts/ has links to its files.
ready=(rbac peer-allow-list token-scope step-up conditions)

missing_toolchain() {
    cat >&2 <<'TEXT'
No Rust toolchain for wasm32-unknown-unknown was found. There are two ways to get one:
  rustup:  rustup target add wasm32-unknown-unknown
  Debian:  apt-get install rustc-web cargo-web rust-web-src lld
           (/usr/bin/cargo and /usr/bin/rustc; the standard library is built from rust-web-src)
TEXT
    exit 2
}

need_clang() {
    clang --print-targets 2>/dev/null | grep -qw wasm32 && command -v wasm-ld >/dev/null && return
    echo "No clang for wasm32 was found. Debian: apt-get install clang lld" >&2
    exit 2
}

# The toolchain of the committed components where it is here; else the target as rustup installs it, or Debian's compiler, which builds core
# and alloc from source.
find_toolchain() {
    if [ -x /usr/bin/rustc ] && grep -qsxF "rustc: $(/usr/bin/rustc --version)" "$artifacts/TOOLCHAIN"; then
        debian_toolchain || rustup_toolchain || missing_toolchain
    else
        rustup_toolchain || debian_toolchain || missing_toolchain
    fi
}

rustup_toolchain() {
    local sysroot
    sysroot=$(rustc --print sysroot 2>/dev/null) && [ -d "$sysroot/lib/rustlib/$target" ] || return 1
    cargo=cargo rustc=rustc flags=() linker=rust-lld
}

debian_toolchain() {
    local sysroot
    [ -x /usr/bin/rustc ] && [ -x /usr/bin/cargo ] && command -v wasm-ld >/dev/null || return 1
    sysroot=$(/usr/bin/rustc --print sysroot)
    [ -e "$sysroot/lib/rustlib/src/rust/library/core/src/lib.rs" ] || return 1
    cargo=/usr/bin/cargo rustc=/usr/bin/rustc flags=(-Zbuild-std=core,alloc) linker=wasm-ld
}

describe_toolchain() {
    echo "rustc: $("$rustc" --version)"
    if [ "$linker" = wasm-ld ]; then echo "linker: $(wasm-ld --version)"; else echo "linker: rust-lld of this rustc"; fi
    echo "clang: $(clang --version | head -n 1), $(wasm-ld --version)"
    local crate
    for crate in wit-bindgen wit-bindgen-c wit-component wat; do
        echo "$crate: $(awk -v name="\"$crate\"" '$1 == "name" && $3 == name { getline; gsub(/"/, "", $3); print $3; exit }' "$plugins/Cargo.lock")"
    done
}

# Compiles packages of Rust and notes where the modules lie.
build_rust() {
    local build_dir=$plugins/target/guests
    local cargo_home=${CARGO_HOME:-$HOME/.cargo} sysroot
    sysroot=$("$rustc" --print sysroot)
    # No path of this machine may be in a policy. A policy needs little stack: 32 KiB leave room in its first page.
    local rustflags="--remap-path-prefix=$plugins=/plugins --remap-path-prefix=$cargo_home=/cargo"
    rustflags+=" --remap-path-prefix=$sysroot/lib/rustlib/src/rust=/rust -Clink-arg=-zstack-size=32768"
    # cargo takes the path of a crate outside of this workspace (ztlib-pattern) into the names of its symbols, and the order of the code
    # follows them. So the checkout has the same path everywhere while this builds.
    local checkout=/tmp/ztlib-components
    rustflags+=" --remap-path-prefix=$checkout=/ztlib"
    local arguments=() package
    for package in "$@"; do arguments+=(--package "$package"); done
    (
        exec 9>"$checkout.lock"
        flock 9
        ln -sfn "$(dirname "$plugins")" "$checkout"
        # Debian's cargo must not find rustup's rustc.
        [ "$linker" != wasm-ld ] || export PATH="/usr/bin:$PATH" RUSTC_BOOTSTRAP=1 \
            CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=wasm-ld
        env -u CARGO_ENCODED_RUSTFLAGS RUSTC="$rustc" RUSTFLAGS="$rustflags" CARGO_TARGET_DIR="$build_dir" CARGO_INCREMENTAL=0 \
            "$cargo" build --manifest-path "$checkout/plugins/Cargo.toml" --locked --release ${JOBS:+--jobs "$JOBS"} --target "$target" "${flags[@]}" "${arguments[@]}"
    )
    for package in "$@"; do inputs+=("$build_dir/$target/release/${package//-/_}.wasm"); done
}

# The same for the policy in C.
build_c() {
    local module=$plugins/target/guests/ztlib_office_hours_c.wasm
    mkdir -p "$plugins/target/guests"
    "$plugins/languages/c/build.sh" "$module"
    inputs+=("$module")
}

componentize() {
    (cd "$plugins" && cargo run --locked --quiet ${JOBS:+--jobs "$JOBS"} --package componentize -- "$1" "${inputs[@]}")
}

build() {
    local out=$1 inputs=()
    build_rust "${packages[@]}"
    build_c
    shopt -s nullglob
    inputs+=("$plugins"/hostile/*.wat)
    componentize "$out"
    describe_toolchain >"$out/TOOLCHAIN"
    (cd "$out" && sha256sum -- *.wasm >SHA256SUMS)
    local name
    for name in "${ready[@]}"; do
        printf '%s' "$(sha256sum <"$out/$name.wasm" | cut -d ' ' -f 1)" >"$out/$name.sha256"
    done
    no_paths "$out"
}

# Only these.
build_into() {
    local out=$1 inputs=() name
    shift
    for name in "$@"; do
        if [ "$name" = office-hours-c ]; then
            need_clang
            build_c
        else
            find_toolchain
            build_rust "$name"
        fi
    done
    componentize "$out"
}

# A path of the machine in an artifact would make it irreproducible, and tell where it was built.
no_paths() {
    local file
    for file in "$1"/*.wasm; do
        if LC_ALL=C grep -aqE "$plugins|/tmp/ztlib|${CARGO_HOME:-$HOME/.cargo}|$HOME/|/home/" "$file"; then
            echo "$file holds a path of this machine" >&2
            exit 1
        fi
    done
}

if [ "$check" = --into ]; then
    build_into "$into" "$@"
    exit 0
fi
find_toolchain
need_clang
if [ "$check" != --check ]; then
    build "$artifacts"
    echo "built $(wc -l <"$artifacts/SHA256SUMS") components with $(head -n 1 "$artifacts/TOOLCHAIN")"
    exit 0
fi

rebuilt=$(mktemp -d)
build "$rebuilt"
if cmp -s "$rebuilt/SHA256SUMS" "$artifacts/SHA256SUMS" && (cd "$artifacts" && sha256sum --check --quiet SHA256SUMS); then
    rm -r "$rebuilt"
    echo "the committed components are byte for byte what the source gives"
    exit 0
fi
if cmp -s "$rebuilt/TOOLCHAIN" "$artifacts/TOOLCHAIN"; then
    echo "the committed components are not what the source gives (same toolchain):" >&2
    diff "$artifacts/SHA256SUMS" "$rebuilt/SHA256SUMS" >&2 || true
    echo "run plugins/build.sh and commit plugins/artifacts and ztlib-policies/components" >&2
    exit 1
fi
echo "another toolchain than that of the committed components, other bytes:"
diff "$artifacts/TOOLCHAIN" "$rebuilt/TOOLCHAIN" || true
echo "run the policy tests on the rebuilt ones:"
echo "ZTLIB_ARTIFACTS=$rebuilt"
exit 3
