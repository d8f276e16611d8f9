//! The target `identity_hash`: `./x fuzz identity_hash`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| yizhan_identity::fuzz::fuzz_hash(data));
