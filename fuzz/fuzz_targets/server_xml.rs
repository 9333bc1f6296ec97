//! See `headwater_tests::fuzz::server_xml`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| headwater_tests::fuzz::server_xml(data));
