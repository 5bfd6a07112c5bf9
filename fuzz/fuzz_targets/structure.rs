#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| checkpointed_fuzz::structure(data));
