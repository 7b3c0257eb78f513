"""The pages of browser.sh, over HTTPS: a login that sets the cookie, a page of ours, and one of another site. Prints its port."""
import http.server
import ssl
import sys
import urllib.parse

folder = sys.argv[1]

PAGE = """<!doctype html><title>shop</title><pre></pre><script>
const api = 'https://api.shop.example/orders/7';
const bearer = name => ({ headers: { Authorization: 'Bearer ' + tokens[name] } });
const tokens = { alice: '%(alice)s', bob: '%(bob)s' };
const cookie = { credentials: 'include' };
const say = text => document.querySelector('pre').append(text + '\\n');
const call = async (name, options) => {
    try {
        const answer = await fetch(api, options);
        const text = await answer.text();
        let code = text;
        try { code = JSON.parse(text).code; } catch {}
        say(`${name}: ${answer.type === 'opaque' ? 'sent' : answer.status + ' ' + code}`);
    } catch { say(`${name}: not to be read`); }
};
(async () => {
    await call('header, read', bearer('alice'));
    await call('header, delete', { ...bearer('alice'), method: 'DELETE' });
    await call('cookie, read', cookie);
    await call('cookie, post', { ...cookie, method: 'POST' });
    await call('cookie, delete', { ...cookie, method: 'DELETE' });
    await call('cookie, blind post', { ...cookie, method: 'POST', mode: 'no-cors' });
    await call('nothing, read', { credentials: 'omit' });
    await call('header of bob, read', bearer('bob'));
    say('done');
})();
</script>"""


class Pages(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        asked = urllib.parse.urlsplit(self.path)
        if asked.path == "/login":
            query = urllib.parse.parse_qs(asked.query)
            self.send_response(302)
            token = open(f"{folder}/alice.token").read()
            self.send_header("Set-Cookie", f"__Host-token={token}; Path=/; Secure; HttpOnly; SameSite={query['site'][0]}")
            self.send_header("Location", query["to"][0])
            self.end_headers()
            return
        tokens = {name: open(f"{folder}/{name}.token").read() for name in ("alice", "bob")}
        page = (PAGE % tokens).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *_):
        pass


# The service writes the certificate: wait for it.
import os
import time

while not os.path.exists(f"{folder}/server.key"):
    time.sleep(0.1)
time.sleep(0.2)
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain(f"{folder}/server.pem", f"{folder}/server.key")
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages)
server.socket = tls.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
server.serve_forever()
