//! The target `amf_values`: `./x fuzz amf_values`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| yizhan_media::fuzz::fuzz_amf(data));
