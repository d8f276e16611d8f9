//! The target `net_path`: `./x fuzz net_path`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &str| yizhan_net::fuzz::path(data));
