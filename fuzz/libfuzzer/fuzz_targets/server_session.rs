//! `confab_fuzz::bodies::server_session`, driven by libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| confab_fuzz::bodies::server_session(data));
