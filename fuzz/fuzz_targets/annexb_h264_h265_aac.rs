//! See `headwater_tests::fuzz::annexb_h264_h265_aac`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| headwater_tests::fuzz::annexb_h264_h265_aac(data));
