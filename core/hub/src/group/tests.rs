//! Groups, one promise at a time.

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

use yizhan_talk::{Backend, Called, Clock, Now, Timestamp};

use crate::{
    access::{Access, Action, Credentials, Open, Peer, Principal, Verdict},
    hub::{Hub, Limits, Options, Work},
    link::{
        Acked, Answer, Call, Deal, Delivery, Group, Hello, Name, Opened, Publish, Refused, Start, Subscribe,
    },
    live::Link,
    memory::Memory,
    message::Qos,
    space::{Dedup, Keep, Lag, Limits as Kept, Space},
    topic::{Filter, Topic},
};

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

/// Everybody may everything, but only those named `…secret` see `…/secret`.
struct Secrets;

impl Access for Secrets {
    fn admit(
        &self,
        now: Now,
        peer: Peer,
        credentials: Credentials,
        device: Option<Arc<str>>,
    ) -> futures_util::future::BoxFuture<'static, Result<Principal, Refused>> {
        Open.admit(now, peer, credentials, device)
    }
    fn may(&self, who: &Principal, action: Action, topic: &Topic) -> bool {
        action == Action::Publish || !topic.as_str().ends_with("secret") || who.user.ends_with("secret")
    }
    fn may_filter(&self, _: &Principal, _: Action, _: &Filter) -> Verdict {
        Verdict::Checked
    }
}

/// A server that can be killed: what is not saved then is gone.
struct World {
    store: Arc<Memory>,
    clock: Arc<Hands>,
    access: fn() -> Arc<dyn Access>,
    hub: Hub,
    work: Work,
}

fn now_or_never<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("this waits for nothing"),
    }
}

fn open(store: &Arc<Memory>, clock: &Arc<Hands>, access: Arc<dyn Access>) -> (Hub, Work) {
    let ids = AtomicU64::new(clock.seconds.load(SeqCst) * 1000 + 1);
    let space = |name: &str, topics: &str, keep| Space {
        name: name.into(),
        topics: Filter::new(topics).unwrap(),
        keep,
        lag: Lag::CatchUp,
        dedup: Dedup::default(),
        lanes: 1,
    };
    now_or_never(Hub::open(Options {
        spaces: vec![space("kept", "k/#", Keep::Memory(Kept::NONE)), space("live", "#", Keep::Nothing)],
        limits: Limits { outbox_records_max: 8, ..Limits::default() },
        store: store.clone(),
        access,
        clock: clock.clone(),
        random: Arc::new(move || u128::from(ids.fetch_add(1, SeqCst))),
    }))
    .unwrap()
}

/// A worker of a group: a session with one subscription.
struct Worker {
    link: Link,
    opened: Opened,
}

impl World {
    fn new() -> Self {
        Self::with(|| Arc::new(Open))
    }

    fn with(access: fn() -> Arc<dyn Access>) -> Self {
        let store = Arc::new(Memory::new(1));
        let clock = Arc::new(Hands { start: Instant::now(), seconds: AtomicU64::new(0) });
        let (hub, work) = open(&store, &clock, access());
        Self { store, clock, access, hub, work }
    }

