//! The target `mqtt_connection`: `./x fuzz mqtt_connection`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| yizhan_mqtt::fuzz_connection::fuzz_connection(data));
