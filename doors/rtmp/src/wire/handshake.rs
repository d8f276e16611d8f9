//! The handshake (RTMP 1.0 §5.2), as a server and as a client.
//!
//! A server answers both kinds: the plain one of the standard, and the one with digests that Flash Player 9 brought and
//! ffmpeg still sends: a client that has put an HMAC-SHA256 over its C1 into it gets one over S1, and S2 signed with a
//! key that is made of the client's. The keys are known to everybody: the digest proves nothing, but some clients do not
//! talk to servers without it. As a client the plain one is spoken.

use bytes::{Buf, BytesMut};
use ring::hmac;

/// Bytes of C1, S1, C2 and S2.
pub const PACKET_BYTES: usize = 1536;
/// The version that is spoken here (RTMP 1.0 §5.2.2).
const VERSION: u8 = 3;
/// A server answers greater versions with its own; from here on it is another protocol (RTMP 1.0 §5.2.2).
const VERSIONS_END: u8 = 32;

const DIGEST_BYTES: usize = 32;
/// What signs S1; with [`KEY_TAIL`] behind it, S2.
const SERVER_KEY: &[u8] = b"Genuine Adobe Flash Media Server 001";
/// What a client signs C1 with.
const CLIENT_KEY: &[u8] = b"Genuine Adobe Flash Player 001";
const KEY_TAIL: [u8; 32] = [
    0xf0, 0xee, 0xc2, 0x4a, 0x80, 0x68, 0xbe, 0xe8, 0x2e, 0x00, 0xd0, 0xd1, 0x02, 0x9e, 0x7e, 0x57, 0x6e,
    0xec, 0x5d, 0x2d, 0x29, 0x80, 0x6f, 0xab, 0x93, 0xb8, 0xe6, 0x36, 0xcf, 0xeb, 0x31, 0xae,
];
/// Where in C1 and S1 the digest's block begins: two schemes, told apart by trying.
const SCHEMES: [usize; 2] = [8, 772];
/// Places that a digest may have within its block.
const PLACES: usize = 728;
/// The version of a media server that says: I know digests. Clients look for at least 3.
const SIGNING_VERSION: [u8; 4] = [4, 5, 1, 1];

/// A block of a handshake.
type Packet = [u8; PACKET_BYTES];

/// The first byte is none of RTMP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not RTMP: it begins with the byte {0:#04x}")]
pub struct NotRtmp(pub u8);

/// The server's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answering {
    /// C0 and C1 have not come.
    Silent,
    /// They were answered; C2 has not come.
    Answered,
    /// What follows is chunks.
    Done,
}

impl Answering {
    /// Takes what it can from `input` and appends what is to be said to `out`. `millis` is the server's clock.
    ///
    /// # Errors
    /// The client speaks something else.
    pub fn receive(&mut self, millis: u32, input: &mut BytesMut, out: &mut BytesMut) -> Result<(), NotRtmp> {
        if *self == Self::Silent {
            let Some(&version) = input.first() else { return Ok(()) };
            if !(VERSION..VERSIONS_END).contains(&version) {
                return Err(NotRtmp(version));
            }
            let Some(c1) = input[1..].first_chunk() else { return Ok(()) };
            answer(c1, millis, out);
            input.advance(1 + PACKET_BYTES);
            *self = Self::Answered;
        }
        // What C2 says is not looked at, as many clients say something of their own.
        if *self == Self::Answered && input.len() >= PACKET_BYTES {
            input.advance(PACKET_BYTES);
            *self = Self::Done;
        }
        Ok(())
    }
}

/// The client's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Calling {
    /// S0, S1 and S2 have not come.
    Called,
    /// What follows is chunks.
    Done,
}

impl Calling {
    /// Appends C0 and C1. `millis` is the client's clock.
    #[must_use]
    pub fn begin(millis: u32, out: &mut BytesMut) -> Self {
        let mut c1 = noise(u64::from(millis));
        c1[..4].copy_from_slice(&millis.to_be_bytes());
        c1[4..8].fill(0);
        out.extend_from_slice(&[VERSION]);
        out.extend_from_slice(&c1);
        Self::Called
    }

