"""Calls the quickstart's inventory with grpcio, a gRPC implementation that shares no code with it.

    python3 call_inventory.py FOLDER USER [METHOD]

FOLDER is the one that `--serve` printed, USER one of alice, root and carl (or `-` for a call without a token). It prints the reply, or the
status code, the message and whether the details have an ErrorInfo (where the reason is). The messages are so small that they are written out by hand.
"""

import sys

import grpc


def field(number: int, text: str) -> bytes:
    """A length-delimited field of protobuf; short enough for a length of one byte."""
    data = text.encode()
    assert len(data) < 128
    return bytes([number << 3 | 2, len(data)]) + data


def main() -> int:
    folder, user = sys.argv[1], sys.argv[2]
    method = sys.argv[3] if len(sys.argv) > 3 else "Reserve"

    def read(name: str) -> bytes:
        with open(f"{folder}/{name}", "rb") as file:
            return file.read()

    credentials = grpc.ssl_channel_credentials(read("ca.pem"), read("frontend.key"), read("frontend.pem"))
    metadata = [] if user == "-" else [("authorization", f"Bearer {read(user + '.token').decode()}")]
    with grpc.secure_channel("localhost:8444", credentials) as channel:
        call = channel.unary_stream if method == "Watch" else channel.unary_unary
        stub = call(f"/shop.Inventory/{method}")
        try:
            reply = stub(field(1, "sku-1"), metadata=metadata, timeout=10)
            replies = list(reply) if method == "Watch" else [reply]
            print("OK", *replies)
        except grpc.RpcError as error:
            details = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin", b"")
            print(error.code().name, repr(error.details()), "details:", b"ErrorInfo" in details)
    return 0


if __name__ == "__main__":
    sys.exit(main())
