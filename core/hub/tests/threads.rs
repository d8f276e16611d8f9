//! Real threads: publishers, listeners that vanish and come back, and the hub's own work, all at once.
//!
//! The simulator owns every interleaving of whole steps; here steps themselves overlap.

#![allow(clippy::disallowed_methods, reason = "tests have clocks and tasks of their own")]

use std::{
    collections::BTreeMap,
    future::Future,
    net::{IpAddr, Ipv4Addr},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};

use yizhan_hub::{
    Answer, Call, Credentials, Delivery, Filter, Hello, Hub, HubLimits, Keep, Lag, Limits, Link, Options,
    Peer, Position, Record, Space, Topic,
    access::Open,
    link::{Acked, Have, Publish, Resume, Subscribe},
    memory::Memory,
    space::Dedup,
    store::Missed,
};
use yizhan_talk::{Backend, Called, Clock, Now, Timestamp};

const PUBLISHERS: usize = 3;
const MESSAGES: u64 = 4000;
const LISTENERS: usize = 6;
const PEER: Peer = Peer { address: IpAddr::V4(Ipv4Addr::LOCALHOST), door: "test", secure: false };

struct System;

impl Clock for System {
    fn now(&self) -> Now {
        Now { steady: Instant::now(), wall: Timestamp(1_700_000_000_000_000) }
    }
}

struct Parked(Thread);

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Parked(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park_timeout(Duration::from_secs(10)),
        }
    }
}

fn call(link: &mut Link, call: Call) -> Answer {
    let called = link.call(System.now(), call);
    link.flush(System.now());
    match called {
        Called::Done(answer) => answer,
        Called::Later(answer) => wait(answer),
    }
}

fn hello(keep: Duration, resume: Option<Resume>) -> Call {
    let credentials = Credentials::None;
    Call::Hello(Box::new(Hello { credentials, resume, keep, ..Hello::default() }))
}

fn open() -> Hub {
    let space = |name: &str, topics: &str, keep| Space {
        name: name.into(),
        topics: Filter::new(topics).expect("a filter"),
        keep,
        lag: if keep == Keep::Nothing { Lag::Skip } else { Lag::CatchUp },
        dedup: Dedup::default(),
        lanes: 2,
    };
    let ids = AtomicU64::new(1);
    let (hub, work) = wait(Hub::open(Options {
        spaces: vec![space("k", "k/#", Keep::Memory(Limits::NONE)), space("u", "u/#", Keep::Nothing)],
        limits: HubLimits { outbox_records_max: 64, ..HubLimits::default() },
        store: Arc::new(Memory::new(1)),
        access: Arc::new(Open),
        clock: Arc::new(System),
        random: Arc::new(move || u128::from(ids.fetch_add(1, SeqCst))),
    }))
    .expect("memory opens");
    thread::spawn(move || wait(work));
    hub
}

fn publish(hub: &Hub, publisher: usize) {
    let mut link = hub.link(PEER);
    call(&mut link, hello(Duration::ZERO, None));
    for number in 1..=MESSAGES {
        for family in ["k", "u"] {
            let answer = call(
                &mut link,
                Call::Publish(Publish::new(
                    Topic::new(&format!("{family}/{publisher}")).expect("a topic"),
                    number.to_string().into(),
                )),
            );
            assert!(matches!(answer, Answer::Published(_)), "{answer:?}");
        }
    }
}

/// What one listener knows.
#[derive(Default)]
struct Heard {
    number: u64,
    positions: BTreeMap<u16, Position>,
    next: BTreeMap<String, u64>,
    unkept: u64,
    missed: u64,
}

impl Heard {
    fn take(&mut self, delivery: &Delivery) {
        match delivery {
            Delivery::Record { number, record, .. } => self.take_record(*number, record),
            Delivery::Batch { number, batch, .. } => {
                for (number, record) in (*number..).zip(batch.records()) {
                    self.take_record(number, record);
                }
            }
            Delivery::Missed { missed: Missed::Count(n), .. } => {
                self.missed += n;
                self.number += n;
            }
            other => panic!("{other:?}"),
        }
    }

