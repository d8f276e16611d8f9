//! The target `codec_record`: `./x fuzz codec_record`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| yizhan_media::fuzz::fuzz_codec(data));
