//! The dealer: what comes out of a group's outbox or journals goes to its members.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll, Waker},
};

use futures_util::future::BoxFuture;
use yizhan_talk::Now;

use super::{Dealt, Group, Inside, MemberKey, deal::Dealing, places::Arrival};
use crate::{
    hub::Inner,
    link::Delivery,
    message::{Qos, Record},
    outbox::Reading,
    store::{Page, PageSize, StoreError},
};

/// Records that are taken out of a group's outbox in one step.
const TAKE_MAX: usize = 256;
/// Steps of one group before others have their turn.
const STEPS_MAX: usize = 16;
/// How much one read of a journal brings.
const READ_PAGE: PageSize = PageSize { records_max: 256, bytes_max: 256 * 1024 };

/// What a group reads from its journals.
#[derive(Default)]
pub(super) struct Reads {
    reading: Option<BoxFuture<'static, (Reading, Result<Page, StoreError>)>>,
    /// Which feed's turn it is.
    turn: usize,
    /// The last read failed: the next one waits until [`Inner::retry_groups`].
    failed: bool,
}

/// Deals what comes to groups, until the hub is gone.
pub(crate) async fn deal_out(hub: Weak<Inner>) {
    poll_fn(|cx| {
        let Some(hub) = hub.upgrade() else { return Poll::Ready(()) };
        hub.groups.bells.dealer.register(cx.waker());
        for group in hub.groups.bells.answer() {
            group.turn(&hub);
        }
        Poll::Pending
    })
    .await;
}

impl Inner {
    /// Journals that could not be read for a group are tried again.
    pub(crate) fn retry_groups(&self) {
        for group in self.groups.all() {
            if std::mem::take(&mut group.reads.lock().failed) {
                group.ring();
            }
        }
    }
}

impl Group {
    /// Deals what there is and reads what is to be read, as far as members have room.
    fn turn(&self, hub: &Arc<Inner>) {
        // Whatever happens from here on rings again.
        self.bell.is_rung.store(false, std::sync::atomic::Ordering::SeqCst);
        let now = hub.clock.now();
        for _ in 0..STEPS_MAX {
            if !self.step(hub, now) {
                return;
            }
        }
        self.ring();
    }

    /// One step; whether another one may follow.
    fn step(&self, hub: &Arc<Inner>, now: Now) -> bool {
        let mut dealing = Dealing {
            access: &*hub.access,
            limits: hub.outbox_limits(),
            deal: self.deal,
            now: now.wall,
            wakers: Vec::new(),
        };
        let mut inside = self.lock();
        let more = inside.deal_all(&mut dealing) || inside.expects_own();
        let came = more && self.take(&mut inside, &mut dealing.wakers, now);
        drop(inside);
        for waker in dealing.wakers {
            waker.wake();
        }
        came || (more && self.read_on(hub))
    }

    /// Takes records out of the group's outbox; whether there were any.
    fn take(&self, inside: &mut Inside, wakers: &mut Vec<Waker>, now: Now) -> bool {
        let mut deliveries = Vec::new();
        {
            let mut state = self.session.lock();
            state.outbox.take(now.wall, &mut deliveries, TAKE_MAX);
            if deliveries.is_empty() {
                state.outbox.set_waker(&self.waker);
            }
        }
        let any = !deliveries.is_empty();
        for delivery in deliveries {
            match delivery {
                Delivery::Record { record, .. } => inside.arrive(record, wakers),
                Delivery::Batch { batch, .. } => {
                    batch.records().iter().for_each(|record| inside.arrive(record.clone(), wakers));
                }
                // The outbox has counted what was missed.
                Delivery::Missed { .. } | Delivery::StateEnd { .. } | Delivery::Leave(_) => {}
            }
        }
        any
    }

    /// Goes on reading where the group is behind; whether something was read.
    fn read_on(&self, hub: &Arc<Inner>) -> bool {
        let mut reads = self.reads.lock();
        if reads.failed {
            return false;
        }
        if reads.reading.is_none() {
            let next = {
                let mut state = self.session.lock();
                if !state.outbox.behind {
                    return false;
                }
                state.outbox.next_reading(reads.turn, READ_PAGE.records_max)
            };
            let Some(reading) = next else { return false };
            reads.turn = reading.slot as usize;
            // Only the journal: a read under way must not keep the hub.
            let journal = hub.journal_of(reading.space).cloned();
            reads.reading = Some(Box::pin(async move {
                let page = PageSize { records_max: reading.records_max, ..READ_PAGE };
                let page = match journal {
                    Some(journal) => journal.read(reading.after, &reading.filter, page).await,
                    None => Err(StoreError::Closed),
                };
                (reading, page)
            }));
        }
        let Some(reading) = &mut reads.reading else { return false };
        let Poll::Ready((reading, page)) = Pin::new(reading).poll(&mut Context::from_waker(&self.waker))
        else {
            return false;
        };
        reads.reading = None;
        match page {
            Ok(page) => {
                self.session.lock().outbox.page_read(&reading, page, |_, _| true);
                true
            }
            Err(error) => {
                tracing::error!(group = &*self.name, %error, "a journal could not be read for a group");
                reads.failed = true;
                false
            }
        }
    }
}

impl Inside {
    /// A record came out of the group's outbox.
    fn arrive(&mut self, record: Arc<Record>, wakers: &mut Vec<Waker>) {
        self.newest += 1;
        let nth = self.newest;
        let arrival = record.position.map_or(Arrival::Open, |place| self.places.arrive(place));
        self.count_gone();
        match arrival {
            Arrival::Finished => {}
            Arrival::Open => self.fresh.push_back((nth, record)),
            Arrival::Owned(owner) => {
                let dealt = Dealt::new(nth, Some(owner.number), record, Qos::ExactlyOnce);
                self.give_again(owner.member, dealt, wakers);
            }
        }
    }

    /// Whether something of the members' own since before the server stopped is still to be read: it fills
    /// their windows already.
    fn expects_own(&self) -> bool {
        self.places.unseen().any(|owner| self.live.contains(&owner.member))
    }

    /// A record that was a member's own before the server stopped.
    fn give_again(&mut self, key: MemberKey, dealt: Dealt, wakers: &mut Vec<Waker>) {
        let Some(member) = self.members.get_mut(&key) else {
            self.finish(&dealt.record);
            return;
        };
        if let Some(session) = &member.session {
            let mut state = session.lock();
            let subscription = state.outbox.living(member.slot, member.life);
            if subscription.and_then(|s| s.share.as_ref()).is_some_and(|share| share.awake) {
                state.outbox.deal(member.slot, dealt);
                wakers.extend(state.outbox.take_waker());
                return;
            }
        }
        member.owed.push(dealt);
    }
}
