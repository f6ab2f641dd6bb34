//! libFuzzer on `kept`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ocistow_fuzz::kept::run(bytes));
