#!/usr/bin/env bash
# Builds the policy of this folder from its sources in four languages, each into a folder with a manifest, its configuration and its cases.
#
#   plugins/languages/build.sh              all: rust, c, javascript, python, and javascript-with-features, which no host takes
#   plugins/languages/build.sh c python     only these
#
# Then: ztlib policy test plugins/target/languages/python/policies.toml. Needs what plugins/build.sh needs; for javascript also node and npm
# (20, 11), for python also python3 with venv (3.9). What they fetch is pinned in javascript/package-lock.json and python/requirements.txt.
#
# Exit codes: 0 done · 1 a build failed · 2 a tool is missing · 3 what a tool fetches cannot be had.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
plugins=$(cd "$here/.." && pwd)
out=$plugins/target/languages
contract=$plugins/sdk/wit

need() {
    command -v "$1" >/dev/null || { echo "$1 was not found: $2" >&2; exit 2; }
}

core() {
    "$plugins/build.sh" --into "$out/$1" "$2"
    mv "$out/$1/$3.wasm" "$out/$1/policy.wasm"
}

javascript() {
    need node "nodejs.org, or your distribution's nodejs" && need npm "it comes with node"
    local tools=$out/npm
    mkdir -p "$tools"
    if ! cmp -s "$here/javascript/package-lock.json" "$tools/package-lock.json"; then
        cp "$here/javascript/package.json" "$tools/"
        (cd "$tools" && cp "$here/javascript/package-lock.json" . \
            && npm ci --no-audit --no-fund --ignore-scripts --loglevel=error) || { rm -f "$tools/package-lock.json"; exit 3; }
    fi
    cp "$here/javascript/build.mjs" "$here/javascript/office-hours.js" "$tools/"
    ZTLIB_WIT=$contract node "$tools/build.mjs" "$out/$1/policy.wasm" ${2:+"$2"}
}

python() {
    need python3 "python.org, or your distribution's python3 and python3-venv"
    local tools=$out/venv
    if ! cmp -s "$here/python/requirements.txt" "$tools/requirements.txt"; then
        python3 -m venv "$tools"
        "$tools/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r "$here/python/requirements.txt" || exit 3
        cp "$here/python/requirements.txt" "$tools/"
    fi
    # A folder of its own, so that nothing else of the machine can be imported.
    rm -rf "$out/$1/app" && mkdir "$out/$1/app"
    cp "$here/python/office_hours.py" "$out/$1/app/"
    (cd "$out/$1/app" && "$tools/bin/componentize-py" --quiet --wit-path "$contract" --world policy \
        componentize --stub-wasi --python-path . --output "$out/$1/policy.wasm" office_hours)
    rm -rf "$out/$1/app"
}

# What a manifest has to grant beyond the default: see plugins/README.md, "In other languages".
budget() {
    case $1 in
        javascript*) echo 'budget = { module-bytes = 16_777_216, memory-bytes = 16_777_216, table-elements = 20_000 }' ;;
        python) echo 'budget = { module-bytes = 33_554_432, memory-bytes = 33_554_432, table-elements = 20_000 }' ;;
    esac
}

surround() {
    local folder=$out/$1 digest
    digest=$(sha256sum "$folder/policy.wasm")
    cp "$here/sample.yaml" "$folder/"
    mkdir -p "$folder/tests"
    cp "$here"/tests/*.toml "$folder/tests/"
    cat >"$folder/policies.toml" <<TOML
format = 1

[[policy]]
name = "office-hours"
module = "policy.wasm"
sha256 = "${digest%% *}"
config = "sample.yaml"
reasons = ["no-rule", "no-role", "closed", "login-too-old"]
tests = ["tests/*.toml"]
$(budget "$1")
TOML
}

[ $# -gt 0 ] || set -- rust c javascript javascript-with-features python
for language in "$@"; do
    began=$SECONDS
    mkdir -p "$out/$language"
    case $language in
        rust) core rust ztlib-office-hours office-hours ;;
        c) core c office-hours-c office-hours-c ;;
        javascript) javascript javascript ;;
        javascript-with-features) javascript javascript-with-features --with-features ;;
        python) python python ;;
        *) echo "usage: plugins/languages/build.sh [rust | c | javascript | javascript-with-features | python]…" >&2; exit 1 ;;
    esac
    surround "$language"
    echo "$language: $(stat -c %s "$out/$language/policy.wasm") bytes in $((SECONDS - began)) s: $out/$language/policies.toml"
done
