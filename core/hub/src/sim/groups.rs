//! Groups whose members come, go, ack slowly, lose connections and come back, over a server that dies.
//!
//! Each client has a door as MQTT's is: it writes down what it sends for certain and waits until that is
//! safe, before it sends it and before it says that it is done with. The promises: what is sent for certain
//! is sent to one session and never again once it is done; what is to arrive at least once does; nobody has
//! two at a time of what one shall have; each member's records are in order; nobody gets more than its
//! window; nothing waits while somebody has room.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use yizhan_talk::{Backend, Called, Clock};

use super::{
    disk::Disk,
    notes::{Notes, Phase},
    world::{Chance, Flag, PEER, SimClock, answer, now_or_never},
};
use crate::{
    access::{Credentials, Open},
    hub::{Hub, Limits, Options, Work},
    link::{Acked, Answer, Call, Deal, Delivery, Group, Hello, Kept, Name, Publish, Subscribe},
    live::Link,
    message::Qos,
    space::{Dedup, Keep, Lag, Limits as KeptLimits, Space},
    topic::{Filter, Topic},
};

const CLIENTS: usize = 4;
const TOPICS: [&str; 3] = ["k/a", "k/b", "u/a"];
const HOUR: Duration = Duration::from_secs(3600);
const DEALS: [Deal; 4] = [Deal::RoundRobin, Deal::LeastInflight, Deal::HashSender, Deal::Sticky];

/// What follows when something is safe.
#[derive(Clone, Copy)]
enum Then {
    Send(u64),
    Release(u64),
}

type Saving = (Pin<Box<dyn Future<Output = Answer> + Send>>, Then);

struct Client {
    link: Option<Link>,
    woken: Arc<Flag>,
    notes: Arc<Notes>,
    saving: Vec<Saving>,
    /// Numbers of deliveries of this connection that are to be acked.
    out: BTreeSet<u64>,
    /// At-least-once deliveries of this connection that are not acked: number and message.
    owing: Vec<(u64, u64)>,
    joined: bool,
    /// Which session of this name it is.
    life: u32,
    /// Of this session: what the client has for certain, and whether that is done with.
    has: BTreeMap<u64, bool>,
    /// Of this session: what was delivered to it for certain.
    begun: BTreeSet<u64>,
    /// The last number and, by topic, message on this connection.
    number: u64,
    newest: BTreeMap<Topic, u64>,
}

struct World {
    chance: Chance,
    seed: u64,
    clock: Arc<SimClock>,
    disk: Arc<Disk>,
    hub: Hub,
    work: Work,
    worker: Arc<Flag>,
    publisher: Link,
    answers: Vec<Pin<Box<dyn Future<Output = Answer> + Send>>>,
    clients: Vec<Client>,
    published: u64,
    /// Messages before this one may come again, or out of order.
    calm_from: u64,
    /// By message: which sessions got it.
    got: BTreeMap<u64, BTreeSet<(usize, u32)>>,
    /// Messages that somebody has, for certain or acked.
    arrived: BTreeSet<u64>,
    /// Messages that ended with the session they had begun with.
    lost: BTreeSet<u64>,
}

/// Runs one world; the error says which promise was broken.
pub(super) fn run(seed: u64, steps: usize) -> Result<(), String> {
    let mut world = World::new(seed)?;
    for _ in 0..steps {
        world.step()?;
    }
    world.settle()
}

fn open(disk: &Arc<Disk>, clock: &Arc<SimClock>, seed: u64) -> (Hub, Work) {
    let space = |name: &str, topics: &str, keep| Space {
        name: name.into(),
        topics: Filter::new(topics).unwrap(),
        keep,
        lag: Lag::CatchUp,
        dedup: Dedup::default(),
        lanes: 1,
    };
    let ids = AtomicU64::new((seed << 30) + clock.micros.load(SeqCst));
    now_or_never(Hub::open(Options {
        spaces: vec![space("k", "k/#", Keep::Disk(KeptLimits::NONE)), space("u", "u/#", Keep::Nothing)],
        limits: Limits { outbox_records_max: 6, ..Limits::default() },
        store: disk.clone(),
        access: Arc::new(Open),
        clock: clock.clone(),
        random: Arc::new(move || u128::from(ids.fetch_add(1, SeqCst) + 1)),
    }))
    .unwrap()
}

