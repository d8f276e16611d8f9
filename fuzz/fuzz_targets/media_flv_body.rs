//! The target `media_flv_body`: `./x fuzz media_flv_body`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| yizhan_media::fuzz::fuzz_flv_body(data));
