//! The target `rtmp_chunks`: `./x fuzz rtmp_chunks`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| yizhan_rtmp::fuzz::fuzz_chunks(data));
