//! Commands into calls.

use yizhan_hub::{Call, Hello, Refused, store::PageSize};
use yizhan_talk::{Close, Now, Out};

use super::{
    Asked, Connection, HubBackend, PAGE_WEIGHT, PENDING_MAX, PENDING_WEIGHT_MAX, Pending, Ready, Stage,
    TOLD_WEIGHT, Transport,
};
use crate::wire::{
    Read, Wrong,
    command::{Command, Greeting, Network},
};

/// Bytes of bodies in one page of history; what is over comes with the next page.
const PAGE_BYTES_MAX: usize = 1024 * 1024;
/// Records in one answer to `state`.
pub(super) const STATE_RECORDS_MAX: usize = 10_000;

impl<B: HubBackend> Connection<B> {
    /// Whether a command can be started now; otherwise it waits.
    pub(super) fn may_start(&self, (_, read): &Read) -> bool {
        let weight = read.as_ref().map_or(0, weight);
        self.stage != Stage::Greeting
            && self.pending.len() < PENDING_MAX
            && (weight == 0 || self.pending_weight + weight <= PENDING_WEIGHT_MAX)
    }

    /// Starts what waits and can be started.
    pub(super) fn pump(&mut self, now: Now, out: &mut Out<B>) {
        while let Some(read) = self.waiting.front()
            && self.stage != Stage::Ended
            && self.may_start(read)
        {
            let Some(read) = self.waiting.pop_front() else { return };
            self.start(now, read, out);
        }
    }

    pub(super) fn start(&mut self, now: Now, (id, read): Read, out: &mut Out<B>) {
        let command = match read {
            Ok(command) => command,
            Err(wrong) => return self.ready(now, id, Ready::Wrong(Box::new(wrong)), out),
        };
        match (self.stage, command) {
            (Stage::Silent, Command::Hello(greeting)) => self.hello(now, id, greeting, out),
            (Stage::Silent, Command::Bye) => self.end(now, Close::NORMAL, out),
            (Stage::Silent, _) if self.hellos_failed > 0 => self.refuse(now, id, Refused::HelloFirst, out),
            (Stage::Silent, command) => {
                // Where anonymous clients are let in, they need not say hello.
                self.hello(now, None, Box::new(anonymous(&command)), out);
                self.waiting.push_front((id, Ok(command)));
            }
            // Not reached: nothing starts before hello is answered.
            (Stage::Greeting, command) => self.waiting.push_back((id, Ok(command))),
            (Stage::Open, command) => self.start_open(now, id, command, out),
            (Stage::Ended, _) => {}
        }
    }

    fn start_open(&mut self, now: Now, id: Option<u64>, command: Command, out: &mut Out<B>) {
        if matches!(self.transport, Transport::Replies { lasting: false }) && needs_stream(&command) {
            return self.refuse(now, id, Refused::NoSession, out);
        }
        let (asked, call) = match command {
            Command::Publish(publish) => (Asked::Publish, Call::Publish(publish)),
            Command::Ack(sub, acked) => (Asked::Ack, Call::Ack(sub, acked)),
            Command::Subscribe(subscribe) => (Asked::Subscribe, Call::Subscribe(subscribe)),
            Command::Unsubscribe(sub) => (Asked::Unsubscribe, Call::Unsubscribe(sub)),
            Command::History(topic, range, records_max) => {
                let page = PageSize { records_max, bytes_max: PAGE_BYTES_MAX };
                (Asked::History(topic.clone()), Call::History(topic, range, page))
            }
            Command::State(filter) => (Asked::State, Call::State(filter, STATE_RECORDS_MAX)),
            Command::Ask(ask) => (Asked::Ask, Call::Ask(ask)),
            Command::PresenceOfTopic(topic) => (Asked::Presence, Call::PresenceOfTopic(topic)),
            Command::PresenceOfUser(user) => (Asked::Presence, Call::PresenceOfUser(user)),
            Command::Bye => (Asked::Goodbye, Call::Goodbye),
            Command::Hello(_) => return self.refuse(now, id, Refused::HelloTwice, out),
            Command::Ping => return self.ready(now, id, Ready::Pong(None), out),
            Command::Time(t1) => return self.ready(now, id, Ready::Time { t1, t2: now.wall }, out),
            Command::Network(network) => {
                self.network = network;
                return self.ready(now, id, Ready::Pong(Some(self.beat())), out);
            }
        };
        self.pending_weight += asked.weight();
        self.pending.push_back(Pending { id, asked });
        out.calls.push(call);
    }

    fn hello(&mut self, now: Now, id: Option<u64>, greeting: Box<Greeting>, out: &mut Out<B>) {
        let Greeting { mut hello, network, client } = *greeting;
        hello.keep = hello.keep.min(self.terms.config.keep_max);
        tracing::debug!(client = client.as_deref(), resumes = hello.resume.is_some(), "a client said hello");
        self.network = network;
        self.heard = now.steady;
        self.stage = Stage::Greeting;
        self.pending.push_back(Pending { id, asked: Asked::Hello });
        out.calls.push(Call::Hello(Box::new(hello)));
    }

    fn refuse(&mut self, now: Now, id: Option<u64>, refused: Refused, out: &mut Out<B>) {
        self.ready(now, id, Ready::Wrong(Box::new(Wrong::Refused(refused))), out);
    }
}

/// The hello of a client that says none.
fn anonymous(command: &Command) -> Greeting {
    let network = match command {
        Command::Network(network) => *network,
        _ => Network::default(),
    };
    Greeting { hello: Hello::default(), network, client: None }
}

/// How much room the answer may take; the same as [`Asked::weight`] of what is asked with it.
fn weight(command: &Command) -> u16 {
    match command {
        Command::History(..)
        | Command::State(_)
        | Command::PresenceOfTopic(_)
        | Command::PresenceOfUser(_) => PAGE_WEIGHT,
        Command::Ask(_) => TOLD_WEIGHT,
        _ => 0,
    }
}

/// Whether a command makes no sense in a session of one request.
fn needs_stream(command: &Command) -> bool {
    matches!(
        command,
        Command::Subscribe(_) | Command::Unsubscribe(_) | Command::Ack(..) | Command::Network(_)
    )
}
