#!/usr/bin/env bash
# How many instructions each path takes, counted by callgrind, compared with benches/instructions.txt: no noise of the machine is in it.
#
#   benches/instructions.sh            compare; fails where a path takes 6 % more than it did, or 6 % less (then renew: a
#                                      baseline that is too high would hide the next slower path)
#   benches/instructions.sh --renew    write down what is counted now
#
# The workspace's own crates are built with opt-level 3 and their dependencies as in any test run, so that nothing large is built again. So these
# numbers are to be compared with each other and with nothing else. They depend on the compiler: by another one than the baseline's, 15 % are allowed.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
baseline=benches/instructions.txt
tolerance=${ZTLIB_INSTRUCTIONS_TOLERANCE:-6}

# name, and how often the shorter and the longer run take the path: so often that what threads spend on starting, which differs from
# run to run, is lost in it
paths=(
    "bare-request 500 10500"
    "warm-request 500 10500"
    "fresh-request 50 1050"
    "token-seen-before 500 20500"
)

command -v valgrind >/dev/null || { echo "valgrind is not installed (apt-get install valgrind)" >&2; exit 1; }
export CARGO_PROFILE_DEV_OPT_LEVEL=3
binary=$(cargo build --workspace --bench instructions --message-format=json |
    sed -n 's/.*"name":"instructions".*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)
[ -x "$binary" ]

# Instructions of a whole run, all threads.
count() {
    local log
    log=$(valgrind --tool=callgrind --callgrind-out-file=/dev/null "$binary" "$@" 2>&1) || { echo "$log" >&2; return 1; }
    sed -n 's/.*I *refs: *//p' <<<"$log" | tr -d ,
}

counted=$(
    for path in "${paths[@]}"; do
        read -r name short long <<<"$path"
        few=$(count "$name" "$short")
        many=$(count "$name" "$long")
        echo "$name $(((many - few) / (long - short)))"
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
            # The shortest path, through a cache that keeps house by the clock: it differs from run to run by up to 4 %.
            limit = name == "token-seen-before" ? 2 * tolerance : tolerance
            verdict = change > limit ? "  SLOWER" : change < -limit ? "  faster: renew the baseline" : ""
            printf "%-20s %10d %10d %+7.1f%%%s\n", name, was[name], now[name], change, verdict
            if (verdict != "") bad = 1
        }
        exit bad
    }' "$baseline" - <<<"$counted"
