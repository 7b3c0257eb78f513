//! See `ztlib_fuzz::cached_equals_fresh`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ztlib_fuzz::cached_equals_fresh(data));
