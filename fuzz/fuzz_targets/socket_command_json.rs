//! The target `socket_command_json`: `./x fuzz socket_command_json`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| yizhan_socket::fuzz::fuzz_command_json(data));
