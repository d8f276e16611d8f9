//! One broadcast in segments: its window, and those who wait for what comes next.
//!
//! A packager feeds it. Bytes and playlists are made when somebody first asks, and shared by all who ask.

mod board;
mod dash;
mod listing;
mod window;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Context,
    time::Instant,
};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use yizhan_media::{
    Broadcast, Frame, Setup,
    cmaf::{self, Tracks},
    segment::{Cut, Packager, Piece},
};
use yizhan_talk::{Now, Timestamp};

pub(crate) use board::Awaited;
use board::Board;
pub(crate) use dash::mpd;
pub(crate) use window::Rates;
use window::Window;

use crate::{
    config::Config,
    names::{self, Rendition, Tag},
    playlist::reload::{Edge, Wish},
    respond::Shown,
};

/// Key frames of a rung that are passed over until one lies where a segment of its source begins.
const UNMATCHED_MAX: u32 = 5;
/// A rung's key frame is its source's where their times differ by less, microseconds.
const MATCH_MICROS: u64 = 100_000;

/// Discontinuities of a broadcast are counted from less than this. Players walk through all numbers from 0 on (hls.js 1.7
/// stands still for minutes at a number like that of the seconds since 1970).
const DISCONTINUITIES_FIRST_MAX: u64 = 8_192;

/// How long a rung's frames wait for their source's segment, microseconds.
const HELD_MICROS: i64 = 3_000_000;
/// And how many of them.
const HELD_MAX: usize = 2_048;

/// Where the numbers of a run begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Numbers {
    /// The first segment.
    pub(crate) segment: u64,
    /// The discontinuities before it.
    pub(crate) discontinuities: u64,
}

/// One broadcast in segments.
pub(crate) struct Stage {
    pub(crate) broadcast: Broadcast,
    pub(crate) tag: Tag,
    pub(crate) config: Arc<Config>,
    /// The source's, where this is a rung: it is cut and numbered as its source is.
    source: Option<Arc<Self>>,
    inside: Mutex<Inside>,
    boards: [Board; Rendition::ALL.len()],
    dash: Mutex<Option<(u64, Arc<Shown>)>>,
    /// When it was asked for last, milliseconds since 1970.
    asked: AtomicU64,
    stopped: AtomicBool,
    stopper: AtomicWaker,
}

struct Inside {
    /// `None` until a rung's first segment has found its place.
    packager: Option<Packager>,
    unmatched: u32,
    /// A rung's frames until then.
    held: Vec<Arc<Frame>>,
    first: Numbers,
    window: Window,
    pieces: Vec<Piece>,
}

impl Inside {
    /// By the clock, so that numbers do not go back when the server begins anew.
    fn number_by_clock(&mut self, frame: &Frame, cut: Cut) {
        let slot = u64::try_from(cut.segment.as_micros()).unwrap_or(u64::MAX).max(1);
        self.first.segment = self.first.segment.max(frame.at.0 / slot);
        // hls.js counts from 0 up to it, so it is small.
        let discontinuities = frame.at.0 / 1_000_000 % DISCONTINUITIES_FIRST_MAX;
        self.first.discontinuities = self.first.discontinuities.max(discontinuities);
        self.window.discontinuities = self.first.discontinuities;
    }
}

impl std::fmt::Debug for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stage").field("broadcast", &self.broadcast).finish_non_exhaustive()
    }
}

impl Stage {
    /// Nothing yet. The numbers are the least that the first segment may have.
    pub(crate) fn new(
        broadcast: Broadcast,
        tag: Tag,
        config: Arc<Config>,
        source: Option<Arc<Self>>,
        least: Numbers,
        now: Now,
    ) -> Self {
        let cut = cut(&config);
        let mut window = Window::new(&config, cut);
        window.expect_keys(
            broadcast.view().gop_millis.min(u64::try_from(cut.segment_max.as_millis()).unwrap_or(0)),
        );
        let inside = Inside {
            packager: None,
            unmatched: 0,
            held: Vec::new(),
            first: least,
            window,
            pieces: Vec::new(),
        };
        Self {
            broadcast,
            tag,
            config,
            source,
            inside: Mutex::new(inside),
            boards: Default::default(),
            dash: Mutex::default(),
            asked: AtomicU64::new(now.wall.as_millis()),
            stopped: AtomicBool::new(false),
            stopper: AtomicWaker::new(),
        }
    }

    /// Takes frames; `missed`: some before them were lost.
    pub(crate) fn push(&self, frames: &[Arc<Frame>], missed: bool) {
        let mut inside = self.inside.lock();
        let inside = &mut *inside;
        if missed && let Some(packager) = &mut inside.packager {
            packager.lost(&mut inside.pieces);
        }
        for frame in frames {
            if let Some(packager) = &mut inside.packager {
                packager.push(frame, &mut inside.pieces);
            } else if !inside.held.is_empty() || frame.joins() {
                inside.held.push(frame.clone());
                self.place(inside);
            }
        }
        self.take(inside);
    }