    /// Takes what it can from `input` and appends what is to be said to `out`.
    ///
    /// # Errors
    /// The server speaks something else.
    pub fn receive(&mut self, input: &mut BytesMut, out: &mut BytesMut) -> Result<(), NotRtmp> {
        if *self == Self::Done {
            return Ok(());
        }
        match input.first() {
            None => return Ok(()),
            Some(&VERSION) => {}
            Some(&other) => return Err(NotRtmp(other)),
        }
        if input.len() > 2 * PACKET_BYTES {
            // C2 is S1 as it came.
            out.extend_from_slice(&input[1..=PACKET_BYTES]);
            input.advance(1 + 2 * PACKET_BYTES);
            *self = Self::Done;
        }
        Ok(())
    }
}

/// S0, S1 and S2.
fn answer(c1: &Packet, millis: u32, out: &mut BytesMut) {
    let seed = c1.iter().fold(u64::from(millis), |seed, byte| seed.rotate_left(5) ^ u64::from(*byte));
    let mut s1 = noise(seed);
    s1[..4].copy_from_slice(&millis.to_be_bytes());
    let s2 = match find_digest(c1, CLIENT_KEY) {
        None => {
            s1[4..8].fill(0);
            // C1, and when it was read.
            let mut s2 = *c1;
            s2[4..8].copy_from_slice(&millis.to_be_bytes());
            s2
        }
        Some((scheme, digest)) => {
            s1[4..8].copy_from_slice(&SIGNING_VERSION);
            let at = place(&s1, scheme);
            let digest_of_s1 = digest_at(&s1, at, SERVER_KEY);
            s1[at..at + DIGEST_BYTES].copy_from_slice(digest_of_s1.as_ref());
            let mut s2 = noise(!seed);
            let key = sign(&[SERVER_KEY, &KEY_TAIL].concat(), &[&digest]);
            let end = PACKET_BYTES - DIGEST_BYTES;
            let signature = sign(key.as_ref(), &[&s2[..end]]);
            s2[end..].copy_from_slice(signature.as_ref());
            s2
        }
    };
    out.extend_from_slice(&[VERSION]);
    out.extend_from_slice(&s1);
    out.extend_from_slice(&s2);
}

/// The digest in a C1, and by which scheme it lies there; `None` where there is none.
fn find_digest(packet: &Packet, key: &[u8]) -> Option<(usize, [u8; DIGEST_BYTES])> {
    // Who sends no version knows no digests.
    if packet[4..8] == [0; 4] {
        return None;
    }
    SCHEMES.into_iter().find_map(|scheme| {
        let at = place(packet, scheme);
        let expected = digest_at(packet, at, key);
        let found = packet[at..].first_chunk()?;
        (expected.as_ref() == found).then_some((scheme, *found))
    })
}

/// Where the digest lies: the four bytes at the front of its block say it.
fn place(packet: &Packet, scheme: usize) -> usize {
    let sum: usize = packet[scheme..scheme + 4].iter().map(|byte| usize::from(*byte)).sum();
    scheme + 4 + sum % PLACES
}

/// The HMAC of all but the digest itself.
fn digest_at(packet: &Packet, at: usize, key: &[u8]) -> hmac::Tag {
    sign(key, &[&packet[..at], &packet[at + DIGEST_BYTES..]])
}

fn sign(key: &[u8], parts: &[&[u8]]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for part in parts {
        context.update(part);
    }
    context.sign()
}

