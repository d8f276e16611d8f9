//! How far an event stream has come, in the text that a browser gives back after a break
//! (`Last-Event-ID`). It holds the session, its secret, and of each subscription the last number and
//! places; nothing of it is kept on the server.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use bytes::{BufMut, BytesMut};
use yizhan_hub::{
    Delivery, Position, SessionId, SpaceId,
    link::{Have, Resume},
    store::Missed,
};

use super::Sub;

/// Subscriptions that one id tells about.
const SUBS_MAX: usize = 64;
/// Places that one id tells about, all subscriptions together.
const PLACES_MAX: usize = 64;
/// Bytes of a session's secret.
const SECRET_BYTES_MAX: usize = 128;
/// Bytes that the text of an id has at most: what is longer was not made here.
const ID_BYTES_MAX: usize = 8 * 1024;
/// The first byte: how the rest is to be read.
const VERSION: u8 = 1;

/// How far an event stream has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trail {
    session: SessionId,
    secret: std::sync::Arc<str>,
    /// Longest unchanged first.
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    sub: Sub,
    number: u64,
    /// One for each lane.
    places: Vec<Position>,
}

impl Trail {
    pub(crate) fn new(session: SessionId, secret: std::sync::Arc<str>) -> Self {
        Self { session, secret, steps: Vec::new() }
    }

    /// What a hello says to go on from here.
    pub(crate) fn resume(&self) -> Resume {
        let have = self.steps.iter().map(|step| Have {
            subscription: step.sub,
            number: Some(step.number),
            positions: step.places.clone(),
        });
        Resume { session: self.session, secret: self.secret.clone(), have: have.collect() }
    }

    /// Takes note of what is sent now. Gives the subscriptions that had to be forgotten for it, with
    /// their last numbers.
    pub(crate) fn follow(&mut self, deliveries: &[Delivery]) -> Vec<(Sub, u64)> {
        for delivery in deliveries {
            match delivery {
                Delivery::Record { subscription, number, record } => {
                    self.step(*subscription, *number, record.position);
                }
                Delivery::Batch { subscription, number, batch } => {
                    let last = number.saturating_add(batch.records().len() as u64).saturating_sub(1);
                    // All of one lane, in order: the last one is the farthest.
                    let place = batch.records().last().and_then(|record| record.position);
                    self.step(*subscription, last, place);
                }
                Delivery::Missed { subscription, number, missed: Missed::Count(count) } => {
                    // The number of the last one that is gone.
                    let last = number.saturating_add(*count).saturating_sub(1);
                    self.step(*subscription, last, None);
                }
                Delivery::Missed { .. } | Delivery::StateEnd { .. } | Delivery::Leave(_) => {}
            }
        }
        let mut forgotten = Vec::new();
        while self.steps.len() > SUBS_MAX || self.places() > PLACES_MAX {
            let step = self.steps.remove(0);
            forgotten.push((step.sub, step.number));
        }
        forgotten
    }

    fn places(&self) -> usize {
        self.steps.iter().map(|step| step.places.len()).sum()
    }

    fn step(&mut self, sub: Sub, number: u64, place: Option<Position>) {
        let at = self.steps.iter().rposition(|step| step.sub == sub);
        // The newest is nearly always the last already.
        match at {
            Some(at) if at + 1 == self.steps.len() => {}
            Some(at) => self.steps[at..].rotate_left(1),
            None => self.steps.push(Step { sub, number: 0, places: Vec::new() }),
        }
        let Some(step) = self.steps.last_mut() else { return };
        step.number = number;
        let Some(place) = place else { return };
        match step.places.iter_mut().find(|there| (there.space, there.lane) == (place.space, place.lane)) {
            Some(there) => *there = place,
            None => step.places.push(place),
        }
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.put_u64(self.session.0);
        put_varint(self.secret.len() as u64, &mut bytes);
        bytes.put_slice(self.secret.as_bytes());
        for step in &self.steps {
            put_varint(step.sub.into(), &mut bytes);
            put_varint(step.number, &mut bytes);
            put_varint(step.places.len() as u64, &mut bytes);
            for place in &step.places {
                put_varint(place.space.0.into(), &mut bytes);
                put_varint(place.lane.into(), &mut bytes);
                put_varint(place.epoch.into(), &mut bytes);
                put_varint(place.offset, &mut bytes);
            }
        }
        bytes
    }

