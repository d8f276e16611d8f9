//! Messages for later: kept, published at their time and once.

use std::{
    future::Future,
    net::{IpAddr, Ipv4Addr},
    pin::pin,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    task::{Context, Waker},
    time::Instant,
};

use futures_util::future::BoxFuture;
use yizhan_talk::{Backend as _, Clock};

use super::*;
use crate::{
    access::{Open, Peer},
    hub::{Limits, Options, Work},
    link::Call,
    live::Link,
    memory::Memory,
    message::Record,
    space::{Dedup, Keep, Lag, Limits as Kept, Space},
    store::Journal,
    topic::Filter,
};

struct Hands {
    start: Instant,
    millis: AtomicU64,
}

impl Clock for Hands {
    fn now(&self) -> Now {
        let millis = self.millis.load(SeqCst);
        let wall = Timestamp::from_millis(1_000_000 + millis);
        Now { steady: self.start + Duration::from_millis(millis), wall }
    }
}

/// A store in memory whose table of delayed messages can fail to remove.
struct Frail {
    memory: Memory,
    stuck: Arc<AtomicBool>,
    full: Arc<AtomicBool>,
}

struct Stuck {
    table: Arc<dyn Table>,
    stuck: Arc<AtomicBool>,
    full: Arc<AtomicBool>,
}

impl Store for Frail {
    fn journal<'a>(&'a self, space: &'a Space) -> BoxFuture<'a, Result<Arc<dyn Journal>, StoreError>> {
        self.memory.journal(space)
    }
    fn table(&self, name: &'static str) -> Result<Arc<dyn Table>, StoreError> {
        let table = self.memory.table(name)?;
        if name != "delayed" {
            return Ok(table);
        }
        Ok(Arc::new(Stuck { table, stuck: self.stuck.clone(), full: self.full.clone() }))
    }
}

impl Table for Stuck {
    fn get<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, Result<Option<(Bytes, u64)>, StoreError>> {
        self.table.get(key)
    }
    fn put<'a>(
        &'a self,
        key: &'a [u8],
        value: Option<Bytes>,
        expect: Expect,
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        if value.is_none() && self.stuck.load(SeqCst) || value.is_some() && self.full.load(SeqCst) {
            return Box::pin(std::future::ready(Err(StoreError::Full)));
        }
        self.table.put(key, value, expect)
    }
    fn put_all(&self, rows: Vec<(Bytes, Option<Bytes>)>) -> BoxFuture<'_, Result<(), StoreError>> {
        let (stuck, full) = (self.stuck.load(SeqCst), self.full.load(SeqCst));
        if rows.iter().any(|(_, value)| if value.is_none() { stuck } else { full }) {
            return Box::pin(std::future::ready(Err(StoreError::Full)));
        }
        self.table.put_all(rows)
    }
    fn get_many(&self, keys: Vec<Bytes>) -> BoxFuture<'_, Result<Vec<Option<Bytes>>, StoreError>> {
        self.table.get_many(keys)
    }
    fn peek(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.table.peek(key)
    }
    fn scan<'a>(
        &'a self,
        prefix: &'a [u8],
        after: Option<&'a [u8]>,
        rows_max: usize,
    ) -> BoxFuture<'a, Result<Vec<(Bytes, Bytes)>, StoreError>> {
        self.table.scan(prefix, after, rows_max)
    }
}

/// A server that can be killed.
struct World {
    store: Arc<Frail>,
    clock: Arc<Hands>,
    limits: Limits,
    hub: Hub,
    work: Work,
    link: Link,
}

fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("this waits for nothing"),
    }
}

fn open(store: &Arc<Frail>, clock: &Arc<Hands>, limits: Limits) -> (Hub, Work, Link) {
    let space = |name: &str, keep| Space {
        name: name.into(),
        topics: Filter::new(&format!("{name}/#")).unwrap(),
        keep,
        lag: Lag::CatchUp,
        dedup: Dedup { age_max: Duration::from_secs(60), ids_max: 1000 },
        lanes: 1,
    };
    let options = Options {
        spaces: vec![space("kept", Keep::Disk(Kept::NONE)), space("live", Keep::Nothing)],
        limits,
        store: store.clone(),
        access: Arc::new(Open),
        clock: clock.clone(),
        random: Arc::new(|| 7),
    };
    let (hub, work) = ready(Hub::open(options)).unwrap();
    let peer = Peer { address: IpAddr::V4(Ipv4Addr::LOCALHOST), door: "test", secure: false };
    let mut link = hub.link(peer);
    let Called::Later(opened) = link.call(clock.now(), Call::Hello(Box::default())) else {
        panic!("hello is answered later")
    };
    assert!(matches!(ready(opened), Answer::Opened(_)));
    (hub, work, link)
}

