//! Just enough of MQTT for a load generator: it must cost much less than the broker that it measures.
//!
//! Packets are told apart by their headers; topics, properties and payloads are skipped. The payload begins
//! with a stamp, and that is all that is read of it.

/// Bytes of a packet that are taken; more is taken for garbage.
const PACKET_BYTES_MAX: usize = 16 << 20;

/// Which MQTT is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    V311,
    V5,
}

/// What goes into CONNECT.
#[derive(Debug, Clone)]
pub(crate) struct Login {
    pub(crate) version: Version,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
    /// Seconds of silence after which the broker may give a client up; 0: any length.
    pub(crate) keep_alive: u16,
}

/// A packet from the broker, as far as the load looks at it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Packet<'b> {
    /// CONNACK: its code, and how many messages the broker takes unacknowledged.
    Accepted {
        code: u8,
        receive_max: u16,
    },
    /// PUBLISH: the packet id is 0 at QoS 0.
    Message {
        qos: u8,
        id: u16,
        payload: &'b [u8],
    },
    /// PUBACK, and its code (0 in 3.1.1).
    Acknowledged {
        id: u16,
        code: u8,
    },
    /// SUBACK: the first code.
    Subscribed {
        code: u8,
    },
    /// DISCONNECT (MQTT 5 only), and its code.
    Goodbye {
        code: u8,
    },
    Pong,
}

/// Takes one packet from the front of `input`: how many bytes it had, and what it is. `None`: more is needed.
///
/// # Errors
/// The broker sent what it must not, or what this small reader does not know.
#[inline]
pub(super) fn take(input: &[u8], version: Version) -> Result<Option<(usize, Packet<'_>)>, String> {
    let [first, ..] = *input else { return Ok(None) };
    let Some((length, head)) = variable(&input[1..])? else { return Ok(None) };
    let (head, length) = (head + 1, length as usize);
    if length > PACKET_BYTES_MAX {
        return Err(format!("the broker sent a packet of {length} bytes"));
    }
    let Some(body) = input.get(head..head + length) else { return Ok(None) };
    let packet = match first >> 4 {
        3 => message(first, body, version),
        2 => accepted(body, version),
        4 => id_of(body).map(|id| Packet::Acknowledged { id, code: body.get(2).copied().unwrap_or(0) }),
        9 => subscribed(body, version),
        13 => Some(Packet::Pong),
        14 => Some(Packet::Goodbye { code: body.first().copied().unwrap_or(0) }),
        kind => return Err(format!("the broker sent a packet of kind {kind}, which is not read here")),
    };
    match packet {
        Some(packet) => Ok(Some((head + length, packet))),
        None => Err(format!("the broker sent a short packet of kind {}", first >> 4)),
    }
}

#[inline]
fn message(first: u8, body: &[u8], version: Version) -> Option<Packet<'_>> {
    let mut at = 2 + usize::from(id_of(body)?);
    let qos = first >> 1 & 3;
    let mut id = 0;
    if qos > 0 {
        id = id_of(body.get(at..)?)?;
        at += 2;
    }
    if version == Version::V5 {
        let (length, head) = variable(body.get(at..)?).ok()??;
        at += head + length as usize;
    }
    Some(Packet::Message { qos, id, payload: body.get(at..)? })
}

fn accepted(body: &[u8], version: Version) -> Option<Packet<'static>> {
    let code = *body.get(1)?;
    let mut receive_max = u16::MAX;
    if version == Version::V5 && body.len() > 2 {
        let (length, head) = variable(&body[2..]).ok()??;
        let mut properties = body.get(2 + head..2 + head + length as usize)?;
        while let [property, value @ ..] = properties {
            let size = match property {
                // One byte, two, four, text, a pair of texts (MQTT 5 §2.2.2.2).
                0x24 | 0x25 | 0x28 | 0x29 | 0x2a => 1,
                0x13 | 0x21 | 0x22 => 2,
                0x11 | 0x27 => 4,
                0x12 | 0x15 | 0x16 | 0x1a | 0x1c | 0x1f => 2 + usize::from(id_of(value)?),
                0x26 => {
                    let key = 2 + usize::from(id_of(value)?);
                    key + 2 + usize::from(id_of(value.get(key..)?)?)
                }
                _ => return None,
            };
            if *property == 0x21 {
                receive_max = id_of(value)?;
            }
            properties = value.get(size..)?;
        }
    }
    Some(Packet::Accepted { code, receive_max })
}

