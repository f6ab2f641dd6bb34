//! libFuzzer on `archive`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ocistow_fuzz::archive::run(bytes));
