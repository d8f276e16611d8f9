//! FLV that goes on: over HTTP and over WebSocket.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use yizhan_media::{Packet, flv::Demuxer};
use yizhan_net::{
    Limits,
    websocket::client::{Options, Said, connect},
};

use crate::world::{PATIENCE, World, any_media, materials, name, now, quick, source, until};

fn frames(bytes: &[u8]) -> usize {
    let mut demuxer = Demuxer::new(1 << 20);
    demuxer.push(bytes);
    let mut frames = 0;
    while let Some(packet) = demuxer.read().unwrap() {
        frames += usize::from(matches!(packet, Packet::Frame { .. }));
    }
    frames
}

#[tokio::test]
async fn a_viewer_gets_the_newest_pictures_at_once_and_goes_on_until_the_end() {
    let Some(packets) = source() else { return };
    let world = World::new(quick());
    let mut sending = world.publish(packets);
    sending.until(4_500);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let stream = TokioIo::new(TcpStream::connect(world.address).await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let began = Instant::now();
    let request =
        http::Request::get("/live/room.flv").header("host", "x").body(Empty::<Bytes>::new()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.headers()["content-type"], "video/x-flv");
    assert_eq!(response.headers()["access-control-allow-origin"], "*");
    let mut body = response.into_body();
    let mut got = BytesMut::new();
    while frames(&got) == 0 {
        got.extend_from_slice(&body.frame().await.unwrap().unwrap().into_data().unwrap());
    }
    assert!(began.elapsed() < Duration::from_millis(300), "{:?}", began.elapsed());
    assert_eq!(&got[..5], b"FLV\x01\x05");
    let view = world.media.find(&name()).unwrap().view();
    assert_eq!(view.viewers.get("flv"), Some(&1));
    sending.until(6_000);
    sending.end();
    let rest = tokio::time::timeout(PATIENCE, body.collect()).await.expect("it ends").unwrap();
    got.extend_from_slice(&rest.to_bytes());
    // From the key frame at 4 seconds on: 2 seconds of 30 pictures, and sound.
    let count = frames(&got);
    assert!((60 + 80..60 + 100).contains(&count), "{count} frames");
    assert_eq!(world.get("/live/room.flv").await.status, 404);
}

#[tokio::test]
async fn a_websocket_carries_the_same_tags() {
    let Some(packets) = source() else { return };
    let world = World::new(quick());
    let mut sending = world.publish(packets);
    sending.until(4_500);
    let url = format!("ws://{}/live/room.flv", world.address);
    let mut client = connect(&url, &Options::default()).await.unwrap();
    let mut got = BytesMut::new();
    while frames(&got) < 10 {
        match client.next().await.unwrap() {
            Said::Message(_, bytes) => got.extend_from_slice(&bytes),
            Said::Close(code, reason) => panic!("{code} {reason}"),
        }
    }
    let broadcast = world.media.find(&name()).unwrap();
    assert_eq!(broadcast.view().viewers.get("ws-flv"), Some(&1));
    let viewer = broadcast.viewers()[0].clone();
    assert!(viewer.sent_bytes >= got.len() as u64, "{viewer:?}");
    assert!(broadcast.kick_viewer(viewer.id, "enough"));
    let closed = loop {
        match client.next().await.unwrap() {
            Said::Message(..) => {}
            Said::Close(code, reason) => break (code, reason),
        }
    };
    assert_eq!(closed, (4030, "enough".into()));
    let mut stranger = connect(&url.replace("room", "other"), &Options::default()).await.unwrap();
    let Said::Close(code, _) = stranger.next().await.unwrap() else { panic!("a message of nothing") };
    assert_eq!(code, 4003);
    assert!(connect(&url.replace(".flv", ".m3u8"), &Options::default()).await.is_err());
    sending.end();
}

#[tokio::test]
async fn who_is_told_to_go_goes() {
    let Some(packets) = source() else { return };
    let world = World::new(quick());
    let mut sending = world.publish(packets);
    sending.until(4_500);
    let broadcast = world.media.find(&name()).unwrap();
    let asks = world.get("/live/room.flv");
    let kicks = async {
        until("it watches", || !broadcast.viewers().is_empty()).await;
        assert!(broadcast.kick_viewer(broadcast.viewers()[0].id, "enough"));
    };
    let (got, ()) = tokio::join!(asks, kicks);
    assert!(got.body.starts_with(b"FLV"));
    until("nobody watches", || broadcast.viewers().is_empty()).await;
}

#[tokio::test]
async fn who_never_reads_is_ended_and_nobody_else_notices() {
    let Some(packets) = source() else { return };
    let media = any_media();
    let limits = Limits { write_stall_max: Duration::from_millis(500), ..Limits::default() };
    let world = World::with(materials(quick(), &media), limits);
    let mut sending = world.publish(packets);
    sending.until(2_000);
    let mut stalled = TcpStream::connect(world.address).await.unwrap();
    stalled.write_all(b"GET /live/room.flv HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let broadcast = world.media.find(&name()).unwrap();
    until("it watches", || broadcast.viewer_count() == 1).await;
    // More than all buffers between here and there hold: frames of a megabyte.
    let big = Bytes::from(vec![0; 1 << 20]);
    let mut dts = 20_000_000;
    let ended = async {
        while broadcast.viewer_count() > 0 {
            let kind = yizhan_media::Kind::Video;
            let packet = Packet::Frame { kind, key: true, dts, cts: 0, data: big.clone() };
            sending.publisher.push(now(), packet).unwrap();
            dts += 100_000;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.expect("it is let go");
    drop(stalled);
    let mut other = TcpStream::connect(world.address).await.unwrap();
    other.write_all(b"GET /live/room.flv HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut head = [0; 12];
    other.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    drop(other);
    sending.end();
}
