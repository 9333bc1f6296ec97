//! See `headwater_tests::fuzz::hls_request`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| headwater_tests::fuzz::hls_request(data));