    fn take_record(&mut self, number: u64, record: &Record) {
        assert!(number > self.number, "numbers grow");
        self.number = number;
        let topic = record.message.topic.as_str();
        let text = std::str::from_utf8(&record.message.body).expect("digits");
        let found: u64 = text.parse().expect("digits");
        let next = self.next.entry(topic.to_owned()).or_insert(1);
        if topic.starts_with('k') {
            assert_eq!(found, *next, "{topic}: each once and in order");
        } else {
            assert!(found >= *next, "{topic}: none twice");
            self.unkept += 1;
        }
        *next = found + 1;
        if let Some(position) = record.position {
            self.positions.insert(position.lane, position);
        }
    }

    fn is_complete(&self) -> bool {
        let due = MESSAGES * PUBLISHERS as u64;
        let kept = |p| self.next.get(&format!("k/{p}")) == Some(&(MESSAGES + 1));
        (0..PUBLISHERS).all(kept) && self.unkept + self.missed >= due
    }
}

fn listen(hub: &Hub, seed: u64, ready: &AtomicU64) {
    let mut chance = seed;
    let mut heard = Heard::default();
    let mut session: Option<(yizhan_hub::SessionId, Arc<str>)> = None;
    while !heard.is_complete() {
        let mut link = hub.link(PEER);
        let resume = session.clone().map(|(session, secret)| Resume {
            session,
            secret,
            have: vec![Have {
                subscription: 1,
                number: Some(heard.number),
                positions: heard.positions.values().copied().collect(),
            }],
        });
        let Answer::Opened(opened) = call(&mut link, hello(Duration::from_secs(600), resume)) else {
            panic!("not let in")
        };
        for (_, _, missed) in &opened.subscriptions {
            let Missed::Count(n) = missed else { panic!("{missed:?}") };
            heard.missed += n;
            heard.number += n;
        }
        if session.is_none() {
            let filter = Filter::new("+/+").expect("a filter");
            let wish = Subscribe::new(1, filter);
            let Answer::Subscribed { heads, .. } = call(&mut link, Call::Subscribe(Box::new(wish))) else {
                panic!("not subscribed")
            };
            heard.positions = heads.iter().map(|p| (p.lane, *p)).collect();
            ready.fetch_add(1, SeqCst);
        }
        session = Some((opened.session, opened.secret.clone()));
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut polls = 20 + (chance >> 33) % 400;
        let waker = Waker::from(Arc::new(Parked(thread::current())));
        let mut taken = Vec::new();
        while polls > 0 && !heard.is_complete() {
            polls -= 1;
            match link.poll_deliveries(&mut Context::from_waker(&waker), System.now(), &mut taken, 16) {
                Poll::Ready(()) => taken.drain(..).for_each(|d| heard.take(&d)),
                Poll::Pending => thread::park_timeout(Duration::from_millis(50)),
            }
            if polls.is_multiple_of(7) {
                call(&mut link, Call::Ack(1, Acked::Number(heard.number)));
            }
        }
        // The link goes without a goodbye; half of what it took last may never have arrived.
    }
    assert_eq!(heard.unkept + heard.missed, MESSAGES * PUBLISHERS as u64);
}

#[test]
fn everybody_has_everything_once_with_threads_too() {
    let hub = open();
    let ready = AtomicU64::new(0);
    thread::scope(|scope| {
        for i in 0..LISTENERS {
            let (hub, ready) = (&hub, &ready);
            scope.spawn(move || listen(hub, i as u64 + 1, ready));
        }
        while ready.load(SeqCst) < LISTENERS as u64 {
            thread::yield_now();
        }
        for i in 0..PUBLISHERS {
            let hub = &hub;
            scope.spawn(move || publish(hub, i));
        }
    });
}
