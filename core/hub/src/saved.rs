//! How a session is written to its table, so that it goes on after a restart.

use std::{sync::Arc, time::Duration};

use bytes::{Buf, BufMut, Bytes};
use sha2::{Digest, Sha256};
use yizhan_talk::Timestamp;

use crate::{
    group::{Share, deal_of, number_of},
    link::{Group, SubscriptionId},
    message::{Content, Message, MessageId, Position, Qos, Sender, SessionId, SpaceId},
    session::{LastWord, Session, State},
    topic::{Filter, Topic},
};

const FORMAT: u8 = 4;

/// A session as it is kept.
#[derive(Debug, Clone)]
pub(crate) struct Saved {
    pub(crate) id: SessionId,
    pub(crate) secret: Arc<str>,
    pub(crate) name: Option<Arc<str>>,
    pub(crate) user: Arc<str>,
    pub(crate) keep: Duration,
    /// When this was written.
    pub(crate) at: Timestamp,
    /// It had a connection then.
    pub(crate) live: bool,
    pub(crate) subscriptions: Vec<SavedSubscription>,
    pub(crate) last_message: Option<LastWord>,
    /// What the door remembers with it.
    pub(crate) keepsake: Bytes,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SavedSubscription {
    pub(crate) id: SubscriptionId,
    pub(crate) filter: Filter,
    pub(crate) window: Option<u32>,
    pub(crate) no_local: bool,
    pub(crate) qos: Qos,
    pub(crate) exclusive: bool,
    /// The group that it is a member of.
    pub(crate) group: Option<Group>,
    /// For a member of a group: the number of its last delivery. What its door wrote down with it says such
    /// numbers, so none may come twice.
    pub(crate) number: u64,
    pub(crate) positions: Vec<Position>,
}

impl Saved {
    pub(crate) fn of(session: &Session, state: &State, now: Timestamp) -> Self {
        let subscriptions = state.outbox.subscriptions.iter().flatten().map(|s| SavedSubscription {
            id: s.id,
            filter: s.filter.clone(),
            window: s.window_max(),
            no_local: s.no_local,
            qos: s.qos,
            exclusive: s.exclusive,
            group: s.share.as_deref().map(Share::wish),
            number: if s.share.is_some() { s.number } else { 0 },
            positions: s.feeds.iter().map(|f| f.acked).collect(),
        });
        Self {
            id: session.id,
            secret: session.secret.clone().unwrap_or_default(),
            name: session.name.clone(),
            user: session.principal().user.clone(),
            keep: session.keep(),
            at: now,
            live: state.connection.is_some(),
            subscriptions: subscriptions.collect(),
            last_message: state.last_message.as_deref().cloned(),
            keepsake: session.keepsake.get().map(|k| k.to_bytes()).unwrap_or_default(),
        }
    }

    /// Whether nobody may come back to it any more. `opened` is when this process opened the hub: a session
    /// that was live when the process before it died sleeps since then, at the latest.
    pub(crate) fn is_over(&self, now: Timestamp, opened: Timestamp) -> bool {
        let asleep_since = if self.live { self.at.max(opened) } else { self.at };
        now.since(asleep_since) > self.keep
    }

    pub(crate) fn to_bytes(&self) -> Bytes {
        let mut out = Vec::new();
        out.put_u8(FORMAT);
        out.put_u64(self.id.0);
        put_text(&mut out, &self.secret);
        put_text(&mut out, self.name.as_deref().unwrap_or_default());
        put_text(&mut out, &self.user);
        out.put_u64(u64::try_from(self.keep.as_millis()).unwrap_or(u64::MAX));
        out.put_u64(self.at.0);
        out.put_u8(u8::from(self.live));
        out.put_u32(u32::try_from(self.subscriptions.len()).unwrap_or(u32::MAX));
        for s in &self.subscriptions {
            out.put_u32(s.id);
            put_text(&mut out, s.filter.as_str());
            out.put_u32(s.window.unwrap_or(0));
            out.put_u8(u8::from(s.no_local) | u8::from(s.exclusive) << 1 | (s.qos as u8) << 2);
            out.put_u8(u8::from(s.group.is_some()));
            if let Some(group) = &s.group {
                put_text(&mut out, &group.name);
                out.put_u8(number_of(group.deal));
                out.put_u32(group.window);
                out.put_u64(s.number);
            }
            out.put_u16(u16::try_from(s.positions.len()).unwrap_or(u16::MAX));
            for p in &s.positions {
                out.put_u16(p.space.0);
                out.put_u16(p.lane);
                out.put_u32(p.epoch);
                out.put_u64(p.offset);
            }
        }
        put_last(&mut out, self.last_message.as_ref());
        put_bytes(&mut out, &self.keepsake);
        out.into()
    }