    /// Its publisher is gone for a while: what is there is shown.
    pub(crate) fn pause(&self) {
        let mut inside = self.inside.lock();
        let inside = &mut *inside;
        if let Some(packager) = &mut inside.packager {
            packager.lost(&mut inside.pieces);
        }
        self.take(inside);
    }

    /// The broadcast is over.
    pub(crate) fn finish(&self, at: Timestamp) {
        let mut inside = self.inside.lock();
        let inside = &mut *inside;
        if let Some(packager) = &mut inside.packager {
            packager.finish(&mut inside.pieces);
        }
        inside.window.ended.get_or_insert(at);
        inside.window.version += 1;
        self.take(inside);
    }

    /// Begins the run, with a frame that joins: for a rung one that its source begins a segment with. A rung's frame may
    /// come before its source's segment is known; then it is held for a while.
    fn place(&self, inside: &mut Inside) {
        let cut = cut(&self.config);
        while let (Some(first), Some(last)) = (inside.held.first().cloned(), inside.held.last()) {
            let waited = last.dts - first.dts;
            let placed = self.source.as_ref().map(|source| {
                let window = &source.inside.lock().window;
                let is_known = window.reach() > first.dts + MATCH_MICROS as i64 || window.ended.is_some();
                (window.place_of(first.dts, MATCH_MICROS), is_known)
            });
            match placed {
                Some((Some(place), _)) => {
                    inside.first = place.numbers;
                    inside.window.discontinuities = place.numbers.discontinuities;
                }
                Some((None, true)) if inside.unmatched + 1 < UNMATCHED_MAX => {
                    inside.unmatched += 1;
                    let next = inside.held.iter().skip(1).position(|frame| frame.joins());
                    inside.held.drain(..next.map_or(inside.held.len(), |next| next + 1));
                    continue;
                }
                Some((None, false)) if waited < HELD_MICROS && inside.held.len() < HELD_MAX => return,
                Some((None, _)) | None => inside.number_by_clock(&first, cut),
            }
            let mut packager = Packager::joining(cut, inside.first.segment, i64::MIN);
            for frame in std::mem::take(&mut inside.held) {
                packager.push(&frame, &mut inside.pieces);
            }
            inside.packager = Some(packager);
        }
    }

    /// What the packager gave goes into the window, and those who wait for it are woken.
    fn take(&self, inside: &mut Inside) {
        let mut pieces = std::mem::take(&mut inside.pieces);
        let before = inside.window.version;
        for piece in pieces.drain(..) {
            if let (Some(source), Piece::Part(part)) = (&self.source, &piece)
                && part.index == 0
            {
                // Its own frames came later; the source's clock is the one that viewers see.
                let place = source.inside.lock().window.place_of(part.head.start, MATCH_MICROS);
                inside.window.clock = place.map(|place| place.clock).or(inside.window.clock);
            }
            inside.window.take(piece);
        }
        inside.pieces = pieces;
        if inside.window.version == before && inside.window.ended.is_none() {
            return;
        }
        for (rendition, board) in Rendition::ALL.into_iter().zip(&self.boards) {
            let edge = inside.window.edge(rendition);
            board.wake(|what| inside.window.has(edge, what));
        }
    }

    /// Somebody asks for it.
    pub(crate) fn touch(&self, now: Now) {
        self.asked.fetch_max(now.wall.as_millis(), Ordering::Relaxed);
        if let Some(source) = &self.source {
            source.touch(now);
        }
    }

    /// Whether it is no longer wanted: nobody asks, or it has been over for long enough.
    pub(crate) fn is_stale(&self, now: Now) -> bool {
        let ended = self.inside.lock().window.ended;
        if let Some(ended) = ended {
            return now.wall.since(ended) > self.config.keep_after_end;
        }
        let asked = Timestamp::from_millis(self.asked.load(Ordering::Relaxed));
        !self.config.always && now.wall.since(asked) > self.config.idle
    }

