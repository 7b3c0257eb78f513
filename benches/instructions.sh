#!/usr/bin/env bash
# How many instructions each path takes, counted by callgrind, compared with benches/instructions.txt: no noise of the machine is in it.
#
#   benches/instructions.sh            compare; fails where a path takes 2 % more than it did, or 2 % less (then renew: a
#                                      baseline that is too high would hide the next slower path)
#   benches/instructions.sh --renew    write down what is counted now
#
# Counted is what the function `measured` of the bench calls, on its own thread. The difference of a
# long run and a short one would not do: seeding the random numbers (aws-lc reads the processor's
# jitter until it is content) and compiling policies on several threads differ from run to run by
# millions of instructions.
#
# The workspace's own crates are built with opt-level 3 and their dependencies as in any test run, so that nothing large is built again. So these
# numbers are to be compared with each other and with nothing else. They depend on the compiler: by another one than the baseline's, 15 % are allowed.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
baseline=benches/instructions.txt
tolerance=${ZTLIB_INSTRUCTIONS_TOLERANCE:-2}

# name, and how often the path is taken
paths=(
    "bare-request 5000"
    "warm-request 5000"
    "fresh-request 500"
    "token-seen-before 10000"
)

command -v valgrind >/dev/null || { echo "valgrind is not installed (apt-get install valgrind)" >&2; exit 1; }
export CARGO_PROFILE_DEV_OPT_LEVEL=3
binary=$(cargo build --workspace --bench instructions --message-format=json |
    sed -n 's/.*"name":"instructions".*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)
[ -x "$binary" ]

# Instructions of the path alone.
count() {
    local log counted
    log=$(valgrind --tool=callgrind --callgrind-out-file=/dev/null \
        --toggle-collect='instructions::measured' "$binary" "$@" 2>&1) || { echo "$log" >&2; return 1; }
    counted=$(sed -n 's/.*Collected *: *//p' <<<"$log" | tr -d ,)
    [ "${counted:-0}" -gt 0 ] || { echo "callgrind did not see \`instructions::measured\`: $log" >&2; return 1; }
    echo "$counted"
}

counted=$(
    for path in "${paths[@]}"; do
        read -r name times <<<"$path"
        all=$(count "$name" "$times") || exit 1
        echo "$name $((all / times))"
    done
)
[ "$(wc -l <<<"$counted")" -eq ${#paths[@]} ]

compiler=$(rustc --version)
if [ "${1:-}" = --renew ]; then
    printf '# instructions a time, by %s\n%s\n' "$compiler" "$counted" >"$baseline"
    cat "$baseline"
    exit 0
fi
if ! head -n 1 "$baseline" | grep -qF "by $compiler"; then
    echo "the baseline is of another compiler: $(head -n 1 "$baseline")"
    tolerance=15
fi

# A comparison must be one of every path: one that is missing on either side fails.
awk -v tolerance="$tolerance" '
    /^#/ { next }
    NR == FNR { was[$1] = $2; next }
    { now[$1] = $2 }
    END {
        printf "%-20s %10s %10s %8s\n", "path", "baseline", "now", "change"
        for (name in was) if (!(name in now)) { printf "%s was not counted\n", name; bad = 1 }
        for (name in now) {
            if (!(name in was)) { printf "%s is not in the baseline\n", name; bad = 1; continue }
            change = 100 * (now[name] - was[name]) / was[name]
            verdict = change > tolerance ? "  SLOWER" : change < -tolerance ? "  faster: renew the baseline" : ""
            printf "%-20s %10d %10d %+7.1f%%%s\n", name, was[name], now[name], change, verdict
            if (verdict != "") bad = 1
        }
        exit bad
    }' "$baseline" - <<<"$counted"
