"""Uploads that are refused while they are being sent: each client must read its answer, every time.

    python3 refused_uploads.py FOLDER [TIMES]

FOLDER is the one that `--serve` printed. Each client sends bodies of 10 KB and 1 MB, TIMES times each (50 unless said), on a connection
of its own, for what alice may not do. A server that closes while bytes are on their way takes the answer back (RFC 9112 section 9.6), so
it prints how many answers were read, and fails where one was not. requests and grpcio are skipped where they are not installed.
"""

import http.client
import os
import ssl
import subprocess
import sys
import tempfile

SIZES = (10_000, 1_000_000)
PATH = "/orders/7/refund"


def main() -> int:
    folder = sys.argv[1]
    times = int(sys.argv[2]) if len(sys.argv) > 2 else 50

    def at(name: str) -> str:
        return f"{folder}/{name}"

    def read(name: str) -> bytes:
        with open(at(name), "rb") as file:
            return file.read()

    bearer = f"Bearer {read('alice.token').decode()}"
    context = ssl.create_default_context(cafile=at("ca.pem"))
    context.load_cert_chain(at("frontend.pem"), at("frontend.key"))

    def curl(version: str):
        def send(body: bytes) -> bool:
            with tempfile.NamedTemporaryFile() as file:
                file.write(body)
                file.flush()
                # Without `Expect`, so that it does not wait to be told to go on.
                command = ["curl", "--silent", "--max-time", "20", version, "--cacert", at("ca.pem")]
                command += ["--cert", at("frontend.pem"), "--key", at("frontend.key"), "-H", "Expect:"]
                command += ["-H", f"Authorization: {bearer}", "--data-binary", f"@{file.name}"]
                command += ["--write-out", " %{http_code}", f"https://localhost:8443{PATH}"]
                done = subprocess.run(command, capture_output=True, check=False)
            return done.returncode == 0 and done.stdout.endswith(b" 403") and b'"code"' in done.stdout

        return send

    def http_client(body: bytes) -> bool:
        connection = http.client.HTTPSConnection("localhost", 8443, context=context, timeout=20)
        try:
            connection.request("POST", PATH, body=body, headers={"authorization": bearer})
            answer = connection.getresponse()
            return answer.status == 403 and b'"code"' in answer.read()
        except OSError:
            return False
        finally:
            connection.close()

    clients = {"curl --http1.1": curl("--http1.1"), "curl --http2": curl("--http2"), "http.client": http_client}
    try:
        import requests

        def with_requests(body: bytes) -> bool:
            try:
                answer = requests.post(
                    f"https://localhost:8443{PATH}",
                    data=body,
                    headers={"authorization": bearer},
                    cert=(at("frontend.pem"), at("frontend.key")),
                    verify=at("ca.pem"),
                    timeout=20,
                )
                return answer.status_code == 403 and "code" in answer.json()
            except requests.RequestException:
                return False

        clients["requests"] = with_requests
    except ImportError:
        print("requests is not installed: its uploads are skipped")
    try:
        import grpc

        def grpcio(body: bytes) -> bool:
            credentials = grpc.ssl_channel_credentials(read("ca.pem"), read("frontend.key"), read("frontend.pem"))
            options = (("grpc.use_local_subchannel_pool", 1),)
            with grpc.secure_channel("localhost:8444", credentials, options) as channel:
                try:
                    channel.unary_unary("/shop.Inventory/Reserve")(
                        body, metadata=[("authorization", bearer)], timeout=20
                    )
                    return False
                except grpc.RpcError as error:
                    return error.code() is grpc.StatusCode.PERMISSION_DENIED

        clients["grpcio"] = grpcio
    except ImportError:
        print("grpcio is not installed: its uploads are skipped")

    lost = 0
    for name, send in clients.items():
        for size in SIZES:
            body = os.urandom(size)
            answers = sum(send(body) for _ in range(times))
            lost += times - answers
            print(f"{'ok     ' if answers == times else 'FAILED '} {name}, {size} bytes: {answers} of {times} answers read")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
