//! The target `media_codec`: `./x fuzz media_codec`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| yizhan_media::fuzz::fuzz_codec(data));
