#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| goldsmith_fuzz::index(data));
