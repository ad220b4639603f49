//! `confab_fuzz::bodies::frame`, driven by libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| confab_fuzz::bodies::frame(data));
