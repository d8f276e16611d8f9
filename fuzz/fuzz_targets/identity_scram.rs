//! The target `identity_scram`: `./x fuzz identity_scram`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| yizhan_identity::fuzz::fuzz_scram(data));
