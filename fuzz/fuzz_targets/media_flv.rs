//! The target `media_flv`: `./x fuzz media_flv`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| yizhan_media::fuzz::fuzz_flv(data));
