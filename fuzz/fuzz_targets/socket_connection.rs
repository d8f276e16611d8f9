//! The target `socket_connection`: `./x fuzz socket_connection`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| yizhan_socket::fuzz::fuzz_connection(data));