    /// Reads the text of an id; `None` where it was not made here.
    pub(crate) fn read(id: &str) -> Option<Self> {
        if id.len() > ID_BYTES_MAX {
            return None;
        }
        let bytes = BASE64URL.decode(id).ok()?;
        let rest = &mut bytes.strip_prefix(&[VERSION])?;
        let (session, after) = rest.split_at_checked(8)?;
        *rest = after;
        let session = SessionId(u64::from_be_bytes(session.try_into().ok()?));
        let length = usize::try_from(varint(rest)?).ok().filter(|&length| length <= SECRET_BYTES_MAX)?;
        let (secret, after) = rest.split_at_checked(length)?;
        *rest = after;
        let mut trail = Self::new(session, std::str::from_utf8(secret).ok()?.into());
        while !rest.is_empty() {
            let (sub, number) = (varint(rest)?.try_into().ok()?, varint(rest)?);
            let mut step = Step { sub, number, places: Vec::new() };
            for _ in 0..varint(rest)? {
                step.places.push(Position {
                    space: SpaceId(varint(rest)?.try_into().ok()?),
                    lane: varint(rest)?.try_into().ok()?,
                    epoch: varint(rest)?.try_into().ok()?,
                    offset: varint(rest)?,
                });
                if trail.places() + step.places.len() > PLACES_MAX {
                    return None;
                }
            }
            trail.steps.push(step);
            if trail.steps.len() > SUBS_MAX {
                return None;
            }
        }
        Some(trail)
    }
}

/// Appends `id: …` and the line's end.
pub(super) fn write_id(trail: &Trail, into: &mut BytesMut) {
    into.put_slice(b"id: ");
    into.put_slice(BASE64URL.encode(trail.to_bytes()).as_bytes());
    into.put_u8(b'\n');
}

fn put_varint(mut n: u64, into: &mut Vec<u8>) {
    while n >= 0x80 {
        // Seven bits at a time.
        into.push(n as u8 | 0x80);
        n >>= 7;
    }
    into.push(n as u8);
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut n = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        if bits << shift >> shift != bits {
            return None;
        }
        n |= bits << shift;
        if byte < 0x80 {
            return Some(n);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(trail: &Trail) -> String {
        let mut line = BytesMut::new();
        write_id(trail, &mut line);
        let line = std::str::from_utf8(&line).unwrap();
        line.strip_prefix("id: ").unwrap().strip_suffix('\n').unwrap().to_owned()
    }

    fn place(lane: u16, offset: u64) -> Position {
        Position { space: SpaceId(3), lane, epoch: 0xffff_ffff, offset }
    }

    #[test]
    fn a_trail_survives_its_text() {
        let mut trail = Trail::new(SessionId(u64::MAX), "secret".into());
        assert_eq!(Trail::read(&text(&trail)), Some(trail.clone()));
        trail.step(7, 1, Some(place(0, 5)));
        trail.step(u32::MAX, u64::MAX, Some(place(1, u64::MAX)));
        trail.step(7, 2, Some(place(1, 6)));
        trail.step(7, 3, Some(place(0, 9)));
        assert_eq!(Trail::read(&text(&trail)), Some(trail.clone()));
        let resume = trail.resume();
        let have = resume.have.iter().find(|have| have.subscription == 7).unwrap();
        assert_eq!((have.number, &have.positions[..]), (Some(3), &[place(0, 9), place(1, 6)][..]));
    }

    #[test]
    fn an_id_stays_small_however_much_there_is() {
        let mut trail = Trail::new(SessionId(1), "s".repeat(32).into());
        for sub in 0..1000 {
            trail.step(sub, u64::from(sub) + 1, Some(place(0, u64::MAX)));
            let forgotten = trail.follow(&[]);
            assert_eq!(forgotten.len(), usize::from(sub >= 64));
            if let Some((old, number)) = forgotten.first() {
                assert_eq!(
                    (*old, *number),
                    (sub - 64, u64::from(sub - 64) + 1),
                    "the longest unchanged goes"
                );
            }
        }
        assert!(text(&trail).len() < 4096, "{}", text(&trail).len());
        assert!(Trail::read(&text(&trail)).is_some());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(id in "[A-Za-z0-9_-]{0,200}", prefix: bool) {
            let id = if prefix { format!("AQAAAAAAAAAB{id}") } else { id };
            if let Some(trail) = Trail::read(&id) {
                prop_assert_eq!(Trail::read(&text(&trail)), Some(trail));
            }
        }
    }
}
