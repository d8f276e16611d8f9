//! One broadcast: a bounded log of frames with one writer and many readers.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use serde::Serialize;
use yizhan_ring::{Limits, Reader, Ring};
use yizhan_talk::{Now, Timestamp};

use crate::{
    block::Block,
    config::Config,
    feed::Feed,
    frame::{Frame, Kind, Packet},
    mend::Mend,
    name::Name,
    rates::{Rates, Shown},
    refused::{PushError, Refused},
    totals::{Totals, place_of},
    track::{Setup, Track},
    view::Sight,
    viewer::{Party, Seated, Told, Viewer, ViewerView},
};

/// Frames that are kept at most, whatever they weigh.
const FRAMES_MAX: usize = 65_536;
/// Frames of one block, at most.
const BLOCK_FRAMES_MAX: usize = 1_024;

/// Where a reader of frames begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// With the newest frame that a viewer may begin at; the next one to come where there is none.
    Key,
    /// With the oldest frame that is there.
    Oldest,
    /// With the next one to come.
    Next,
}

/// What has become of a broadcast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It has a publisher.
    OnAir,
    /// Its publisher was cut off, and may come back.
    Lost,
    /// It is over.
    Ended,
}

/// A live broadcast. Cloning gives another handle to the same.
#[derive(Clone)]
pub struct Broadcast(Arc<Inner>);

struct Inner {
    name: Name,
    id: u64,
    began: Timestamp,
    config: Arc<Config>,
    frames: Ring<Arc<Frame>>,
    blocks: Ring<Arc<Block>>,
    setup: ArcSwap<Setup>,
    state: AtomicU8,
    writer: Mutex<Writer>,
    viewers: Mutex<FxHashMap<u64, Arc<Seated>>>,
    counts: Counts,
    totals: Arc<Totals>,
}

/// What a new broadcast is made of.
pub(crate) struct Birth {
    pub(crate) id: u64,
    pub(crate) name: Name,
    pub(crate) now: Now,
    pub(crate) config: Arc<Config>,
    pub(crate) totals: Arc<Totals>,
}

#[derive(Default)]
struct Counts {
    in_bytes: AtomicU64,
    in_frames: AtomicU64,
    dropped: AtomicU64,
    out_bytes: AtomicU64,
    skipped: AtomicU64,
    /// Of the picture: from one key frame to the next, µs.
    gop: AtomicU64,
}

/// What only who pushes needs.
struct Writer {
    /// Whose packets are taken.
    lease: u64,
    party: Party,
    told: Arc<Told>,
    mend: Mend,
    pending: Vec<Arc<Frame>>,
    pending_since: Option<Now>,
    /// Whether frames have the present setup: then a change is another one.
    used: bool,
    /// The picture waits for a key frame.
    wants_key: bool,
    last_key: Option<i64>,
    /// Places of the newest frame and block that a viewer may begin at.
    joins: (u64, u64),
    /// When the publisher was lost.
    lost: Option<Now>,
    rates: Rates,
    shown: Shown,
    title: Option<Arc<str>>,
}

impl Broadcast {
    pub(crate) fn new(birth: Birth, party: Party, lease: u64) -> Self {
        let Birth { id, name, now, config, totals } = birth;
        let limits = Limits { items_max: FRAMES_MAX, weight_max: config.keep_bytes_max };
        let setup = Setup { number: 1, epoch: 1, video: None, audio: None, metadata: Bytes::new() };
        let mend = if party.keeps_clock() { Mend::keeping() } else { Mend::default() };
        let writer = Writer {
            lease,
            party,
            told: Arc::default(),
            mend,
            pending: Vec::new(),
            pending_since: None,
            used: false,
            wants_key: true,
            last_key: None,
            joins: (0, 0),
            lost: None,
            rates: Rates::default(),
            shown: Shown::default(),
            title: None,
        };
        Self(Arc::new(Inner {
            name,
            id,
            began: now.wall,
            config,
            frames: Ring::new(limits, 0),
            blocks: Ring::new(limits, 0),
            setup: ArcSwap::from_pointee(setup),
            state: AtomicU8::new(0),
            writer: Mutex::new(writer),
            viewers: Mutex::default(),
            counts: Counts::default(),
            totals,
        }))
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.0.name
    }

    /// Its number: another one each time a name goes on air, the same when its publisher comes back in time.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// When it went on air.
    #[must_use]
    pub fn began(&self) -> Timestamp {
        self.0.began
    }

    /// What it is encoded with now.
    #[must_use]
    pub fn setup(&self) -> Arc<Setup> {
        self.0.setup.load_full()
    }

