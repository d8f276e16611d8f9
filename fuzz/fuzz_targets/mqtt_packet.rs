//! The target `mqtt_packet`: `./x fuzz mqtt_packet`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| yizhan_mqtt::fuzz::fuzz_packet(data));