    /// `None` for anything that this version did not write.
    pub(crate) fn from_bytes(mut bytes: &[u8]) -> Option<Self> {
        let bytes = &mut bytes;
        if bytes.try_get_u8().ok()? != FORMAT {
            return None;
        }
        let mut saved = Self {
            id: SessionId(bytes.try_get_u64().ok()?),
            secret: text(bytes)?,
            name: Some(text(bytes)?).filter(|name| !name.is_empty()),
            user: text(bytes)?,
            keep: Duration::from_millis(bytes.try_get_u64().ok()?),
            at: Timestamp(bytes.try_get_u64().ok()?),
            live: bytes.try_get_u8().ok()? != 0,
            subscriptions: Vec::new(),
            last_message: None,
            keepsake: Bytes::new(),
        };
        for _ in 0..bytes.try_get_u32().ok()? {
            let id = bytes.try_get_u32().ok()?;
            let filter = Filter::new(&text(bytes)?).ok()?;
            let window = Some(bytes.try_get_u32().ok()?).filter(|w| *w > 0);
            let bits = bytes.try_get_u8().ok()?;
            let (no_local, exclusive) = (bits & 1 != 0, bits & 2 != 0);
            let qos = qos(bits >> 2)?;
            let is_member = bytes.try_get_u8().ok()? != 0;
            let group = if is_member { Some(group(bytes)?) } else { None };
            let number = if is_member { bytes.try_get_u64().ok()? } else { 0 };
            let mut positions = Vec::new();
            for _ in 0..bytes.try_get_u16().ok()? {
                positions.push(Position {
                    space: SpaceId(bytes.try_get_u16().ok()?),
                    lane: bytes.try_get_u16().ok()?,
                    epoch: bytes.try_get_u32().ok()?,
                    offset: bytes.try_get_u64().ok()?,
                });
            }
            saved.subscriptions.push(SavedSubscription {
                id,
                filter,
                window,
                no_local,
                qos,
                exclusive,
                group,
                number,
                positions,
            });
        }
        saved.last_message = last(bytes)?;
        saved.keepsake = Bytes::copy_from_slice(taken(bytes)?);
        bytes.is_empty().then_some(saved)
    }
}

/// The number of a session that has a name: the same each time the user comes by it.
pub(crate) fn id_of_name(user: &str, name: &str) -> SessionId {
    let mut hash = Sha256::new();
    hash.update((user.len() as u64).to_le_bytes());
    hash.update(user);
    hash.update(name);
    let mut eight = [0; 8];
    eight.copy_from_slice(&hash.finalize()[..8]);
    // Zero is the server's own number.
    SessionId(u64::from_le_bytes(eight).max(1))
}

fn group(bytes: &mut &[u8]) -> Option<Group> {
    let (name, deal) = (text(bytes)?, deal_of(bytes.try_get_u8().ok()?)?);
    Some(Group { name, deal, window: bytes.try_get_u32().ok()? })
}

fn qos(number: u8) -> Option<Qos> {
    match number {
        0 => Some(Qos::AtMostOnce),
        1 => Some(Qos::AtLeastOnce),
        2 => Some(Qos::ExactlyOnce),
        _ => None,
    }
}

fn put_last(out: &mut Vec<u8>, last: Option<&LastWord>) {
    let Some(LastWord { message, delay, later }) = last else {
        out.put_u8(0);
        return;
    };
    out.put_u8(1);
    for time in [delay, later] {
        out.put_u64(time.map_or(u64::MAX, |time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX - 1)));
    }
    put_message(out, message);
}

fn last(bytes: &mut &[u8]) -> Option<Option<LastWord>> {
    if bytes.try_get_u8().ok()? == 0 {
        return Some(None);
    }
    let mut time = || Some(Some(bytes.try_get_u64().ok()?).filter(|ms| *ms != u64::MAX));
    let (delay, later) = (time()?.map(Duration::from_millis), time()?.map(Duration::from_millis));
    Some(Some(LastWord { message: message(bytes)?, delay, later }))
}

/// Writes a message that waits to be published.
pub(crate) fn put_message(out: &mut Vec<u8>, message: &Message) {
    put_text(out, message.topic.as_str());
    out.put_u8(u8::from(message.key.is_some()));
    put_text(out, message.key.as_deref().unwrap_or_default());
    out.put_u8(u8::from(message.id.is_some()));
    out.put_u128(message.id.map_or(0, |id| id.0));
    put_text(out, &message.from.user);
    put_text(out, message.from.device.as_deref().unwrap_or_default());
    out.put_u64(message.from.session.0);
    let (kind, name) = match &message.content {
        Content::Binary => (0, ""),
        Content::Text => (1, ""),
        Content::Json => (2, ""),
        Content::Other(name) => (3, &**name),
    };
    out.put_u8(kind);
    put_text(out, name);
    out.put_u32(u32::try_from(message.headers.len()).unwrap_or(u32::MAX));
    for (name, value) in message.headers.iter() {
        put_text(out, name);
        put_text(out, value);
    }
    put_bytes(out, &message.body);
    out.put_u64(message.expires_at.map_or(u64::MAX, |at| at.0));
    out.put_u8(message.qos as u8);
}