/// Bytes without a pattern (xorshift64*). They keep no secret: the standard wants them different, no more.
fn noise(seed: u64) -> Packet {
    let mut state = seed | 1;
    let mut packet = [0; PACKET_BYTES];
    for bytes in packet.chunks_exact_mut(8) {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.copy_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_be_bytes());
    }
    packet
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a server says to this C1.
    fn answered(c1: &Packet) -> (Packet, Packet) {
        let mut input = BytesMut::from(&[&[3][..], c1].concat()[..]);
        let mut out = BytesMut::new();
        let mut state = Answering::Silent;
        state.receive(5, &mut input, &mut out).unwrap();
        assert_eq!((state, input.len(), out.len(), out[0]), (Answering::Answered, 0, 3073, 3));
        (*out[1..].first_chunk().unwrap(), *out[1 + PACKET_BYTES..].first_chunk().unwrap())
    }

    #[test]
    fn a_client_and_a_server_agree_byte_by_byte() {
        let (mut to_server, mut to_client) = (BytesMut::new(), BytesMut::new());
        let mut calling = Calling::begin(7, &mut to_server);
        let mut answering = Answering::Silent;
        let mut inputs = (BytesMut::new(), BytesMut::new());
        while calling != Calling::Done || answering != Answering::Done {
            assert!(!to_server.is_empty() || !to_client.is_empty(), "both wait");
            if !to_server.is_empty() {
                inputs.0.extend_from_slice(&to_server.split_to(1));
            }
            answering.receive(9, &mut inputs.0, &mut to_client).unwrap();
            if !to_client.is_empty() {
                inputs.1.extend_from_slice(&to_client.split_to(1));
            }
            calling.receive(&mut inputs.1, &mut to_server).unwrap();
        }
        assert!(inputs.0.is_empty() && inputs.1.is_empty());
    }

    #[test]
    fn a_plain_client_hears_its_own_bytes_again() {
        let mut c1 = noise(1);
        c1[4..8].fill(0);
        let (s1, s2) = answered(&c1);
        assert_eq!((&s1[..4], &s1[4..8]), (&[0, 0, 0, 5][..], &[0; 4][..]));
        assert_eq!((&s2[..4], &s2[4..8], &s2[8..]), (&c1[..4], &[0, 0, 0, 5][..], &c1[8..]));
    }

    #[test]
    fn a_client_with_a_digest_gets_digests_by_its_scheme() {
        for scheme in SCHEMES {
            let mut c1 = noise(99);
            c1[4..8].copy_from_slice(&[9, 0, 124, 2]);
            let at = place(&c1, scheme);
            let digest = digest_at(&c1, at, CLIENT_KEY);
            c1[at..at + DIGEST_BYTES].copy_from_slice(digest.as_ref());
            let (s1, s2) = answered(&c1);
            let (found, _) = find_digest(&s1, SERVER_KEY).expect("S1 has a digest");
            assert_eq!(found, scheme);
            let key = sign(&[SERVER_KEY, &KEY_TAIL].concat(), &[digest.as_ref()]);
            assert_eq!(sign(key.as_ref(), &[&s2[..1504]]).as_ref(), &s2[1504..]);
        }
    }

    #[test]
    fn a_wrong_digest_is_answered_plainly() {
        let c1 = noise(3);
        let (_, s2) = answered(&c1);
        assert_eq!(s2[8..], c1[8..]);
    }

    #[test]
    fn other_protocols_are_known_by_their_first_byte() {
        for first in [0, 2, 22, 32, b'G', b'P', 255] {
            let mut state = Answering::Silent;
            let result = state.receive(0, &mut BytesMut::from(&[first][..]), &mut BytesMut::new());
            // 22 is TLS, but also a version that is to be answered: its hello is shorter than C1.
            let expected = if first == 22 { Ok(()) } else { Err(NotRtmp(first)) };
            assert_eq!(result, expected);
            let mut calling = Calling::Called;
            let result = calling.receive(&mut BytesMut::from(&[first][..]), &mut BytesMut::new());
            assert_eq!(result, Err(NotRtmp(first)));
        }
    }

    proptest! {
        #[test]
        fn any_c1_is_answered(bytes in prop::collection::vec(any::<u8>(), PACKET_BYTES)) {
            answered(bytes.first_chunk().unwrap());
        }
    }
}
