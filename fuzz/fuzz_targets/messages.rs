#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| plugbus::fuzzing::messages(bytes));
