//! A session's live end: the hub as a [`Backend`].

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll},
};

use futures_channel::oneshot;
use futures_util::future::BoxFuture;
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use yizhan_talk::{Backend, Called, Close, Now};

use crate::{
    access::{Credentials, Exchange, Peer, Principal, Step},
    attend::Leaving,
    guard::guard,
    hub::{Inner, refuse},
    link::{Answer, Call, Delivery, Opened, Prove, Refused},
    message::Record,
    outbox::{Reading, StateReading},
    session::Session,
    store::{Page, PageSize, StoreError},
};

/// How much one catch-up read brings.
const READ_PAGE: PageSize = PageSize { records_max: 256, bytes_max: 256 * 1024 };
/// Calls that may come before hello is answered.
const EARLY_CALLS_MAX: usize = 256;

/// What a door holds of one client.
pub struct Link {
    hub: Arc<Inner>,
    peer: Peer,
    stage: Stage,
    proving: Option<Box<Proving>>,
    batch: Vec<Arc<Record>>,
    reading: Option<BoxFuture<'static, Read>>,
    /// Where the search for the next feed to read begins, so that no subscription starves another.
    turn: usize,
}

/// An exchange that proves who the client is.
struct Proving {
    mechanism: Arc<str>,
    exchange: Arc<futures_util::lock::Mutex<Box<dyn Exchange>>>,
    proven: Arc<Mutex<Option<Principal>>>,
}

enum Stage {
    New,
    Opening(Arc<Opening>),
    Open(Seat),
    Closed,
}

/// A link's place at its session.
struct Seat {
    session: Arc<Session>,
    generation: u32,
}

/// Hello is under way; what is called meanwhile waits in line.
#[derive(Default)]
struct Opening {
    state: Mutex<OpeningState>,
    delivers: AtomicWaker,
}

#[derive(Default)]
struct OpeningState {
    seat: Option<Seat>,
    settled: bool,
    early: VecDeque<(Call, oneshot::Sender<Called<Answer>>)>,
}

enum Read {
    Page(Reading, Result<Page, StoreError>),
    State(u32, u32, Vec<Result<Vec<Arc<Record>>, StoreError>>),
}

impl Link {
    pub(crate) fn new(hub: Arc<Inner>, peer: Peer) -> Self {
        Self { hub, peer, stage: Stage::New, proving: None, batch: Vec::new(), reading: None, turn: 0 }
    }

    fn hello(&mut self, now: Now, hello: Box<crate::link::Hello>) -> Called<Answer> {
        let opening = Arc::new(Opening::default());
        self.stage = Stage::Opening(opening.clone());
        let (hub, peer) = (self.hub.clone(), self.peer);
        let named = hello.name.is_some();
        let proven = self.proving.take().and_then(|proving| proving.proven.lock().take());
        Called::Later(Box::pin(async move {
            let opened = match (&hello.credentials, &proven) {
                (Credentials::Proven, None) => Err(Refused::NotAdmitted),
                _ => hub.clone().open_session(now, peer, *hello, proven).await,
            };
            let (answer, saving) = {
                let mut state = opening.state.lock();
                state.settled = true;
                seated(&hub, now, opened, named, &mut state)
            };
            opening.delivers.wake();
            if let Some(Called::Later(saving)) = saving
                && let Answer::Refused(refused) = saving.await
            {
                return Answer::Refused(refused);
            }
            answer
        }))
    }

    /// One step of an exchange, before hello or in an open session.
    fn prove(&mut self, now: Now, prove: Prove) -> Called<Answer> {
        let Prove { mechanism, device, data } = prove;
        let session = match &self.stage {
            Stage::New => None,
            Stage::Open(seat) => Some(seat.session.clone()),
            Stage::Opening(_) | Stage::Closed => return refuse(Refused::HelloFirst),
        };
        let going_on =
            self.proving.as_ref().filter(|p| p.mechanism == mechanism && p.proven.lock().is_none());
        if going_on.is_none() {
            let begun = self.hub.access.begin(now, self.peer, &mechanism, device);
            let Some(exchange) = begun else { return refuse(Refused::NoMechanism(mechanism)) };
            let exchange = Arc::new(futures_util::lock::Mutex::new(exchange));
            self.proving = Some(Box::new(Proving { mechanism, exchange, proven: Arc::default() }));
        }
        let Some(proving) = &self.proving else { return refuse(Refused::NotAdmitted) };
        let (exchange, proven) = (proving.exchange.clone(), proving.proven.clone());
        let hub = self.hub.clone();
        Called::Later(Box::pin(async move {
            let step = exchange.lock().await.step(now, data.0).await;
            match step {
                Ok(Step::Challenge(data)) => Answer::Challenge(data),
                Ok(Step::Proven { principal, data }) => {
                    match session {
                        None => *proven.lock() = Some(principal),
                        Some(session) if session.principal().user == principal.user => {
                            *proven.lock() = Some(principal.clone());
                            session.admit_again(&*hub.access, Arc::new(principal));
                        }
                        Some(_) => return Answer::Refused(Refused::NotAdmitted),
                    }
                    Answer::Proven(data)
                }
                Err(refused) => Answer::Refused(refused),
            }
        }))
    }

