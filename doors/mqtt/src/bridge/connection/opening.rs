//! Coming in on both sides: sessions and subscriptions at the hub, CONNECT and subscriptions at the other broker.

use std::{any::Any, num::NonZeroU16, sync::Arc, time::Duration};

use tracing::warn;
use yizhan_hub::{
    Answer, Call, Credentials, Filter, Hello, Keepsake, Qos,
    link::{Kept, Name, Opened, Start, Subscribe, SubscriptionId},
    store::Missed,
};
use yizhan_talk::{Now, Out};

use super::{Asked, Bridge, ENDED, FAILED, HubRanks, saving::After};
use crate::{
    bridge::{
        Setup,
        memory::{Memory, Phase, Place},
        rules::Path,
    },
    wire::{
        Packet, Reason, Version,
        packet::{self, Connack, Connect, Hidden, Options, Reasons, RetainHandling},
        properties::{ConnectProperties, SubscribeProperties, UnsubscribeProperties},
    },
};

/// Filters of one SUBSCRIBE or UNSUBSCRIBE: together they fit into the smallest packet that brokers allow.
pub(super) const FILTERS_MAX: usize = 32;
/// How long the hub keeps a session that nobody comes back to: as long as it does at all.
const KEEP: Duration = Duration::MAX;

/// Where the connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nothing was said.
    New,
    /// So many hellos wait for the hub.
    Opening(usize),
    /// So many subscriptions wait for the hub.
    Subscribing(usize),
    /// CONNECT waits for the other broker.
    Connecting,
    /// Messages cross.
    Up,
}

impl<B: HubRanks> Bridge<B> {
    /// Opens all sessions at the hub.
    pub(super) fn open(&mut self, out: &mut Out<B>) {
        self.stage = Stage::Opening(self.memories.len());
        for rank in 0..self.memories.len() {
            let hello = self.hello(rank);
            self.ask(rank, Asked::Hello, Call::Hello(Box::new(hello)), out);
        }
    }

    fn hello(&self, rank: usize) -> Hello {
        let keepsake = Some(self.memories[rank].clone() as Arc<dyn Keepsake>);
        hello(&self.setup.session_name(rank), self.setup.credentials(), keepsake)
    }

    /// A session is open.
    pub(super) fn opened(&mut self, now: Now, rank: usize, answer: Answer, out: &mut Out<B>) {
        let opened = match answer {
            Answer::Opened(opened) => opened,
            Answer::Refused(refused) => {
                return self.refused("the hub did not admit the bridge", &refused, out);
            }
            _ => return,
        };
        self.sessions[rank] = opened.session;
        self.memories[rank] = adopt(&opened, &self.memories[rank]);
        self.memories[rank].lock().begin();
        if rank == self.main() {
            self.is_resumed = opened.resumed;
        } else {
            self.wish(rank, &opened.subscriptions, out);
        }
        let Stage::Opening(left) = self.stage else { return };
        self.stage = if left > 1 { Stage::Opening(left - 1) } else { self.hub_is_open() };
        self.connect_if_open(now, out);
    }

    fn hub_is_open(&self) -> Stage {
        let waiting = self.asked.iter().filter(|(_, asked)| matches!(asked, Asked::Subscribe { .. }));
        Stage::Subscribing(waiting.count())
    }

    /// Subscribes to what the paths of a rank want, and gives up what none wants any more.
    fn wish(&mut self, rank: usize, had: &[Had], out: &mut Out<B>) {
        let setup = self.setup.clone();
        for (path, wish) in wishes(&setup, rank, had).into_iter().enumerate() {
            self.ranks[rank].name(path, wish.id);
            self.ask(rank, Asked::Subscribe { path }, Call::Subscribe(Box::new(wish)), out);
        }
        for (id, filter, _) in had {
            if !setup.paths.out[rank].paths.iter().any(|path| path.filter == *filter) {
                self.ask(rank, Asked::Unheard, Call::Unsubscribe(*id), out);
                self.memories[rank].lock().give_up(|sent| sent.subscription == *id);
            }
        }
    }

    /// A subscription at the hub was answered.
    pub(super) fn subscribed(
        &mut self,
        now: Now,
        rank: usize,
        path: usize,
        answer: &Answer,
        out: &mut Out<B>,
    ) {
        if let Answer::Refused(refused) = answer {
            let filter = self.setup.paths.out[rank].paths[path].filter.as_str().to_owned();
            return self.refused(&format!("the hub refused '{filter}'"), refused, out);
        }
        if let Stage::Subscribing(left) = self.stage {
            self.stage = Stage::Subscribing(left.saturating_sub(1));
            self.connect_if_open(now, out);
        }
    }

