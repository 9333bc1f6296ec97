//! See `headwater_tests::fuzz::timestamp`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| headwater_tests::fuzz::timestamp(data));
