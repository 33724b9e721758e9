#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| l2rw_fuzz::table(bytes));
