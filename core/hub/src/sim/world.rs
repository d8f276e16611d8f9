//! Publishers, listeners and a hub, moved step by step by a seed.

use std::{
    collections::BTreeMap,
    future::Future,
    net::{IpAddr, Ipv4Addr},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};

use yizhan_talk::{Backend, Called, Clock, Now, Timestamp};

use super::journal::{SimJournal, SimStore};
use crate::{
    access::{Credentials, Open, Peer},
    hub::{Hub, Limits, Options, Work},
    link::{Acked, Answer, Call, Delivery, Have, Hello, Publish, Resume, Subscribe},
    live::Link,
    message::{Content, Position, Record, SessionId},
    space::{Dedup, Keep, Lag, Limits as Kept, Space},
    store::Missed,
    topic::{Filter, Topic},
};

const LISTENERS: usize = 4;
const TOPICS: [&str; 5] = ["k/a", "k/b", "s/a", "u/a", "u/b"];
/// (filter, window): single topics, a kept space, an unkept one, and one that lies across all.
const WISHES: [(&str, Option<u32>); 6] =
    [("k/a", None), ("k/+", None), ("k/+", Some(5)), ("u/+", None), ("+/a", None), ("s/a", None)];

pub(super) struct Flag(pub(super) AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

pub(super) struct SimClock {
    pub(super) start: Instant,
    pub(super) micros: AtomicU64,
}

impl Clock for SimClock {
    fn now(&self) -> Now {
        let micros = self.micros.load(SeqCst);
        Now { steady: self.start + Duration::from_micros(micros), wall: Timestamp(1_000_000_000 + micros) }
    }
}

/// A small seeded generator (SplitMix64).
pub(super) struct Chance(pub(super) u64);

impl Chance {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    pub(super) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

/// What a client that somebody else could have written remembers and checks.
struct Listener {
    link: Option<Link>,
    woken: Arc<Flag>,
    session: Option<(SessionId, Arc<str>)>,
    wish: usize,
    /// Which subscription deliveries taken now belong to.
    life: u32,
    /// Taken from the link, not yet arrived.
    under_way: Vec<(u32, Delivery)>,
    number: u64,
    positions: BTreeMap<(u16, u16), Position>,
    /// By topic: the number of the message that must come next.
    expected: BTreeMap<Topic, u64>,
    /// What it was told it missed, of the unkept and skipping topics.
    missed: u64,
    got: u64,
    due_from: u64,
}

struct World {
    chance: Chance,
    clock: Arc<SimClock>,
    hub: Hub,
    work: Work,
    worker: Arc<Flag>,
    journals: Vec<Arc<SimJournal>>,
    publisher: Link,
    answers: Vec<Pin<Box<dyn Future<Output = Answer> + Send>>>,
    listeners: Vec<Listener>,
    /// By topic: how many were published.
    published: BTreeMap<Topic, u64>,
}

pub(super) fn now_or_never<T>(future: impl Future<Output = T>) -> T {
    match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("this waits for nothing"),
    }
}

pub(super) fn answer(called: Called<Answer>) -> Answer {
    match called {
        Called::Done(answer) => answer,
        Called::Later(answer) => now_or_never(answer),
    }
}

pub(super) const PEER: Peer = Peer { address: IpAddr::V4(Ipv4Addr::LOCALHOST), door: "sim", secure: false };

/// Runs one world; the error says which promise was broken.
pub(super) fn run(seed: u64, steps: usize) -> Result<(), String> {
    let mut world = World::new(seed);
    for _ in 0..steps {
        world.step()?;
    }
    world.settle()
}

impl World {
    fn new(seed: u64) -> Self {
        let space = |name: &str, topics: &str, keep, lag| Space {
            name: name.into(),
            topics: Filter::new(topics).unwrap(),
            keep,
            lag,
            dedup: Dedup::default(),
            lanes: 1,
        };
        let store = Arc::new(SimStore::default());
        let clock = Arc::new(SimClock { start: Instant::now(), micros: AtomicU64::new(0) });
        let ids = AtomicU64::new(seed << 20);
        let (hub, work) = now_or_never(Hub::open(Options {
            spaces: vec![
                space("k", "k/#", Keep::Disk(Kept::NONE), Lag::CatchUp),
                space("s", "s/#", Keep::Disk(Kept::NONE), Lag::Skip),
                space("u", "u/#", Keep::Nothing, Lag::Skip),
            ],
            limits: Limits { outbox_records_max: 6, ..Limits::default() },
            store: store.clone(),
            access: Arc::new(Open),
            clock: clock.clone(),
            random: Arc::new(move || u128::from(ids.fetch_add(1, SeqCst) + 1)),
        }))
        .unwrap();
        let journals = store.journals.lock().clone();
        let now = clock.now();
        let mut publisher = hub.link(PEER);
        answer(publisher.call(now, hello(None, Duration::ZERO)));
        let mut world = Self {
            chance: Chance(seed),
            clock,
            hub,
            work,
            worker: Arc::new(Flag(AtomicBool::new(true))),
            journals,
            publisher,
            answers: Vec::new(),
            listeners: Vec::new(),
            published: TOPICS.iter().map(|t| (Topic::new(t).unwrap(), 0)).collect(),
        };
        for i in 0..LISTENERS {
            world.listeners.push(Listener {
                link: None,
                woken: Arc::new(Flag(AtomicBool::new(true))),
                session: None,
                wish: (i + seed as usize) % WISHES.len(),
                life: 0,
                under_way: Vec::new(),
                number: 0,
                positions: BTreeMap::new(),
                expected: BTreeMap::new(),
                missed: 0,
                got: 0,
                due_from: 0,
            });
            world.connect(i).unwrap();
        }
        world
    }

    fn step(&mut self) -> Result<(), String> {
        self.clock.micros.fetch_add(self.chance.next() % 500, SeqCst);
        let which = self.chance.below(LISTENERS);
        let journal = self.journals[self.chance.below(self.journals.len())].clone();
        let pick = self.chance.next() as usize;
        match self.chance.below(100) {
            0..12 => self.publish(),
            12..38 => drop(journal.commit()),
            38..50 => drop(journal.show()),
            50..57 => drop(journal.look(pick)),
            57..64 => drop(journal.answer(pick)),
            64..72 => self.poll_work(),
            72..84 => self.poll_listener(which, 1 + pick % 4),
            84..93 => self.arrive(which, 1 + pick % 6)?,
            93..95 => self.drop_connection(which),
            95..98 => self.connect(which)?,
            98 => self.ack(which),
            _ => self.change_wish(which)?,
        }
        Ok(())
    }

    /// Lets everything come to rest, then holds every listener to the promises.
    fn settle(&mut self) -> Result<(), String> {
        for i in 0..LISTENERS {
            self.connect(i)?;
        }
        // Nobody is asleep now, so time ends no session.
        self.clock.micros.fetch_add(2 * 3_600_000_000, SeqCst);
        self.hub.maintain();
        let (mut quiet, mut rounds) = (0, 0);
        while quiet < 3 {
            rounds += 1;
            if rounds > 10_000 {
                return Err("it never comes to rest".into());
            }
            let mut moved = false;
            for journal in self.journals.clone() {
                moved |= journal.commit() | journal.show() | journal.look(0) | journal.answer(0);
            }
            moved |= self.worker.0.load(SeqCst);
            self.poll_work();
            for i in 0..LISTENERS {
                moved |= self.listeners[i].woken.0.load(SeqCst);
                self.poll_listener(i, 100);
                moved |= !self.listeners[i].under_way.is_empty();
                self.arrive(i, 100)?;
                self.ack(i);
            }
            quiet = if moved { 0 } else { quiet + 1 };
        }
        for i in 0..LISTENERS {
            self.check_complete(i)?;
        }
        Ok(())
    }

    fn check_complete(&self, i: usize) -> Result<(), String> {
        let listener = &self.listeners[i];
        let filter = Filter::new(WISHES[listener.wish].0).unwrap();
        for (topic, next) in &listener.expected {
            let published = self.published[topic];
            if topic.as_str().starts_with('k') && *next != published + 1 {
                return Err(format!("listener {i} waits for {topic} {next}, {published} were published"));
            }
        }
        let lossy = |t: &Topic| filter.matches(t) && !t.as_str().starts_with('k');
        let due: u64 = self.published.iter().filter(|(t, _)| lossy(t)).map(|(_, n)| n).sum();
        let due = due - listener.due_from;
        // What was skipped in a kept space may come after all, when the session resumes from before it.
        let skips = filter.matches(&Topic::new("s/a").unwrap());
        let sum = listener.got + listener.missed;
        if (sum != due && !skips) || sum < due || listener.got > due {
            let (got, missed) = (listener.got, listener.missed);
            return Err(format!("listener {i} on {filter}: got {got}, told of {missed} missed, due {due}"));
        }
        Ok(())
    }

    fn publish(&mut self) {
        let topic = Topic::new(TOPICS[self.chance.below(TOPICS.len())]).unwrap();
        // Several at once make batches.
        for _ in 0..1 + self.chance.below(4) {
            self.publish_one(topic.clone());
        }
        if self.chance.below(3) > 0 {
            self.publisher.flush(self.clock.now());
        }
    }

    fn publish_one(&mut self, topic: Topic) {
        let number = self.published.get_mut(&topic).unwrap();
        *number += 1;
        let publish = Publish { content: Content::Text, ..Publish::new(topic, number.to_string().into()) };
        let now = self.clock.now();
        if let Called::Later(answer) = self.publisher.call(now, Call::Publish(publish)) {
            self.answers.push(answer);
        }
    }

    fn poll_work(&mut self) {
        self.publisher.flush(self.clock.now());
        if self.worker.0.swap(false, SeqCst) {
            let waker = Waker::from(self.worker.clone());
            let ended = self.work.as_mut().poll(&mut Context::from_waker(&waker));
            assert!(ended.is_pending(), "the hub's work lasts as long as the hub");
        }
    }

    fn poll_listener(&mut self, i: usize, max: usize) {
        let now = self.clock.now();
        let listener = &mut self.listeners[i];
        let Some(link) = &mut listener.link else { return };
        if !listener.woken.0.swap(false, SeqCst) {
            return;
        }
        let waker = Waker::from(listener.woken.clone());
        let mut taken = Vec::new();
        if link.poll_deliveries(&mut Context::from_waker(&waker), now, &mut taken, max).is_ready() {
            // Whoever got something asks again.
            listener.woken.0.store(true, SeqCst);
        }
        listener.under_way.extend(taken.into_iter().map(|d| (listener.life, d)));
    }

    /// Lets some deliveries arrive at the client, which checks them.
    fn arrive(&mut self, i: usize, most: usize) -> Result<(), String> {
        let listener = &mut self.listeners[i];
        let count = most.min(listener.under_way.len());
        for (life, delivery) in listener.under_way.drain(..count).collect::<Vec<_>>() {
            if life != listener.life {
                continue;
            }
            match delivery {
                Delivery::Record { number, record, .. } => {
                    if number <= listener.number {
                        return Err(format!("listener {i}: number {number} after {}", listener.number));
                    }
                    listener.number = number;
                    listener.check(i, &record)?;
                }
                Delivery::Batch { number, batch, .. } => {
                    if number <= listener.number {
                        return Err(format!("listener {i}: batch {number} after {}", listener.number));
                    }
                    listener.number = number + batch.records().len() as u64 - 1;
                    for record in batch.records() {
                        listener.check(i, record)?;
                    }
                }
                Delivery::Missed { missed: Missed::Count(n), .. } => {
                    listener.missed += n;
                    listener.number += n;
                }
                Delivery::Missed { missed: Missed::Unknown, .. } => {
                    return Err("nothing is unknown here".into());
                }
                Delivery::StateEnd { .. } => {}
                Delivery::Leave(close) => return Err(format!("listener {i} was sent away: {close}")),
            }
        }
        Ok(())
    }

    fn drop_connection(&mut self, i: usize) {
        self.publisher.flush(self.clock.now());
        let listener = &mut self.listeners[i];
        listener.under_way.clear();
        listener.link = None;
    }

    /// Comes in, or comes back; sometimes over a connection whose elder is not gone yet.
    fn connect(&mut self, i: usize) -> Result<(), String> {
        let now = self.clock.now();
        self.publisher.flush(now);
        let elder = self.listeners[i].link.take();
        let mut link = self.hub.link(PEER);
        let listener = &mut self.listeners[i];
        listener.under_way.clear();
        let resume = listener.session.clone().map(|(session, secret)| Resume {
            session,
            secret,
            have: vec![Have {
                subscription: 1,
                number: Some(listener.number),
                positions: listener.positions.values().copied().collect(),
            }],
        });
        match answer(link.call(now, hello(resume, Duration::from_secs(3600)))) {
            Answer::Opened(opened) => {
                listener.session = Some((opened.session, opened.secret));
                for (_, _, missed) in opened.subscriptions {
                    let Missed::Count(n) = missed else { return Err("nothing is unknown here".into()) };
                    listener.missed += n;
                    listener.number += n;
                }
            }
            other => return Err(format!("listener {i} is not let in: {other:?}")),
        }
        listener.link = Some(link);
        listener.woken.0.store(true, SeqCst);
        if listener.life == 0 {
            self.subscribe(i)?;
        }
        // An elder link that nobody polls any more is just dropped, and takes nothing with it.
        if let Some(mut elder) = elder.filter(|_| self.chance.below(2) == 0) {
            let mut left = Vec::new();
            let mut cx = Context::from_waker(Waker::noop());
            assert!(elder.poll_deliveries(&mut cx, now, &mut left, 10).is_ready());
            let told = matches!(left[..], [Delivery::Leave(ref close)] if close.code == 4009);
            if !told {
                return Err(format!("an elder link was given {left:?}"));
            }
            drop(elder);
        }
        Ok(())
    }

    /// Replaces the subscription by another one under the same number.
    fn change_wish(&mut self, i: usize) -> Result<(), String> {
        if self.listeners[i].link.is_none() {
            return Ok(());
        }
        self.publisher.flush(self.clock.now());
        self.listeners[i].wish = self.chance.below(WISHES.len());
        self.subscribe(i)
    }

    fn subscribe(&mut self, i: usize) -> Result<(), String> {
        let now = self.clock.now();
        let listener = &mut self.listeners[i];
        let (filter, window) = WISHES[listener.wish];
        let filter = Filter::new(filter).unwrap();
        let wish = Subscribe { window, ..Subscribe::new(1, filter.clone()) };
        let link = listener.link.as_mut().unwrap();
        let Answer::Subscribed { heads, .. } = answer(link.call(now, Call::Subscribe(Box::new(wish)))) else {
            return Err(format!("listener {i} may not subscribe"));
        };
        listener.life += 1;
        listener.number = 0;
        listener.missed = 0;
        listener.got = 0;
        listener.due_from = 0;
        listener.expected.clear();
        listener.positions = heads.iter().map(|p| ((p.space.0, p.lane), *p)).collect();
        for (topic, published) in &self.published {
            if !filter.matches(topic) {
                continue;
            }
            let journal = match topic.as_str().as_bytes()[0] {
                b'k' => Some(&self.journals[0]),
                b's' => Some(&self.journals[1]),
                _ => None,
            };
            // In a kept space "now" is the newest safe record.
            let seen = journal.map_or(*published, |j| {
                use crate::store::{Journal, PageSize, Range};
                let all = PageSize { records_max: usize::MAX, bytes_max: usize::MAX };
                let page = now_or_never(j.history(topic, Range::Newest, all)).unwrap();
                page.records.len() as u64
            });
            listener.expected.insert(topic.clone(), seen + 1);
            if !topic.as_str().starts_with('k') {
                listener.due_from += seen;
            }
        }
        Ok(())
    }

    fn ack(&mut self, i: usize) {
        let now = self.clock.now();
        let listener = &mut self.listeners[i];
        let Some(link) = &mut listener.link else { return };
        if listener.number > 0 {
            drop(link.call(now, Call::Ack(1, Acked::Number(listener.number))));
        }
        for position in listener.positions.values() {
            drop(link.call(now, Call::Ack(1, Acked::Position(*position))));
        }
    }
}

impl Listener {
    fn check(&mut self, i: usize, record: &Record) -> Result<(), String> {
        let topic = &record.message.topic;
        let Some(next) = self.expected.get_mut(topic) else {
            return Err(format!("listener {i} never asked for {topic}"));
        };
        let number: u64 = std::str::from_utf8(&record.message.body).unwrap().parse().unwrap();
        let strict = topic.as_str().starts_with('k');
        if number < *next || (strict && number > *next) {
            return Err(format!("listener {i} got {topic} {number}, expected {next}"));
        }
        *next = number + 1;
        if !strict {
            self.got += 1;
        }
        if let Some(position) = record.position {
            self.positions.insert((position.space.0, position.lane), position);
        }
        Ok(())
    }
}

fn hello(resume: Option<Resume>, keep: Duration) -> Call {
    let credentials = Credentials::Password { user: "listener".into(), password: "".into() };
    Call::Hello(Box::new(Hello { credentials, resume, keep, ..Hello::default() }))
}
