//! The target `media_amf`: `./x fuzz media_amf`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| yizhan_media::fuzz::fuzz_amf(data));
