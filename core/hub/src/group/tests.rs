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

    /// What a worker is given: (number, body).
    fn given(&mut self, worker: &mut Worker) -> Vec<(u64, u32)> {
        let (mut all, mut some) = (Vec::new(), Vec::new());
        let cx = &mut Context::from_waker(Waker::noop());
        for _ in 0..10 {
            self.turn();
            while worker.link.poll_deliveries(cx, self.clock.now(), &mut some, 100).is_ready() {
                for delivery in some.drain(..) {
                    let Delivery::Record { subscription: 1, number, record } = delivery else {
                        panic!("{delivery:?}")
                    };
                    let body = std::str::from_utf8(&record.message.body).unwrap();
                    all.push((number, body.parse().unwrap()));
                }
            }
        }
        all
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
