//! `confab_fuzz::bodies::server_frame`, driven by libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| confab_fuzz::bodies::server_frame(data));
