#!/usr/bin/env bash
# Starts the quickstart with --serve and calls it with clients that share no code with it: curl (OpenSSL), Python's http.client, and
# requests and grpcio where Python has them.
# Fails where a decision is not the documented one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

folder=$(mktemp -d)
cargo build --quiet --example quickstart
"${CARGO_TARGET_DIR:-target}/debug/examples/quickstart" --serve "$folder" >"$folder/out" 2>&1 &
server=$!
trap 'kill $server 2>/dev/null; rm -rf "$folder"' EXIT
for _ in $(seq 100); do
    grep -q 'Ctrl-C' "$folder/out" && break
    kill -0 $server || { cat "$folder/out"; exit 1; }
    sleep 0.1
done

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
shop=https://localhost:8443
call() { curl --silent --show-error --max-time 10 --write-out ' %{http_code}' --cacert "$folder/ca.pem" "$@" 2>&1 || true; }
peer=(--cert "$folder/frontend.pem" --key "$folder/frontend.key")
bearer() { echo "Authorization: Bearer $(cat "$folder/$1.token")"; }

for version in --http1.1 --http2; do
    expect "curl $version, alice reads" ' 200' "$(call $version "${peer[@]}" -H "$(bearer alice)" $shop/orders/7)"
    expect "curl $version, alice deletes" '"code":"no-role"' "$(call $version "${peer[@]}" -H "$(bearer alice)" -X DELETE $shop/orders/7)"
    expect "curl $version, alice deletes" ' 403' "$(call $version "${peer[@]}" -H "$(bearer alice)" -X DELETE $shop/orders/7)"
    expect "curl $version, root deletes" ' 200' "$(call $version "${peer[@]}" -H "$(bearer root)" -X DELETE $shop/orders/7)"
    expect "curl $version, root refunds" 'insufficient_user_authentication' "$(call $version --include "${peer[@]}" -H "$(bearer root)" -X POST $shop/orders/7/refund)"
    expect "curl $version, no token" ' 401' "$(call $version "${peer[@]}" $shop/orders/7)"
    expect "curl $version, two slashes" '"code":"path-empty-segment"' "$(call $version --path-as-is "${peer[@]}" -H "$(bearer root)" $shop//orders/7)"
    expect "curl $version, wrong service" '"code":"peer-not-allowed"' "$(call $version --cert "$folder/reporting.pem" --key "$folder/reporting.key" -H "$(bearer alice)" $shop/orders/7)"
done
expect 'curl, no certificate' ' 000' "$(call $shop/orders/7)"

if python3 -c 'import grpc' 2>/dev/null; then
    inventory() { python3 examples/quickstart/call_inventory.py "$folder" "$@" 2>&1; }
    expect 'grpcio, carl reserves' "OK" "$(inventory carl)"
    expect 'grpcio, carl watches' "OK" "$(inventory carl Watch)"
    expect 'grpcio, alice reserves' "PERMISSION_DENIED" "$(inventory alice)"
    expect 'grpcio, alice reserves' "details: True" "$(inventory alice)"
    expect 'grpcio, no token' "UNAUTHENTICATED" "$(inventory -)"
    expect 'grpcio, no token, no such method' "UNAUTHENTICATED" "$(inventory - NoSuchMethod)"
else
    echo 'grpcio is not installed: its calls are skipped'
fi

# Uploads that are refused while they are being sent.
python3 examples/quickstart/refused_uploads.py "$folder" || failures=$((failures + 1))

expect 'the audit log' '"reason":"no-role"' "$(cat "$folder/audit.jsonl")"
grep -c . "$folder/audit.jsonl" | sed 's/$/ decisions in the audit log/'
if grep -q 'eyJ' "$folder/audit.jsonl"; then
    echo 'FAILED  a token is in the audit log'
    failures=$((failures + 1))
fi
exit $((failures > 0))