fn publisher(hub: &Hub, clock: &SimClock) -> Link {
    let mut link = hub.link(PEER);
    answer(link.call(clock.now(), Call::Hello(Box::default())));
    link
}

impl World {
    fn new(seed: u64) -> Result<Self, String> {
        let disk = Arc::new(Disk::default());
        let clock = Arc::new(SimClock { start: Instant::now(), micros: AtomicU64::new(0) });
        let (hub, work) = open(&disk, &clock, seed);
        let publisher = publisher(&hub, &clock);
        let client = |_| Client {
            link: None,
            woken: Arc::new(Flag(AtomicBool::new(true))),
            notes: Arc::default(),
            saving: Vec::new(),
            out: BTreeSet::new(),
            owing: Vec::new(),
            joined: false,
            life: 0,
            has: BTreeMap::new(),
            begun: BTreeSet::new(),
            number: 0,
            newest: BTreeMap::new(),
        };
        let mut world = Self {
            chance: Chance(seed),
            seed,
            clock,
            disk,
            hub,
            work,
            worker: Arc::new(Flag(AtomicBool::new(true))),
            publisher,
            answers: Vec::new(),
            clients: (0..CLIENTS).map(client).collect(),
            published: 0,
            calm_from: 0,
            got: BTreeMap::new(),
            arrived: BTreeSet::new(),
            lost: BTreeSet::new(),
        };
        for i in 0..CLIENTS {
            world.connect(i, false)?;
        }
        // The first one never leaves, and it is known for certain: the group lives on.
        world.save_all();
        Ok(world)
    }

    fn save_all(&mut self) {
        for _ in 0..10 {
            self.poll_work();
            while self.disk.commit() {}
        }
    }

    /// The most that this client wants.
    fn qos(&self, i: usize) -> Qos {
        match (self.seed as usize + i) % 4 {
            _ if self.seed.is_multiple_of(2) => Qos::ExactlyOnce,
            0 => Qos::AtMostOnce,
            1 => Qos::AtLeastOnce,
            _ => Qos::ExactlyOnce,
        }
    }

    fn window(&self, i: usize) -> usize {
        1 + (self.seed as usize / 7 + i) % 3
    }

    fn step(&mut self) -> Result<(), String> {
        self.clock.micros.fetch_add(self.chance.next() % 500, SeqCst);
        let i = self.chance.below(CLIENTS);
        let journals = self.disk.journals();
        let journal = &journals[self.chance.below(journals.len())];
        let pick = self.chance.next() as usize;
        match self.chance.below(1000) {
            0..120 => self.publish(),
            120..240 => drop(journal.commit()),
            240..340 => drop(journal.show()),
            340..400 => drop(journal.look(pick)),
            400..460 => drop(journal.answer(pick)),
            460..580 => self.poll_work(),
            580..660 => drop(self.disk.commit()),
            660..780 => self.poll_client(i, 1 + pick % 3)?,
            780..840 => self.wait_for_saves(i)?,
            840..940 => self.ack(i, pick)?,
            940..955 => self.drop_connection(i),
            955..985 => self.connect(i, false)?,
            985..988 if i > 0 => self.connect(i, true)?,
            988..992 if i > 0 => self.leave(i),
            992..996 => self.clock_strikes(),
            996..998 => self.kill(),
            _ => {}
        }
        Ok(())
    }

    fn clock_strikes(&mut self) {
        self.clock.micros.fetch_add(1_000_000, SeqCst);
        self.hub.maintain();
    }

    /// From here on nothing is in order that was published before.
    fn disturb(&mut self) {
        self.calm_from = self.published + 1;
    }