impl World {
    fn new() -> Self {
        Self::with(Limits::default())
    }

    fn with(limits: Limits) -> Self {
        let (stuck, full) = (Arc::default(), Arc::default());
        let store = Arc::new(Frail { memory: Memory::new(1), stuck, full });
        let clock = Arc::new(Hands { start: Instant::now(), millis: AtomicU64::new(0) });
        let (hub, work, link) = open(&store, &clock, limits);
        Self { store, clock, limits, hub, work, link }
    }

    fn kill(&mut self) {
        (self.hub, self.work, self.link) = open(&self.store, &self.clock, self.limits);
    }

    /// Time passes as the server sees it: it sleeps until something is due, and ticks.
    fn wait(&mut self, millis: u64) {
        let until = self.clock.millis.load(SeqCst) + millis;
        loop {
            self.turn();
            let now = self.clock.millis.load(SeqCst);
            let due = self.hub.until_due().map(|due| now + due.as_micros().div_ceil(1000) as u64);
            let Some(due) = due.filter(|due| *due <= until) else { break };
            self.clock.millis.store(due, SeqCst);
            self.hub.tick();
        }
        self.clock.millis.store(until, SeqCst);
        self.hub.maintain();
        self.turn();
    }

    fn turn(&mut self) {
        for _ in 0..100 {
            assert!(self.work.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
    }

    fn publish(&mut self, topic: &str, body: &str, delay_ms: u64) -> Answer {
        self.publish_as(topic, body, delay_ms, |publish| publish)
    }

    fn publish_as(
        &mut self,
        topic: &str,
        body: &str,
        delay_ms: u64,
        with: impl FnOnce(Publish) -> Publish,
    ) -> Answer {
        let publish = Publish::new(Topic::new(topic).unwrap(), Bytes::copy_from_slice(body.as_bytes()));
        let publish = with(Publish { delay: Some(Duration::from_millis(delay_ms)), ..publish });
        let called = self.link.call(self.clock.now(), Call::Publish(publish));
        self.link.flush(self.clock.now());
        match called {
            Called::Done(answer) => answer,
            Called::Later(answer) => ready(answer),
        }
    }

    fn kept(&mut self) -> Vec<Arc<Record>> {
        let slot = self.hub.inner.spaces.iter().find(|slot| slot.space.name == "kept").unwrap();
        let journal = slot.journal.clone().unwrap();
        let all = PageSize { records_max: 10_000, bytes_max: usize::MAX };
        let heads = journal.heads();
        let from = crate::message::Position { offset: 0, ..heads[0] };
        ready(journal.read(from, &Filter::new("kept/#").unwrap(), all)).unwrap().records
    }

    fn bodies(&mut self) -> Vec<String> {
        let kept = self.kept();
        kept.iter().map(|r| String::from_utf8(r.message.body.to_vec()).unwrap()).collect()
    }

    fn waiting(&self) -> Vec<DelayedView> {
        ready(self.hub.delayed(None, 100_000)).unwrap()
    }
}

fn is_taken(answer: &Answer) -> bool {
    let Answer::Published(receipt) = answer else { return false };
    receipt.position.is_none() && receipt.seq == 0 && receipt.durability == Durability::Disk
}

#[test]
fn messages_are_published_at_their_time_in_the_order_of_moments() {
    let mut world = World::new();
    for (body, delay) in [("late", 5000), ("soon", 1000), ("same", 1000), ("middle", 3000)] {
        assert!(is_taken(&world.publish("kept/a", body, delay)));
    }
    assert_eq!(world.hub.delayed_count(), 4);
    world.wait(999);
    assert_eq!(world.bodies(), Vec::<String>::new());
    world.wait(1);
    assert_eq!(world.bodies(), ["soon", "same"]);
    world.wait(10_000);
    assert_eq!(world.bodies(), ["soon", "same", "middle", "late"]);
    let at: Vec<u64> = world.kept().iter().map(|r| r.at.as_millis() - 1_000_000).collect();
    assert_eq!(at, [1000, 1000, 3000, 5000]);
    assert_eq!((world.hub.delayed_count(), world.waiting().len()), (0, 0));
    assert_eq!(world.hub.until_due(), None);
}

#[test]
fn a_last_message_with_a_delay_waits_once_it_is_said() {
    let mut world = World::new();
    let peer = Peer { address: IpAddr::V4(Ipv4Addr::LOCALHOST), door: "test", secure: false };
    let mut link = world.hub.link(peer);
    let publish = Publish::new(Topic::new("kept/will").unwrap(), "gone".into());
    let publish = Publish { delay: Some(Duration::from_secs(5)), ..publish };
    let last_message = Some(crate::link::LastMessage { publish, delay: None });
    let hello = crate::link::Hello { last_message, ..Default::default() };
    let Called::Later(opened) = link.call(world.clock.now(), Call::Hello(Box::new(hello))) else {
        panic!("hello is answered later")
    };
    assert!(matches!(ready(opened), Answer::Opened(_)));
    drop(link);
    world.wait(1000);
    assert_eq!((world.hub.delayed_count(), world.waiting().len(), world.bodies().len()), (1, 1, 0));
    world.kill();
    world.wait(4000);
    assert_eq!((world.bodies(), world.hub.delayed_count()), (vec!["gone".to_owned()], 0));
}

#[test]
fn no_delay_is_published_at_once() {
    let mut world = World::new();
    let answer = world.publish("kept/a", "now", 0);
    assert!(matches!(answer, Answer::Published(Receipt { position: Some(_), seq: 1, .. })));
}

#[test]
fn who_sleeps_is_told_of_an_earlier_moment() {
    let mut world = World::new();
    world.publish("kept/a", "late", 60_000);
    assert_eq!(world.hub.until_due(), Some(Duration::from_secs(60)));
    let hub = world.hub.clone();
    let mut sooner = pin!(hub.due_sooner());
    let cx = &mut Context::from_waker(Waker::noop());
    assert!(sooner.as_mut().poll(cx).is_pending());
    world.publish("kept/a", "later", 70_000);
    assert!(sooner.as_mut().poll(cx).is_pending());
    world.publish("kept/a", "soon", 100);
    assert!(sooner.as_mut().poll(cx).is_ready());
    assert_eq!(world.hub.until_due(), Some(Duration::from_millis(100)));
    // Told once.
    assert!(pin!(world.hub.due_sooner()).poll(cx).is_pending());
}

#[test]
fn what_waits_survives_a_restart_and_what_is_overdue_comes_first() {
    let mut world = World::new();
    let headers: crate::message::Headers = vec![("a".into(), "1".into())].into();
    world.publish("kept/a", "third", 90_000);
    world.publish_as("kept/a", "second", 20_000, |p| Publish { headers, key: Some("k".into()), ..p });
    world.publish("kept/b", "first", 10_000);
    let session = world.waiting()[0].from.session;
    world.clock.millis.store(30_000, SeqCst);
    world.kill();
    assert_eq!(world.hub.delayed_count(), 3);
    assert_eq!(world.hub.until_due(), Some(Duration::ZERO));
    world.wait(1);
    assert_eq!(world.bodies(), ["first", "second"]);
    world.kill();
    world.wait(100_000);
    assert_eq!(world.bodies(), ["first", "second", "third"]);
    let second = world.kept()[1].clone();
    assert_eq!(second.message.key.as_deref(), Some("k"));
    assert_eq!(second.message.headers.len(), 1);
    assert_eq!(second.message.from.session, session);
}

#[test]
fn a_crash_between_publishing_and_removing_publishes_once() {
    for away_ms in [10, 3_600_000] {
        let mut world = World::new();
        for n in 0..40 {
            world.publish("kept/a", &n.to_string(), 1000);
        }
        world.store.stuck.store(true, SeqCst);
        world.wait(1000);
        // The first step is published, and nothing could be removed.
        assert_eq!((world.bodies().len(), world.hub.delayed_count()), (STEP_FIRST, 40));
        world.clock.millis.fetch_add(away_ms, SeqCst);
        world.store.stuck.store(false, SeqCst);
        world.kill();
        world.wait(1);
        let want: Vec<String> = (0..40).map(|n| n.to_string()).collect();
        assert_eq!(world.bodies(), want, "away for {away_ms} ms");
        assert_eq!(world.hub.delayed_count(), 0);
    }
}

#[test]
fn a_store_that_fails_is_tried_again() {
    let mut world = World::new();
    world.publish("kept/a", "one", 1000);
    world.store.stuck.store(true, SeqCst);
    world.wait(5000);
    world.store.stuck.store(false, SeqCst);
    world.wait(1000);
    assert_eq!((world.bodies().len(), world.hub.delayed_count()), (1, 0));
}

#[test]
fn what_cannot_be_kept_is_refused_and_costs_no_room() {
    let mut world = World::with(Limits { delayed_max: 1, ..Limits::default() });
    world.store.full.store(true, SeqCst);
    for _ in 0..3 {
        let answer = world.publish("kept/a", "x", 1000);
        assert!(matches!(answer, Answer::Refused(Refused::Store(StoreError::Full))), "{answer:?}");
    }
    world.store.full.store(false, SeqCst);
    assert!(is_taken(&world.publish("kept/a", "x", 1000)));
}

#[test]
fn too_many_and_too_long_are_refused_and_a_cancelled_one_makes_room() {
    let limits = Limits { delayed_max: 2, delay_max: Duration::from_secs(60), ..Limits::default() };
    let mut world = World::with(limits);
    let answer = world.publish("kept/a", "x", 60_001);
    assert!(matches!(answer, Answer::Refused(Refused::DelayTooLong(max)) if max == limits.delay_max));
    world.publish("kept/a", "a", 1000);
    world.publish("kept/a", "b", 60_000);
    assert!(matches!(world.publish("kept/a", "c", 1000), Answer::Refused(Refused::TooManyDelayed(2))));
    let waiting = world.waiting();
    assert_eq!(waiting[0].id.to_string().parse(), Ok(waiting[0].id));
    assert_eq!((waiting[0].bytes, waiting[0].due.as_millis()), (1, 1_001_000));
    assert_eq!(ready(world.hub.cancel_delayed(waiting[0].id)), Ok(true));
    assert_eq!(ready(world.hub.cancel_delayed(waiting[0].id)), Ok(false));
    assert!(is_taken(&world.publish("kept/a", "c", 2000)));
    world.wait(60_000);
    assert_eq!(world.bodies(), ["c", "b"]);
}

#[test]
fn a_message_is_checked_when_it_is_taken() {
    let mut world = World::new();
    let big = "x".repeat(2 << 20);
    assert!(matches!(world.publish("kept/a", &big, 1000), Answer::Refused(Refused::TooLarge { .. })));
    assert!(matches!(world.publish("nowhere", "x", 1000), Answer::Refused(Refused::NoSpace(_))));
    assert_eq!(world.hub.delayed_count(), 0);
}

#[test]
fn expiry_counts_from_when_it_is_published() {
    let mut world = World::new();
    let expires_in = Some(Duration::from_secs(5));
    world.publish_as("kept/a", "x", 10_000, |publish| Publish { expires_in, ..publish });
    world.wait(10_000);
    let record = world.kept()[0].clone();
    assert_eq!(record.message.expires_at, Some(record.at.plus(Duration::from_secs(5))));
}

#[test]
fn a_message_with_its_senders_id_is_published_once_though_it_was_sent_twice() {
    let mut world = World::new();
    for _ in 0..2 {
        world.publish_as("kept/a", "x", 1000, |publish| Publish { id: Some("7".into()), ..publish });
        world.wait(10);
    }
    world.wait(5000);
    assert_eq!((world.bodies().len(), world.hub.delayed_count()), (1, 0));
}

#[test]
fn many_are_listed_in_pages_and_published_in_steps() {
    let mut world = World::new();
    for n in 0..1000_u64 {
        world.publish("kept/a", &n.to_string(), 1000 + n);
    }
    world.kill();
    assert_eq!(world.hub.delayed_count(), 1000);
    let some = ready(world.hub.delayed(None, 150)).unwrap();
    let next = ready(world.hub.delayed(Some(some[149].id), 1)).unwrap();
    assert_eq!((some.len(), next[0].due.as_millis()), (150, 1_000_000 + 1150));
    world.wait(5000);
    let want: Vec<String> = (0..1000).map(|n| n.to_string()).collect();
    assert_eq!(world.bodies(), want);
}

#[test]
fn a_row_reads_back_and_a_torn_one_does_not() {
    let mut world = World::new();
    world.publish_as("live/a", "x", 1000, |p| Publish { expires_in: Some(Duration::ZERO), ..p });
    let rows = ready(world.hub.inner.delayed.table.scan(b"", None, 1)).unwrap();
    let bytes = &rows[0].1;
    assert_eq!(Row::from_bytes(bytes).unwrap().to_bytes(), *bytes);
    for cut in 0..bytes.len() {
        assert!(Row::from_bytes(&bytes[..cut]).is_none(), "{cut}");
    }
    for bad in ["", "0", &"g".repeat(32), &"0".repeat(33)] {
        assert_eq!(bad.parse::<DelayedId>(), Err(BadPosition), "{bad}");
    }
}

#[test]
fn rows_that_cannot_be_read_are_dropped_and_stop_nobody() {
    let mut world = World::new();
    let table = world.hub.inner.delayed.table.clone();
    ready(table.put(b"\0short", Some(Bytes::from_static(b"x")), Expect::Any)).unwrap();
    ready(table.put(&[0; 16], Some(Bytes::from_static(&[9, 9])), Expect::Any)).unwrap();
    world.kill();
    world.publish("kept/a", "x", 1000);
    world.wait(5000);
    assert_eq!((world.bodies().len(), world.waiting().len()), (1, 0));
}
