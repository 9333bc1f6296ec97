//! See `headwater_tests::fuzz::origin_map`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| headwater_tests::fuzz::origin_map(data));