    /// Moves on from `Opening` where hello is answered.
    fn settle(&mut self) {
        let Stage::Opening(opening) = &self.stage else { return };
        let mut state = opening.state.lock();
        if state.settled {
            let next = state.seat.take().map_or(Stage::New, Stage::Open);
            drop(state);
            self.stage = next;
        }
    }

    fn early(&self, call: Call) -> Option<Called<Answer>> {
        let Stage::Opening(opening) = &self.stage else { return None };
        let mut state = opening.state.lock();
        if state.early.len() >= EARLY_CALLS_MAX {
            return Some(Called::Done(Answer::Refused(Refused::HelloFirst)));
        }
        let (sender, receiver) = oneshot::channel();
        state.early.push_back((call, sender));
        Some(Called::Later(Box::pin(async move {
            match receiver.await {
                Ok(Called::Done(answer)) => answer,
                Ok(Called::Later(answer)) => answer.await,
                Err(_) => Answer::Refused(Refused::HelloFirst),
            }
        })))
    }

    /// Starts the next read from a journal, where one is wanted.
    fn start_reading(&mut self) {
        let Stage::Open(seat) = &self.stage else { return };
        let mut state = seat.session.lock();
        if let Some(StateReading { slot, life, filter, heads }) = state.outbox.wants_state() {
            drop(state);
            let hub = self.hub.clone();
            self.reading = Some(Box::pin(async move {
                let mut pages = Vec::new();
                let mut spaces: Vec<u16> = heads.iter().map(|(space, _)| *space).collect();
                spaces.dedup();
                for space in spaces {
                    let mut records = hub.journal_state(space, &filter).await;
                    if let Ok(records) = &mut records {
                        // Newer ones come from the tail or the journal in their turn.
                        records.retain(|r| {
                            r.position.is_some_and(|p| {
                                heads.iter().any(|(_, head)| head.same_lane(&p) && p.offset <= head.offset)
                            })
                        });
                    }
                    pages.push(records);
                }
                Read::State(slot, life, pages)
            }));
            return;
        }
        let reading = state.outbox.next_reading(self.turn, READ_PAGE.records_max);
        drop(state);
        if let Some(reading) = reading {
            self.turn = reading.slot as usize + 1;
            let hub = self.hub.clone();
            self.reading = Some(Box::pin(async move {
                let page = PageSize { records_max: reading.records_max, ..READ_PAGE };
                let page = hub.journal_read(&reading, page).await;
                Read::Page(reading, page)
            }));
        }
    }

    fn finish_reading(&self, read: Read) -> Result<(), Close> {
        let Stage::Open(seat) = &self.stage else { return Ok(()) };
        let session = &seat.session;
        let access = &*self.hub.access;
        let mut state = session.lock();
        match read {
            Read::Page(reading, Ok(page)) => {
                state.outbox.page_read(&reading, page, |s, r| session.wants(access, s, r));
                Ok(())
            }
            Read::State(slot, life, pages) => {
                let mut records = Vec::new();
                for page in pages {
                    records.append(&mut page.map_err(|e| unreadable(&e))?);
                }
                if let Some(subscription) = state.outbox.living(slot, life) {
                    records.retain(|r| session.wants(access, subscription, r));
                    subscription.wants_state = false;
                    state.outbox.push_state(slot, life, records, true);
                }
                Ok(())
            }
            Read::Page(_, Err(error)) => Err(unreadable(&error)),
        }
    }

    fn leave(&mut self, leaving: Leaving) {
        self.settle();
        let stage = std::mem::replace(&mut self.stage, Stage::Closed);
        match stage {
            Stage::Open(seat) => self.hub.link_gone(&seat.session, seat.generation, leaving),
            // The hello is dropped with the connection; a session it made before that is its own to end.
            Stage::Opening(opening) => {
                if let Some(seat) = opening.state.lock().seat.take() {
                    self.hub.link_gone(&seat.session, seat.generation, leaving);
                }
            }
            Stage::New | Stage::Closed => {}
        }
    }
}

/// Gives a link that was let in its seat, and starts what was called meanwhile. Gives the answer to hello, and
/// what has to be safe before that is heard: that a named session began, without which a crash would bring
/// back the one before it.
fn seated(
    hub: &Arc<Inner>,
    now: Now,
    opened: Result<(Opened, Arc<Session>, u32), Refused>,
    named: bool,
    state: &mut OpeningState,
) -> (Answer, Option<Called<Answer>>) {
    match opened {
        Ok((opened, session, generation)) => {
            let saving = (named && !opened.resumed).then(|| hub.save_now(&session));
            let seat = Seat { session, generation };
            while let Some((call, answers)) = state.early.pop_front() {
                let mut batch = Vec::new();
                let called = hub.call(now, &seat.session, call, &mut batch);
                hub.flush(&mut batch);
                // The connection may be gone; then nobody waits for this answer.
                drop(answers.send(called));
            }
            state.seat = Some(seat);
            (Answer::Opened(Box::new(opened)), saving)
        }
        Err(refused) => {
            for (_, answers) in state.early.drain(..) {
                drop(answers.send(Called::Done(Answer::Refused(Refused::HelloFirst))));
            }
            (Answer::Refused(refused), None)
        }
    }
}

