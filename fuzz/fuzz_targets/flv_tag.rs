//! See `headwater_tests::fuzz::flv_tag`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| headwater_tests::fuzz::flv_tag(data));
