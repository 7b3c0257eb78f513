//! What must not compile: one program each in `ui/`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test"
)]

#[path = "../../ztlib/tests/support/compiling.rs"]
mod compiling;

#[test]
fn only_guarded_routes_are_served_and_no_service_is_added_to_them() {
    let folder = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/ui"));
    assert!(compiling::check(folder, "ztlib_tonic") >= 3);
}
