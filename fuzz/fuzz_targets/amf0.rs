//! See `headwater_tests::fuzz::amf0`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| headwater_tests::fuzz::amf0(data));
