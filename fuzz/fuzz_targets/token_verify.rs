//! See `ztlib_fuzz::token_verify`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ztlib_fuzz::token_verify(data));
