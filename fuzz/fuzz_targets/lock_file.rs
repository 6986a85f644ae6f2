#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| plugbus::fuzzing::lock_file(bytes));
