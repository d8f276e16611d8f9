//! The target `rtmp_connection`: `./x fuzz rtmp_connection`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| yizhan_rtmp::fuzz::fuzz_connection(data));