/// A journal that cannot be read ends the connection: going on would hide a hole.
fn unreadable(error: &StoreError) -> Close {
    tracing::error!(%error, "a journal could not be read for a subscription");
    Close::INTERNAL
}

impl Backend for Link {
    type Call = Call;
    type Answer = Answer;
    type Delivery = Delivery;

    fn call(&mut self, now: Now, call: Call) -> Called<Answer> {
        self.settle();
        match (&self.stage, call) {
            (Stage::New, Call::Hello(hello)) => self.hello(now, hello),
            (Stage::New | Stage::Open(_), Call::Prove(prove)) => self.prove(now, *prove),
            (Stage::New | Stage::Closed, _) => Called::Done(Answer::Refused(Refused::HelloFirst)),
            (Stage::Opening(_) | Stage::Open(_), Call::Hello(_)) => {
                Called::Done(Answer::Refused(Refused::HelloTwice))
            }
            (Stage::Opening(_), call) => {
                self.early(call).unwrap_or(Called::Done(Answer::Refused(Refused::HelloFirst)))
            }
            // Somebody else has the session: what an elder link still wants is not done any more.
            (Stage::Open(seat), _) if seat.session.link.load(Relaxed) != seat.generation => {
                refuse(Refused::NoSession)
            }
            (Stage::Open(_), Call::Goodbye) => {
                self.hub.flush(&mut self.batch);
                self.leave(Leaving::Goodbye);
                Called::Done(Answer::Done)
            }
            (Stage::Open(seat), Call::Rest { keep, say_last }) => {
                if let Some(keep) = keep {
                    seat.session.set_keep(keep.min(self.hub.limits.keep_max));
                }
                self.hub.flush(&mut self.batch);
                self.leave(if say_last { Leaving::Vanished } else { Leaving::Rest });
                Called::Done(Answer::Done)
            }
            (Stage::Open(seat), call) => self.hub.call(now, &seat.session, call, &mut self.batch),
        }
    }

    fn flush(&mut self, _now: Now) {
        self.hub.flush(&mut self.batch);
    }

    fn poll_deliveries(
        &mut self,
        cx: &mut Context<'_>,
        now: Now,
        into: &mut Vec<Delivery>,
        max: usize,
    ) -> Poll<()> {
        if let Stage::Opening(opening) = &self.stage {
            opening.delivers.register(cx.waker());
        }
        self.settle();
        let Stage::Open(seat) = &self.stage else { return Poll::Pending };
        let generation = seat.generation;
        loop {
            let Stage::Open(seat) = &self.stage else { return Poll::Pending };
            let mut state = seat.session.lock();
            if !guard("the live link", state.generation == generation) {
                drop(state);
                self.stage = Stage::Closed;
                into.push(Delivery::Leave(Close::TAKEN_OVER));
                return Poll::Ready(());
            }
            if let Some(close) = state.outbox.leave.take() {
                drop(state);
                into.push(Delivery::Leave(*close));
                return Poll::Ready(());
            }
            state.outbox.take(now.wall, into, max);
            let told = std::mem::take(&mut state.outbox.told);
            if !into.is_empty() {
                drop(state);
                crate::group::relay(&seat.session, told);
                self.hub.delivered(now, into);
                return Poll::Ready(());
            }
            state.outbox.set_waker(cx.waker());
            let behind = state.outbox.behind;
            drop(state);
            crate::group::relay(&seat.session, told);
            if self.reading.is_none() && behind {
                self.start_reading();
            }
            let Some(reading) = &mut self.reading else { return Poll::Pending };
            let Poll::Ready(read) = Pin::new(reading).poll(cx) else { return Poll::Pending };
            self.reading = None;
            if let Err(close) = self.finish_reading(read) {
                into.push(Delivery::Leave(close));
                return Poll::Ready(());
            }
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.hub.flush(&mut self.batch);
        self.leave(Leaving::Vanished);
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("peer", &self.peer).finish_non_exhaustive()
    }
}

/// A way to act on a session without being its live end: commands that come by another road than the
/// deliveries go (`POST /v1/send` beside an event stream).
pub struct Handle {
    hub: Arc<Inner>,
    session: Arc<Session>,
}

impl Handle {
    pub(crate) fn new(hub: Arc<Inner>, session: Arc<Session>) -> Self {
        Self { hub, session }
    }

    /// Who the session belongs to.
    #[must_use]
    pub fn principal(&self) -> Arc<Principal> {
        self.session.principal().clone()
    }

    /// Starts a call of the session. Hello is refused; goodbye ends the session.
    pub fn call(&self, now: Now, call: Call) -> Called<Answer> {
        if matches!(call, Call::Goodbye) {
            self.hub.end_session(&self.session, None);
            return Called::Done(Answer::Done);
        }
        let mut batch = Vec::new();
        let called = self.hub.call(now, &self.session, call, &mut batch);
        self.hub.flush(&mut batch);
        called
    }
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").field("session", &self.session.id).finish_non_exhaustive()
    }
}
