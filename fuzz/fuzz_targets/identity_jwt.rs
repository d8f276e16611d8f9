//! The target `identity_jwt`: `./x fuzz identity_jwt`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| yizhan_identity::fuzz::fuzz_jwt(data));