    fn connect_if_open(&mut self, now: Now, out: &mut Out<B>) {
        if self.stage != Stage::Subscribing(0) {
            return;
        }
        let setup = self.setup.clone();
        let is_v5 = self.version() == Version::V5;
        let seconds = u16::try_from(setup.config.keep_alive.as_secs()).unwrap_or(u16::MAX);
        let properties = ConnectProperties {
            session_expiry: Some(u32::MAX),
            receive_maximum: NonZeroU16::new(setup.config.inflight_max),
            maximum_packet_size: u32::try_from(setup.config.packet_bytes_max)
                .ok()
                .and_then(|n| n.try_into().ok()),
            ..ConnectProperties::default()
        };
        let connect = Connect {
            version: self.version(),
            bridge: !is_v5 && self.status.takes_bridges(),
            // Where we have forgotten what is under way, the other side shall do so too.
            clean_start: !self.is_resumed,
            keep_alive: seconds,
            properties,
            client_id: &setup.client_id,
            will: None,
            user_name: setup.config.user.as_deref(),
            password: setup.config.password.as_ref().map(|password| Hidden(password.reveal().as_bytes())),
        };
        self.stage = Stage::Connecting;
        if !self.send(now, &Packet::Connect(Box::new(connect)), out) {
            self.end(FAILED, "client id, user or password are too long", out);
        }
    }

    /// The other broker's answer to CONNECT.
    pub(super) fn connack(&mut self, now: Now, connack: &Connack<'_>, out: &mut Out<B>) {
        self.status.answer();
        if connack.reason != Reason::Success {
            if connack.reason == Reason::UnsupportedVersion {
                self.status.refuses_bridges();
            }
            let text = connack.properties.reason_string.unwrap_or_default();
            let reason = connack.reason.name();
            return self.end(ENDED, format_args!("the other broker did not admit us: {reason} {text}"), out);
        }
        let theirs = &connack.properties;
        self.takes.qos_max = theirs.maximum_qos.unwrap_or(Qos::ExactlyOnce);
        self.takes.retains = theirs.retain_available.unwrap_or(true);
        let bytes_max = theirs.maximum_packet_size.and_then(|max| usize::try_from(max.get()).ok());
        self.takes.packet_bytes_max = bytes_max.unwrap_or(usize::MAX);
        if let Some(max) = theirs.receive_maximum {
            self.takes.window = self.takes.window.min(max.get().into());
        }
        if let Some(seconds) = theirs.server_keep_alive.filter(|seconds| *seconds > 0) {
            self.keep_alive = self.keep_alive.min(Duration::from_secs(seconds.into()));
        }
        self.stage = Stage::Up;
        if !connack.session_present {
            self.memories.iter().for_each(|memory| memory.lock().forget_session());
        }
        self.release_all(now, out);
        self.subscribe(now, connack.session_present, out);
        self.status.up(now.wall);
    }

    /// Goes on with every exchange whose PUBREL may not have arrived, and ends those whose message never comes
    /// again (MQTT-4.4.0-1).
    fn release_all(&mut self, now: Now, out: &mut Out<B>) {
        for memory in self.memories.clone() {
            let mut ids = Vec::new();
            for sent in &mut memory.lock().sent {
                if matches!(sent.place, Place::Gone) {
                    sent.phase = Phase::Released;
                }
                if sent.phase == Phase::Released {
                    ids.push(sent.id);
                }
            }
            for id in ids {
                self.release(now, id, out);
            }
        }
    }

