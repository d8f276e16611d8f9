//! A door with a broadcast, and a client that asks it.

use std::{
    net::SocketAddr,
    process::{Command, Stdio},
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::JoinHandle};
use yizhan_hls::{Config, Hls, Materials};
use yizhan_media::{Kind, Media, Name, Packet, Party, Publisher, flv::Demuxer, porter::Everybody};
use yizhan_net::{Door as _, Http, Limits, Open, Site, SystemClock};
use yizhan_talk::{Clock as _, Now};

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Seconds of the source.
pub(crate) const SECONDS: i64 = 16;

pub(crate) fn now() -> Now {
    SystemClock.now()
}

pub(crate) fn name() -> Name {
    Name::new("live", "room").unwrap()
}

/// What ffmpeg publishes: H.264 with B frames at 30 a second and a key frame each second, AAC. `None` without ffmpeg.
pub(crate) fn source() -> Option<&'static [Packet]> {
    static SOURCE: OnceLock<Option<Vec<Packet>>> = OnceLock::new();
    let packets = SOURCE.get_or_init(|| {
        let made = Command::new("ffmpeg")
            .args(["-hide_banner", "-nostdin", "-v", "error", "-f", "lavfi", "-i"])
            .arg(format!("testsrc2=size=320x180:rate=30:duration={SECONDS}"))
            .args(["-f", "lavfi", "-i"])
            .arg(format!("sine=frequency=440:sample_rate=44100:duration={SECONDS}"))
            .args(["-ac", "2", "-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "30"])
            .args(["-sc_threshold", "0", "-b:v", "300k", "-c:a", "aac", "-b:a", "64k", "-f", "flv", "-"])
            .stdin(Stdio::null())
            .output();
        let made = made.ok().filter(|made| made.status.success() && !made.stdout.is_empty());
        let Some(made) = made else {
            eprintln!("there is no ffmpeg with libx264: nothing was tested");
            return None;
        };
        let mut demuxer = Demuxer::new(1 << 20);
        demuxer.push(&made.stdout);
        let mut packets = Vec::new();
        while let Some(packet) = demuxer.read().expect("ffmpeg writes FLV that we read") {
            packets.push(packet);
        }
        Some(packets)
    });
    packets.as_deref()
}

/// A broadcast's publisher.
pub(crate) struct Sending {
    pub(crate) publisher: Publisher,
    packets: std::slice::Iter<'static, Packet>,
}

impl Sending {
    pub(crate) fn of(publisher: Publisher, packets: &'static [Packet]) -> Self {
        Self { publisher, packets: packets.iter() }
    }

    /// Leaves out the frames before so many milliseconds.
    pub(crate) fn pass_over(&mut self, millis: i64) {
        while let Some(packet) = self.packets.as_slice().first() {
            match packet {
                Packet::Frame { dts, .. } if *dts >= millis * 1000 => break,
                Packet::Frame { .. } => {}
                other => self.publisher.push(now(), other.clone()).unwrap(),
            }
            self.packets.next();
        }
    }

    /// As [`until`](Self::until), with one track alone.
    pub(crate) fn only(&mut self, wanted: Kind, millis: i64) {
        for packet in self.packets.by_ref() {
            let (kind, late) = match packet {
                Packet::Frame { kind, dts, .. } => (*kind, *dts >= millis * 1000),
                Packet::Track(track) => (track.codec.kind(), false),
                Packet::Metadata(_) | Packet::End(_) => continue,
            };
            if late {
                break;
            }
            if kind == wanted {
                self.publisher.push(now(), packet.clone()).unwrap();
            }
        }
    }

    /// Hands over what is decoded before so many milliseconds of the source.
    pub(crate) fn until(&mut self, millis: i64) {
        while let Some(packet) = self.packets.as_slice().first() {
            if let Packet::Frame { dts, .. } = packet
                && *dts >= millis * 1000
            {
                break;
            }
            self.packets.next();
            self.publisher.push(now(), packet.clone()).unwrap();
        }
    }

    pub(crate) fn end(self) {
        self.publisher.end(now());
    }
}

pub(crate) struct World {
    /// Dropping it ends the door.
    _open: Open,
    pub(crate) address: SocketAddr,
    pub(crate) media: Media,
    pub(crate) hls: Hls,
    turning: JoinHandle<()>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.turning.abort();
    }
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// Low latency, segments of a second.
pub(crate) fn quick() -> Config {
    Config { segment: Duration::from_secs(1), ..Config::default() }
}

pub(crate) fn materials(config: Config, media: &Media) -> Materials {
    Materials {
        config,
        media: media.clone(),
        secret: [7; 32],
        clock: Arc::new(SystemClock),
        recordings: None,
        snapshots: None,
        ladder: None,
    }
}

pub(crate) fn any_media() -> Media {
    let config = yizhan_media::Config { grace: Duration::from_secs(2), ..Default::default() };
    let media = Media::new(config, now().wall.as_millis());
    media.set_porter(Arc::new(Everybody));
    media
}

impl World {
    pub(crate) fn new(config: Config) -> Self {
        let media = any_media();
        Self::with(materials(config, &media), Limits::default())
    }

    pub(crate) fn with(materials: Materials, limits: Limits) -> Self {
        let media = materials.media.clone();
        let mut site = Site::new(limits, Arc::new(SystemClock));
        let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
        site.listen_http(&Http { listen: vec![anywhere], ..Http::default() }).unwrap();
        let hls = Hls::new(materials).unwrap();
        hls.open(&mut site).unwrap();
        let open = site.start().unwrap();
        let address = open.bound()["http"][0];
        let turned = media.clone();
        let turning = tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(20)).await;
                turned.maintain(now());
            }
        });
        Self { _open: open, address, media, hls, turning }
    }

    pub(crate) fn publish(&self, packets: &'static [Packet]) -> Sending {
        let publisher = self.media.publish(now(), &name(), Party::by("rtmp")).unwrap();
        Sending::of(publisher, packets)
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[]).await
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let stream = TokioIo::new(TcpStream::connect(self.address).await.unwrap());
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let mut request = http::Request::builder().method(method).uri(path).header("host", "x");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        let asked = async {
            let response = sender.send_request(request).await.unwrap();
            let (parts, body) = response.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            Answer { status: parts.status, headers: parts.headers, body }
        };
        tokio::time::timeout(PATIENCE, asked)
            .await
            .unwrap_or_else(|_| panic!("{method} {path} has no answer"))
    }
}

/// Waits for a condition.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"));
}

/// The lines of a playlist that are addresses.
pub(crate) fn addresses(playlist: &str) -> Vec<&str> {
    playlist.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect()
}

/// The value of an attribute or a tag that stands behind this text.
pub(crate) fn behind<'a>(playlist: &'a str, text: &str) -> &'a str {
    let at = playlist.find(text).unwrap_or_else(|| panic!("{text} is not in {playlist}")) + text.len();
    playlist[at..].split(['"', ',', '\n']).next().unwrap()
}
