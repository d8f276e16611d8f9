//! Saved sessions that nobody came back to are forgotten; others stay.

#![allow(clippy::disallowed_methods, reason = "a test is its own world: it tells the time")]

use std::{
    future::Future,
    net::{IpAddr, Ipv4Addr},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use yizhan_hub::{Answer, Call, Hello, Hub, HubLimits, Options, Peer, Store, access::Open, memory::Memory};
use yizhan_talk::{Backend, Called, Clock, Now, Timestamp};

struct Hands {
    start: Instant,
    seconds: AtomicU64,
}

impl Clock for Hands {
    fn now(&self) -> Now {
        let seconds = self.seconds.load(SeqCst);
        Now { steady: self.start + Duration::from_secs(seconds), wall: Timestamp((1 + seconds) * 1_000_000) }
    }
}

fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("memory waits for nothing"),
    }
}

fn open(store: &Arc<Memory>, clock: &Arc<Hands>) -> Hub {
    let ids = AtomicU64::new(clock.seconds.load(SeqCst) + 1);
    let options = Options {
        spaces: vec![],
        limits: HubLimits::default(),
        store: store.clone(),
        access: Arc::new(Open),
        clock: clock.clone(),
        random: Arc::new(move || u128::from(ids.fetch_add(1, SeqCst))),
    };
    ready(Hub::open(options)).expect("memory opens").0
}

fn come_in(hub: &Hub, keep: u64) {
    let peer = Peer { address: IpAddr::V4(Ipv4Addr::LOCALHOST), door: "test", secure: false };
    let mut link = hub.link(peer);
    let hello = Hello { keep: Duration::from_secs(keep), ..Hello::default() };
    let Called::Later(answer) = link.call(hub.now(), Call::Hello(Box::new(hello))) else {
        panic!("hello waits")
    };
    assert!(matches!(ready(answer), Answer::Opened(_)));
}

#[test]
fn what_nobody_came_back_to_is_forgotten() {
    let store = Arc::new(Memory::new(1));
    let clock = Arc::new(Hands { start: Instant::now(), seconds: AtomicU64::new(0) });
    let hub = open(&store, &clock);
    come_in(&hub, 60);
    come_in(&hub, 7200);
    ready(hub.save()).expect("memory saves");
    drop(hub);
    let saved = || {
        let table = store.table("sessions").expect("memory has tables");
        ready(table.scan(b"", None, 10)).expect("memory scans").len()
    };
    clock.seconds.store(3600, SeqCst);
    assert_eq!(saved(), 2);
    ready(open(&store, &clock).purge()).expect("memory purges");
    assert_eq!(saved(), 1);
}
