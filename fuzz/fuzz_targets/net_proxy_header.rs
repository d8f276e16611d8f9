//! The target `net_proxy_header`: `./x fuzz net_proxy_header`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| yizhan_net::fuzz::proxy_header(data));
