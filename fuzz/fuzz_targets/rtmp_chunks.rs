//! See `headwater_tests::fuzz::rtmp_chunks`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| headwater_tests::fuzz::rtmp_chunks(data));
