//! What is remembered of a broadcast beside the picture: its title, who may not write, how fast people may. It outlives
//! the broadcast, and the server.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use yizhan_hub::{StoreError, Table, store::Expect};
use yizhan_talk::Timestamp;

use super::denied::Wrong;
use crate::{
    Name,
    chat::flow::{Flow, Pace},
};

/// Broadcasts of which something is kept.
const KEPT_MAX: usize = 10_000;
/// People who are muted in one broadcast, and those who are banned.
pub(crate) const SILENT_MAX: usize = 10_000;
/// Rows of one reading.
const ROWS_MAX: usize = 1_000;
/// What keys of rows begin with.
const PREFIX: &[u8] = b"room/";
/// For as long as nobody says otherwise.
pub(crate) const FOREVER: u64 = u64::MAX;

/// What is kept on disk.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Kept {
    /// What the broadcast is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) title: Option<String>,
    /// Who may not write, until when (ms).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) muted: BTreeMap<String, u64>,
    /// Who may neither write nor give, until when (ms).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) banned: BTreeMap<String, u64>,
    /// Seconds between two texts of one person; left out, as the config says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) slow_s: Option<u32>,
    /// Whether only the publisher and admins write.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) closed: bool,
}

impl Kept {
    fn forget(&mut self, now: u64) {
        self.muted.retain(|_, until| *until > now);
        self.banned.retain(|_, until| *until > now);
    }
}

/// Until when somebody may not; `None`: they may.
pub(crate) fn silent(of: &BTreeMap<String, u64>, who: &str, now: Timestamp) -> Option<Option<Timestamp>> {
    let until = *of.get(who)?;
    let running = until > now.as_millis();
    running.then(|| (until != FOREVER).then(|| Timestamp::from_millis(until)))
}

/// What is remembered of one broadcast.
#[derive(Debug, Default)]
pub(crate) struct Room {
    pub(crate) kept: Kept,
    /// How much is said.
    pub(crate) flow: Flow,
    /// When people have spoken.
    pub(crate) pace: Pace,
    /// When somebody has spoken last.
    spoken: Option<Instant>,
}

impl Room {
    /// How long one person waits between two texts.
    pub(crate) fn slow(&self, otherwise: Duration) -> Duration {
        self.kept.slow_s.map_or(otherwise, |seconds| Duration::from_secs(seconds.into()))
    }
}

/// All of them.
pub(crate) struct Rooms {
    table: Arc<dyn Table>,
    rooms: Mutex<FxHashMap<Name, Room>>,
    /// Held while a row is written, so that none is written over by an older one.
    writing: futures_util::lock::Mutex<()>,
}

impl Rooms {
    /// Reads what is kept.
    pub(crate) async fn open(table: Arc<dyn Table>) -> Result<Self, StoreError> {
        let mut rooms = FxHashMap::default();
        let mut after: Option<Bytes> = None;
        loop {
            let rows = table.scan(PREFIX, after.as_deref(), ROWS_MAX).await?;
            for (key, row) in &rows {
                match (name_of(key), serde_json::from_slice::<Kept>(row)) {
                    (Some(name), Ok(kept)) => drop(rooms.insert(name, Room { kept, ..Room::default() })),
                    _ => tracing::warn!("a row about a broadcast's chat cannot be read: it is left out"),
                }
            }
            match rows.last() {
                Some((key, _)) if rows.len() == ROWS_MAX => after = Some(key.clone()),
                _ => break,
            }
        }
        Ok(Self { table, rooms: Mutex::new(rooms), writing: futures_util::lock::Mutex::default() })
    }

    /// Looks at one, whether it is there or not.
    pub(crate) fn look<T>(&self, name: &Name, at: impl FnOnce(&Kept) -> T) -> T {
        match self.rooms.lock().get(name) {
            Some(room) => at(&room.kept),
            None => at(&Kept::default()),
        }
    }

    /// Somebody wants to speak: `speak` decides with all that is remembered. Only for broadcasts on air: of others
    /// nothing begins to be remembered.
    pub(crate) fn speak<T>(
        &self,
        name: &Name,
        now: Instant,
        speak: impl FnOnce(&mut Room) -> Result<T, Wrong>,
    ) -> Result<T, Wrong> {
        let mut rooms = self.rooms.lock();
        let room = rooms.entry(name.clone()).or_default();
        room.spoken = Some(now);
        speak(room)
    }

    /// Changes what is kept of one: in force once it is safe on disk. `change` says no by an error.
    pub(crate) async fn change<T>(
        &self,
        name: &Name,
        now: Timestamp,
        change: impl FnOnce(&mut Kept) -> Result<T, Wrong>,
    ) -> Result<T, Wrong> {
        let _writing = self.writing.lock().await;
        let before = self.look(name, Kept::clone);
        let mut kept = before.clone();
        kept.forget(now.as_millis());
        let done = change(&mut kept)?;
        if kept == before {
            return Ok(done);
        }
        let empty = kept == Kept::default();
        if before == Kept::default() && !empty && self.kept() >= KEPT_MAX {
            return Err(Wrong::TooMany { what: "broadcasts with settings", max: KEPT_MAX });
        }
        // A plain struct with text keys is always written.
        let row = (!empty).then(|| Bytes::from(serde_json::to_vec(&kept).unwrap_or_default()));
        self.table.put(&key_of(name), row, Expect::Any).await?;
        self.rooms.lock().entry(name.clone()).or_default().kept = kept;
        Ok(done)
    }

    fn kept(&self) -> usize {
        self.rooms.lock().values().filter(|room| room.kept != Kept::default()).count()
    }

    /// Forgets what nobody needs: rooms with nothing kept that have been silent for a while.
    pub(crate) fn maintain(&self, now: Instant, slow: Duration) {
        const SILENT_FOR: Duration = Duration::from_secs(60);
        self.rooms.lock().retain(|_, room| {
            let between = room.slow(slow);
            room.pace.forget(now, between);
            let silent = room.spoken.is_none_or(|at| now.saturating_duration_since(at) >= SILENT_FOR);
            room.kept != Kept::default() || !silent || !room.pace.is_empty()
        });
    }
}

fn key_of(name: &Name) -> Vec<u8> {
    [PREFIX, name.to_string().as_bytes()].concat()
}

fn name_of(key: &[u8]) -> Option<Name> {
    let (app, name) = std::str::from_utf8(key.strip_prefix(PREFIX)?).ok()?.split_once('/')?;
    Name::new(app, name).ok()
}
