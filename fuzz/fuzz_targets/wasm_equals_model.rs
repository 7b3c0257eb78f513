//! See `ztlib_fuzz::wasm_equals_model`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ztlib_fuzz::wasm_equals_model(data));
