//! The target `net_offer`: `./x fuzz net_offer`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &str| yizhan_net::websocket::fuzz_offer(data));
