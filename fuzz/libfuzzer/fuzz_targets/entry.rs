//! `confab_fuzz::bodies::entry`, driven by libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| confab_fuzz::bodies::entry(data));
