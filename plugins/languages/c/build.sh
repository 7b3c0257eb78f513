#!/usr/bin/env bash
# plugins/languages/c/build.sh OUT: compiles the policy in C into the core module OUT, from which `componentize` makes a component.
# Needs clang with the target wasm32, and wasm-ld (Debian: apt-get install clang lld).
set -euo pipefail

out=$1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
plugins=$(cd "$here/../.." && pwd)

build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
# The contract in C, made anew each time: policy.h, policy.c, policy_component_type.o.
(cd "$plugins" && cargo run --locked --quiet ${JOBS:+--jobs "$JOBS"} --package c-bindings -- "$build")

flags=(
    --target=wasm32-unknown-unknown -mbulk-memory
    -std=c17 -O3 -ffreestanding -ffunction-sections -fdata-sections
    -Wall -Wextra -Werror -I"$here/include" -I"$here" -I"$build"
)
objects=("$build/policy_component_type.o")
for source in "$here/office_hours.c" "$here/json.c" "$here/runtime.c" "$build/policy.c"; do
    object=$build/$(basename "$source" .c).o
    clang "${flags[@]}" -c "$source" -o "$object"
    objects+=("$object")
done
# Linked by hand: as a linker's driver clang runs whatever wasm-opt is on the PATH, and the bytes would be another's.
wasm-ld --no-entry --gc-sections --strip-all -z stack-size=32768 --export=ztlib-arena -o "$out" "${objects[@]}"
