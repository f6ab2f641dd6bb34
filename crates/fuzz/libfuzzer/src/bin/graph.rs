//! libFuzzer on `graph`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ocistow_fuzz::graph::run(bytes));
