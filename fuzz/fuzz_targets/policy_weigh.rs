//! See `ztlib_fuzz::policy_weigh`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ztlib_fuzz::policy_weigh(data));