    /// Asks the other broker for what is to come in, where it does not know that.
    fn subscribe(&mut self, now: Now, is_present: bool, out: &mut Out<B>) {
        let setup = self.setup.clone();
        let main = self.memories[self.main()].clone();
        let had = main.lock().filters.clone();
        let wanted: Vec<_> = setup.paths.into.iter().map(|path| path.filter.as_str().to_owned()).collect();
        let is_v5 = self.version() == Version::V5;
        // In 3.1.1 each SUBSCRIBE brings all retained messages once more.
        let is_known = |filter: &String| is_present && !is_v5 && had.contains(filter);
        let missing: Vec<_> =
            setup.paths.into.iter().filter(|p| !is_known(&p.filter.as_str().to_owned())).collect();
        for paths in missing.chunks(FILTERS_MAX) {
            let Some(id) = self.new_id() else { return };
            let options = |qos| Options {
                qos,
                no_local: is_v5,
                retain_as_published: is_v5,
                retain_handling: if is_v5 { RetainHandling::SendIfNew } else { RetainHandling::Send },
            };
            let filters = paths.iter().map(|path| (path.filter.as_str(), options(path.qos))).collect();
            let properties = SubscribeProperties::default();
            self.send(now, &Packet::Subscribe(packet::Subscribe { id, properties, filters }), out);
            let asked = paths.iter().map(|path| path.filter.as_str().to_owned()).collect();
            self.subscribing.push((id, asked));
        }
        let over: Vec<_> = had.iter().filter(|filter| !wanted.contains(filter)).collect();
        for filters in over.chunks(FILTERS_MAX) {
            let Some(id) = self.new_id() else { return };
            let filters = filters.iter().map(|filter| filter.as_str()).collect();
            let properties = UnsubscribeProperties::default();
            self.send(now, &Packet::Unsubscribe(packet::Unsubscribe { id, properties, filters }), out);
            self.subscribing.push((id, Vec::new()));
        }
        main.lock().filters.retain(|filter| wanted.contains(filter));
    }

    /// The other broker's answer to SUBSCRIBE.
    pub(super) fn suback(&mut self, reasons: &Reasons<'_>, out: &mut Out<B>) {
        let Some(at) = self.subscribing.iter().position(|(id, _)| *id == reasons.id) else { return };
        let (_, filters) = self.subscribing.swap_remove(at);
        let memory = self.memories[self.main()].clone();
        for (i, filter) in filters.into_iter().enumerate() {
            match reasons.reasons.get(i) {
                Some(reason) if !reason.is_failure() => {
                    let mut memory = memory.lock();
                    if !memory.filters.contains(&filter) {
                        memory.filters.push(filter);
                    }
                }
                reason => {
                    let reason = reason.map_or("no answer", |reason| reason.name());
                    warn!(bridge = %self.setup.name, %filter, reason, "the other broker refuses a subscription");
                    self.status.fail(format_args!("the other broker refuses '{filter}': {reason}"));
                }
            }
        }
        self.after_save(self.main(), After::Nothing, out);
    }
}

/// A hello for one of a bridge's sessions.
pub(in crate::bridge) fn hello(
    name: &str,
    credentials: Credentials,
    keepsake: Option<Arc<dyn Keepsake>>,
) -> Hello {
    Hello {
        credentials,
        name: Some(Name { name: name.into(), fresh: false }),
        keep: KEEP,
        keepsake,
        ..Hello::default()
    }
}

/// A subscription that a session had: its number, its filter, what it lost.
pub(in crate::bridge) type Had = (SubscriptionId, Filter, Missed);

/// What the paths of a rank want to hear, in their order. A filter that the session has goes on where it stands,
/// under its number.
pub(in crate::bridge) fn wishes(setup: &Setup, rank: usize, had: &[Had]) -> Vec<Subscribe> {
    let Some(paths) = setup.paths.out.get(rank).map(|rank| &rank.paths) else { return Vec::new() };
    let mut last = had.iter().map(|(id, ..)| *id).max().unwrap_or(0);
    let wish = |path: &Path| {
        let before = had.iter().find(|(_, filter, _)| *filter == path.filter).map(|(id, ..)| *id);
        let id = before.unwrap_or_else(|| {
            last += 1;
            last
        });
        Subscribe {
            from: if before.is_some() { Start::Keep } else { Start::Now },
            // What is retained here is retained there, from the beginning.
            with_state: before.is_none(),
            window: Some(setup.config.inflight_max.into()),
            no_local: true,
            qos: path.qos,
            ..Subscribe::new(id, path.filter.clone())
        }
    };
    paths.iter().map(wish).collect()
}

/// The memory of a session: its own where it went on with one, or the one that was made for it.
pub(in crate::bridge) fn adopt(opened: &Opened, made: &Arc<Memory>) -> Arc<Memory> {
    let own = opened.kept.clone().and_then(|kept| match kept {
        Kept::Live(keepsake) => (keepsake as Arc<dyn Any + Send + Sync>).downcast().ok(),
        Kept::Saved(bytes) => Memory::read(&bytes).or_else(|| {
            warn!("a bridge's memory was not written by this version: it begins anew");
            None
        }),
    });
    let memory = own.unwrap_or_else(|| made.clone());
    if opened.resumed {
        opened.place.put(memory.clone());
    }
    memory
}