    /// What has become of it.
    #[must_use]
    pub fn state(&self) -> State {
        match self.0.state.load(Relaxed) {
            0 => State::OnAir,
            1 => State::Lost,
            _ => State::Ended,
        }
    }

    /// Whether it has a publisher.
    #[must_use]
    pub fn is_on_air(&self) -> bool {
        self.state() == State::OnAir
    }

    /// Whether it is over: nothing more comes.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.state() == State::Ended
    }

    /// A reader of its frames. Where it has missed some, it is to go on with one that joins: `reader.seek(|f| f.joins())`.
    #[must_use]
    pub fn frames(&self, from: From) -> Reader<Arc<Frame>> {
        let ring = &self.0.frames;
        match from {
            From::Key => ring.reader_at_newest(|frame| frame.joins()),
            From::Oldest => ring.reader_at(ring.oldest()),
            From::Next => ring.reader(),
        }
    }

    /// A viewer's place in it.
    #[must_use]
    pub fn feed(&self) -> Feed {
        Feed::new(self.0.blocks.clone(), self.0.config.behind_max)
    }

    /// The timestamp of its newest frame, µs; none before the first.
    #[must_use]
    pub fn newest_dts(&self) -> Option<i64> {
        let ring = &self.0.frames;
        ring.at(ring.next().checked_sub(1)?).map(|frame| frame.dts)
    }

    /// Counts a viewer in.
    ///
    /// # Errors
    /// It has as many as it may have.
    pub fn viewer(&self, id: u64, now: Now, party: Party) -> Result<Viewer, Refused> {
        let mut viewers = self.0.viewers.lock();
        if viewers.len() >= self.0.config.viewers_max && !party.is_own() {
            return Err(Refused::Full);
        }
        let seated = Arc::new(Seated {
            id,
            party,
            since: now.wall,
            sent: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
            told: Told::default(),
        });
        if !seated.party.is_own() {
            let door = place_of(seated.party.door);
            self.0.totals.came[door].one();
            self.0.totals.here[door].up();
        }
        viewers.insert(id, seated.clone());
        Ok(Viewer { of: self.clone(), seated })
    }

    pub(crate) fn leave(&self, viewer: u64) {
        let left = self.0.viewers.lock().remove(&viewer);
        if let Some(seated) = left.filter(|seated| !seated.party.is_own()) {
            self.0.totals.here[place_of(seated.party.door)].down();
        }
    }

    pub(crate) fn count_out(&self, door: &'static str, bytes: u64) {
        self.0.counts.out_bytes.fetch_add(bytes, Relaxed);
        self.0.totals.out_bytes[place_of(door)].add(bytes);
    }

    pub(crate) fn count_skipped(&self, blocks: u64) {
        self.0.counts.skipped.fetch_add(blocks, Relaxed);
        self.0.totals.skipped.add(blocks);
    }

    /// Who watches, longest first.
    #[must_use]
    pub fn viewers(&self) -> Vec<ViewerView> {
        let mut views: Vec<_> = self.0.viewers.lock().values().map(|seated| seated.view()).collect();
        views.sort_by_key(|view| view.id);
        views
    }

    /// How many watch, parts of the server not counted.
    #[must_use]
    pub fn viewer_count(&self) -> usize {
        self.0.viewers.lock().values().filter(|seated| !seated.party.is_own()).count()
    }

    /// Tells a viewer to go; false where there is none of this number.
    #[must_use]
    pub fn kick_viewer(&self, id: u64, reason: &str) -> bool {
        let viewers = self.0.viewers.lock();
        viewers.get(&id).map(|seated| seated.told.tell(reason)).is_some()
    }

    /// Tells the publisher to go; the broadcast ends when it does, without a time of grace.
    pub fn kick(&self, reason: &str) {
        let told = self.0.writer.lock().told.clone();
        told.tell(reason);
    }

    /// Tells the publisher something that it may want to show: that a quality was given up. At most a few wait.
    pub fn tell_publisher(&self, text: &str) {
        let told = self.0.writer.lock().told.clone();
        told.note(text);
    }

    /// What the publisher calls it.
    #[must_use]
    pub fn title(&self) -> Option<Arc<str>> {
        self.0.writer.lock().title.clone()
    }

    /// Calls it otherwise; `None`: nothing.
    pub fn set_title(&self, title: Option<Arc<str>>) {
        self.0.writer.lock().title = title;
    }

    /// Who publishes it, or did.
    #[must_use]
    pub fn publisher(&self) -> Party {
        self.0.writer.lock().party.clone()
    }

    /// What its view is made of.
    pub(crate) fn sight(&self) -> Sight {
        let writer = self.0.writer.lock();
        let counts = &self.0.counts;
        Sight {
            shown: writer.shown,
            party: writer.party.clone(),
            jumps: writer.mend.jumps,
            title: writer.title.clone(),
            gop_millis: counts.gop.load(Relaxed) / 1000,
            in_bytes: counts.in_bytes.load(Relaxed),
            in_frames: counts.in_frames.load(Relaxed),
            dropped: counts.dropped.load(Relaxed),
            out_bytes: counts.out_bytes.load(Relaxed),
            skipped: counts.skipped.load(Relaxed),
        }
    }

    /// How many watch, by door; parts of the server not counted.
    pub(crate) fn viewers_by_door(&self) -> BTreeMap<&'static str, usize> {
        let mut viewers = BTreeMap::new();
        for seated in self.0.viewers.lock().values().filter(|seated| !seated.party.is_own()) {
            *viewers.entry(seated.party.door).or_default() += 1;
        }
        viewers
    }

    /// Takes the place of the publisher before, within the time of grace or by taking over.
    pub(crate) fn succeed(&self, party: Party, lease: u64) {
        let mut writer = self.0.writer.lock();
        writer.told.tell("somebody else publishes this broadcast now");
        self.cut_block(&mut writer);
        writer.lease = lease;
        writer.party = party;
        writer.told = Arc::default();
        writer.mend.new_epoch();
        writer.wants_key = true;
        writer.last_key = None;
        writer.lost = None;
        self.change_setup(&mut writer, true, |setup| {
            setup.epoch += 1;
            // A track that the new publisher does not announce is gone.
            (setup.video, setup.audio, setup.metadata) = (None, None, Bytes::new());
        });
        self.0.state.store(0, Relaxed);
    }

    /// The publisher with this lease is gone. Says whether that changed anything: another may have taken over.
    pub(crate) fn lose(&self, now: Now, lease: u64) -> bool {
        let mut writer = self.0.writer.lock();
        if writer.lease != lease || self.has_ended() || writer.lost.is_some() {
            return false;
        }
        self.cut_block(&mut writer);
        writer.lost = Some(now);
        writer.shown = Shown::default();
        self.0.state.store(1, Relaxed);
        true
    }

    /// It is over. Says whether it was not already.
    pub(crate) fn end(&self) -> bool {
        let mut writer = self.0.writer.lock();
        if self.has_ended() {
            return false;
        }
        self.cut_block(&mut writer);
        writer.told.tell("the broadcast was ended");
        self.0.state.store(2, Relaxed);
        drop(writer);
        self.0.frames.close();
        self.0.blocks.close();
        true
    }

    /// What follows from time alone. Says whether the time of grace is over.
    pub(crate) fn maintain(&self, now: Now) -> bool {
        let mut writer = self.0.writer.lock();
        let waits = writer.pending_since.map(|since| now.steady.saturating_duration_since(since.steady));
        if waits.is_some_and(|waited| waited >= self.0.config.merge_for) {
            self.cut_block(&mut writer);
        }
        writer.shown = writer.rates.turn(now.wall);
        let grace = self.0.config.grace;
        writer.lost.is_some_and(|lost| now.steady.saturating_duration_since(lost.steady) >= grace)
    }

    pub(crate) fn told(&self) -> Arc<Told> {
        self.0.writer.lock().told.clone()
    }

    /// Takes a packet of the publisher with this lease. Says whether the setup has changed.
    pub(crate) fn push(&self, now: Now, lease: u64, packet: Packet) -> Result<bool, PushError> {
        let mut writer = self.0.writer.lock();
        if writer.lease != lease || self.has_ended() {
            return Err(PushError::Gone);
        }
        match packet {
            Packet::Track(track) => Ok(self.set_track(&mut writer, track)),
            Packet::Metadata(metadata) => {
                if self.0.setup.load().metadata == metadata {
                    return Ok(false);
                }
                // Viewers hear it with the next head; it is no reason to cut segments.
                self.cut_block(&mut writer);
                let mut setup = Setup::clone(&self.0.setup.load());
                setup.metadata = metadata;
                self.0.setup.store(Arc::new(setup));
                Ok(true)
            }
            Packet::Frame { kind, key, dts, cts, data } => {
                self.push_frame(&mut writer, now, Taken { kind, key, dts, cts, data }).map(|()| false)
            }
            Packet::End(kind) => {
                let had = {
                    let setup = self.0.setup.load();
                    match kind {
                        Kind::Video => setup.video.is_some(),
                        Kind::Audio => setup.audio.is_some(),
                        Kind::Data => false,
                    }
                };
                if !had {
                    return Ok(false);
                }
                self.cut_block(&mut writer);
                writer.wants_key = true;
                Ok(false)
            }
        }
    }

    fn set_track(&self, writer: &mut Writer, track: Arc<Track>) -> bool {
        let setup = self.0.setup.load();
        let kind = track.codec.kind();
        let had = if kind == Kind::Video { &setup.video } else { &setup.audio };
        if had.as_deref() == Some(&*track) {
            return false;
        }
        drop(setup);
        self.cut_block(writer);
        if kind == Kind::Video {
            writer.wants_key = true;
        }
        self.change_setup(writer, false, |setup| match kind {
            Kind::Video => setup.video = Some(track),
            _ => setup.audio = Some(track),
        });
        true
    }

    fn change_setup(&self, writer: &mut Writer, counts: bool, change: impl FnOnce(&mut Setup)) {
        let mut setup = Setup::clone(&self.0.setup.load());
        if counts || writer.used {
            setup.number += 1;
            writer.used = false;
        }
        change(&mut setup);
        self.0.setup.store(Arc::new(setup));
    }

    fn push_frame(&self, writer: &mut Writer, now: Now, taken: Taken) -> Result<(), PushError> {
        let Taken { kind, key, dts, cts, data } = taken;
        let (config, counts) = (&self.0.config, &self.0.counts);
        if data.len() > config.frame_bytes_max {
            return Err(PushError::TooBig { bytes: data.len(), max: config.frame_bytes_max });
        }
        let setup = self.0.setup.load_full();
        let key = key || kind != Kind::Video;
        let sound = setup.audio.as_ref().filter(|_| kind == Kind::Audio).map(|track| track.detail);
        let known = match kind {
            Kind::Video => setup.video.is_some() && (key || !writer.wants_key),
            Kind::Audio => sound.is_some(),
            Kind::Data => true,
        };
        if !known || data.is_empty() {
            counts.dropped.fetch_add(1, Relaxed);
            self.0.totals.dropped.one();
            return Ok(());
        }
        let dts = writer.mend.place(now.wall, kind, dts, sound);
        if kind == Kind::Video && key {
            writer.wants_key = false;
            if let Some(last) = writer.last_key.replace(dts) {
                counts.gop.store(u64::try_from(dts - last).unwrap_or(0), Relaxed);
            }
        }
        counts.in_bytes.fetch_add(data.len() as u64, Relaxed);
        counts.in_frames.fetch_add(1, Relaxed);
        self.0.totals.in_bytes.add(data.len() as u64);
        self.0.totals.in_frames.one();
        writer.rates.add(data.len(), kind == Kind::Video);
        writer.used = true;
        let weight = data.len() + 128;
        let frame = Arc::new(Frame { kind, key, dts, cts: cts.max(0), at: now.wall, data, setup });
        let joins = frame.joins() && (kind == Kind::Video || self.block_is_old(writer, now));
        if joins || writer.pending.len() >= BLOCK_FRAMES_MAX {
            self.cut_block(writer);
        }
        let place = self.0.frames.push(frame.clone(), weight);
        if frame.joins() {
            writer.joins.0 = place;
        }
        writer.pending_since.get_or_insert(now);
        writer.pending.push(frame);
        if self.block_is_old(writer, now) {
            self.cut_block(writer);
        }
        self.forget_frames(writer, dts);
        Ok(())
    }

    fn block_is_old(&self, writer: &Writer, now: Now) -> bool {
        let since = writer.pending_since.map(|since| now.steady.saturating_duration_since(since.steady));
        since.is_some_and(|waited| waited >= self.0.config.merge_for)
    }

    /// What waits goes out.
    fn cut_block(&self, writer: &mut Writer) {
        writer.pending_since = None;
        let Some(block) = Block::new(std::mem::take(&mut writer.pending)) else { return };
        let (joins, dts, weight) = (block.joins(), block.dts(), block.weight());
        let place = self.0.blocks.push(Arc::new(block), weight);
        if joins {
            writer.joins.1 = place;
        }
        let (old, newest) = (self.oldest_kept(dts), writer.joins.1);
        self.0.blocks.forget_while(|place, block| place < newest && block.dts() < old);
    }

    fn forget_frames(&self, writer: &Writer, dts: i64) {
        let (old, newest) = (self.oldest_kept(dts), writer.joins.0);
        self.0.frames.forget_while(|place, frame| place < newest && frame.dts < old);
    }

    fn oldest_kept(&self, dts: i64) -> i64 {
        dts.saturating_sub(micros(self.0.config.keep_for))
    }
}

struct Taken {
    kind: Kind,
    key: bool,
    dts: i64,
    cts: i32,
    data: Bytes,
}

/// A duration on a broadcast's clock.
pub(crate) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

impl fmt::Debug for Broadcast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broadcast")
            .field("name", &self.0.name.to_string())
            .field("id", &self.0.id)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}
