//! The target `socket_command_cbor`: `./x fuzz socket_command_cbor`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| yizhan_socket::fuzz::fuzz_command_cbor(data));
