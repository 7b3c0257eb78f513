//! See `ztlib_fuzz::path`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ztlib_fuzz::path(data));
