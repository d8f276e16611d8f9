//! Clients that mean no good, against a door that runs: others never notice.
#![allow(clippy::disallowed_methods, reason = "tests stand outside of the floor: they own sockets and tasks")]

mod served;

use std::time::Duration;

use bytes::BytesMut;
use served::{PATIENCE, Served, serve, until};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use yizhan_media::{Config, amf::Value};
use yizhan_rtmp::wire::{
    ChunkReader, Command, Head, Limits, Message, command::command, handshake::Calling, message::kind,
    write_message,
};

/// A client made by hand.
struct Client {
    stream: TcpStream,
    input: BytesMut,
    reader: ChunkReader,
}

impl Client {
    async fn new(served: &Served) -> Self {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut hello = BytesMut::new();
        let mut calling = Calling::begin(1, &mut hello);
        stream.write_all(&hello).await.unwrap();
        let mut input = BytesMut::new();
        let mut reply = BytesMut::new();
        while calling != Calling::Done {
            assert!(stream.read_buf(&mut input).await.unwrap() > 0);
            calling.receive(&mut input, &mut reply).unwrap();
        }
        stream.write_all(&reply).await.unwrap();
        let limits = Limits { media_bytes_max: 1 << 24, other_bytes_max: 1 << 24 };
        let mut client = Self { stream, input, reader: ChunkReader::new(limits) };
        client.command("connect", 1.0, &[Value::object([("app", "live".into())])]).await;
        client.until("_result").await;
        client
    }

    async fn publishing(served: &Served, name: &str) -> Self {
        let mut client = Self::new(served).await;
        client.command("publish", 0.0, &[Value::Null, name.into()]).await;
        assert_eq!(client.until("onStatus").await, "NetStream.Publish.Start");
        client
    }

    async fn watching(served: &Served, name: &str) -> Self {
        let mut client = Self::new(served).await;
        client.command("play", 0.0, &[Value::Null, name.into()]).await;
        assert_eq!(client.until("onStatus").await, "NetStream.Play.Reset");
        client
    }

    async fn say(&mut self, kind: u8, timestamp: u32, body: &[u8]) {
        let mut bytes = BytesMut::new();
        let on = if kind == kind::COMMAND { 3 } else { 6 };
        write_message(&mut bytes, Head { on, kind, timestamp, stream: 1 }, &[body], 128);
        self.stream.write_all(&bytes).await.unwrap();
    }

    async fn command(&mut self, name: &str, transaction: f64, values: &[Value]) {
        self.say(kind::COMMAND, 0, &command(name, transaction, values)).await;
    }

