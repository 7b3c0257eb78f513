//! Policies and sets of them: who decides.
//!
//! A *policy* is a WebAssembly component of the world in `wit/policy.wit`, or (native, without a
//! sandbox) a [`NativePolicy`](crate::authorize::NativePolicy). A *policy set* is an ordered list
//! of policies, identified by its [`Revision`](crate::authorize::Revision). [`PolicyStore`] is the
//! handle to the set in force: load it from a manifest or build it in code, pass clones of it
//! around, and reload it while the service runs.
//!
//! **How a set decides.** Each policy is *required* (the default: it must allow) or *may abstain*.
//! They are asked in order. The first deny wins and ends the evaluation. The set allows if every
//! required policy allows, at least one policy allows and none denies; everything else is a deny.
//! Anything that goes wrong on the way is a [`Fault`](crate::authorize::Fault): the request is
//! refused, and the fault is never mistaken for a denial.
//!
//! # The manifest
//!
//! ```toml
//! format = 1
//! version = 12                     # signed sets only: grows with every change
//! for = "shop-production"          # signed sets only: a service, or a list of them
//! signals = ["risk"]               # read from the service while it runs; no others
//! secret-headers = ["x-api-key"]   # no policy may read these either
//!
//! [[policy]]                       # policies are asked in this order
//! name = "rbac"
//! module = "rbac.wasm"             # a path in or below the manifest's folder
//! sha256 = "9c56cc51b374c3ba189210d5b6d4bf57790d351c96c47c02190ecf1e430635ab"
//! config = "rbac.yaml"             # .yaml, .json or .toml; the policy receives JSON
//! config-sha256 = "…"              # of that file; optional if the set is not signed
//! reasons = ["no-role", "no-rule"] # the reasons it may deny with
//! may-abstain = false              # the default: it must allow
//! tests = ["tests/rbac/*.toml"]    # cases for this policy; at the top: for the set
//!
//! [policy.budget]                  # changes to the default `Budget`
//! fuel = 2_000_000
//! wall-clock-ms = 50
//!
//! [[document]]                     # data for look-ups by policies
//! name = "roles"
//! file = "roles.json"
//! sha256 = "…"                     # optional if the set is not signed
//! # allow-unsigned = true          # in a signed set, instead of `sha256`: anyone who can
//! #                                # write to the file decides its content
//! ```
//!
//! The keys of a budget are those of [`Budget`] with dashes: `fuel`, `config-fuel`, `memory-bytes`,
//! `table-elements`, `wall-clock-ms`, `argument-bytes`, `reads`, `read-bytes`, `message-bytes`,
//! `headers`, `header-value-bytes`, `log-bytes`, `module-bytes`, `functions`, `function-bytes`,
//! `config-bytes`, `constants`, `constant-bytes`, `constant-key-bytes`. A manifest is at most 256
//! KiB. A document is at most 16 MiB in JSON and 2 MiB in YAML or TOML, and takes at most 128 MiB
//! of memory. A set has at most 64 policies, documents, signals and secret headers each. Unknown
//! keys, duplicate members, dates and merge keys are errors.
//!
//! # Signed sets
//!
//! A set from files must be signed, unless [`allow_unsigned`](ManifestOptions::allow_unsigned) says
//! otherwise. Beside `policies.toml` is `policies.toml.sig`, a signature over the exact bytes of
//! the manifest by a key that the service [trusts](ManifestOptions::trust_key). The manifest binds
//! everything else, by the SHA-256 digest of each module, configuration and document; in a signed
//! set, all digests are required. Nothing in a manifest is parsed before its signature is verified,
//! and no file is read twice. Keys are Ed25519 (RFC 8032) or ECDSA on P-256 with SHA-256. The
//! signature is base64 or raw bytes (DER for ECDSA), so any of these can make it:
//!
//! ```sh
//! # with cosign 3 and later, add: --new-bundle-format=false --use-signing-config=false
//! cosign sign-blob --tlog-upload=false --key cosign.key \
//!     --output-signature policies.toml.sig policies.toml
//! openssl dgst -sha256 -sign p256.pem -out policies.toml.sig policies.toml
//! openssl pkeyutl -sign -rawin -inkey ed25519.pem -in policies.toml -out policies.toml.sig
//! ```
//!
//! cosign's own bundles are not read. [`SigningKey::sign_manifest`] (`ztlib policy sign`) also
//! checks first that the manifest is complete. [`ManifestOptions::verify`] (`ztlib policy verify`)
//! tells for each file whether it is [bound](NamedFile::bound). Two kinds of files are not:
//! documents that the manifest leaves open (see below), and files of cases. Cases decide nothing
//! about a request, but anyone who can write them decides what the set must pass. Use the key for
//! policy sets only: a signature does not say what it was meant for.
//!
//! *Old sets.* A signed manifest has a `version`. Once a set has been in force, a lower version is
//! refused (`older-version`), and so is the same version with another manifest (`version-reused`).
//! Within a process nothing more is needed. Across restarts, use either
//! [`least_version`](ManifestOptions::least_version), which is delivered with the service, or
//! [`keep_version_in`](ManifestOptions::keep_version_in), a file that the service writes. Without
//! either, a restarted service accepts any signed set that it finds. To go back, sign the older
//! contents under a higher version.
//!
//! *Documents* change more often than policies. There are three ways to change them: sign the
//! manifest again with the new digest (nothing is compiled or configured again); pass them to the
//! service in another way that it trusts, and call [`PolicyStore::set_document`]; or write
//! `allow-unsigned = true` in the signed manifest, which leaves that one document to anyone who can
//! write to its file. [`Status::unsigned_documents`] lists those.
//!
//! *What it does not do.* A signature does not expire: anyone who can keep new sets from arriving
//! can keep an old one in force.
//!
//! # Changing what is in force
//!
//! [`PolicyStore::watch`] reloads whenever the files change: renamed over, written in place, or
//! swapped behind a symbolic link. A candidate is read, verified, compiled and configured on a
//! thread of its own, one at a time, and then replaces the whole set by swapping one pointer. A
//! candidate that does not load changes nothing; [`PolicyStore::status`], a log line at `error` and
//! `ztlib_policy_loads_total{result="refused", code}` say why. What this process has compiled and
//! still keeps (the set in force and three before it) is not compiled again. Put files in place by
//! renaming, the signature before the manifest. In between the candidate is refused
//! (`bad-signature`), and it loads once it is complete.
//!
//! To learn what a set would change before it is in force, load it as a `trial::Candidate` (feature
//! `trial`).
//!
//! [`PolicyStore::rollback`] returns to the previous policies without a file.
//! [`max_policy_age`](ManifestOptions::max_policy_age) limits how long a service may continue with
//! a set that could not be replaced.
//!
//! # Codes of faults
//!
//! - `fuel-spent`: the policy used up its fuel
//! - `deadline-passed`: it exceeded its wall-clock limit
//! - `memory-limit`, `table-limit`: it needed more memory or table elements than allowed
//! - `stack-overflow`: its calls were nested too deep
//! - `trap`: anything else that WebAssembly traps on: `unreachable` (a panic in Rust), a division
//!   by zero, an access out of range
//! - `bad-argument`: an argument of a host call, or the memory that it provided for an answer, is
//!   not a value of the contract or is too large
//! - `bad-answer`: its answer is not allow, deny or abstain
//! - `read-…`: a read failed: see [`ReadFault`](crate::authorize::ReadFault::code). The caller is
//!   the cause of `read-several-values`, `read-malformed-query`, `read-not-utf8`, `read-too-long`
//!   and, for a claim, `read-wrong-type`
//!   ([`FaultOrigin::Request`](crate::authorize::FaultOrigin::Request)): 400, verdict `bad-request`
//! - `obligation-source-absent`, `obligation-unusable-value`: a header cannot be copied; the caller
//!   is the cause, if the source is something they sent
//! - `outcome-…`: what it attached cannot be used: see
//!   [`OutcomeFault`](crate::authorize::OutcomeFault::code)
//! - `read-outside-decide`: it made a read or attached something while it was started or configured
//! - `configure-refused`: it refused a configuration that it had accepted when it was loaded
//! - `pool-exhausted`: more than 512 evaluations ran at once
//! - `policy-too-old`: the policies were last confirmed longer ago than
//!   [`max_policy_age`](ManifestOptions::max_policy_age)
//! - `panicked`: the application's own code, a native policy or a source of signals, panicked
//! - `issuer-not-asked`: it allowed because of a token from another issuer than the first, and
//!   asked neither `from-home-issuer` nor `issuer`
//! - `stage-missing`: the guard takes its peer or token from a layer that did not run: put that
//!   layer outside of the guard
//! - `stage-foreign`: a handler asked with a principal that this guard did not establish: use the
//!   principal of its permit
//! - `too-many-questions`: one `ask_all` had more questions than
//!   [`MAX_QUESTIONS`](crate::enforce::MAX_QUESTIONS)
//! - `question-lost`: the sandbox did not return the question; report it
//! - `internal`: a host call returned another type than the contract says; report it

#[cfg(feature = "manifest")]
pub mod cases;
#[cfg(feature = "trial")]
pub mod trial;

mod files;
mod store;

pub use crate::load_error::LoadError;
pub use files::{FileRole, KeyId, NamedFile, TrustedKey};
#[cfg(feature = "manifest")]
pub use files::{Pinned, SigningKey, pin};
#[cfg(feature = "manifest")]
pub use store::{ManifestOptions, Verified};
pub use store::{PolicySetBuilder, PolicyStore, Status};
pub use ztlib_contract::Budget;
#[cfg(feature = "wasm")]
pub use ztlib_wasm::Module;

/// The SHA-256 digest of a file in hexadecimal digits, as a manifest pins it.
///
/// ```
/// assert!(ztlib::policies::sha256(b"").starts_with("e3b0c44298fc1c14"));
/// ```
pub fn sha256(bytes: &[u8]) -> String {
    crate::digest::Digest::of(bytes).to_string()
}
