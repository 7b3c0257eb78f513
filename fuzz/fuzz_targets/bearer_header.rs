//! See `ztlib_fuzz::bearer_header`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ztlib_fuzz::bearer_header(data));
