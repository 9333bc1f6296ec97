//! See `headwater_tests::fuzz::ovt_origin`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| headwater_tests::fuzz::ovt_origin(data));