    /// The next message; none at the end.
    async fn hear(&mut self) -> Option<Message> {
        let waiting = async {
            loop {
                if let Some(message) = self.reader.next(&mut self.input).unwrap() {
                    return Some(message);
                }
                match self.stream.read_buf(&mut self.input).await {
                    Ok(0) | Err(_) => return None,
                    Ok(_) => {}
                }
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("it says something or ends")
    }

    /// The code of the next command of this name.
    async fn until(&mut self, name: &str) -> String {
        loop {
            let message = self.hear().await.expect("it says more");
            if message.kind == kind::COMMAND {
                let said = Command::read(&message).unwrap();
                if said.name == name {
                    let code = said.args.first().and_then(|information| information.get("code")?.as_str());
                    return code.unwrap_or_default().to_owned();
                }
            }
        }
    }

    /// Waits for the next sound.
    async fn sound(&mut self) -> u32 {
        loop {
            let message = self.hear().await.expect("it says more");
            if message.kind == kind::AUDIO {
                return message.timestamp;
            }
        }
    }

    /// Waits until the server has closed.
    async fn gone(mut self) {
        while self.hear().await.is_some() {}
    }

    /// A sound of MP3, which needs no configuration.
    async fn sing(&mut self, millis: u32) {
        let mut body = vec![0x2f, 0xff, 0xfb, 0x94, 0x64];
        body.resize(1 + 384, 0);
        self.say(kind::AUDIO, millis, &body).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn others_never_notice_hostile_publishers() {
    let served = serve(Config::default());
    let mut good = Client::publishing(&served, "good").await;
    good.sing(0).await;
    let mut listener = Client::watching(&served, "good").await;
    listener.sound().await;
    let mut hostile = Vec::new();
    // One stops in the middle of a frame, and stays.
    let mut stops = Client::publishing(&served, "stops").await;
    stops.stream.write_all(&[6, 0, 0, 0, 0x10, 0, 0, 9, 1, 0, 0, 0, 0x17]).await.unwrap();
    // One says that 16 MB follow.
    let mut huge = Client::publishing(&served, "huge").await;
    huge.stream.write_all(&[6, 0, 0, 0, 0xff, 0xff, 0xff, 9, 1, 0, 0, 0]).await.unwrap();
    hostile.push(huge);
    // Chunks of no bytes, and of 2^31.
    for size in [0_u32, 1 << 31] {
        let mut sized = Client::publishing(&served, &format!("sized-{size}")).await;
        sized.say(kind::CHUNK_SIZE, 0, &size.to_be_bytes()).await;
        hostile.push(sized);
    }
    // Garbage instead of commands.
    let mut garbage = Client::publishing(&served, "garbage").await;
    garbage.say(kind::COMMAND, 0, &[0xaa; 64]).await;
    hostile.push(garbage);
    // Nothing but malformed pictures.
    let mut malformed = Client::publishing(&served, "malformed").await;
    for _ in 0..100 {
        malformed.say(kind::VIDEO, 0, &[0x17, 1]).await;
    }
    hostile.push(malformed);
    for client in hostile {
        client.gone().await;
    }
    good.sing(40).await;
    assert!(listener.sound().await >= 40);
    assert!(served.find("stops").is_some() && served.find("huge").is_none_or(|huge| !huge.is_on_air()));
    drop(stops);
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_of_one_byte_are_read() {
    let served = serve(Config::default());
    let mut client = Client::publishing(&served, "room").await;
    client.say(kind::CHUNK_SIZE, 0, &1_u32.to_be_bytes()).await;
    let mut bytes = BytesMut::new();
    let mut body = vec![0x2f, 0xff, 0xfb, 0x94, 0x64];
    body.resize(385, 0);
    for millis in [0, 24, 48] {
        let head = Head { on: 4, kind: kind::AUDIO, timestamp: millis, stream: 1 };
        write_message(&mut bytes, head, &[&body], 1);
    }
    client.stream.write_all(&bytes).await.unwrap();
    until("it came", || served.find("room")?.newest_dts().filter(|dts| *dts >= 48_000)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_that_never_reads_is_passed_over_and_told_when_it_does() {
    let config = Config { behind_max: Duration::from_millis(200), ..Config::default() };
    let served = serve(config);
    let mut publisher = Client::publishing(&served, "room").await;
    publisher.sing(0).await;
    let mut viewer = Client::watching(&served, "room").await;
    viewer.sound().await;
    let broadcast = served.find("room").unwrap();
    // Data is as good as sound to fill a line.
    let cue = command("cue", 0.0, &[Value::from("x".repeat(100_000))]);
    let mut millis = 0;
    // It is passed over at the latest when it reads again.
    while broadcast.viewers().iter().all(|viewer| viewer.skipped_blocks == 0) && millis < 10_000 {
        millis += 24;
        publisher.sing(millis).await;
        publisher.say(kind::DATA, millis, &cue).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut heard = 0;
    while viewer.until("onStatus").await != "NetStream.Play.InsufficientBW" {
        heard += 1;
        assert!(heard < 10);
    }
    let last = viewer.sound().await;
    assert!(last > 0 && served.find("room").is_some_and(|room| room.is_on_air()));
}

#[tokio::test(flavor = "multi_thread")]
async fn timestamps_that_jump_do_not_reach_viewers() {
    let served = serve(Config::default());
    let mut publisher = Client::publishing(&served, "room").await;
    publisher.sing(0).await;
    let mut viewer = Client::watching(&served, "room").await;
    for millis in [24, u32::MAX - 5, 18, 1 << 31, 7, 9_000_000, 1] {
        publisher.sing(millis).await;
    }
    let mut last = None;
    for _ in 0..8 {
        let at = viewer.sound().await;
        assert!(last.is_none_or(|last| (1..1000).contains(&(at - last))), "{last:?} {at}");
        last = Some(at);
    }
}