/// Reads back what [`put_message`] wrote.
pub(crate) fn message(bytes: &mut &[u8]) -> Option<Message> {
    let topic = Topic::new(&text(bytes)?).ok()?;
    let key = Some((bytes.try_get_u8().ok()?, text(bytes)?)).filter(|(is, _)| *is != 0).map(|(_, key)| key);
    let has_id = bytes.try_get_u8().ok()? != 0;
    let id = Some(MessageId(bytes.try_get_u128().ok()?)).filter(|_| has_id);
    let user = text(bytes)?;
    let device = Some(text(bytes)?).filter(|device| !device.is_empty());
    let from = Sender { user, device, session: SessionId(bytes.try_get_u64().ok()?) };
    let content = match (bytes.try_get_u8().ok()?, text(bytes)?) {
        (0, _) => Content::Binary,
        (1, _) => Content::Text,
        (2, _) => Content::Json,
        (3, name) => Content::Other(name),
        _ => return None,
    };
    let mut headers = Vec::new();
    for _ in 0..bytes.try_get_u32().ok()? {
        headers.push((text(bytes)?, text(bytes)?));
    }
    let body = Bytes::copy_from_slice(taken(bytes)?);
    let expires_at = Some(bytes.try_get_u64().ok()?).filter(|at| *at != u64::MAX).map(Timestamp);
    let qos = qos(bytes.try_get_u8().ok()?)?;
    Some(Message { topic, key, id, from, content, headers: headers.into(), body, expires_at, qos })
}

pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    put_bytes(out, text.as_bytes());
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.put_u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    out.put_slice(bytes);
}

fn taken<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = bytes.try_get_u32().ok()? as usize;
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

pub(crate) fn text(bytes: &mut &[u8]) -> Option<Arc<str>> {
    std::str::from_utf8(taken(bytes)?).ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::Deal;

    fn last_message() -> Message {
        Message {
            topic: Topic::new("a/b").unwrap(),
            key: Some("".into()),
            id: Some(MessageId(7)),
            from: Sender { user: "ann".into(), device: None, session: SessionId(1) },
            content: Content::Other("x/y".into()),
            headers: vec![("a".into(), "1".into()), ("a".into(), "2".into())].into(),
            body: Bytes::from_static(&[0, 1, 255]),
            expires_at: Some(Timestamp(9)),
            qos: Qos::AtMostOnce,
        }
    }

    #[test]
    fn a_saved_session_reads_back_and_a_torn_one_does_not() {
        let position = Position { space: SpaceId(1), lane: 0, epoch: 7, offset: 99 };
        let saved = Saved {
            id: SessionId(5),
            secret: "s".into(),
            name: Some("mqtt:x".into()),
            user: "安".into(),
            keep: Duration::from_secs(60),
            at: Timestamp(1),
            live: true,
            subscriptions: vec![SavedSubscription {
                id: 3,
                filter: Filter::new("a/#").unwrap(),
                window: Some(5),
                no_local: true,
                qos: Qos::AtLeastOnce,
                exclusive: true,
                group: Some(Group { name: "g".into(), deal: Deal::Sticky, window: 9 }),
                number: 17,
                positions: vec![position],
            }],
            last_message: Some(LastWord {
                message: last_message(),
                delay: Some(Duration::from_secs(3)),
                later: Some(Duration::from_millis(1500)),
            }),
            keepsake: Bytes::from_static(b"kept"),
        };
        let bytes = saved.to_bytes();
        let read = Saved::from_bytes(&bytes).unwrap();
        assert_eq!(format!("{read:?}"), format!("{saved:?}"));
        for cut in 0..bytes.len() {
            assert!(Saved::from_bytes(&bytes[..cut]).is_none(), "{cut}");
        }
    }

    #[test]
    fn a_session_that_was_live_when_the_server_died_sleeps_from_the_next_start_on() {
        let second = |n: u64| Timestamp(n * 1_000_000);
        let saved = |live| Saved {
            id: SessionId(5),
            secret: "s".into(),
            name: None,
            user: "ann".into(),
            keep: Duration::from_secs(60),
            at: second(100),
            live,
            subscriptions: vec![],
            last_message: None,
            keepsake: Bytes::new(),
        };
        let opened = second(5000);
        assert!(!saved(true).is_over(second(5060), opened));
        assert!(saved(true).is_over(second(5061), opened));
        assert!(saved(false).is_over(second(5000), opened));
        assert!(!saved(false).is_over(second(160), second(0)));
    }
}
