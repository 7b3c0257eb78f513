#!/usr/bin/env python3
"""Which crates are named in our public signatures: each must be on the list, with a reason. And: the main types have an
example in their documentation.

    .ci/public_types.py          compare with .ci/public-types.txt; fails where a crate is new, and where one is gone
    .ci/public_types.py --print  print what was found

A type of another crate in a public signature ties our versions to theirs: a new major version of it is one of ours.
It reads the JSON that rustdoc writes. That form is not stable, so the toolchain is told to write it all the same.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
LIST = ROOT / ".ci" / "public-types.txt"
CRATES = [
    "ztlib-pattern",
    "ztlib-contract",
    "ztlib-wasm",
    "ztlib-policies",
    "ztlib",
    "ztlib-axum",
    "ztlib-tonic",
    "ztlib-testing",
]
# What a user meets first: the documentation of each has an example. To be added when they have one: GuardBuilder, GuardLayer,
# Refusal, MatchedRoute, PeerCertificates, KeyStore, PolicyStore, CacheLimits, AuditEvent, ServerIdentity, and of the contract
# Reader, Outcome, Decision, Trace, Obligation and Question.
MAIN = {
    "ztlib": [
        "Guard", "Permit", "RefusalForm", "Trust", "Issuer", "KeySet", "TokenVerifier",
        "PolicySetBuilder", "ManifestOptions", "NativePolicy", "SuggestionRules",
        "AuditSink", "JsonLinesSink", "Acceptor", "Server",
    ],
    "ztlib-contract": ["Labels", "Attribute"],
    "ztlib-axum": ["GuardedRouter"],
    "ztlib-testing": ["TestGuard", "TokenIssuer", "ManualClock"],
}
OURS = {name.replace("-", "_") for name in CRATES} | {"std", "core", "alloc"}


def documented():
    """Each crate with what rustdoc writes of it, all features of the workspace on."""
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    with tempfile.TemporaryDirectory() as scratch:
        # Only rustdoc may know of this variable: build scripts that look at it would have everything compiled again.
        rustdoc = pathlib.Path(scratch) / "rustdoc"
        rustdoc.write_text('#!/bin/sh\nRUSTC_BOOTSTRAP=1 exec rustdoc "$@"\n')
        rustdoc.chmod(0o755)
        flags = {"RUSTDOC": str(rustdoc), "RUSTDOCFLAGS": "-Z unstable-options --output-format json --cap-lints allow"}
        command = ["cargo", "doc", "--quiet", "--workspace", "--no-deps", "--lib"]
        subprocess.run(command, cwd=ROOT, env=os.environ | flags, check=True)
    return {name: json.loads((target / "doc" / f"{name.replace('-', '_')}.json").read_text()) for name in CRATES}


def foreign(docs):
    """The crates that the public items name, each with one item that does."""
    found = {}

    def look(value, item):
        if isinstance(value, dict):
            path = value.get("path")
            if "id" in value and isinstance(path, str):
                summary = docs["paths"].get(str(value["id"]))
                if summary and summary["crate_id"] != 0:
                    name = docs["external_crates"][str(summary["crate_id"])]["name"]
                    found.setdefault(name, item)
            for part in value.values():
                look(part, item)
        elif isinstance(value, list):
            for part in value:
                look(part, item)

    for item in docs["index"].values():
        if item["crate_id"] != 0:
            continue
        kind, inner = next(iter(item["inner"].items()))
        # `use` makes an item of another crate ours in the eyes of a user; modules only hold others.
        if kind == "module":
            continue
        if kind == "use":
            summary = docs["paths"].get(str(inner["id"])) if inner["id"] is not None else None
            if summary and summary["crate_id"] != 0:
                name = docs["external_crates"][str(summary["crate_id"])]["name"]
                found.setdefault(name, inner["source"])
            continue
        # What the compiler and blanket rules add is nobody's promise.
        if kind == "impl" and (inner.get("is_synthetic") or inner.get("blanket_impl")):
            continue
        if isinstance(inner, dict):
            inner = {key: part for key, part in inner.items() if key not in ("items", "impls")}
        look(inner, item["name"] or "an impl")
    return {name: item for name, item in found.items() if name not in OURS}


def types(docs):
    """How many structs, enums and traits can be named from outside, counted once each."""
    seen = set()

    def walk(identifier):
        item = docs["index"].get(str(identifier))
        if item is None:
            return
        kind, inner = next(iter(item["inner"].items()))
        if kind == "module":
            for part in inner["items"]:
                walk(part)
        elif kind == "use" and inner["id"] is not None:
            summary = docs["paths"].get(str(inner["id"]))
            if str(inner["id"]) in docs["index"]:
                walk(inner["id"])
            elif summary and summary["kind"] in ("struct", "enum", "trait", "union"):
                seen.add(str(inner["id"]))
        elif kind in ("struct", "enum", "trait", "union"):
            seen.add(str(identifier))

    walk(docs["root"])
    return len(seen)


def without_example(package, docs):
    """The main types whose documentation, or that of a function of theirs, shows no example."""
    missing = []
    for name in MAIN.get(package, []):
        items = [item for item in docs["index"].values() if item["name"] == name and item["crate_id"] == 0]
        items = [item for item in items if next(iter(item["inner"])) in ("struct", "enum", "trait")]
        if not items:
            missing.append(f"{package}: `{name}` is on the list of main types, and is no public type")
        elif not any("```" in (item["docs"] or "") for item in items):
            missing.append(f"{package}: the documentation of `{name}` has no example")
    return missing


def main():
    found, missing = {}, []
    for package, docs in documented().items():
        missing += without_example(package, docs)
        print(f"{package}: {types(docs)} public types", file=sys.stderr)
        for name, item in foreign(docs).items():
            found[f"{package} {name}"] = item
    if "--print" in sys.argv:
        for key in sorted(found):
            print(f"{key}: {found[key]}")
        return 0
    listed = {}
    for line in LIST.read_text().splitlines():
        if line and not line.startswith("#"):
            key, reason = line.split(": ", 1)
            listed[key] = reason
    new = sorted(found.keys() - listed.keys())
    gone = sorted(listed.keys() - found.keys())
    for key in new:
        print(f"{key}: new in public signatures, in `{found[key]}`: take it out, or give a reason in {LIST.name}")
    for key in gone:
        print(f"{key}: stands in no public signature any more: take it off {LIST.name}")
    for text in missing:
        print(text)
    return 1 if new or gone or missing else 0


sys.exit(main())
