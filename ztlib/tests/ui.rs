//! What must not compile: one program each in `ui/`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test"
)]

#[path = "support/compiling.rs"]
mod compiling;

#[test]
fn proofs_cannot_be_forged_and_guards_not_left_incomplete() {
    let folder = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/ui"));
    assert!(compiling::check(folder, "ztlib") >= 14);
}
