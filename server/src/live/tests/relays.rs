//! Relays over HLS.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use yizhan_media::{
    Party,
    config::relay::{Address, Relay},
};

use super::{
    super::relay::HlsRelays,
    support::{SOON, Stage, clock, frames, keys, name, now, real, run, until},
};

/// Serves the files of a folder over HTTP, as far as ffmpeg needs it.
async fn serve(folder: &Path) -> (String, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let folder = folder.to_owned();
    let task = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let folder = folder.clone();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let Ok(byte) = stream.read_u8().await else { return };
                    head.push(byte);
                }
                let head = String::from_utf8(head).unwrap();
                let path = head.split(' ').nth(1).unwrap().trim_start_matches('/').split('?').next().unwrap();
                let answer = match std::fs::read(folder.join(path)) {
                    Ok(body) => {
                        let head = format!(
                            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                            body.len()
                        );
                        [head.into_bytes(), body].concat()
                    }
                    Err(_) => {
                        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec()
                    }
                };
                drop(stream.write_all(&answer).await);
            });
        }
    });
    (format!("http://{address}"), task)
}

#[tokio::test]
async fn a_playlist_is_fetched_when_somebody_wants_it_and_left_when_nobody_does() {
    let Some(ffmpeg) = real().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let args = format!(
        "-f lavfi -i testsrc2=size=160x90:rate=25 -f lavfi -i sine -t 8 -c:v libx264 -preset ultrafast -g 25 -c:a aac \
         -f hls -hls_time 1 -hls_list_size 0 {}",
        folder.path().join("room.m3u8").display()
    );
    run(&args, None);
    let (address, server) = serve(folder.path()).await;
    let mut stage = Stage::new(|config| config.wanted_for = Duration::from_secs(10));
    let relay = Relay {
        from: Some(Address::new(format!("{address}/{{name}}.m3u8?token=s3cret"))),
        linger: Duration::from_secs(1),
        ..Relay::default()
    };
    let relays = BTreeMap::from([("edge".to_owned(), relay)]);
    assert!(HlsRelays::are_wanted(&relays));
    let relays = HlsRelays::new(&stage.media, &clock(), ffmpeg.clone(), &relays);
    stage.run(relays.run());
    let room = ffmpeg.room();
    let broadcast = stage.media.wanted(now(), &name("room")).await.expect("it is fetched");
    let viewer = stage.media.viewer(now(), &broadcast, Party::by("flv")).unwrap();
    until("two key frames", || keys(&frames(&broadcast)).len() >= 2).await;
    assert_eq!(broadcast.publisher().door, "relay");
    drop(viewer);
    until("it is left", || broadcast.has_ended()).await;
    until("no child is left", || ffmpeg.room() == room).await;
    server.abort();
}

#[tokio::test]
async fn what_cannot_be_fetched_is_not_there_and_no_child_stays() {
    let Some(ffmpeg) = real().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let (address, server) = serve(folder.path()).await;
    let mut stage = Stage::new(|config| config.wanted_for = Duration::from_secs(60));
    let relay = Relay {
        from: Some(Address::new(format!("{address}/{{name}}.m3u8"))),
        linger: Duration::from_secs(1),
        ..Relay::default()
    };
    let relays = BTreeMap::from([("edge".to_owned(), relay)]);
    let relays = HlsRelays::new(&stage.media, &clock(), ffmpeg.clone(), &relays);
    stage.run(relays.run());
    let room = ffmpeg.room();
    let wanted = tokio::time::timeout(SOON, stage.media.wanted(now(), &name("nothing"))).await;
    assert!(wanted.expect("nobody waits for what is not there").is_none());
    drop(stage);
    until("no child is left", || ffmpeg.room() == room).await;
    server.abort();
}

/// Takes what is PUT and remembers the paths.
async fn receive() -> (String, Arc<Mutex<Vec<String>>>, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::<Mutex<Vec<String>>>::default();
    let noted = seen.clone();
    let task = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let noted = noted.clone();
            tokio::spawn(async move {
                let mut all = Vec::new();
                while let Ok(1..) = stream.read_buf(&mut all).await {
                    // A body in chunks ends so.
                    if all.ends_with(b"\r\n0\r\n\r\n") {
                        let text = String::from_utf8_lossy(&all);
                        noted.lock().push(text.lines().next().unwrap_or_default().to_owned());
                        drop(stream.write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n").await);
                        return;
                    }
                }
            });
        }
    });
    (format!("http://{address}"), seen, task)
}

#[tokio::test]
async fn what_is_on_air_is_put_where_a_relay_says_until_it_is_over() {
    let Some(ffmpeg) = real().await else { return };
    let (address, seen, server) = receive().await;
    let mut stage = Stage::new(|_| ());
    let relay = Relay { to: Some(Address::new(format!("{address}/up/{{name}}.m3u8"))), ..Relay::default() };
    let relays = BTreeMap::from([("cdn".to_owned(), relay)]);
    let relays = HlsRelays::new(&stage.media, &clock(), ffmpeg.clone(), &relays);
    stage.run(relays.run());
    let room = ffmpeg.room();
    stage.play(&name("room"));
    let is_there = |what: &str| seen.lock().iter().any(|line| line.starts_with(what));
    until("a segment and the playlist are there", || {
        is_there("PUT /up/room1") && is_there("PUT /up/room.m3u8 ")
    })
    .await;
    stage.media.stop_all(now());
    until("no child is left", || ffmpeg.room() == room).await;
    server.abort();
}
