//! What one relayed broadcast's connections are to do, and how it goes.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use parking_lot::Mutex;
use serde::Serialize;
use yizhan_media::Name;
use yizhan_talk::Timestamp;

use crate::address::Url;

/// Which way a broadcast goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// From the other server to this one.
    From,
    /// From this server to the other one.
    To,
}

/// What one relayed broadcast's connections are to do.
#[derive(Debug)]
pub(super) struct Wish {
    pub(super) way: Way,
    /// What it is called here.
    pub(super) name: Name,
    /// Where it is there.
    pub(super) url: Url,
    /// Bytes of a frame that are taken.
    pub(super) frame_bytes_max: usize,
    pub(super) status: Status,
}

/// How it goes: what its connections leave behind.
#[derive(Debug, Default)]
pub(super) struct Status {
    line: Mutex<Line>,
    bytes: AtomicU64,
}

#[derive(Debug, Default)]
struct Line {
    /// Since when it runs.
    since: Option<Timestamp>,
    /// This connection has worked.
    has_worked: bool,
    /// This connection is over and no other is wanted.
    is_over: bool,
    /// The reason of this connection is known.
    is_told: bool,
    last_error: Option<String>,
    failures: u32,
}

/// How a connection went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Went {
    /// The broadcast was carried.
    pub(super) worked: bool,
    /// It is over: nobody watches, or there is nothing to watch.
    pub(super) over: bool,
}

impl Status {
    /// A new connection begins.
    pub(super) fn begin(&self) {
        let mut line = self.line.lock();
        (line.has_worked, line.is_over, line.is_told) = (false, false, false);
    }

    /// The broadcast is carried.
    pub(super) fn up(&self, at: Timestamp) {
        let mut line = self.line.lock();
        line.since = Some(at);
        line.has_worked = true;
        line.failures = 0;
        line.last_error = None;
    }

    pub(super) fn carried(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Relaxed);
    }

    /// Why it does not go, or goes no more. The first reason of a connection stands.
    pub(super) fn fail(&self, reason: impl fmt::Display) {
        let mut line = self.line.lock();
        if !std::mem::replace(&mut line.is_told, true) {
            line.last_error = Some(reason.to_string());
        }
    }

    /// It is over, for this reason.
    pub(super) fn over(&self, reason: impl fmt::Display) {
        self.fail(reason);
        self.line.lock().is_over = true;
    }

    /// The connection is over.
    pub(super) fn down(&self) -> Went {
        self.fail("the connection was lost");
        let mut line = self.line.lock();
        line.since = None;
        line.failures = line.failures.saturating_add(1);
        Went { worked: line.has_worked, over: line.is_over }
    }

    /// Attempts in a row that failed, or ended.
    pub(super) fn failures(&self) -> u32 {
        self.line.lock().failures
    }
}

/// How a relayed broadcast is doing, as operators see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct View {
    /// The relay's name in the config.
    pub relay: String,
    /// Which way.
    pub way: Way,
    /// What it is called here: `live/room`.
    pub broadcast: String,
    /// Where it is there, without secrets.
    pub address: String,
    /// Since when it is carried, milliseconds since 1970; none while it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// Why it was last lost, or did not come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// Attempts in a row that failed.
    pub failures: u32,
    /// Bytes of frames that were carried.
    pub bytes: u64,
}

impl Wish {
    pub(super) fn view(&self, relay: &str) -> View {
        let line = self.status.line.lock();
        View {
            relay: relay.to_owned(),
            way: self.way,
            broadcast: self.name.to_string(),
            address: self.url.to_string(),
            since: line.since.map(Timestamp::as_millis),
            last_error: line.last_error.clone(),
            failures: line.failures,
            bytes: self.status.bytes.load(Relaxed),
        }
    }
}
