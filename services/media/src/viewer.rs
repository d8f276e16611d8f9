//! Who watches: counted as long as they hold their ticket.

use std::{
    collections::VecDeque,
    fmt,
    net::IpAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use serde::Serialize;
use yizhan_talk::Timestamp;

use crate::broadcast::Broadcast;

/// Bytes of what a client says it is; the rest is cut off.
pub const CLIENT_BYTES_MAX: usize = 128;

/// Who publishes or watches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Party {
    /// By what: `rtmp`, `flv`, `ws-flv`, `hls`, `dash`, `relay`, `ladder`, `record`.
    pub door: &'static str,
    /// From where.
    pub address: Option<IpAddr>,
    /// Who, where that is known.
    pub user: Option<Arc<str>>,
    /// What it says it is: `OBS 30.1`, a user agent. At most [`CLIENT_BYTES_MAX`].
    pub client: Arc<str>,
    /// The query string, as it was sent: for the operator's programs. Never logged.
    pub params: Arc<str>,
}

impl Party {
    /// Somebody by this door, of whom nothing else is known.
    #[must_use]
    pub fn by(door: &'static str) -> Self {
        Self { door, address: None, user: None, client: "".into(), params: "".into() }
    }

    /// With what it says it is.
    #[must_use]
    pub fn with_client(self, client: &str) -> Self {
        Self { client: cut(client).into(), ..self }
    }

    /// Whether its timestamps are those of another broadcast and stay as they are: the rungs of a ladder, so that
    /// viewers may change between them.
    #[must_use]
    pub fn keeps_clock(&self) -> bool {
        self.door == "ladder"
    }

    /// A part of the server itself, which is not counted among viewers: a recorder, a ladder.
    #[must_use]
    pub fn is_own(&self) -> bool {
        matches!(self.door, "record" | "ladder" | "snapshot")
    }
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(CLIENT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Notes that wait for a publisher; the oldest goes first.
const NOTES_MAX: usize = 8;

/// Told once that it is to go, and why; a publisher is told other things, too.
#[derive(Default)]
pub(crate) struct Told {
    reason: OnceLock<Arc<str>>,
    notes: Mutex<VecDeque<Arc<str>>>,
    waker: AtomicWaker,
}

impl Told {
    pub(crate) fn note(&self, text: &str) {
        let mut notes = self.notes.lock();
        if notes.len() >= NOTES_MAX {
            notes.pop_front();
        }
        notes.push_back(text.into());
        drop(notes);
        self.waker.wake();
    }

    pub(crate) fn take_note(&self) -> Option<Arc<str>> {
        self.notes.lock().pop_front()
    }

    pub(crate) fn tell(&self, reason: &str) {
        // The first reason stands.
        drop(self.reason.set(reason.into()));
        self.waker.wake();
    }

    pub(crate) fn reason(&self) -> Option<Arc<str>> {
        self.reason.get().cloned()
    }

    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<Arc<str>> {
        self.waker.register(cx.waker());
        self.reason().map_or(Poll::Pending, Poll::Ready)
    }
}

pub(crate) struct Seated {
    pub(crate) id: u64,
    pub(crate) party: Party,
    pub(crate) since: Timestamp,
    pub(crate) sent: AtomicU64,
    pub(crate) skipped: AtomicU64,
    pub(crate) told: Told,
}

impl Seated {
    pub(crate) fn view(&self) -> ViewerView {
        ViewerView {
            id: self.id,
            door: self.party.door,
            address: self.party.address,
            user: self.party.user.clone(),
            client: self.party.client.clone(),
            since: self.since.as_millis(),
            sent_bytes: self.sent.load(Relaxed),
            skipped_blocks: self.skipped.load(Relaxed),
        }
    }
}

/// One viewer of a broadcast, counted until this is dropped.
pub struct Viewer {
    pub(crate) of: Broadcast,
    pub(crate) seated: Arc<Seated>,
}

impl Viewer {
    /// Its number, for a kick: another one for each viewer of the server.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.seated.id
    }

    /// Who it is.
    #[must_use]
    pub fn party(&self) -> &Party {
        &self.seated.party
    }

    /// Of what.
    #[must_use]
    pub fn broadcast(&self) -> &Broadcast {
        &self.of
    }

    /// So many bytes were given to it.
    pub fn sent(&self, bytes: u64) {
        self.seated.sent.fetch_add(bytes, Relaxed);
        self.of.count_out(self.seated.party.door, bytes);
    }

    /// Bytes that it was given so far.
    #[must_use]
    pub fn sent_bytes(&self) -> u64 {
        self.seated.sent.load(Relaxed)
    }

    /// So many blocks were passed over, since it was too slow.
    pub fn skipped(&self, blocks: u64) {
        self.seated.skipped.fetch_add(blocks, Relaxed);
        self.of.count_skipped(blocks);
    }

    /// Why it is to go, where it is.
    #[must_use]
    pub fn kicked(&self) -> Option<Arc<str>> {
        self.seated.told.reason()
    }

    /// Ready when it is to go. One task at a time may wait.
    pub fn poll_kicked(&self, cx: &mut Context<'_>) -> Poll<Arc<str>> {
        self.seated.told.poll(cx)
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.of.leave(self.seated.id);
    }
}

impl fmt::Debug for Viewer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Viewer").field("id", &self.seated.id).field("party", &self.seated.party).finish()
    }
}

/// A viewer, as operators see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ViewerView {
    /// Its number, for a kick.
    pub id: u64,
    /// By what it watches.
    pub door: &'static str,
    /// From where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// Who, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<Arc<str>>,
    /// What it says it is.
    pub client: Arc<str>,
    /// Since when, milliseconds since 1970.
    pub since: u64,
    /// Bytes that it was given.
    pub sent_bytes: u64,
    /// Blocks that were passed over, since it was too slow.
    pub skipped_blocks: u64,
}
