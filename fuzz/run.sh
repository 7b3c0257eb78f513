#!/bin/sh
# Runs every fuzz target for some seconds: fuzz/run.sh [SECONDS]. Needs cargo-fuzz, and no nightly toolchain.
# What is found new goes to fuzz/found, so that the committed corpus changes only by hand.
set -eu
cd "$(dirname "$0")"
seconds="${1:-10}"
# Coverage instrumentation is an unstable option of the compiler; this lets the stable one take it.
export RUSTC_BOOTSTRAP=1
# The first input of wasm_equals_model waits for the sandbox to compile four policies, hence the long timeout.
# No sanitizer: ztlib forbids unsafe code, so what is looked for is panics and broken properties.
cargo fuzz build --dev --sanitizer none
for target in $(cargo fuzz list); do
    mkdir -p "found/$target" "corpus/$target"
    echo "== $target, $seconds s"
    cargo fuzz run --dev --sanitizer none "$target" "found/$target" "corpus/$target" -- \
        -max_total_time="$seconds" -timeout=60 -rss_limit_mb=4096 -print_final_stats=0 -verbosity=0
done
