//! Each fuzz target, for a fixed number of inputs.

use yizhan_fuzz_smoke::Inputs;

/// Inputs a target; a few seconds together.
const ROUNDS: usize = 20_000;

fn smoke(target: &str, entry: impl Fn(&[u8])) {
    for input in Inputs::new(target).take(ROUNDS) {
        entry(&input);
    }
}

#[test]
fn socket_command_json() {
    smoke("socket_command_json", yizhan_socket::fuzz::fuzz_command_json);
}

#[test]
fn socket_command_cbor() {
    smoke("socket_command_cbor", yizhan_socket::fuzz::fuzz_command_cbor);
}

#[test]
fn socket_connection() {
    smoke("socket_connection", yizhan_socket::fuzz::fuzz_connection);
}

#[test]
fn net_frames() {
    smoke("net_frames", yizhan_net::websocket::fuzz_frames);
}

#[test]
fn net_offer() {
    smoke("net_offer", |data| yizhan_net::websocket::fuzz_offer(&String::from_utf8_lossy(data)));
}

#[test]
fn disk_record() {
    smoke("disk_record", yizhan_disk::fuzz_record);
}

#[test]
fn identity_jwt() {
    smoke("identity_jwt", yizhan_identity::fuzz::fuzz_jwt);
}

#[test]
fn identity_keys() {
    smoke("identity_keys", yizhan_identity::fuzz::fuzz_keys);
}

#[test]
fn identity_hash() {
    smoke("identity_hash", yizhan_identity::fuzz::fuzz_hash);
}

#[test]
fn identity_scram() {
    smoke("identity_scram", yizhan_identity::fuzz::fuzz_scram);
}

#[test]
fn identity_rules() {
    smoke("identity_rules", yizhan_identity::fuzz::fuzz_rules);
}

#[test]
fn net_proxy_header() {
    smoke("net_proxy_header", yizhan_net::fuzz::proxy_header);
}

#[test]
fn net_path() {
    smoke("net_path", |data| yizhan_net::fuzz::path(&String::from_utf8_lossy(data)));
}

#[test]
fn mqtt_packet() {
    smoke("mqtt_packet", yizhan_mqtt::fuzz::fuzz_packet);
}

#[test]
fn mqtt_connection() {
    smoke("mqtt_connection", yizhan_mqtt::fuzz_connection::fuzz_connection);
}

#[test]
fn media_amf() {
    smoke("media_amf", yizhan_media::fuzz::fuzz_amf);
}

#[test]
fn media_codec() {
    smoke("media_codec", yizhan_media::fuzz::fuzz_codec);
}

#[test]
fn media_flv_body() {
    smoke("media_flv_body", yizhan_media::fuzz::fuzz_flv_body);
}

#[test]
fn media_flv() {
    smoke("media_flv", yizhan_media::fuzz::fuzz_flv);
}

#[test]
fn rtmp_chunks() {
    smoke("rtmp_chunks", yizhan_rtmp::fuzz::fuzz_chunks);
}

#[test]
fn rtmp_connection() {
    smoke("rtmp_connection", yizhan_rtmp::fuzz::fuzz_connection);
}
