//! See `ztlib_fuzz::peer_certificate`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ztlib_fuzz::peer_certificate(data));
