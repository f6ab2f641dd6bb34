//! libFuzzer on `output`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ocistow_fuzz::output::run(bytes));
