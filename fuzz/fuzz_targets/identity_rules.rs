//! The target `identity_rules`: `./x fuzz identity_rules`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| yizhan_identity::fuzz::fuzz_rules(data));
