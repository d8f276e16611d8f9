//! PUBLISH from the client (MQTT 5 §3.3.4, §4.3).

use std::{
    collections::VecDeque,
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use bytes::Bytes;
use yizhan_hub::{Call, Content, Headers, Qos, Refused, StoreError, link, message::RETAINED};
use yizhan_talk::{Close, Fault, Now, Out};

use super::{
    Asked, Connection, HubBackend, Stage,
    props::{About, NotUtf8},
    reasons::{self, reason_of},
};
use crate::{
    names::{BadName, Destination},
    session::{Hold, Received},
    wire::{Kind, PacketId, Reason, Version, WireError, packet::Publish},
};

static RETAINED_KEY: LazyLock<Arc<str>> = LazyLock::new(|| RETAINED.into());

/// The key of retained messages.
pub(super) fn retained_key() -> Arc<str> {
    RETAINED_KEY.clone()
}

/// A PUBLISH that was looked at, without its body.
pub(super) struct Taken {
    qos: Qos,
    id: Option<PacketId>,
    fate: Fate,
}

/// What is to become of a PUBLISH.
enum Fate {
    /// It is published.
    Publish(Box<Said>),
    /// It is refused for this reason, in its turn.
    Refuse(Reason),
    /// QoS 2: it was published before, and is acknowledged again.
    Again,
    /// QoS 2: it is being published, and will be acknowledged.
    UnderWay,
}

/// What is said of a message besides its body.
struct Said {
    destination: Destination,
    is_retained: bool,
    content: Content,
    headers: Headers,
    expires_in: Option<Duration>,
    id: Option<Arc<str>>,
}

/// Publishes that the hub wants later, since they came too fast.
#[derive(Debug, Default)]
pub(super) struct Retries {
    /// Of publishes that were made and are not answered, oldest first.
    copies: VecDeque<link::Publish>,
    again: VecDeque<(Qos, Option<PacketId>, link::Publish)>,
    /// When they are made again. No input is read meanwhile.
    until: Option<Instant>,
}

impl Retries {
    pub(super) fn is_empty(&self) -> bool {
        self.copies.is_empty() && self.again.is_empty()
    }
}

impl<B: HubBackend> Connection<B> {
    /// Looks at a PUBLISH.
    pub(super) fn take_publish(
        &mut self,
        now: Now,
        publish: &Publish<'_>,
        out: &mut Out<B>,
    ) -> Result<Taken, Fault> {
        if !publish.properties.subscription_ids.is_empty() {
            let text = "a subscription identifier in PUBLISH from a client (MQTT-3.3.4-6)";
            return Err(self.broken(now, &WireError::protocol(text), out));
        }
        if publish.qos as u8 > self.allowance.qos_max {
            let text = "PUBLISH with a QoS above the maximum (MQTT-3.2.2-11)";
            return Err(self.broken(now, &WireError::new(Reason::QosNotSupported, text), out));
        }
        if publish.retain && !self.terms.config.retain {
            let text = "nothing is retained here (MQTT-3.2.2-14)";
            return Err(self.broken(now, &WireError::new(Reason::RetainNotSupported, text), out));
        }
        let (qos, id) = (publish.qos, publish.id);
        let named = self.destination(publish);
        let destination = match named {
            Ok(Ok(destination)) => Ok(destination),
            Ok(Err(bad)) => Err(bad.of_topic()),
            Err(error) => return Err(self.broken(now, &error, out)),
        };
        let mut hub_id = None;
        if let (Qos::ExactlyOnce, Some(id)) = (qos, id) {
            match self.known_exchange(id) {
                Exchange::New => {}
                Exchange::Again => return Ok(Taken { qos, id: Some(id), fate: Fate::Again }),
                Exchange::UnderWay => return Ok(Taken { qos, id: Some(id), fate: Fate::UnderWay }),
            }
        }
        if qos != Qos::AtMostOnce && self.is_over_receive_maximum() {
            let text = "more publishes under way than the receive maximum (MQTT-3.3.4-9)";
            return Err(self.broken(now, &WireError::new(Reason::ReceiveMaximumExceeded, text), out));
        }
        let read = About::from(&publish.properties).read(publish.payload);
        let fate = match (destination, read) {
            (Err(reason), _) => Fate::Refuse(reason),
            (Ok(_), Err(NotUtf8)) if qos == Qos::AtMostOnce => {
                let text = "the payload is not UTF-8, as it is said to be (MQTT 5 §3.3.2.3.2)";
                return Err(self.broken(now, &WireError::new(Reason::PayloadFormatInvalid, text), out));
            }
            (Ok(_), Err(NotUtf8)) => Fate::Refuse(Reason::PayloadFormatInvalid),
            (Ok(destination), Ok((content, headers))) => {
                if let (Qos::ExactlyOnce, Some(id)) = (qos, id) {
                    hub_id = self.begin_exchange(id);
                }
                Fate::Publish(Box::new(Said {
                    destination,
                    is_retained: publish.retain,
                    content,
                    headers,
                    expires_in: publish.properties.message_expiry.map(|s| Duration::from_secs(s.into())),
                    id: hub_id,
                }))
            }
        };
        Ok(Taken { qos, id, fate })
    }

    /// Where a PUBLISH goes; the outer error is the client's fault.
    fn destination(&mut self, publish: &Publish<'_>) -> Result<Result<Destination, BadName>, WireError> {
        let Some(alias) = publish.properties.topic_alias else { return Ok(self.named(publish.topic)) };
        if alias.get() > self.allowance.topic_alias_max {
            let text = "a topic alias above the maximum (MQTT-3.3.2-9)";
            return Err(WireError::new(Reason::TopicAliasInvalid, text));
        }
        if !publish.topic.is_empty() {
            self.desk().aliases_in.set(alias, publish.topic);
            return Ok(self.named(publish.topic));
        }
        match self.desk().aliases_in.find(alias) {
            Some(topic) => Ok(self.named(&topic)),
            None => Err(WireError::protocol("a topic alias that was not set (MQTT 5 §3.3.2.3.4)")),
        }
    }

    fn named(&mut self, name: &str) -> Result<Destination, BadName> {
        if let Some(known) = self.known.find(name) {
            return Ok(known.clone());
        }
        let topic = self.terms.rewrites.publish(name, &self.client, &self.user);
        let destination = self.terms.names.destination(&topic)?;
        self.known.put(name, destination.clone());
        Ok(destination)
    }

    /// Publishes what [`take_publish`](Self::take_publish) has looked at.
    pub(super) fn publish(&mut self, now: Now, taken: Taken, body: Bytes, out: &mut Out<B>) {
        let Taken { qos, id, fate } = taken;
        self.terms.meters.publish_bytes_in.add(body.len() as u64);
        let about = match (fate, id) {
            (Fate::Publish(about), _) => *about,
            (Fate::Again, Some(id)) => {
                return self.in_turn(now, Asked::Acked { qos, id, reason: Reason::Success }, out);
            }
            (Fate::Refuse(reason), Some(id)) => {
                self.terms.meters.publish_refused.one();
                return self.in_turn(now, Asked::Acked { qos, id, reason }, out);
            }
            (Fate::Refuse(_), None) => return self.terms.meters.publish_refused.one(),
            (Fate::UnderWay | Fate::Again, _) => return,
        };
        let publish = link::Publish {
            key: about.is_retained.then(retained_key),
            id: about.id,
            content: about.content,
            headers: about.headers,
            expires_in: about.expires_in,
            qos,
            delay: about.destination.delay,
            ..link::Publish::new(about.destination.topic, body)
        };
        self.taking += u16::from(qos == Qos::AtLeastOnce);
        self.call_publish(qos, id, publish, out);
    }

    fn call_publish(&mut self, qos: Qos, id: Option<PacketId>, publish: link::Publish, out: &mut Out<B>) {
        let is_copied = self.is_rated;
        if is_copied {
            self.desk().retries.copies.push_back(publish.clone());
        }
        self.ask(Asked::Publish { qos, id, is_copied }, Call::Publish(publish), out);
    }

    /// Where an exchange of QoS 2 stands.
    fn known_exchange(&self, id: PacketId) -> Exchange {
        let state = self.session.as_ref().and_then(|session| session.of(self.owner));
        let Some(state) = state else { return Exchange::UnderWay };
        match state.received.get(&id.get()) {
            None => Exchange::New,
            Some(Received { hold: Hold::Safe, .. }) => Exchange::Again,
            Some(Received { hold: Hold::Asked(by), .. }) if *by == self.owner => Exchange::UnderWay,
            // An earlier connection ended before the hub answered: it is asked again, and knows the id.
            Some(Received { hold: Hold::Asked(_), .. }) => Exchange::New,
        }
    }

    /// Remembers an exchange; gives the id by which the hub knows the message again, where the session may
    /// come back.
    fn begin_exchange(&self, id: PacketId) -> Option<Arc<str>> {
        let mut state = self.session.as_ref()?.of(self.owner)?;
        let (born, generation) = (state.born, state.generations.of(id.get()));
        let asked = Received { generation, hold: Hold::Asked(self.owner) };
        let received = state.received.entry(id.get()).or_insert(asked);
        received.hold = Hold::Asked(self.owner);
        let generation = received.generation;
        drop(state);
        self.is_kept.then(|| format!("mqtt2:{born:016x}:{generation:x}:{id:x}").into())
    }

    fn is_over_receive_maximum(&self) -> bool {
        if self.version == Version::V4 {
            return false;
        }
        let state = self.session.as_ref().and_then(|session| session.of(self.owner));
        let held = state.map_or(0, |state| state.received.len());
        usize::from(self.taking) + held >= usize::from(self.allowance.receive_max)
    }

    /// Says something in the turn of its PUBLISH (MQTT-4.6.0-2, MQTT-4.6.0-3).
    pub(super) fn in_turn(&mut self, now: Now, asked: Asked, out: &mut Out<B>) {
        if self.pending.is_empty() {
            self.say_acked(now, asked, out);
        } else {
            self.pending.push_back(asked);
        }
    }

    pub(super) fn say_acked(&mut self, now: Now, asked: Asked, out: &mut Out<B>) {
        let Asked::Acked { qos, id, reason } = asked else { return };
        // MQTT 3.1.1 cannot say no: the message is dropped and acknowledged.
        let kind = if qos == Qos::ExactlyOnce { Kind::Pubrec } else { Kind::Puback };
        self.ack(now, kind, id, reasons::fitting_ack(reason, kind, self.version), None, out);
    }

    /// The hub has a message.
    pub(super) fn published(&mut self, now: Now, asked: (Qos, Option<PacketId>, bool), out: &mut Out<B>) {
        let (qos, id, is_copied) = asked;
        if is_copied {
            self.desk().retries.copies.pop_front();
        }
        let Some(id) = id else { return };
        match qos {
            Qos::AtMostOnce => {}
            Qos::AtLeastOnce => {
                self.taking -= 1;
                self.ack(now, Kind::Puback, id, Reason::Success, None, out);
            }
            Qos::ExactlyOnce => {
                self.keep_exchange(id, true);
                self.ack(now, Kind::Pubrec, id, Reason::Success, None, out);
            }
        }
    }

    /// The hub does not take a message.
    pub(super) fn not_published(
        &mut self,
        now: Now,
        asked: (Qos, Option<PacketId>, bool),
        refused: &Refused,
        out: &mut Out<B>,
    ) {
        let (qos, id, is_copied) = asked;
        let copy = if is_copied { self.desk().retries.copies.pop_front() } else { None };
        if let (Refused::TooFast(wait), Some(publish)) = (refused, copy) {
            let retries = &mut self.desk().retries;
            retries.again.push_back((qos, id, publish));
            let until = now.steady + *wait;
            retries.until = Some(retries.until.map_or(until, |before| before.max(until)));
            return;
        }
        self.terms.meters.publish_refused.one();
        let Some(id) = id else { return };
        let is_unsafe = matches!(refused, Refused::Store(_) | Refused::Stopping);
        let kind = if qos == Qos::ExactlyOnce { Kind::Pubrec } else { Kind::Puback };
        if qos == Qos::ExactlyOnce {
            self.keep_exchange(id, self.version == Version::V4 && !is_unsafe);
        } else {
            self.taking -= 1;
        }
        match self.version {
            Version::V5 => {
                let text = refused.to_string();
                self.ack(now, kind, id, reason_of(refused, kind), Some(&text), out);
            }
            Version::V4 if is_unsafe => {
                let close = if *refused == Refused::Store(StoreError::Closed) || *refused == Refused::Stopping
                {
                    Close::GOING_AWAY
                } else {
                    reasons::NOT_SAFE
                };
                self.end(now, Reason::Unspecified, None, close, out);
            }
            // MQTT 3.1.1 cannot say no: the message is dropped and acknowledged.
            Version::V4 => self.ack(now, kind, id, Reason::Success, None, out),
        }
    }

    /// The hub answered for an exchange of QoS 2: it waits for PUBREL, or is over.
    fn keep_exchange(&self, id: PacketId, is_kept: bool) {
        let Some(mut state) = self.session.as_ref().and_then(|session| session.of(self.owner)) else {
            return;
        };
        if !is_kept {
            state.received.remove(&id.get());
        } else if let Some(received) = state.received.get_mut(&id.get()) {
            received.hold = Hold::Safe;
        }
    }

    /// Whether no input is read for a while.
    pub(super) fn is_paused(&self) -> bool {
        self.paused_until().is_some()
    }

    pub(super) fn paused_until(&self) -> Option<Instant> {
        self.desk.as_ref()?.retries.until
    }

    /// Publishes again what came too fast, where the time for it has come.
    pub(super) fn publish_again(&mut self, now: Now, out: &mut Out<B>) {
        if self.stage != Stage::Open || self.paused_until().is_none_or(|until| until > now.steady) {
            return;
        }
        let retries = &mut self.desk().retries;
        retries.until = None;
        let again = std::mem::take(&mut retries.again);
        self.heard = now.steady;
        for (qos, id, publish) in again {
            self.call_publish(qos, id, publish, out);
        }
    }
}

/// Where an exchange of QoS 2 stands.
enum Exchange {
    New,
    Again,
    UnderWay,
}