    fn kill(&mut self) {
        (self.hub, self.work) = open(&self.store, &self.clock, (self.access)());
        now_or_never(self.hub.purge()).unwrap();
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

    /// Comes by a name; `keep` in seconds.
    fn come(&mut self, name: &str, keep: u64) -> Worker {
        self.come_as(name, keep, false)
    }

    fn come_as(&mut self, name: &str, keep: u64, fresh: bool) -> Worker {
        let peer = Peer { address: IpAddr::V4(Ipv4Addr::LOCALHOST), door: "test", secure: false };
        let mut link = self.hub.link(peer);
        let hello = Hello {
            credentials: Credentials::Password { user: name.into(), password: "".into() },
            name: Some(Name { name: name.into(), fresh }),
            keep: Duration::from_secs(keep),
            ..Hello::default()
        };
        let Answer::Opened(opened) = self.call(&mut link, Call::Hello(Box::new(hello))) else {
            panic!("not let in")
        };
        Worker { link, opened: *opened }
    }

    /// Comes and joins the group.
    fn join(&mut self, name: &str, keep: u64, wish: Subscribe) -> Worker {
        let mut worker = self.come(name, keep);
        let answer = self.call(&mut worker.link, Call::Subscribe(Box::new(wish)));
        assert!(matches!(answer, Answer::Subscribed { .. }), "{answer:?}");
        worker
    }

    fn publish(&mut self, topic: &str, bodies: impl IntoIterator<Item = u32>, qos: Qos) {
        self.publish_as("publisher", topic, bodies, qos);
    }

    fn publish_as(&mut self, who: &str, topic: &str, bodies: impl IntoIterator<Item = u32>, qos: Qos) {
        let mut publisher = self.come(who, 0);
        for body in bodies {
            let publish =
                Publish { qos, ..Publish::new(Topic::new(topic).unwrap(), body.to_string().into()) };
            assert!(matches!(self.call(&mut publisher.link, Call::Publish(publish)), Answer::Published(_)));
            self.turn();
        }
    }

    fn deliveries(&mut self, worker: &mut Worker) -> Vec<Delivery> {
        let (mut all, mut some) = (Vec::new(), Vec::new());
        let cx = &mut Context::from_waker(Waker::noop());
        for _ in 0..10 {
            self.turn();
            while worker.link.poll_deliveries(cx, self.clock.now(), &mut some, 100).is_ready() {
                all.append(&mut some);
            }
        }
        all
    }

    /// What a worker is given: (number, body).
    fn given(&mut self, worker: &mut Worker) -> Vec<(u64, u32)> {
        let body = |body: &[u8]| std::str::from_utf8(body).unwrap().parse().unwrap();
        let given = self.deliveries(worker).into_iter().flat_map(|delivery| match delivery {
            Delivery::Record { subscription: 1, number, record } => {
                vec![(number, body(&record.message.body))]
            }
            Delivery::Batch { number, batch, .. } => {
                (number..).zip(batch.records()).map(|(n, r)| (n, body(&r.message.body))).collect()
            }
            other => panic!("{other:?}"),
        });
        given.collect()
    }

    fn bodies(&mut self, worker: &mut Worker) -> Vec<u32> {
        self.given(worker).into_iter().map(|(_, body)| body).collect()
    }

    fn ack(&mut self, worker: &mut Worker, number: u64) {
        assert!(matches!(self.call(&mut worker.link, Call::Ack(1, Acked::One(number))), Answer::Done));
    }

    fn save(&mut self, worker: &mut Worker) {
        assert!(matches!(self.call(&mut worker.link, Call::Save), Answer::Done));
    }
}

fn wish(filter: &str, deal: Deal, window: u32) -> Subscribe {
    let group = Some(Group { name: "g".into(), deal, window });
    Subscribe { group, ..Subscribe::new(1, Filter::new(filter).unwrap()) }
}

const HOUR: u64 = 3600;

#[test]
fn each_record_goes_to_one_member_in_turn() {
    for topic in ["k/1", "u/1"] {
        let mut world = World::new();
        let mut ann = world.join("ann", 0, wish("+/1", Deal::RoundRobin, 10));
        let mut bob = world.join("bob", 0, wish("+/1", Deal::RoundRobin, 10));
        let mut all = world.come("all", 0);
        world.call(&mut all.link, Call::Subscribe(Box::new(Subscribe::new(1, Filter::new("+/1").unwrap()))));
        world.publish(topic, 1..=6, Qos::AtLeastOnce);
        assert_eq!(world.given(&mut ann), [(1, 1), (2, 3), (3, 5)]);
        assert_eq!(world.given(&mut bob), [(1, 2), (2, 4), (3, 6)]);
        assert_eq!(world.bodies(&mut all), [1, 2, 3, 4, 5, 6], "who is in no group hears all of it");
    }
}

#[test]
fn nobody_gets_more_than_its_window_and_acks_let_the_rest_come() {
    let mut world = World::new();
    let mut ann = world.join("ann", 0, wish("k/1", Deal::RoundRobin, 2));
    let mut bob = world.join("bob", 0, wish("k/1", Deal::RoundRobin, 1));
    world.publish("k/1", 1..=40, Qos::AtLeastOnce);
    assert_eq!(world.given(&mut ann), [(1, 1), (2, 3)]);
    assert_eq!(world.given(&mut bob), [(1, 2)]);
    let view = &world.hub.groups()[0];
    assert_eq!((view.members, view.live, view.unacked), (2, 2, 3));
    assert!(view.waiting > 0);
    // Out of order, and one that it never got.
    world.ack(&mut ann, 2);
    world.ack(&mut ann, 7);
    assert_eq!(world.given(&mut ann), [(3, 4)]);
    world.call(&mut ann.link, Call::Ack(1, Acked::Number(3)));
    assert_eq!(world.given(&mut ann), [(4, 5), (5, 6)]);
    let mut got = vec![1, 2, 3, 4, 5, 6];
    for number in 4..40 {
        world.ack(&mut ann, number);
        got.extend(world.bodies(&mut ann));
    }
    assert_eq!(got, (1..=40).collect::<Vec<_>>(), "the journal gives what did not fit");
}

#[test]
fn what_needs_no_ack_fills_no_window() {
    let mut world = World::new();
    let mut ann = world.join("ann", 0, wish("+/1", Deal::RoundRobin, 1));
    world.publish("k/1", 1..=5, Qos::AtMostOnce);
    assert_eq!(world.bodies(&mut ann), [1, 2, 3, 4, 5]);
    let low = Subscribe { qos: Qos::AtMostOnce, ..wish("+/1", Deal::RoundRobin, 1) };
    world.call(&mut ann.link, Call::Subscribe(Box::new(low)));
    world.publish("u/1", 6..=9, Qos::ExactlyOnce);
    assert_eq!(world.bodies(&mut ann), [6, 7, 8, 9]);
    assert_eq!(world.hub.groups()[0].unacked, 0);
}

#[test]
fn a_member_that_reads_nothing_holds_no_more_than_an_outbox() {
    let mut world = World::new();
    let mut ann = world.join("ann", 0, wish("+/1", Deal::Sticky, 1000));
    world.publish("u/1", 1..=100, Qos::AtMostOnce);
    // Eight in its outbox and eight in the group's, and what was between.
    let view = world.hub.groups()[0].clone();
    assert!(view.waiting <= 16 && view.missed > 50, "{view:?}");
    let got = world.bodies(&mut ann).len() as u64;
    assert_eq!(got + world.hub.groups()[0].missed, 100);
    world.publish("u/1", 101..=104, Qos::AtMostOnce);
    assert_eq!(world.bodies(&mut ann), [101, 102, 103, 104]);
}

#[test]
fn strategies_choose_as_their_names_say() {
    let mut world = World::new();
    let mut ann = world.join("ann", 0, wish("k/least", Deal::LeastInflight, 10));
    let mut bob = world.join("bob", 0, wish("k/least", Deal::RoundRobin, 10));
    assert_eq!(world.hub.groups()[0].deal, Deal::LeastInflight, "the first one decides");
    world.publish("k/least", 1..=4, Qos::AtLeastOnce);
    assert_eq!((world.given(&mut ann).len(), world.given(&mut bob).len()), (2, 2));
    world.call(&mut bob.link, Call::Ack(1, Acked::Number(2)));
    world.publish("k/least", 5..=6, Qos::AtLeastOnce);
    assert_eq!((world.bodies(&mut ann), world.bodies(&mut bob)), (vec![], vec![5, 6]));

    let mut ann = world.join("ann", 0, wish("k/sticky", Deal::Sticky, 2));
    let mut bob = world.join("bob", 0, wish("k/sticky", Deal::Sticky, 10));
    world.publish("k/sticky", 1..=5, Qos::AtLeastOnce);
    assert_eq!((world.bodies(&mut ann), world.bodies(&mut bob)), (vec![1, 2], vec![3, 4, 5]));
    world.call(&mut ann.link, Call::Ack(1, Acked::Number(2)));
    world.publish("k/sticky", 6..=7, Qos::AtLeastOnce);
    assert_eq!((world.bodies(&mut ann), world.bodies(&mut bob)), (vec![], vec![6, 7]));

    let mut members: Vec<_> =
        ["a", "b", "c"].iter().map(|n| world.join(n, 0, wish("k/hash", Deal::HashSender, 100))).collect();
    let mut got = vec![Vec::new(); 3];
    for round in 0..4 {
        for sender in 0..8 {
            world.publish_as(&format!("sender{sender}"), "k/hash", [sender * 10 + round], Qos::AtLeastOnce);
            for (member, bodies) in members.iter_mut().zip(&mut got) {
                bodies.extend(world.bodies(member));
            }
        }
    }
    let mut seen = 0;
    for bodies in got {
        seen += bodies.len();
        for sender in 0..8 {
            let of: Vec<u32> = bodies.iter().filter(|b| **b / 10 == sender).map(|b| b % 10).collect();
            assert!(of.is_empty() || of == [0, 1, 2, 3], "all of a sender's, in order: {bodies:?}");
        }
    }
    assert_eq!(seen, 32);
}

#[test]
fn who_leaves_gives_back_what_it_did_not_ack() {
    for goodbye in [Call::Goodbye, Call::Unsubscribe(1)] {
        let mut world = World::new();
        let mut ann = world.join("ann", HOUR, wish("k/1", Deal::RoundRobin, 2));
        let mut bob = world.join("bob", HOUR, wish("k/1", Deal::RoundRobin, 2));
        world.publish("k/1", 1..=8, Qos::AtLeastOnce);
        assert_eq!(world.bodies(&mut ann), [1, 3]);
        world.ack(&mut ann, 2);
        assert_eq!(world.bodies(&mut ann), [5]);
        world.call(&mut ann.link, goodbye);
        let mut got = world.bodies(&mut bob);
        for number in 1..10 {
            world.ack(&mut bob, number);
            got.extend(world.bodies(&mut bob));
        }
        assert_eq!(got, [2, 4, 1, 5, 6, 7, 8]);
    }
}

#[test]
fn once_begun_exactly_once_stays_with_the_member_and_the_rest_goes_on() {
    let mut world = World::new();
    let mut ann = world.join("ann", HOUR, wish("k/1", Deal::RoundRobin, 3));
    let mut bob = world.join("bob", HOUR, wish("k/1", Deal::RoundRobin, 9));
    world.publish("k/1", [1, 2], Qos::ExactlyOnce);
    world.publish("k/1", [3, 4], Qos::AtLeastOnce);
    assert_eq!(world.given(&mut ann), [(1, 1), (2, 3)]);
    world.publish("k/1", [5], Qos::ExactlyOnce);
    // Five was dealt to Ann and not delivered.
    drop(ann);
    assert_eq!(world.bodies(&mut bob), [2, 4, 3, 5]);
    let mut ann = world.come("ann", HOUR);
    assert!(ann.opened.resumed);
    assert_eq!(world.given(&mut ann), [(1, 1)], "with the same number");
    world.publish("k/1", [6, 7], Qos::AtLeastOnce);
    let mut both = world.bodies(&mut bob);
    let (number, body) = world.given(&mut ann)[0];
    assert_eq!(number, 3);
    both.push(body);
    both.sort_unstable();
    assert_eq!(both, [6, 7]);
    // Taken over: the same, without sleep.
    let mut second = world.come("ann", HOUR);
    assert_eq!(world.given(&mut second)[0], (1, 1));
    world.ack(&mut second, 1);
    drop(second);
    // A session that ends takes what was begun with it (MQTT-4.8.2-5).
    world.publish("k/1", [8], Qos::ExactlyOnce);
    let before = world.bodies(&mut bob).len();
    let mut ann = world.come_as("ann", 0, true);
    world.call(&mut ann.link, Call::Subscribe(Box::new(wish("k/1", Deal::RoundRobin, 3))));
    world.publish("k/1", [9, 10], Qos::ExactlyOnce);
    let begun = world.bodies(&mut ann);
    assert_eq!(begun.len(), 1);
    drop(ann);
    assert_eq!(world.bodies(&mut bob).len() + before, 3, "8 and one of the two");
}

#[test]
fn a_group_sleeps_while_a_member_does_and_ends_with_the_last() {
    let mut world = World::new();
    let ann = world.join("ann", HOUR, wish("+/1", Deal::RoundRobin, 100));
    drop(ann);
    world.publish("k/1", 1..=30, Qos::AtLeastOnce);
    world.publish("u/1", 31..=34, Qos::AtLeastOnce);
    world.publish("u/1", 35..=39, Qos::AtMostOnce);
    let view = &world.hub.groups()[0];
    assert_eq!((view.members, view.live), (1, 0));
    let mut ann = world.come("ann", HOUR);
    let bodies = world.bodies(&mut ann);
    let kept: Vec<u32> = bodies.iter().copied().filter(|b| *b <= 30).collect();
    assert_eq!(kept, (1..=30).collect::<Vec<_>>());
    let unkept = bodies.len() - kept.len();
    assert_eq!(unkept as u64 + world.hub.groups()[0].missed, 4, "of those that are worth waiting for");
    world.call(&mut ann.link, Call::Goodbye);
    assert!(world.hub.groups().is_empty());
    assert_eq!(world.hub.counts().subscriptions, 0);
    assert!(world.hub.topics(&Filter::new("k/1").unwrap(), None, 10)[0].listeners == 0);
}

#[test]
fn members_get_only_what_they_may_see_and_not_what_they_said_themselves() {
    let mut world = World::with(|| Arc::new(Secrets));
    let mut plain = world.join("plain", 0, wish("k/#", Deal::RoundRobin, 9));
    let mut other = world.join("other", 0, wish("k/#", Deal::RoundRobin, 9));
    let mut insider = world.join("in secret", 0, wish("k/#", Deal::RoundRobin, 2));
    world.publish("k/secret", 1..=4, Qos::AtLeastOnce);
    world.publish("k/open", 5..=8, Qos::AtLeastOnce);
    assert_eq!(world.bodies(&mut insider), [1, 2], "the others wait for it");
    assert_eq!((world.bodies(&mut plain), world.bodies(&mut other)), (vec![5, 7], vec![6, 8]));
    world.ack(&mut insider, 1);
    world.ack(&mut insider, 2);
    assert_eq!(world.bodies(&mut insider), [3, 4]);
    world.call(&mut insider.link, Call::Goodbye);
    // Nobody may see these, and nothing is stuck behind them.
    assert_eq!((world.bodies(&mut plain), world.bodies(&mut other)), (vec![], vec![]));
    world.publish("k/open", [9], Qos::AtLeastOnce);
    assert_eq!(world.bodies(&mut plain).len() + world.bodies(&mut other).len(), 1);

    let not_mine = || Subscribe { no_local: true, ..wish("k/mine", Deal::Sticky, 9) };
    let mut a = world.join("a", 0, not_mine());
    let mut b = world.join("b", 0, not_mine());
    let publish = Publish::new(Topic::new("k/mine").unwrap(), "1".into());
    world.call(&mut a.link, Call::Publish(publish));
    assert_eq!((world.bodies(&mut a), world.bodies(&mut b)), (vec![], vec![1]));
}

#[test]
fn a_restart_forgets_neither_members_nor_what_they_hold() {
    let mut world = World::new();
    let mut ann = world.join("ann", HOUR, wish("k/1", Deal::Sticky, 3));
    let mut bob = world.join("bob", HOUR, wish("k/1", Deal::Sticky, 1));
    world.publish("k/1", 1..=8, Qos::ExactlyOnce);
    assert_eq!(world.given(&mut ann), [(1, 1), (2, 2), (3, 3)]);
    assert_eq!(world.given(&mut bob), [(1, 4)]);
    world.save(&mut ann);
    world.ack(&mut ann, 2);
    world.save(&mut ann);
    world.kill();
    let view = &world.hub.groups()[0];
    assert_eq!((view.members, view.live, view.deal), (2, 0, Deal::Sticky));
    // Four was Bob's for certain, too: the group's row has all that was delivered when Ann saved.
    let mut bob = world.come("bob", HOUR);
    assert!(bob.opened.resumed);
    assert_eq!(world.given(&mut bob), [(1, 4)]);
    world.ack(&mut bob, 1);
    assert_eq!(world.given(&mut bob), [(2, 5)], "not what Ann has or has acked");
    let mut ann = world.come("ann", HOUR);
    assert_eq!(world.given(&mut ann), [(1, 1), (3, 3), (4, 6)]);
    // Saved and killed again while she sleeps: still hers.
    drop(ann);
    world.save(&mut bob);
    world.kill();
    let mut ann = world.come("ann", HOUR);
    assert_eq!(world.given(&mut ann), [(1, 1), (3, 3), (4, 6)]);
    // A fresh session is another one: what was begun with the one before is nobody's.
    world.save(&mut ann);
    world.kill();
    let ann = world.come_as("ann", HOUR, true);
    assert!(!ann.opened.resumed);
    assert_eq!(world.hub.groups()[0].members, 1);
    let mut bob = world.come("bob", HOUR);
    let mut got = vec![];
    for _ in 0..8 {
        for (number, body) in world.given(&mut bob) {
            got.push(body);
            world.ack(&mut bob, number);
        }
    }
    assert_eq!(got, [5, 7, 8]);
}

#[test]
fn a_saved_group_that_nobody_came_back_to_is_forgotten() {
    let mut world = World::new();
    drop(world.join("ann", 60, wish("k/1", Deal::RoundRobin, 3)));
    world.turn();
    world.kill();
    assert_eq!(world.hub.groups().len(), 1);
    world.clock.seconds.fetch_add(100, SeqCst);
    now_or_never(world.hub.purge()).unwrap();
    world.turn();
    assert!(world.hub.groups().is_empty());
    world.kill();
    assert!(world.hub.groups().is_empty());
}

#[test]
fn a_group_begins_where_its_first_member_says() {
    let mut world = World::new();
    world.publish("k/1", 1..=5, Qos::AtLeastOnce);
    let from = |from| Subscribe { from, ..wish("k/1", Deal::RoundRobin, 100) };
    let mut ann = world.join("ann", 0, from(Start::Seq(2)));
    assert_eq!(world.bodies(&mut ann), [3, 4, 5]);
    let mut bob = world.join("bob", 0, from(Start::Seq(0)));
    assert_eq!(world.bodies(&mut bob), [] as [u32; 0], "the group stands where it stands");
    world.call(&mut ann.link, Call::Goodbye);
    assert_eq!(world.bodies(&mut bob), [3, 4, 5]);
    world.call(&mut bob.link, Call::Goodbye);
    let mut ann = world.join("ann", HOUR, from(Start::Last(1)));
    assert_eq!(world.bodies(&mut ann), [5]);
    world.save(&mut ann);
    world.kill();
    let mut ann = world.come("ann", HOUR);
    assert_eq!(world.bodies(&mut ann), [5]);
}

#[test]
fn one_subscription_after_the_other_under_one_number() {
    let mut world = World::new();
    let mut ann = world.join("ann", HOUR, wish("k/1", Deal::RoundRobin, 1));
    world.publish("k/1", 1..=3, Qos::AtLeastOnce);
    assert_eq!(world.given(&mut ann), [(1, 1)]);
    // The same again keeps what it has; a larger window lets more come.
    world.call(&mut ann.link, Call::Subscribe(Box::new(wish("k/1", Deal::RoundRobin, 2))));
    assert_eq!(world.given(&mut ann), [(2, 2)]);
    // Another filter under this number: the group ends, and its records with it.
    let other = Subscribe { from: Start::Keep, ..Subscribe::new(1, Filter::new("k/2").unwrap()) };
    world.call(&mut ann.link, Call::Subscribe(Box::new(other)));
    assert!(world.hub.groups().is_empty());
    world.publish("k/1", [4], Qos::AtLeastOnce);
    world.publish("k/2", [5], Qos::AtLeastOnce);
    let plain = Subscribe { from: Start::Keep, ..Subscribe::new(1, Filter::new("k/2").unwrap()) };
    let Delivery::Record { record, .. } = &world.deliveries(&mut ann)[0] else { panic!("a record") };
    assert_eq!(record.message.body, "5");
    // From a plain one to a group and back.
    world.call(&mut ann.link, Call::Subscribe(Box::new(wish("k/2", Deal::RoundRobin, 2))));
    assert_eq!(world.hub.subscriptions_to(&Topic::new("k/2").unwrap(), 9)[0].group.as_deref(), Some("g"));
    world.call(&mut ann.link, Call::Subscribe(Box::new(plain)));
    assert!(world.hub.groups().is_empty());
    let exclusive = Subscribe { exclusive: true, ..wish("k/2", Deal::RoundRobin, 2) };
    let refused = world.call(&mut ann.link, Call::Subscribe(Box::new(exclusive)));
    assert!(matches!(refused, Answer::Refused(Refused::Taken(_))), "{refused:?}");
}

#[test]
fn what_is_too_old_is_not_dealt_and_frees_its_place() {
    let mut world = World::new();
    let mut ann = world.join("ann", 0, wish("k/1", Deal::RoundRobin, 2));
    let mut publisher = world.come("publisher", 0);
    for body in ["1", "2", "3"] {
        let expires_in = Some(Duration::from_secs(5));
        let publish = Publish { expires_in, ..Publish::new(Topic::new("k/1").unwrap(), body.into()) };
        world.call(&mut publisher.link, Call::Publish(publish));
    }
    world.publish("k/1", [4, 5], Qos::AtLeastOnce);
    world.clock.seconds.fetch_add(10, SeqCst);
    assert_eq!(world.given(&mut ann), [(1, 4), (2, 5)]);
}
