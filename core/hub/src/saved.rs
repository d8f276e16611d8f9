//! How a session is written to its table, so that it goes on after a restart.

use std::{sync::Arc, time::Duration};

use bytes::{Buf, BufMut, Bytes};
use yizhan_talk::Timestamp;

use crate::{
    link::SubscriptionId,
    message::{Position, SessionId, SpaceId},
    session::{Session, State},
    topic::Filter,
};

const FORMAT: u8 = 1;

/// A session as it is kept. Its last message is not: that is published when the server stops cleanly, and
/// lost when it is killed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Saved {
    pub(crate) id: SessionId,
    pub(crate) secret: Arc<str>,
    pub(crate) user: Arc<str>,
    pub(crate) keep: Duration,
    /// When this was written.
    pub(crate) at: Timestamp,
    /// It had a connection then.
    pub(crate) live: bool,
    pub(crate) subscriptions: Vec<SavedSubscription>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SavedSubscription {
    pub(crate) id: SubscriptionId,
    pub(crate) filter: Filter,
    pub(crate) window: Option<u32>,
    pub(crate) no_local: bool,
    pub(crate) positions: Vec<Position>,
}

impl Saved {
    pub(crate) fn of(session: &Session, state: &State, now: Timestamp) -> Self {
        let subscriptions = state.outbox.subscriptions.iter().flatten().map(|s| SavedSubscription {
            id: s.id,
            filter: s.filter.clone(),
            window: s.window_max(),
            no_local: s.no_local,
            positions: s.feeds.iter().map(|f| f.acked).collect(),
        });
        Self {
            id: session.id,
            secret: session.secret.clone().unwrap_or_default(),
            user: session.principal().user.clone(),
            keep: session.keep,
            at: now,
            live: state.connection.is_some(),
            subscriptions: subscriptions.collect(),
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
        put_text(&mut out, &self.user);
        out.put_u64(u64::try_from(self.keep.as_millis()).unwrap_or(u64::MAX));
        out.put_u64(self.at.0);
        out.put_u8(u8::from(self.live));
        out.put_u32(u32::try_from(self.subscriptions.len()).unwrap_or(u32::MAX));
        for s in &self.subscriptions {
            out.put_u32(s.id);
            put_text(&mut out, s.filter.as_str());
            out.put_u32(s.window.unwrap_or(0));
            out.put_u8(u8::from(s.no_local));
            out.put_u16(u16::try_from(s.positions.len()).unwrap_or(u16::MAX));
            for p in &s.positions {
                out.put_u16(p.space.0);
                out.put_u16(p.lane);
                out.put_u32(p.epoch);
                out.put_u64(p.offset);
            }
        }
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
            user: text(bytes)?,
            keep: Duration::from_millis(bytes.try_get_u64().ok()?),
            at: Timestamp(bytes.try_get_u64().ok()?),
            live: bytes.try_get_u8().ok()? != 0,
            subscriptions: Vec::new(),
        };
        for _ in 0..bytes.try_get_u32().ok()? {
            let id = bytes.try_get_u32().ok()?;
            let filter = Filter::new(&text(bytes)?).ok()?;
            let window = Some(bytes.try_get_u32().ok()?).filter(|w| *w > 0);
            let no_local = bytes.try_get_u8().ok()? != 0;
            let mut positions = Vec::new();
            for _ in 0..bytes.try_get_u16().ok()? {
                positions.push(Position {
                    space: SpaceId(bytes.try_get_u16().ok()?),
                    lane: bytes.try_get_u16().ok()?,
                    epoch: bytes.try_get_u32().ok()?,
                    offset: bytes.try_get_u64().ok()?,
                });
            }
            saved.subscriptions.push(SavedSubscription { id, filter, window, no_local, positions });
        }
        bytes.is_empty().then_some(saved)
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.put_u32(u32::try_from(text.len()).unwrap_or(u32::MAX));
    out.put_slice(text.as_bytes());
}

fn text(bytes: &mut &[u8]) -> Option<Arc<str>> {
    let length = bytes.try_get_u32().ok()? as usize;
    let (text, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    std::str::from_utf8(text).ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saved_session_reads_back_and_a_torn_one_does_not() {
        let position = Position { space: SpaceId(1), lane: 0, epoch: 7, offset: 99 };
        let saved = Saved {
            id: SessionId(5),
            secret: "s".into(),
            user: "安".into(),
            keep: Duration::from_secs(60),
            at: Timestamp(1),
            live: true,
            subscriptions: vec![SavedSubscription {
                id: 3,
                filter: Filter::new("a/#").unwrap(),
                window: Some(5),
                no_local: true,
                positions: vec![position],
            }],
        };
        let bytes = saved.to_bytes();
        assert_eq!(Saved::from_bytes(&bytes), Some(saved));
        for cut in 0..bytes.len() {
            assert_eq!(Saved::from_bytes(&bytes[..cut]), None, "{cut}");
        }
    }

    #[test]
    fn a_session_that_was_live_when_the_server_died_sleeps_from_the_next_start_on() {
        let second = |n: u64| Timestamp(n * 1_000_000);
        let saved = |live| Saved {
            id: SessionId(5),
            secret: "s".into(),
            user: "ann".into(),
            keep: Duration::from_secs(60),
            at: second(100),
            live,
            subscriptions: vec![],
        };
        let opened = second(5000);
        assert!(!saved(true).is_over(second(5060), opened));
        assert!(saved(true).is_over(second(5061), opened));
        assert!(saved(false).is_over(second(5000), opened));
        assert!(!saved(false).is_over(second(160), second(0)));
    }
}