    /// No more frames are taken.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.stopper.wake();
    }

    /// Whether it was stopped; the task of `cx` is woken when it is.
    pub(crate) fn is_stopped(&self, cx: &Context<'_>) -> bool {
        self.stopper.register(cx.waker());
        self.stopped.load(Ordering::Acquire)
    }

    /// Ends waits that have lasted long enough.
    pub(crate) fn expire(&self, now: Instant) {
        for board in &self.boards {
            board.expire(now);
        }
    }

    /// Where the next run of the same broadcast may begin.
    pub(crate) fn next_numbers(&self) -> Numbers {
        let window = &self.inside.lock().window;
        Numbers { segment: window.next + 1, discontinuities: window.discontinuities + 1 }
    }

    /// Whether it has ended before anything came of it.
    pub(crate) fn ended_empty(&self) -> bool {
        let window = &self.inside.lock().window;
        window.ended.is_some() && window.kept.is_empty()
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.inside.lock().window.ended.is_some()
    }

    /// Where a rendition's playlist ends.
    pub(crate) fn edge(&self, rendition: Rendition) -> Edge {
        self.inside.lock().window.edge(rendition)
    }

    /// Whether there is anything that a playlist can list.
    pub(crate) fn has(&self, rendition: Rendition, what: Awaited) -> bool {
        let window = &self.inside.lock().window;
        window.has(window.edge(rendition), what)
    }

    /// Seconds that no segment is longer than.
    pub(crate) fn target_duration(&self) -> u64 {
        self.inside.lock().window.target_duration
    }

    /// Waits until something is there, up to a time. Says whether it came; `Err` where too many wait.
    pub(crate) async fn wait(
        &self,
        rendition: Rendition,
        what: Awaited,
        until: Instant,
    ) -> Result<bool, TooMany> {
        let board = &self.boards[rendition as usize];
        let told = board.wait(what, until, self.config.waiting_max).ok_or(TooMany)?;
        // It may have come between the look and the note.
        if self.has(rendition, what) {
            return Ok(true);
        }
        Ok(told.await.is_ok())
    }

    /// A rendition's playlist as it is now.
    pub(crate) fn playlist(&self, rendition: Rendition, wish: Wish) -> Arc<Shown> {
        let inside = self.inside.lock();
        self.boards[rendition as usize].shown(inside.window.version, wish.delta, || {
            listing::playlist(&inside.window, &self.tag, rendition, wish.delta)
        })
    }

    /// The DASH manifest, made anew by `make` where any of its broadcasts has changed: `version` is another one then.
    pub(crate) fn manifest(&self, version: u64, make: impl FnOnce() -> Shown) -> Arc<Shown> {
        let mut kept = self.dash.lock();
        match &*kept {
            Some((of, shown)) if *of == version => shown.clone(),
            _ => kept.insert((version, Arc::new(make()))).1.clone(),
        }
    }

    /// What its newest segment is encoded with, or the broadcast where there is none.
    pub(crate) fn setup(&self) -> Arc<Setup> {
        let newest = self.inside.lock().window.newest_setup();
        newest.unwrap_or_else(|| self.broadcast.setup())
    }

    /// Counts the changes.
    pub(crate) fn version(&self) -> u64 {
        self.inside.lock().window.version
    }

    /// The rates of what is in the window.
    pub(crate) fn rates(&self) -> Rates {
        self.inside.lock().window.rates()
    }

    /// The bytes that are called so.
    pub(crate) fn piece(&self, rendition: Rendition, piece: names::Piece) -> Found {
        let inside = self.inside.lock();
        let window = &inside.window;
        let tracks = tracks(rendition);
        match piece {
            names::Piece::Init(number) => match window.setup(number) {
                Some(setup) => Found::Here(vec![cmaf::init(&setup, tracks)]),
                None => Found::Nowhere,
            },
            names::Piece::Segment(number) => match window.segment(number) {
                Some(segment) => {
                    drop(inside);
                    let pieces = if rendition == Rendition::Ts {
                        segment.ts().map(|bytes| vec![bytes]).unwrap_or_default()
                    } else {
                        segment.pieces(tracks)
                    };
                    if pieces.is_empty() { Found::Nowhere } else { Found::Here(pieces) }
                }
                None if window.is_gone(number) => Found::Gone,
                None => Found::Nowhere,
            },
            names::Piece::Part(number, index) => match window.part(number, index) {
                Some(part) if rendition != Rendition::Ts && part.has(tracks) => {
                    drop(inside);
                    Found::Here(vec![part.bytes(tracks).clone()])
                }
                None if window.is_gone(number) => Found::Gone,
                _ => Found::Nowhere,
            },
        }
    }
}

/// What became of a name.
#[derive(Debug)]
pub(crate) enum Found {
    /// Its bytes.
    Here(Vec<Bytes>),
    /// They were there, and are not any more.
    Gone,
    /// They are not there.
    Nowhere,
}

/// As many requests wait as may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooMany;

/// The tracks of a rendition.
pub(crate) fn tracks(rendition: Rendition) -> Tracks {
    match rendition {
        Rendition::Video => Tracks::Video,
        Rendition::Audio => Tracks::Audio,
        Rendition::Ts => Tracks::Both,
    }
}

/// Where segments and parts end, by the config.
fn cut(config: &Config) -> Cut {
    Cut { segment: config.segment, part: config.part(), segment_max: config.segment * 10 }
}
