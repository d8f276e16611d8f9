//! The client's half of RTMP, as far as a load needs it: what is sent. What comes is looked at by those who read.

use std::time::{SystemTime, UNIX_EPOCH};

/// C1 and S1, C2 and S2 (RTMP 1.0 §5.2.3).
const BLOCK_BYTES: usize = 1536;
/// S0, S1 and S2: what the server says before it listens to commands.
pub(super) const GREETING_BYTES: usize = 1 + 2 * BLOCK_BYTES;
/// Bytes of a chunk until it is said otherwise (§5.4.1).
const CHUNK_BYTES: usize = 128;
/// Bytes of a publisher's chunks: as ffmpeg has them.
pub(super) const PUBLISHER_CHUNK_BYTES: usize = 60_000;
/// The message stream that the first `createStream` gives, by every server that is measured here.
const STREAM: u32 = 1;

/// C0 and C1 (§5.2.2).
pub(super) fn greeting() -> Vec<u8> {
    let mut bytes = vec![3];
    let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs() as u32);
    bytes.extend(time.to_be_bytes());
    bytes.extend([0; 4]);
    // What is to be random need only differ from what others send.
    let mut state = u64::from(time) | 1;
    bytes.extend((8..BLOCK_BYTES).map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    }));
    bytes
}

/// C2: what the server said, said again (§5.2.4).
pub(super) fn echo(greeting: &[u8]) -> &[u8] {
    &greeting[1..=BLOCK_BYTES]
}

/// All that a viewer says: it does not wait for the answers in between.
pub(super) fn play(app: &str, name: &str, host: &str) -> Vec<u8> {
    let mut out = Vec::new();
    connect(&mut out, app, host);
    command(&mut out, 0, "createStream", 2.0, |_| {});
    command(&mut out, STREAM, "play", 3.0, |body| text(body, name));
    // How much the player holds: one second (user control 3, §6.2).
    let mut held = 3u16.to_be_bytes().to_vec();
    held.extend(STREAM.to_be_bytes());
    held.extend(1000u32.to_be_bytes());
    message(&mut out, Head { channel: 2, kind: 4, stream: 0, at_ms: 0 }, &held, CHUNK_BYTES);
    out
}

/// All that a publisher says before its first tag, the size of its chunks among it.
pub(super) fn publish(app: &str, name: &str, host: &str) -> Vec<u8> {
    let mut out = Vec::new();
    connect(&mut out, app, host);
    let size = (PUBLISHER_CHUNK_BYTES as u32).to_be_bytes();
    message(&mut out, Head { channel: 2, kind: 1, stream: 0, at_ms: 0 }, &size, CHUNK_BYTES);
    command(&mut out, 0, "releaseStream", 2.0, |body| text(body, name));
    command(&mut out, 0, "FCPublish", 3.0, |body| text(body, name));
    command(&mut out, 0, "createStream", 4.0, |_| {});
    command(&mut out, STREAM, "publish", 5.0, |body| {
        text(body, name);
        text(body, "live");
    });
    out
}

/// A tag of FLV as a message.
pub(super) fn media(out: &mut Vec<u8>, kind: super::source::Kind, at_ms: u32, body: &[u8]) {
    use super::source::Kind;
    let channel = match kind {
        Kind::Audio => 4,
        Kind::Video => 6,
        Kind::Script => 5,
    };
    let head = Head { channel, kind: kind as u8, stream: STREAM, at_ms };
    message(out, head, body, PUBLISHER_CHUNK_BYTES);
}

/// How many bytes have come (§5.4.3).
pub(super) fn acknowledge(bytes: u64) -> Vec<u8> {
    let mut out = Vec::new();
    // It wraps (§5.4.3).
    let count = (bytes as u32).to_be_bytes();
    message(&mut out, Head { channel: 2, kind: 3, stream: 0, at_ms: 0 }, &count, CHUNK_BYTES);
    out
}

struct Head {
    channel: u8,
    kind: u8,
    stream: u32,
    at_ms: u32,
}

/// A message in chunks: the first with a full header, the others with none (§5.3.1).
fn message(out: &mut Vec<u8>, head: Head, body: &[u8], chunk: usize) {
    let at = head.at_ms.to_be_bytes();
    out.push(head.channel);
    if head.at_ms < 0xff_ffff {
        out.extend(&at[1..]);
    } else {
        out.extend([0xff; 3]);
    }
    out.extend(&(body.len() as u32).to_be_bytes()[1..]);
    out.push(head.kind);
    out.extend(head.stream.to_le_bytes());
    for (i, piece) in body.chunks(chunk).enumerate() {
        if i > 0 {
            out.push(0xc0 | head.channel);
        }
        if head.at_ms >= 0xff_ffff {
            out.extend(at);
        }
        out.extend(piece);
    }
}

fn connect(out: &mut Vec<u8>, app: &str, host: &str) {
    let mut body = Vec::new();
    text(&mut body, "connect");
    number(&mut body, 1.0);
    body.push(3);
    let url = format!("rtmp://{host}/{app}");
    for (key, value) in [("app", app), ("flashVer", "LNX 9,0,124,2"), ("tcUrl", &url)] {
        body.extend((key.len() as u16).to_be_bytes());
        body.extend(key.as_bytes());
        text(&mut body, value);
    }
    body.extend([0, 0, 9]);
    message(out, Head { channel: 3, kind: 20, stream: 0, at_ms: 0 }, &body, CHUNK_BYTES);
}

/// A command with no object and with what `arguments` appends (§7.2).
fn command(
    out: &mut Vec<u8>,
    stream: u32,
    name: &str,
    transaction: f64,
    arguments: impl FnOnce(&mut Vec<u8>),
) {
    let mut body = Vec::new();
    text(&mut body, name);
    number(&mut body, transaction);
    body.push(5);
    arguments(&mut body);
    // A publisher has said by then how long its chunks are, but none of these is as long as a short one.
    message(out, Head { channel: 3, kind: 20, stream, at_ms: 0 }, &body, CHUNK_BYTES);
}

fn text(body: &mut Vec<u8>, text: &str) {
    body.push(2);
    body.extend((text.len() as u16).to_be_bytes());
    body.extend(text.as_bytes());
}

fn number(body: &mut Vec<u8>, number: f64) {
    body.push(0);
    body.extend(number.to_be_bytes());
}
