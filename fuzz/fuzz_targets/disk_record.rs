//! The target `disk_record`: `./x fuzz disk_record`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| yizhan_disk::fuzz_record(data));
