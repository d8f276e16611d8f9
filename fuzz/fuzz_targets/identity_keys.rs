//! The target `identity_keys`: `./x fuzz identity_keys`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| yizhan_identity::fuzz::fuzz_keys(data));
