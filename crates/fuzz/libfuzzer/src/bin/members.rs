//! libFuzzer on `members`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ocistow_fuzz::members::run(bytes));
