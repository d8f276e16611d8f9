//! Sessions by name: taken over, asleep, woken after a restart, with what their door remembers and what they
//! say when their client is gone.

#![allow(clippy::disallowed_methods, reason = "a test is its own world: it tells the time")]

use std::{
    future::Future,
    net::{IpAddr, Ipv4Addr},
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::Bytes;
use yizhan_hub::{
    Answer, Call, Delivery, Filter, Hello, Hub, HubLimits, Keep, Keepsake, Lag, Limits, Link, Options, Peer,
    Qos, Refused, Space, Topic, Work,
    access::Open,
    link::{Acked, Kept, LastMessage, Name, Opened, Publish, Start, Subscribe},
    memory::Memory,
    space::Dedup,
};
use yizhan_talk::{Backend, Called, Clock, Close, Now, Timestamp};

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

#[derive(Debug, Default)]
struct Note(Mutex<String>);

impl Keepsake for Note {
    fn to_bytes(&self) -> Bytes {
        self.0.lock().unwrap().clone().into()
    }
}

/// A server that can be killed: what is not saved then is gone.
struct World {
    store: Arc<Memory>,
    clock: Arc<Hands>,
    hub: Hub,
    work: Work,
}

impl World {
    fn new() -> Self {
        let store = Arc::new(Memory::new(1));
        let clock = Arc::new(Hands { start: Instant::now(), seconds: AtomicU64::new(0) });
        let (hub, work) = open(&store, &clock);
        Self { store, clock, hub, work }
    }

    fn kill(&mut self) {
        (self.hub, self.work) = open(&self.store, &self.clock);
        now_or_never(self.hub.purge()).unwrap().unwrap();
    }

    fn wait(&mut self, seconds: u64) {
        self.clock.seconds.fetch_add(seconds, SeqCst);
        self.hub.maintain();
        self.turn();
    }

    fn turn(&mut self) {
        for _ in 0..4 {
            assert!(self.work.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
    }

    fn call(&mut self, link: &mut Link, call: Call) -> Answer {
        let called = link.call(self.clock.now(), call);
        link.flush(self.clock.now());
        let mut answer = match called {
            Called::Done(answer) => return answer,
            Called::Later(answer) => answer,
        };
        for _ in 0..10 {
            if let Poll::Ready(answer) = answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                self.turn();
                return answer;
            }
            self.turn();
        }
        panic!("no answer came");
    }

    fn link(&self) -> Link {
        self.hub.link(Peer { address: IpAddr::V4(Ipv4Addr::LOCALHOST), door: "test", secure: false })
    }

    fn come(&mut self, name: &str, hello: Hello) -> (Link, Opened) {
        self.come_as(name, false, hello)
    }

    fn come_as(&mut self, name: &str, fresh: bool, hello: Hello) -> (Link, Opened) {
        let mut link = self.link();
        let hello = Hello { name: Some(Name { name: name.into(), fresh }), ..hello };
        let Answer::Opened(opened) = self.call(&mut link, Call::Hello(Box::new(hello))) else {
            panic!("not let in")
        };
        (link, *opened)
    }

    fn publish(&mut self, topic: &str, body: &'static str, qos: Qos) {
        let (mut link, _) = self.come("publisher", Hello::default());
        let publish = Publish { qos, ..Publish::new(Topic::new(topic).unwrap(), body.into()) };
        assert!(matches!(self.call(&mut link, Call::Publish(publish)), Answer::Published(_)));
        self.call(&mut link, Call::Goodbye);
    }

    fn deliveries(&mut self, link: &mut Link) -> Vec<Delivery> {
        let (mut all, mut some) = (Vec::new(), Vec::new());
        let cx = &mut Context::from_waker(Waker::noop());
        for _ in 0..10 {
            self.turn();
            while link.poll_deliveries(cx, self.clock.now(), &mut some, 100).is_ready() {
                let over = some.iter().any(|d| matches!(d, Delivery::Leave(_)));
                all.append(&mut some);
                if over {
                    return all;
                }
            }
        }
        all
    }

    fn bodies(&mut self, link: &mut Link) -> Vec<String> {
        let mut bodies = Vec::new();
        for delivery in self.deliveries(link) {
            match delivery {
                Delivery::Record { record, .. } => bodies.push(record.clone()),
                Delivery::Batch { batch, .. } => bodies.extend(batch.records().iter().cloned()),
                _ => {}
            }
        }
        bodies.iter().map(|r| String::from_utf8(r.message.body.to_vec()).unwrap()).collect()
    }

    fn subscribe(&mut self, link: &mut Link, wish: Subscribe) -> Answer {
        self.call(link, Call::Subscribe(Box::new(wish)))
    }
}

fn now_or_never<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

fn open(store: &Arc<Memory>, clock: &Arc<Hands>) -> (Hub, Work) {
    let ids = AtomicU64::new(clock.seconds.load(SeqCst) * 1000 + 1);
    let space = |name: &str, topics: &str, keep| Space {
        name: name.into(),
        topics: Filter::new(topics).unwrap(),
        keep,
        lag: Lag::CatchUp,
        dedup: Dedup::default(),
        lanes: 1,
    };
    let options = Options {
        spaces: vec![space("kept", "k/#", Keep::Memory(Limits::NONE)), space("live", "#", Keep::Nothing)],
        limits: HubLimits::default(),
        store: store.clone(),
        access: Arc::new(Open),
        clock: clock.clone(),
        random: Arc::new(move || u128::from(ids.fetch_add(1, SeqCst))),
    };
    now_or_never(Hub::open(options)).unwrap().unwrap()
}

fn hour() -> Hello {
    Hello { keep: Duration::from_secs(3600), ..Hello::default() }
}

fn filter(text: &str) -> Filter {
    Filter::new(text).unwrap()
}

fn will(delay: Option<u64>) -> Option<LastMessage> {
    let publish = Publish::new(Topic::new("gone").unwrap(), "gone".into());
    Some(LastMessage { publish, delay: delay.map(Duration::from_secs) })
}

#[test]
fn a_name_goes_on_where_it_was_and_the_one_before_is_told() {
    let mut world = World::new();
    let (mut first, opened) = world.come("mqtt:a", hour());
    assert!(!opened.resumed);
    world.subscribe(&mut first, Subscribe::new(1, filter("k/#")));
    let (mut second, again) = world.come("mqtt:a", hour());
    assert!(again.resumed && again.session == opened.session);
    assert!(matches!(world.deliveries(&mut first)[..], [Delivery::Leave(Close { code: 4009, .. })]));
    drop(first);
    world.publish("k/1", "x", Qos::AtLeastOnce);
    assert_eq!(world.bodies(&mut second), ["x"]);
}

#[test]
fn a_fresh_start_ends_the_session_before() {
    let mut world = World::new();
    let (mut first, _) = world.come("mqtt:a", hour());
    world.subscribe(&mut first, Subscribe::new(1, filter("k/#")));
    let (mut second, opened) = world.come_as("mqtt:a", true, hour());
    assert!(!opened.resumed);
    assert!(matches!(world.deliveries(&mut first)[..], [Delivery::Leave(_)]));
    drop(first);
    world.publish("k/1", "x", Qos::AtLeastOnce);
    assert_eq!(world.bodies(&mut second), [""; 0]);
    // The older link's end has not taken the newer session's name with it.
    drop(second);
    assert!(world.come("mqtt:a", hour()).1.resumed);
}

#[test]
fn a_session_that_is_not_kept_ends_with_its_connection_and_is_not_gone_on_with() {
    let mut world = World::new();
    let (first, _) = world.come("mqtt:a", Hello::default());
    assert!(!world.come("mqtt:a", hour()).1.resumed);
    drop(first);
    world.turn();
    assert!(world.come("mqtt:a", Hello::default()).1.resumed);
    assert!(!world.come("mqtt:a", Hello::default()).1.resumed);
}

#[test]
fn names_of_different_users_do_not_meet() {
    let mut world = World::new();
    let as_user = |user: &str| Hello {
        credentials: yizhan_hub::Credentials::Password { user: user.into(), password: "".into() },
        ..hour()
    };
    let (mut ann, _) = world.come("mqtt:a", as_user("ann"));
    assert!(!world.come("mqtt:a", as_user("bob")).1.resumed);
    assert!(world.deliveries(&mut ann).is_empty());
    assert!(world.come("mqtt:a", as_user("ann")).1.resumed);
}

#[test]
fn what_was_saved_is_there_after_a_kill_with_the_keepsake() {
    let mut world = World::new();
    let note = Arc::new(Note::default());
    let (mut link, _) = world.come("mqtt:a", Hello { keepsake: Some(note.clone()), ..hour() });
    world.subscribe(&mut link, Subscribe { qos: Qos::AtLeastOnce, ..Subscribe::new(1, filter("k/#")) });
    *note.0.lock().unwrap() = "seven".into();
    assert!(matches!(world.call(&mut link, Call::Save), Answer::Done));
    world.publish("k/1", "while dead", Qos::AtLeastOnce);
    world.kill();
    let (mut again, opened) = world.come("mqtt:a", hour());
    assert!(opened.resumed);
    assert!(matches!(&opened.kept, Some(Kept::Saved(bytes)) if bytes == "seven"), "{:?}", opened.kept);
    assert_eq!(opened.subscriptions.len(), 1);
    assert_eq!(world.bodies(&mut again), ["while dead"]);
    // In the same process it is the very same one.
    opened.place.put(note);
    drop(again);
    let (_, opened) = world.come("mqtt:a", hour());
    assert!(matches!(&opened.kept, Some(Kept::Live(_))), "{:?}", opened.kept);
}

#[test]
fn a_restart_does_not_bring_back_a_session_after_its_time_or_with_a_fresh_start() {
    let mut world = World::new();
    drop(world.come("mqtt:a", hour()));
    drop(world.come("mqtt:b", hour()));
    world.turn();
    world.kill();
    assert!(!world.come_as("mqtt:a", true, hour()).1.resumed);
    world.wait(3601);
    assert!(!world.come("mqtt:b", hour()).1.resumed);
}

#[test]
fn a_last_message_waits_for_its_delay_and_a_return_takes_it_back() {
    let mut world = World::new();
    let (mut listener, _) = world.come("listener", hour());
    world.subscribe(&mut listener, Subscribe::new(1, filter("gone")));
    let (link, _) = world.come("mqtt:a", Hello { last_message: will(Some(10)), ..hour() });
    drop(link);
    world.wait(9);
    assert_eq!(world.bodies(&mut listener), [""; 0]);
    let (link, _) = world.come("mqtt:a", Hello { last_message: will(Some(10)), ..hour() });
    world.wait(30);
    assert_eq!(world.bodies(&mut listener), [""; 0]);
    drop(link);
    world.wait(11);
    assert_eq!(world.bodies(&mut listener), ["gone"]);
    assert!(world.come("mqtt:a", hour()).1.resumed, "the session itself lives on");
}

#[test]
fn a_last_message_without_delay_is_said_when_the_line_breaks_and_not_after_a_goodbye() {
    let mut world = World::new();
    let (mut listener, _) = world.come("listener", hour());
    world.subscribe(&mut listener, Subscribe::new(1, filter("gone")));
    let with_will = || Hello { last_message: will(Some(0)), ..hour() };
    drop(world.come("mqtt:a", with_will()));
    assert_eq!(world.bodies(&mut listener), ["gone"]);
    let (mut link, _) = world.come("mqtt:a", with_will());
    world.call(&mut link, Call::Rest { keep: None, say_last: false });
    assert_eq!(world.bodies(&mut listener), [""; 0]);
    let (mut link, opened) = world.come("mqtt:a", with_will());
    assert!(opened.resumed);
    world.call(&mut link, Call::Rest { keep: None, say_last: true });
    assert_eq!(world.bodies(&mut listener), ["gone"]);
    // Taken over: the connection before broke, too.
    let (_link, _) = world.come("mqtt:a", with_will());
    let (_over, _) = world.come("mqtt:a", hour());
    assert_eq!(world.bodies(&mut listener), ["gone"]);
}

#[test]
fn a_session_that_ends_says_its_last_message_whatever_its_delay() {
    let mut world = World::new();
    let (mut listener, _) = world.come("listener", hour());
    world.subscribe(&mut listener, Subscribe::new(1, filter("gone")));
    let ten = Hello { keep: Duration::from_secs(10), last_message: will(Some(60)), ..Hello::default() };
    drop(world.come("mqtt:a", ten));
    world.wait(11);
    assert_eq!(world.bodies(&mut listener), ["gone"]);
    let (mut link, _) = world.come("mqtt:a", Hello { last_message: will(Some(60)), ..hour() });
    world.call(&mut link, Call::Rest { keep: Some(Duration::ZERO), say_last: true });
    assert_eq!(world.bodies(&mut listener), ["gone"]);
    assert!(!world.come("mqtt:a", hour()).1.resumed);
}

#[test]
fn a_kill_does_not_take_last_messages_with_it_and_they_are_said_once() {
    let mut world = World::new();
    drop(world.come("mqtt:asleep", Hello { last_message: will(Some(60)), ..hour() }));
    let (mut live, _) = world.come("mqtt:live", Hello { last_message: will(Some(0)), ..hour() });
    world.call(&mut live, Call::Save);
    let (mut back, _) = world.come("mqtt:back", Hello { last_message: will(Some(0)), ..hour() });
    world.call(&mut back, Call::Save);
    world.kill();
    let (mut listener, _) = world.come("listener", hour());
    world.subscribe(&mut listener, Subscribe::new(1, filter("gone")));
    let _back = world.come("mqtt:back", hour());
    world.wait(11);
    assert_eq!(world.bodies(&mut listener), ["gone"], "the one that was live and did not come back");
    world.wait(60);
    assert_eq!(world.bodies(&mut listener), ["gone"], "the one that slept already");
    world.kill();
    let (mut listener, _) = world.come("listener", hour());
    world.wait(100);
    assert_eq!(world.bodies(&mut listener), [""; 0], "each only once");
}

#[test]
fn a_sleeper_collects_no_fleeting_records_where_nothing_is_kept() {
    let mut world = World::new();
    let (mut link, _) = world.come("mqtt:a", hour());
    world.subscribe(&mut link, Subscribe { qos: Qos::AtLeastOnce, ..Subscribe::new(1, filter("u/#")) });
    drop(link);
    world.publish("u/1", "fleeting", Qos::AtMostOnce);
    world.publish("u/1", "wanted", Qos::AtLeastOnce);
    let (mut link, _) = world.come("mqtt:a", hour());
    assert_eq!(world.bodies(&mut link), ["wanted"]);
    world.publish("u/1", "live", Qos::AtMostOnce);
    assert_eq!(world.bodies(&mut link), ["live"]);
}

#[test]
fn a_subscription_that_is_renewed_loses_nothing() {
    let mut world = World::new();
    let (mut link, _) = world.come("mqtt:a", hour());
    world.subscribe(&mut link, Subscribe::new(1, filter("#")));
    world.publish("k/1", "kept", Qos::AtLeastOnce);
    world.publish("u/1", "not kept", Qos::AtLeastOnce);
    let renewed = Subscribe { from: Start::Keep, qos: Qos::AtMostOnce, ..Subscribe::new(1, filter("#")) };
    assert!(matches!(world.subscribe(&mut link, renewed), Answer::Subscribed { .. }));
    let mut bodies = world.bodies(&mut link);
    bodies.sort_unstable();
    assert_eq!(bodies, ["kept", "not kept"]);
    world.call(&mut link, Call::Ack(1, Acked::Number(2)));
    // Under another filter the number begins anew.
    let other = Subscribe { from: Start::Keep, ..Subscribe::new(1, filter("z/#")) };
    assert!(matches!(world.subscribe(&mut link, other), Answer::Subscribed { .. }));
    world.publish("k/1", "x", Qos::AtLeastOnce);
    assert_eq!(world.bodies(&mut link), [""; 0]);
}

#[test]
fn an_exclusive_filter_has_one_holder_until_it_lets_go() {
    let mut world = World::new();
    let exclusive = || Subscribe { exclusive: true, ..Subscribe::new(1, filter("k/1")) };
    let (mut ann, _) = world.come("mqtt:a", hour());
    let (mut bob, _) = world.come("mqtt:b", hour());
    assert!(matches!(world.subscribe(&mut ann, exclusive()), Answer::Subscribed { .. }));
    assert!(matches!(world.subscribe(&mut ann, exclusive()), Answer::Subscribed { .. }));
    assert!(matches!(world.subscribe(&mut bob, exclusive()), Answer::Refused(Refused::Taken(_))));
    // It is held while asleep, and over a kill.
    world.call(&mut ann, Call::Save);
    drop(ann);
    assert!(matches!(world.subscribe(&mut bob, exclusive()), Answer::Refused(Refused::Taken(_))));
    world.kill();
    let (mut ann, opened) = world.come("mqtt:a", hour());
    assert!(opened.resumed);
    let (mut bob, _) = world.come("mqtt:b", hour());
    assert!(matches!(world.subscribe(&mut bob, exclusive()), Answer::Refused(Refused::Taken(_))));
    world.call(&mut ann, Call::Unsubscribe(1));
    assert!(matches!(world.subscribe(&mut bob, exclusive()), Answer::Subscribed { .. }));
    world.call(&mut bob, Call::Goodbye);
    assert!(matches!(world.subscribe(&mut ann, exclusive()), Answer::Subscribed { .. }));
}

#[test]
fn two_that_come_by_one_name_at_once_share_one_session() {
    let mut world = World::new();
    let hello = || {
        let name = Some(Name { name: "mqtt:a".into(), fresh: false });
        Call::Hello(Box::new(Hello { name, ..hour() }))
    };
    let (mut a, mut b) = (world.link(), world.link());
    let now = world.clock.now();
    let (Called::Later(mut first), Called::Later(mut second)) = (a.call(now, hello()), b.call(now, hello()))
    else {
        panic!("hello waits")
    };
    let cx = &mut Context::from_waker(Waker::noop());
    let (early, second) = (first.as_mut().poll(cx), second.as_mut().poll(cx));
    assert!(early.is_pending(), "a new session is safe before anybody hears of it");
    world.turn();
    let first = first.as_mut().poll(cx);
    let opened = |answer| match answer {
        Poll::Ready(Answer::Opened(opened)) => opened,
        other => panic!("{other:?}"),
    };
    let (first, second) = (opened(first), opened(second));
    assert_eq!((first.session, first.resumed), (second.session, false));
    assert!(second.resumed);
}

#[test]
fn a_session_that_ended_is_not_found_again_before_its_row_is_gone() {
    let mut world = World::new();
    let (mut link, _) = world.come("mqtt:a", hour());
    assert!(matches!(world.call(&mut link, Call::Save), Answer::Done));
    // The row is there, and its removal is not written yet.
    let now = world.clock.now();
    assert!(matches!(
        link.call(now, Call::Rest { keep: Some(Duration::ZERO), say_last: false }),
        Called::Done(_)
    ));
    let mut again = world.link();
    let name = Some(Name { name: "mqtt:a".into(), fresh: false });
    let Called::Later(mut answer) = again.call(now, Call::Hello(Box::new(Hello { name, ..hour() }))) else {
        panic!("hello waits")
    };
    assert!(answer.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    world.turn();
    match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Answer::Opened(opened)) => assert!(!opened.resumed),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_an_elder_link_still_wants_is_not_done() {
    let mut world = World::new();
    let (mut elder, _) = world.come("mqtt:a", hour());
    let (mut link, _) = world.come("mqtt:a", hour());
    let late = world.subscribe(&mut elder, Subscribe::new(1, filter("k/#")));
    assert!(matches!(late, Answer::Refused(Refused::NoSession)), "{late:?}");
    world.publish("k/1", "x", Qos::AtLeastOnce);
    assert_eq!(world.bodies(&mut link), [""; 0]);
}
