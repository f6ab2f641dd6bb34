//! libFuzzer on `documents`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ocistow_fuzz::documents::run(bytes));
