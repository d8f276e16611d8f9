//! The target `net_frames`: `./x fuzz net_frames`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| yizhan_net::websocket::fuzz_frames(data));
