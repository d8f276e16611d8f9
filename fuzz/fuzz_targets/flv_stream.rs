//! The target `flv_stream`: `./x fuzz flv_stream`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| yizhan_media::fuzz::fuzz_flv(data));
