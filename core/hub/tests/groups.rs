//! Groups with real threads: publishers, members that vanish and come back, savers, and the hub's own work.

#![allow(clippy::disallowed_methods, reason = "tests have clocks and tasks of their own")]

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    net::{IpAddr, Ipv4Addr},
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};

use yizhan_hub::{
    Answer, Call, Credentials, Delivery, Filter, Hello, Hub, HubLimits, Keep, Lag, Limits, Link, Options,
    Peer, Qos, Space, Topic,
    access::Open,
    link::{Acked, Deal, Group, Name, Publish, Subscribe},
    memory::Memory,
    space::Dedup,
};
use yizhan_talk::{Backend, Called, Clock, Now, Timestamp};

const PUBLISHERS: u64 = 3;
const MEMBERS: u64 = 5;
const MESSAGES: u64 = 3000;
const WINDOW: u32 = 8;
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

fn come(hub: &Hub, user: &str, keep: Duration) -> (Link, bool) {
    let mut link = hub.link(PEER);
    let credentials = Credentials::Password { user: user.into(), password: "".into() };
    let name = Some(Name { name: "test".into(), fresh: false });
    let hello = Hello { credentials, name, keep, ..Hello::default() };
    let Answer::Opened(opened) = call(&mut link, Call::Hello(Box::new(hello))) else { panic!("not let in") };
    (link, opened.resumed)
}

fn open() -> Hub {
    let space = Space {
        name: "k".into(),
        topics: Filter::new("k/#").expect("a filter"),
        keep: Keep::Memory(Limits::NONE),
        lag: Lag::CatchUp,
        dedup: Dedup::default(),
        lanes: 2,
    };
    let ids = AtomicU64::new(1);
    let (hub, work) = wait(Hub::open(Options {
        spaces: vec![space],
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

/// What all members together know.
#[derive(Default)]
struct Ledger {
    /// Who was given a message that is to come once.
    once: BTreeMap<u64, u64>,
    acked: BTreeSet<u64>,
}

fn publish(hub: &Hub, publisher: u64) {
    let (mut link, _) = come(hub, &format!("publisher{publisher}"), Duration::ZERO);
    for i in 0..MESSAGES {
        let id = publisher * MESSAGES + i;
        let qos = if id.is_multiple_of(2) { Qos::ExactlyOnce } else { Qos::AtLeastOnce };
        let topic = Topic::new(&format!("k/{publisher}")).expect("a topic");
        let answer =
            call(&mut link, Call::Publish(Publish { qos, ..Publish::new(topic, id.to_string().into()) }));
        assert!(matches!(answer, Answer::Published(_)), "{answer:?}");
    }
}

fn wish(deal: Deal) -> Call {
    let group = Some(Group { name: "g".into(), deal, window: WINDOW });
    Call::Subscribe(Box::new(Subscribe { group, ..Subscribe::new(1, Filter::new("k/#").expect("a filter")) }))
}

fn work(hub: &Hub, me: u64, deal: Deal, ledger: &Mutex<Ledger>, ready: &AtomicU64) {
    let mut chance = me;
    let due = (PUBLISHERS * MESSAGES) as usize;
    while ledger.lock().expect("whole").acked.len() < due {
        let (mut link, resumed) = come(hub, &format!("member{me}"), Duration::from_secs(600));
        if !resumed {
            assert!(matches!(call(&mut link, wish(deal)), Answer::Subscribed { .. }));
            ready.fetch_add(1, SeqCst);
        }
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut polls = 20 + (chance >> 33) % 300;
        let waker = Waker::from(Arc::new(Parked(thread::current())));
        let (mut taken, mut out) = (Vec::new(), Vec::new());
        while polls > 0 && ledger.lock().expect("whole").acked.len() < due {
            polls -= 1;
            match link.poll_deliveries(&mut Context::from_waker(&waker), System.now(), &mut taken, 16) {
                Poll::Ready(()) => {
                    for delivery in taken.drain(..) {
                        let Delivery::Record { number, record, .. } = delivery else {
                            panic!("{delivery:?}")
                        };
                        let body = std::str::from_utf8(&record.message.body).expect("digits");
                        let id: u64 = body.parse().expect("digits");
                        let mut ledger = ledger.lock().expect("whole");
                        if record.message.qos == Qos::ExactlyOnce {
                            assert_eq!(*ledger.once.entry(id).or_insert(me), me, "{id} is one member's");
                            assert!(!ledger.acked.contains(&id), "{id} again, which was acked");
                        }
                        out.push((number, id));
                    }
                    assert!(out.len() <= WINDOW as usize, "{out:?}");
                }
                Poll::Pending => thread::park_timeout(Duration::from_millis(5)),
            }
            while out.len() > (polls % 5) as usize {
                let (number, id) = out.swap_remove(polls as usize % out.len());
                ledger.lock().expect("whole").acked.insert(id);
                call(&mut link, Call::Ack(1, Acked::One(number)));
                if polls.is_multiple_of(11) {
                    assert!(matches!(call(&mut link, Call::Save), Answer::Done));
                }
            }
        }
        // The link goes without a goodbye, and with it what was not acked.
    }
}

#[test]
fn members_on_threads_share_everything_and_what_is_to_come_once_does() {
    for deal in [Deal::RoundRobin, Deal::LeastInflight, Deal::HashSender, Deal::Sticky] {
        let hub = open();
        let (ledger, ready) = (Mutex::default(), AtomicU64::new(0));
        thread::scope(|scope| {
            for me in 1..=MEMBERS {
                let (hub, ledger, ready) = (&hub, &ledger, &ready);
                scope.spawn(move || work(hub, me, deal, ledger, ready));
            }
            while ready.load(SeqCst) < MEMBERS {
                thread::yield_now();
            }
            for publisher in 0..PUBLISHERS {
                let hub = &hub;
                scope.spawn(move || publish(hub, publisher));
            }
        });
        let view = &hub.groups()[0];
        assert_eq!((view.members as u64, view.missed), (MEMBERS, 0));
    }
}
