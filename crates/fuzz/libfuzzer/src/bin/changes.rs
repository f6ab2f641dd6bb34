//! libFuzzer on `changes`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ocistow_fuzz::changes::run(bytes));
