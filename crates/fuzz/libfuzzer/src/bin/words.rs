//! libFuzzer on `words`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ocistow_fuzz::words::run(bytes));