fn subscribed(body: &[u8], version: Version) -> Option<Packet<'static>> {
    let mut at = 2;
    if version == Version::V5 {
        let (length, head) = variable(body.get(at..)?).ok()??;
        at += head + length as usize;
    }
    Some(Packet::Subscribed { code: *body.get(at)? })
}

/// Two bytes, the higher one first: a packet id or a length.
#[inline]
fn id_of(bytes: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.first()?, *bytes.get(1)?]))
}

/// A variable byte integer (MQTT 5 §1.5.5): the number and how many bytes it had. `None`: more is needed.
#[inline]
pub(super) fn variable(bytes: &[u8]) -> Result<Option<(u32, usize)>, String> {
    let mut number = 0;
    for (i, &byte) in bytes.iter().take(4).enumerate() {
        number |= u32::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            return Ok(Some((number, i + 1)));
        }
    }
    if bytes.len() < 4 { Ok(None) } else { Err("the broker sent a length of five bytes".into()) }
}

fn push_variable(out: &mut Vec<u8>, mut number: usize) {
    while number > 0x7f {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn push_text(out: &mut Vec<u8>, text: &str) {
    // Topics and names of the load are far shorter than 64 KiB.
    out.extend_from_slice(&(text.len() as u16).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn push_packet(out: &mut Vec<u8>, first: u8, body: &[u8]) {
    out.push(first);
    push_variable(out, body.len());
    out.extend_from_slice(body);
}

/// CONNECT with a clean session.
pub(super) fn push_connect(out: &mut Vec<u8>, client: &str, login: &Login) {
    let mut body = Vec::with_capacity(32 + client.len());
    push_text(&mut body, "MQTT");
    body.push(if login.version == Version::V5 { 5 } else { 4 });
    let user = if login.user.is_some() { 0x80 } else { 0 };
    // In 3.1.1 a password needs a user name.
    let with_password = login.password.is_some() && (login.user.is_some() || login.version == Version::V5);
    body.push(2 | user | if with_password { 0x40 } else { 0 });
    body.extend_from_slice(&login.keep_alive.to_be_bytes());
    if login.version == Version::V5 {
        body.push(0);
    }
    push_text(&mut body, client);
    if let Some(user) = &login.user {
        push_text(&mut body, user);
    }
    if let Some(password) = login.password.as_ref().filter(|_| with_password) {
        push_text(&mut body, password);
    }
    push_packet(out, 0x10, &body);
}

/// SUBSCRIBE to one filter.
pub(super) fn push_subscribe(out: &mut Vec<u8>, filter: &str, qos: u8, version: Version) {
    let mut body = vec![0, 1];
    if version == Version::V5 {
        body.push(0);
    }
    push_text(&mut body, filter);
    body.push(qos);
    push_packet(out, 0x82, &body);
}

/// PUBACK.
#[inline]
pub(super) fn push_puback(out: &mut Vec<u8>, id: u16) {
    let [high, low] = id.to_be_bytes();
    out.extend_from_slice(&[0x40, 2, high, low]);
}

/// PINGREQ.
pub(super) fn push_ping(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0xc0, 0]);
}

/// Bytes of the stamp that each payload begins with: number and time.
pub(crate) const STAMP_BYTES: usize = 16;

/// A PUBLISH made once, whose packet id and stamp are written anew for each message.
pub(super) struct Stencil {
    bytes: Vec<u8>,
    /// Where the packet id is, at QoS 1.
    id_at: Option<usize>,
    stamp_at: usize,
}

impl Stencil {
    pub(super) fn new(topic: &str, qos: u8, payload_bytes: usize, version: Version) -> Self {
        let mut body = Vec::with_capacity(topic.len() + payload_bytes + 8);
        push_text(&mut body, topic);
        let id_in_body = (qos > 0).then_some(body.len());
        if qos > 0 {
            body.extend_from_slice(&[0, 0]);
        }
        if version == Version::V5 {
            body.push(0);
        }
        let stamp_in_body = body.len();
        body.resize(stamp_in_body + payload_bytes.max(STAMP_BYTES), b'x');
        let mut bytes = Vec::with_capacity(body.len() + 5);
        push_packet(&mut bytes, 0x30 | qos << 1, &body);
        let head = bytes.len() - body.len();
        Self { bytes, id_at: id_in_body.map(|at| at + head), stamp_at: stamp_in_body + head }
    }

    /// Appends a message.
    pub(super) fn push(&mut self, out: &mut Vec<u8>, id: u16, number: u64, micros: u64) {
        if let Some(at) = self.id_at {
            self.bytes[at..at + 2].copy_from_slice(&id.to_be_bytes());
        }
        let stamp = &mut self.bytes[self.stamp_at..self.stamp_at + STAMP_BYTES];
        stamp[..8].copy_from_slice(&number.to_be_bytes());
        stamp[8..].copy_from_slice(&micros.to_be_bytes());
        out.extend_from_slice(&self.bytes);
    }
}

/// A payload's number, and when it was sent, µs since the run began.
#[inline]
pub(super) fn stamp_of(payload: &[u8]) -> Option<(u64, u64)> {
    let (number, rest) = payload.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*number), u64::from_be_bytes(*rest.first_chunk::<8>()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_published_is_read_again_and_half_of_it_waits() {
        for version in [Version::V311, Version::V5] {
            for qos in [0, 1] {
                let mut bytes = Vec::new();
                Stencil::new("a/topic", qos, 300, version).push(&mut bytes, 77, 5, 1_000_000);
                for end in 0..bytes.len() {
                    assert_eq!(take(&bytes[..end], version), Ok(None));
                }
                let (used, packet) = take(&bytes, version).unwrap().unwrap();
                assert_eq!(used, bytes.len());
                let Packet::Message { qos: got, id, payload } = packet else { panic!("{packet:?}") };
                assert_eq!((got, id, payload.len()), (qos, if qos > 0 { 77 } else { 0 }, 300));
                assert_eq!(stamp_of(payload), Some((5, 1_000_000)));
            }
        }
        assert_eq!(stamp_of(b"too short"), None);
    }

    #[test]
    fn an_answer_in_mqtt_5_is_read_through_its_properties() {
        // Session expiry, a user property, receive maximum 32, assigned client id.
        let properties = b"\x11\0\0\0\x09\x26\0\x01a\0\x02bc\x21\0\x20\x12\0\x01x";
        let mut bytes = vec![0x20, 3 + properties.len() as u8, 0, 0, properties.len() as u8];
        bytes.extend_from_slice(properties);
        let expected = Packet::Accepted { code: 0, receive_max: 32 };
        assert_eq!(take(&bytes, Version::V5), Ok(Some((bytes.len(), expected))));
        let expected = Packet::Accepted { code: 5, receive_max: u16::MAX };
        assert_eq!(take(&[0x20, 2, 0, 5], Version::V311), Ok(Some((4, expected))));
        assert_eq!(
            take(&[0x90, 4, 0, 1, 0, 0x80], Version::V5),
            Ok(Some((6, Packet::Subscribed { code: 0x80 })))
        );
        assert_eq!(
            take(&[0x40, 4, 0, 9, 0x97, 0], Version::V5),
            Ok(Some((6, Packet::Acknowledged { id: 9, code: 0x97 })))
        );
    }

    #[test]
    fn garbage_is_told_and_not_waited_for() {
        assert!(take(&[0x30, 0x80, 0x80, 0x80, 0x80], Version::V311).is_err());
        assert!(take(&[0x30, 0xff, 0xff, 0xff, 0x7f], Version::V311).is_err());
        assert!(take(&[0x30, 1, 0], Version::V311).is_err());
        assert!(take(&[0x30, 2, 0, 9], Version::V311).is_err());
        assert!(take(&[0x20, 3, 0, 0, 9], Version::V5).is_err());
        assert!(take(&[0x20, 5, 0, 0, 2, 0x7f, 0], Version::V5).is_err());
        assert!(take(&[0xb0, 2, 0, 1], Version::V311).is_err());
        assert!(take(&[0x40, 1, 0], Version::V5).is_err());
    }
}
