#!/usr/bin/env bash
# The deployments "behind a load balancer" and "on a unix socket" of docs/deployments.md, behind a real nginx and with curl: who the peer
# is, what forged headers give, and that both protocols work. Fails where an answer is not the documented one; without nginx or curl it
# says that it was skipped.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

export PATH="$PATH:/usr/sbin"
for tool in nginx curl; do
    command -v $tool >/dev/null || { echo "SKIPPED: $tool is not installed"; exit 0; }
done

folder=$(mktemp -d)
cargo build --quiet --workspace --example deployments
"${CARGO_TARGET_DIR:-target}/debug/examples/deployments" "$folder" >"$folder/out" 2>&1 &
service=$!
nginx=
trap 'kill $service $nginx 2>/dev/null; wait 2>/dev/null; rm -rf "$folder"' EXIT
for _ in $(seq 100); do
    grep -q '^ready' "$folder/out" && break
    kill -0 $service || { cat "$folder/out"; exit 1; }
    sleep 0.1
done
balancer=$(sed -n 's/^balancer //p' "$folder/out")

# Two free ports, as far as one can know.
read -r tcp socket < <(python3 -c 'import socket
a, b = socket.socket(), socket.socket()
a.bind(("127.0.0.1", 0)); b.bind(("127.0.0.1", 0))
print(a.getsockname()[1], b.getsockname()[1])')
# It asks for a client certificate and passes on what it saw, as Envoy and RFC 9440 do, beside what the client sent.
cat >"$folder/nginx.conf" <<CONF
daemon off;
$([ "$(id -u)" -ne 0 ] || echo 'user root root; # as the socket is in a folder of ours alone')
pid $folder/nginx.pid;
error_log $folder/error.log;
events {}
http {
    access_log off;
    client_body_temp_path $folder/body; proxy_temp_path $folder/proxy;
    fastcgi_temp_path $folder/fastcgi; uwsgi_temp_path $folder/uwsgi; scgi_temp_path $folder/scgi;
    ssl_certificate $folder/server.pem;
    ssl_certificate_key $folder/server.key;
    ssl_verify_client optional_no_ca;
    proxy_http_version 1.1;
    proxy_set_header Host \$host;
    proxy_set_header X-Forwarded-For \$proxy_add_x_forwarded_for;
    server { listen 127.0.0.1:$tcp ssl http2; location / { proxy_pass http://$balancer; } }
    server { listen 127.0.0.1:$socket ssl http2; location / { proxy_pass http://unix:$folder/shop.sock:; } }
}
CONF
nginx -c "$folder/nginx.conf" -p "$folder" 2>"$folder/nginx.err" &
nginx=$!
for _ in $(seq 100); do
    curl --silent --cacert "$folder/ca.pem" --output /dev/null "https://localhost:$tcp/healthz" && break
    kill -0 $nginx 2>/dev/null || { cat "$folder/nginx.err" "$folder/error.log"; exit 1; }
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
call() { curl --silent --show-error --max-time 10 --write-out ' %{http_code} %{http_version}' "$@" 2>&1 || true; }
bearer() { echo "Authorization: Bearer $(cat "$folder/$1.token")"; }
last() { grep '^saw' "$folder/out" | tail -n 1; }
forged=(-H 'X-Forwarded-Client-Cert: URI=spiffe://shop.example/admin' -H 'Client-Cert: :MIIB:' -H 'X-Forwarded-For: 10.0.0.1' -H 'Forwarded: for=10.0.0.1')

for version in --http1.1 --http2; do
    spoken=$([ $version = --http2 ] && echo 2 || echo 1.1)
    proxied() { call $version --cacert "$folder/ca.pem" "$@"; }
    expect "nginx, curl $version, alice" " 200 $spoken" "$(proxied -H "$(bearer alice)" "https://localhost:$tcp/orders/7")"
    expect "nginx, curl $version, no token" ' 401' "$(proxied "https://localhost:$tcp/orders/7")"
    expect "nginx, curl $version, bob" '"code":"no-role"' "$(proxied -H "$(bearer bob)" "https://localhost:$tcp/orders/7")"
    expect "nginx, curl $version, its own check" 'ok 200' "$(proxied "https://localhost:$tcp/healthz")"
    expect "nginx, curl $version, forged and no token" ' 401' "$(proxied "${forged[@]}" "https://localhost:$tcp/orders/7")"
    expect "nginx, curl $version, forged: what a handler sees" 'forwarded x-forwarded-for 200' "$(proxied "${forged[@]}" -H "$(bearer alice)" "https://localhost:$tcp/orders/7")"
    expect "nginx, curl $version, forged: what the policy sees" 'peer=none address=127.0.0.1' "$(last)"
    expect "nginx to the socket, curl $version, alice" 'an order 200' "$(proxied -H "$(bearer alice)" "https://localhost:$socket/orders/7")"
    expect "nginx to the socket, curl $version: what the policy sees" "peer=none address=none user=$(id -u)" "$(last)"
done
for version in --http1.1 --http2-prior-knowledge; do
    expect "curl $version to the socket, alice" 'an order 200' "$(call $version --unix-socket "$folder/shop.sock" -H "$(bearer alice)" http://shop/orders/7)"
    expect "curl $version to the socket, no token" ' 401' "$(call $version --unix-socket "$folder/shop.sock" http://shop/orders/7)"
    expect "curl $version without a proxy, alice" ' 200' "$(call $version -H "$(bearer alice)" "http://$balancer/orders/7")"
done
exit $((failures > 0))
