//! See `ztlib_fuzz::signed_chain`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ztlib_fuzz::signed_chain(data));
