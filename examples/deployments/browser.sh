#!/usr/bin/env bash
# The deployment "for a browser" of docs/deployments.md with a real browser: a page of ours, one of a sibling and one of another site call
# the service with a token in a header and in a cookie. Fails where an answer is not the documented one; without Chromium or Python it says that it was skipped.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

chromium=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
[ -n "$chromium" ] || { echo 'SKIPPED: Chromium is not installed'; exit 0; }
command -v python3 >/dev/null || { echo 'SKIPPED: Python is not installed'; exit 0; }

folder=$(mktemp -d)
cargo build --quiet --workspace --example deployments
"${CARGO_TARGET_DIR:-target}/debug/examples/deployments" "$folder" >"$folder/out" 2>&1 &
service=$!
pages=
trap 'kill $service $pages 2>/dev/null; wait 2>/dev/null; rm -rf "$folder"' EXIT
python3 examples/deployments/pages.py "$folder" >"$folder/pages" 2>"$folder/pages.err" &
pages=$!
for _ in $(seq 100); do
    grep -q '^ready' "$folder/out" && grep -q . "$folder/pages" && break
    kill -0 $service && sleep 0.1 || { cat "$folder/out"; exit 1; }
done
api=$(sed -n 's/^browser //p' "$folder/out")
port=$(head -n 1 "$folder/pages")

# What a page writes down, after it was reached by way of the login, which sets the cookie.
visit() {
    timeout 60 "$chromium" --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --user-data-dir="$folder/profile-$RANDOM" \
        --ignore-certificate-errors --virtual-time-budget=20000 --dump-dom \
        --host-resolver-rules="MAP api.shop.example:443 $api, MAP api.shop.example:444 127.0.0.1:$port, MAP shop.example:443 127.0.0.1:$port, MAP evil.example:443 127.0.0.1:$port, MAP blog.shop.example:443 127.0.0.1:$port" \
        "https://api.shop.example:444/login?$1" 2>"$folder/chromium.err" | sed -n '/<pre/,/<\/pre>/p'
}

failures=0
expect() {
    local name=$1 wanted=$2 got=$3
    if [[ $got == *"$wanted"* ]]; then
        echo "ok      $name: $wanted"
    else
        echo "FAILED  $name: expected $wanted, got $got"
        failures=$((failures + 1))
    fi
}

judged() { grep -c "^saw.*$1" "$folder/out" || true; }
ours=$(visit 'to=https://shop.example/&site=Lax')
for line in 'header, read: 200 an order' 'header, delete: 200 deleted' 'cookie, read: 200 an order' 'cookie, post: 200 changed' \
    'cookie, delete: 200 deleted' 'nothing, read: 401 unauthenticated' 'header of bob, read: 403 no-role'; do
    expect 'a page of ours' "$line" "$ours"
done
# To a sibling's page the browser sends the cookie, whatever its SameSite says; to another site's, where that is None and the browser still
# does so. Neither can read an answer, no change is made, and none is judged.
for other in https://blog.shop.example/ https://evil.example/; do
    [ $other = https://evil.example/ ] && site=None || site=Lax
    before=$(judged method=)
    seen=$(visit "to=$other&site=$site")
    for line in 'cookie, read: not to be read' 'cookie, post: not to be read' 'cookie, delete: not to be read' 'header, delete: not to be read' \
        'cookie, blind post: sent'; do
        expect "a page of $other" "$line" "$seen"
    done
    grep '^saw' "$folder/out" | sed "1,${before}d" >"$folder/judged"
    if [ $site = Lax ]; then
        expect "the cookie came along from $other" 'subject=alice method=GET' "$(cat "$folder/judged")"
    fi
    expect "what $other changed" 'nothing' "$(grep -E 'method=(POST|DELETE)' "$folder/judged" || echo nothing)"
done
exit $((failures > 0))
