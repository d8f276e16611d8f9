//! One subscription: its window, and where it stands in each journal.

use std::{collections::VecDeque, sync::Arc};

use smallvec::SmallVec;

use crate::{
    group::Share,
    guard::guard,
    link::SubscriptionId,
    message::{Position, Qos, Record},
    space::Lag,
    store::Missed,
    topic::Filter,
};

/// One subscription of a session.
pub(crate) struct Subscription {
    pub(crate) id: SubscriptionId,
    pub(crate) filter: Filter,
    pub(crate) life: u32,
    /// The number of its last delivery.
    pub(crate) number: u64,
    /// Each record is asked about before it is delivered.
    pub(crate) checked: bool,
    pub(crate) no_local: bool,
    /// The most that its listener wants.
    pub(crate) qos: Qos,
    /// Nobody else may have this filter with this set.
    pub(crate) exclusive: bool,
    pub(crate) window: Option<Box<Window>>,
    pub(crate) feeds: SmallVec<[Feed; 1]>,
    /// State that still has to be read from journals before the feeds start.
    pub(crate) wants_state: bool,
    /// Missed in spaces that keep nothing, and not told yet; goes out before the next record.
    pub(crate) missed: Missed,
    /// The same for kept spaces.
    pub(crate) missed_kept: Missed,
    /// The number of the newest delivery that fell out of `replay` unacked.
    pub(crate) evicted: u64,
    /// What it has to do with the group that it is a member of.
    pub(crate) share: Option<Box<Share>>,
}

/// A subscription whose client acks: how many deliveries may be under way.
pub(crate) struct Window {
    pub(crate) max: usize,
    /// Records in `ready` for this subscription.
    pub(crate) queued: usize,
    /// Delivered, not acked: number and place.
    pub(crate) unacked: VecDeque<(u64, Option<Position>)>,
    /// Records of spaces that keep nothing, waiting for room.
    pub(crate) waiting: VecDeque<Arc<Record>>,
}

impl Window {
    pub(crate) fn room(&self) -> usize {
        self.max.saturating_sub(self.queued + self.unacked.len())
    }
}

/// What is to become of a record for one subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is put into the outbox.
    Fits,
    /// There is no room, and its space says what then.
    Overflow(Lag),
    /// There is no room: from here on the feed reads the journal.
    LeftToJournal,
    /// The feed has it already, or will read it.
    NotNow,
}

/// Where a subscription stands in one lane of one kept space.
#[derive(Debug, Clone)]
pub(crate) struct Feed {
    /// Index of the space in the hub.
    pub(crate) space: u16,
    /// Everything up to here was put into the outbox.
    pub(crate) sent: Position,
    /// Everything up to here was acked; where a session goes on that does not say what it has.
    pub(crate) acked: Position,
    pub(crate) pace: Pace,
    pub(crate) lag: Lag,
}

/// Whether a feed hears the tail or reads the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// It hears the tail.
    Live,
    /// It reads the journal; the tail has shown records up to this offset.
    Behind(u64),
    /// It does not know yet where it begins; the tail has shown records up to this offset.
    Locating(u64),
}

impl Subscription {
    pub(crate) fn new(id: SubscriptionId, filter: Filter, window: Option<u32>) -> Self {
        let window = window.map(|max| {
            Box::new(Window {
                max: max as usize,
                queued: 0,
                unacked: VecDeque::new(),
                waiting: VecDeque::new(),
            })
        });
        Self {
            id,
            filter,
            life: 0,
            number: 0,
            checked: false,
            no_local: false,
            qos: Qos::default(),
            exclusive: false,
            window,
            feeds: SmallVec::new(),
            wants_state: false,
            missed: Missed::NONE,
            missed_kept: Missed::NONE,
            evicted: 0,
            share: None,
        }
    }

    pub(crate) fn has_room(&self) -> bool {
        self.window.as_ref().is_none_or(|w| w.room() > 0)
    }

    /// How many deliveries may be under way at once.
    pub(crate) fn window_max(&self) -> Option<u32> {
        self.window.as_ref().map(|w| u32::try_from(w.max).unwrap_or(u32::MAX))
    }

    /// Records of spaces that keep nothing went by while nobody could count them.
    pub(crate) fn lost_unkept(&mut self) {
        self.missed = Missed::Unknown;
    }

    /// Whether a record need not reach a listener that is away.
    pub(crate) fn is_fleeting(&self, record: &Record) -> bool {
        record.position.is_none() && record.message.qos.min(self.qos) == Qos::AtMostOnce
    }

    /// Whether something about each record decides if it is delivered, or when.
    pub(crate) fn chooses(&self) -> bool {
        self.window.is_some() || self.no_local || self.checked
    }

    /// Whether something was missed and not told yet.
    pub(crate) fn has_missed(&self) -> bool {
        self.missed != Missed::NONE || self.missed_kept != Missed::NONE
    }

    /// What is to become of a record that comes from the publisher or the tail. `fits` says whether the
    /// outbox has room, `lag` what its space wants where there is none.
    pub(crate) fn judge(&mut self, record: &Record, lag: Lag, fits: bool) -> Verdict {
        let Some(position) = record.position else {
            return if fits { Verdict::Fits } else { Verdict::Overflow(lag) };
        };
        let room = fits && self.has_room();
        let Some(feed) = self.feeds.iter_mut().find(|f| f.sent.same_lane(&position)) else {
            return Verdict::NotNow;
        };
        match &mut feed.pace {
            Pace::Behind(newest) | Pace::Locating(newest) => {
                *newest = position.offset.max(*newest);
                Verdict::NotNow
            }
            Pace::Live if !guard("new to the feed", position.offset > feed.sent.offset) => Verdict::NotNow,
            Pace::Live if !room && feed.lag == Lag::CatchUp => {
                // The journal has it: the reader's own task goes on from there.
                feed.pace = Pace::Behind(position.offset);
                Verdict::LeftToJournal
            }
            Pace::Live => {
                feed.sent = position;
                if room { Verdict::Fits } else { Verdict::Overflow(feed.lag) }
            }
        }
    }

    /// Counts a record that did not fit.
    pub(crate) fn lose(&mut self, record: &Record) {
        let gap = if record.position.is_some() { &mut self.missed_kept } else { &mut self.missed };
        *gap = gap.and(Missed::Count(1));
    }

    /// What was missed and not told yet; told from now on.
    pub(crate) fn take_missed(&mut self) -> impl Iterator<Item = (Missed, Gap)> + use<> {
        let gaps = [
            (std::mem::replace(&mut self.missed, Missed::NONE), Gap::Unkept),
            (std::mem::replace(&mut self.missed_kept, Missed::NONE), Gap::Kept),
        ];
        gaps.into_iter().filter(|(missed, _)| *missed != Missed::NONE)
    }

    /// Whether some feed reads from a journal.
    pub(crate) fn is_behind(&self) -> bool {
        self.feeds.iter().any(|f| f.pace != Pace::Live)
    }
}

/// Whether a journal could give again what was missed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gap {
    Kept,
    Unkept,
}