    fn publish(&mut self) {
        let topic = Topic::new(TOPICS[self.chance.below(TOPICS.len())]).unwrap();
        for _ in 0..1 + self.chance.below(3) {
            self.published += 1;
            let qos = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce][self.chance.below(3)];
            let publish = Publish { qos, ..Publish::new(topic.clone(), self.published.to_string().into()) };
            if let Called::Later(answer) = self.publisher.call(self.clock.now(), Call::Publish(publish)) {
                self.answers.push(answer);
            }
        }
        self.publisher.flush(self.clock.now());
    }

    fn poll_work(&mut self) {
        if self.worker.0.swap(false, SeqCst) {
            let waker = Waker::from(self.worker.clone());
            let ended = self.work.as_mut().poll(&mut Context::from_waker(&waker));
            assert!(ended.is_pending(), "the hub's work lasts as long as the hub");
        }
    }

    fn poll_client(&mut self, i: usize, max: usize) -> Result<(), String> {
        let now = self.clock.now();
        let client = &mut self.clients[i];
        let Some(link) = &mut client.link else { return Ok(()) };
        if !client.woken.0.swap(false, SeqCst) {
            return Ok(());
        }
        let waker = Waker::from(client.woken.clone());
        let mut taken = Vec::new();
        if link.poll_deliveries(&mut Context::from_waker(&waker), now, &mut taken, max).is_ready() {
            client.woken.0.store(true, SeqCst);
        }
        for delivery in taken {
            let Delivery::Record { number, record, .. } = delivery else {
                return Err(format!("client {i} was given {delivery:?}"));
            };
            let id: u64 = std::str::from_utf8(&record.message.body).unwrap().parse().unwrap();
            self.deliver(i, number, id, &record.message.topic, record.message.qos)?;
        }
        Ok(())
    }

    fn deliver(&mut self, i: usize, number: u64, id: u64, topic: &Topic, qos: Qos) -> Result<(), String> {
        let qos = qos.min(self.qos(i));
        let (window, calm_from) = (self.window(i), self.calm_from);
        let now = self.clock.now();
        // Whoever has it now has it alone.
        for (other, client) in self.clients.iter().enumerate() {
            let has = client.owing.iter().any(|(_, owed)| *owed == id);
            if has || (other != i && client.notes.0.lock().contains_key(&id) && client.begun.contains(&id)) {
                return Err(format!("client {i} was given {id}, which {other} has"));
            }
        }
        let client = &mut self.clients[i];
        let known = client.notes.0.lock().get(&id).copied();
        if let Some((phase, before)) = known {
            if qos != Qos::ExactlyOnce || before != number || phase == Phase::Received {
                return Err(format!("client {i}: {id} again as {number}, was {phase:?} {before}"));
            }
        } else {
            if number <= client.number && id >= calm_from {
                return Err(format!("client {i}: number {number} after {}", client.number));
            }
            if id >= calm_from {
                let newest = client.newest.entry(topic.clone()).or_default();
                if id <= *newest {
                    return Err(format!("client {i}: {id} after {newest}"));
                }
                *newest = id;
            }
        }
        client.number = client.number.max(number);
        match qos {
            Qos::AtMostOnce => {
                let before = self.got.entry(id).or_default();
                if !before.is_empty() && id >= calm_from {
                    return Err(format!("{id} came twice to no purpose"));
                }
                before.insert((i, client.life));
            }
            Qos::AtLeastOnce => {
                client.owing.push((number, id));
                self.got.entry(id).or_default().insert((i, client.life));
            }
            Qos::ExactlyOnce => {
                client.begun.insert(id);
                client.notes.0.lock().entry(id).or_insert((Phase::Noted, number));
                let Some(link) = &mut client.link else { return Ok(()) };
                match link.call(now, Call::Save) {
                    Called::Later(saving) => client.saving.push((saving, Then::Send(id))),
                    Called::Done(_) => return Err("a save is waited for".into()),
                }
            }
        }
        if qos != Qos::AtMostOnce {
            client.out.insert(number);
        }
        if client.out.len() > window {
            return Err(format!("client {i} has more than {window}: {:?}", client.out));
        }
        Ok(())
    }

    /// Goes on with what is safe by now.
    fn wait_for_saves(&mut self, i: usize) -> Result<(), String> {
        let mut at = 0;
        while at < self.clients[i].saving.len() {
            let cx = &mut Context::from_waker(Waker::noop());
            if self.clients[i].saving[at].0.as_mut().poll(cx).is_pending() {
                at += 1;
                continue;
            }
            let (_, then) = self.clients[i].saving.remove(at);
            let client = &mut self.clients[i];
            match then {
                Then::Send(id) => {
                    let mut notes = client.notes.0.lock();
                    let Some((phase @ (Phase::Noted | Phase::Sent), _)) = notes.get_mut(&id) else {
                        continue;
                    };
                    *phase = Phase::Sent;
                    drop(notes);
                    self.arrive_for_certain(i, id)?;
                }
                Then::Release(id) => {
                    client.notes.0.lock().remove(&id);
                    client.has.insert(id, true);
                }
            }
        }
        Ok(())
    }

    /// A client gets a message that is to come once.
    fn arrive_for_certain(&mut self, i: usize, id: u64) -> Result<(), String> {
        let life = self.clients[i].life;
        match self.clients[i].has.get(&id) {
            Some(true) => return Err(format!("client {i} gets {id} again, which was done")),
            Some(false) => return Ok(()),
            None => {}
        }
        let got = self.got.entry(id).or_default();
        // Others may have had it as one that may come again.
        let only_once = self.seed.is_multiple_of(2);
        if only_once && !got.is_empty() {
            return Err(format!("client {i} ({life}) gets {id}, which went to {got:?}"));
        }
        got.insert((i, life));
        self.arrived.insert(id);
        self.clients[i].has.insert(id, false);
        Ok(())
    }

    /// Acks one delivery, whichever.
    fn ack(&mut self, i: usize, pick: usize) -> Result<(), String> {
        let now = self.clock.now();
        let client = &mut self.clients[i];
        let Some(link) = &mut client.link else { return Ok(()) };
        if !client.owing.is_empty() && pick.is_multiple_of(2) {
            let (number, id) = client.owing.swap_remove(pick / 2 % client.owing.len());
            self.arrived.insert(id);
            client.out.remove(&number);
            drop(link.call(now, Call::Ack(1, Acked::One(number))));
            return Ok(());
        }
        let sent: Vec<(u64, u64)> = {
            let notes = client.notes.0.lock();
            let sent =
                notes.iter().filter(|(id, (phase, _))| *phase == Phase::Sent && client.has.contains_key(id));
            sent.map(|(id, (_, number))| (*id, *number)).collect()
        };
        if let Some((id, number)) = sent.get(pick / 2 % sent.len().max(1)).copied() {
            client.notes.0.lock().insert(id, (Phase::Received, number));
            client.out.remove(&number);
            drop(link.call(now, Call::Ack(1, Acked::One(number))));
            if let Called::Later(saving) = link.call(now, Call::Save) {
                client.saving.push((saving, Then::Release(id)));
            }
        }
        Ok(())
    }

    fn drop_connection(&mut self, i: usize) {
        self.disturb();
        let client = &mut self.clients[i];
        client.link = None;
        client.saving.clear();
        client.owing.clear();
        client.out.clear();
    }

    /// Another session begins: what was begun with the one before ends with it.
    fn begin_anew(&mut self, i: usize) {
        let client = &mut self.clients[i];
        self.lost.append(&mut client.begun);
        client.life += 1;
        client.has.clear();
        client.notes = Arc::default();
        client.joined = false;
    }

    fn connect(&mut self, i: usize, fresh: bool) -> Result<(), String> {
        self.disturb();
        let now = self.clock.now();
        let elder = self.clients[i].link.take();
        let mut link = self.hub.link(PEER);
        let notes: Arc<Notes> = Arc::default();
        let hello = Hello {
            credentials: Credentials::Password { user: format!("client{i}").into(), password: "".into() },
            name: Some(Name { name: "sim".into(), fresh }),
            keep: HOUR,
            keepsake: Some(notes.clone()),
            ..Hello::default()
        };
        let Called::Later(mut opening) = link.call(now, Call::Hello(Box::new(hello))) else {
            return Err(format!("client {i} is not let in"));
        };
        // A new session is safe before its client hears of it.
        let cx = &mut Context::from_waker(Waker::noop());
        let mut heard = opening.as_mut().poll(cx);
        if heard.is_pending() {
            self.save_all();
            heard = opening.as_mut().poll(cx);
        }
        let Poll::Ready(Answer::Opened(opened)) = heard else {
            return Err(format!("client {i} is not let in: {heard:?}"));
        };
        drop(elder);
        if !opened.resumed {
            if i == 0 && self.clients[0].life > 0 {
                return Err("the first one's session is gone".into());
            }
            self.begin_anew(i);
            self.clients[i].notes = notes;
        }
        let client = &mut self.clients[i];
        if let Some(Kept::Saved(bytes)) = &opened.kept {
            client.notes = Arc::new(Notes::of(bytes));
            opened.place.put(client.notes.clone());
        }
        client.joined = opened.subscriptions.iter().any(|(id, ..)| *id == 1);
        client.saving.clear();
        client.owing.clear();
        client.out.clear();
        client.newest.clear();
        client.number = 0;
        client.woken.0.store(true, SeqCst);
        client.link = Some(link);
        // What the client has said that it has, is done with once that is safe.
        let received: Vec<u64> = {
            let notes = client.notes.0.lock();
            notes.iter().filter(|(_, (phase, _))| *phase == Phase::Received).map(|(id, _)| *id).collect()
        };
        for id in received {
            let saving = client.link.as_mut().map(|link| link.call(now, Call::Save));
            if let Some(Called::Later(saving)) = saving {
                client.saving.push((saving, Then::Release(id)));
            }
        }
        if !client.joined { self.join(i) } else { Ok(()) }
    }

    fn join(&mut self, i: usize) -> Result<(), String> {
        self.disturb();
        let group = Some(Group {
            name: "g".into(),
            deal: DEALS[self.seed as usize / 3 % DEALS.len()],
            window: self.window(i) as u32,
        });
        let filter = Filter::new("+/+").unwrap();
        let wish = Subscribe { group, qos: self.qos(i), ..Subscribe::new(1, filter) };
        let client = &mut self.clients[i];
        let Some(link) = &mut client.link else { return Ok(()) };
        let answer = answer(link.call(self.clock.now(), Call::Subscribe(Box::new(wish))));
        client.joined = true;
        client.number = 0;
        client.newest.clear();
        if matches!(answer, Answer::Subscribed { .. }) { Ok(()) } else { Err(format!("{answer:?}")) }
    }

    /// Leaves the group; comes back to it with the next connection.
    fn leave(&mut self, i: usize) {
        let now = self.clock.now();
        let client = &mut self.clients[i];
        let Some(link) = client.link.as_mut().filter(|_| client.joined) else { return };
        drop(link.call(now, Call::Unsubscribe(1)));
        client.joined = false;
        client.owing.clear();
        client.out.clear();
        client.saving.clear();
        // What was begun, the door would end by itself.
        client.notes.0.lock().clear();
        self.lost.append(&mut client.begun);
        self.disturb();
    }

    fn kill(&mut self) {
        self.disturb();
        for i in 0..CLIENTS {
            self.drop_connection(i);
            // What was written down is safe or gone.
            self.clients[i].notes = Arc::default();
        }
        self.answers.clear();
        self.disk.die();
        // The links are gone with the server, and say nothing to the next one.
        (self.hub, self.work) = open(&self.disk, &self.clock, self.seed);
        self.worker.0.store(true, SeqCst);
        self.publisher = publisher(&self.hub, &self.clock);
    }

    /// Lets everything come to rest, with some asleep in half of the worlds.
    fn settle(&mut self) -> Result<(), String> {
        for i in 0..CLIENTS {
            if i == 0 || self.seed % 4 < 2 || self.clients[i].link.is_some() {
                self.connect(i, false)?;
            }
        }
        let (mut quiet, mut rounds) = (0, 0);
        while quiet < 3 {
            rounds += 1;
            if rounds > 20_000 {
                return Err("it never comes to rest".into());
            }
            let mut moved = false;
            for journal in self.disk.journals() {
                moved |= journal.commit() | journal.show() | journal.look(0) | journal.answer(0);
            }
            moved |= self.disk.commit() | self.worker.0.load(SeqCst);
            self.poll_work();
            for i in 0..CLIENTS {
                moved |= self.clients[i].link.is_some() && self.clients[i].woken.0.load(SeqCst);
                self.poll_client(i, 100)?;
                moved |= !self.clients[i].saving.is_empty() || !self.clients[i].owing.is_empty();
                self.wait_for_saves(i)?;
                self.ack(i, 0)?;
                self.ack(i, 1)?;
            }
            quiet = if moved { 0 } else { quiet + 1 };
        }
        self.check_complete()
    }

    fn check_complete(&self) -> Result<(), String> {
        let asleep: BTreeSet<u64> =
            self.clients.iter().filter(|c| c.link.is_none()).flat_map(|c| c.begun.iter().copied()).collect();
        for record in self.disk.journals()[0].log() {
            let id: u64 = std::str::from_utf8(&record.message.body).unwrap().parse().unwrap();
            let fleeting =
                record.message.qos == Qos::AtMostOnce || (0..CLIENTS).any(|i| self.qos(i) == Qos::AtMostOnce);
            let gone = fleeting || self.lost.contains(&id) || asleep.contains(&id);
            if !gone && !self.arrived.contains(&id) {
                return Err(format!("nobody got {id}; {:?}", self.hub.groups()));
            }
        }
        Ok(())
    }
}
