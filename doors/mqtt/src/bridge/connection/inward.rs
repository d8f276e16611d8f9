//! From the other broker to the hub: confirmed once the hub has it.

use bytes::Bytes;
use yizhan_hub::{Answer, Call, Qos, link::Publish as Message};
use yizhan_talk::{Now, Out};

use super::{
    Asked, Bridge, FAILED, HubRanks,
    saving::{After, is_passing},
};
use crate::{
    bridge::{
        VIA, carry,
        memory::{Hold, Received},
    },
    connection::reasons::reason_of,
    wire::{
        Kind, Packet, PacketId, Reason, Version, WireError,
        packet::{Ack, Publish},
    },
};

impl<B: HubRanks> Bridge<B> {
    /// A message comes.
    pub(super) fn arriving(
        &mut self,
        now: Now,
        publish: &Publish<'_>,
        out: &mut Out<B>,
    ) -> Result<(), WireError> {
        if publish.properties.topic_alias.is_some() {
            return Err(WireError::new(Reason::TopicAliasInvalid, "a topic alias where none was allowed"));
        }
        let is_exact = publish.qos == Qos::ExactlyOnce;
        if let Some(id) = publish.id.filter(|_| is_exact)
            && self.is_known(now, id, out)
        {
            return Ok(());
        }
        self.check_window(publish)?;
        let Some(mut message) = self.message(publish) else {
            // Nobody wants it here: it is confirmed, so that it does not come again.
            match (publish.qos, publish.id) {
                (Qos::AtLeastOnce, Some(id)) => self.puback_to(now, id, Reason::Success, out),
                (Qos::ExactlyOnce, Some(id)) => self.pass_over(now, id, out),
                _ => {}
            }
            return Ok(());
        };
        match publish.id.filter(|_| is_exact) {
            Some(id) => {
                let main = self.main();
                message.id = Some(self.number(id).into());
                self.after_save(main, After::Take(id, Box::new(message)), out);
            }
            None => {
                self.taking += usize::from(publish.id.is_some());
                self.publish_here(publish.id, message, out);
            }
        }
        Ok(())
    }

    /// The other side keeps to what we said we take at once (MQTT-3.3.4-9).
    fn check_window(&self, publish: &Publish<'_>) -> Result<(), WireError> {
        let under_way = {
            let received = &self.memories[self.main()].lock().received;
            let is_counted = publish.id.is_some_and(|id| received.contains_key(&id));
            self.taking + received.len() - usize::from(is_counted)
        };
        let max = usize::from(self.setup.config.inflight_max);
        if publish.qos != Qos::AtMostOnce && self.version() == Version::V5 && under_way >= max {
            return Err(WireError::new(
                Reason::ReceiveMaximumExceeded,
                "more publishes than we take at once",
            ));
        }
        Ok(())
    }

    /// What the hub is to publish; `None` where no rule is for it, or it was here before.
    fn message(&self, publish: &Publish<'_>) -> Option<Message> {
        let user = &publish.properties.user;
        let via = user.iter().rev().find(|(name, _)| *name == VIA).map(|(_, via)| *via);
        if !self.setup.hops.may_enter(via) {
            // It left from here, or goes in circles.
            return None;
        }
        let topic = match self.setup.paths.arriving(publish.topic)? {
            Ok(topic) => topic,
            Err(error) => {
                self.status.drop_one(&self.setup.name, error);
                return None;
            }
        };
        match carry::message(publish, topic, Bytes::copy_from_slice(publish.payload)) {
            Ok(message) => Some(message),
            Err(reason) => {
                self.status.drop_one(&self.setup.name, reason);
                None
            }
        }
    }

    fn publish_here(&mut self, id: Option<PacketId>, message: Message, out: &mut Out<B>) {
        let main = self.main();
        self.ask(main, Asked::Publish { id, is_exact: false }, Call::Publish(message), out);
    }

    /// Whether a PUBLISH of QoS 2 came before (MQTT-4.3.3-10).
    fn is_known(&mut self, now: Now, id: PacketId, out: &mut Out<B>) -> bool {
        let hold = self.memories[self.main()].lock().received.get(&id).map(|received| received.hold);
        match hold {
            Some(Hold::Safe) => {
                self.send(now, &Packet::Pubrec(Ack::new(id, Reason::Success)), out);
                true
            }
            Some(Hold::Asked) => true,
            // It came in an earlier connection, and the hub may have it: it is asked under the same id.
            Some(Hold::Open) | None => false,
        }
    }

    /// The id under which the hub knows a message of QoS 2 again, if it comes again.
    fn number(&self, id: PacketId) -> String {
        let mut memory = self.memories[self.main()].lock();
        let number = memory.received.get(&id).map_or(memory.taken + 1, |received| received.number);
        memory.taken = memory.taken.max(number);
        memory.received.insert(id, Received { number, hold: Hold::Asked });
        format!("bridge:{}:{:x}:{number:x}", self.setup.name, memory.born)
    }

    /// A message of QoS 2 that is not wanted: the exchange goes on.
    fn pass_over(&mut self, now: Now, id: PacketId, out: &mut Out<B>) {
        // The text is not wanted; it is remembered.
        drop(self.number(id));
        self.hold_safe(id);
        self.send(now, &Packet::Pubrec(Ack::new(id, Reason::Success)), out);
    }

    fn hold_safe(&self, id: PacketId) {
        if let Some(received) = self.memories[self.main()].lock().received.get_mut(&id) {
            received.hold = Hold::Safe;
        }
    }

    /// A message of QoS 2 is known to us after a restart: now the hub may have it.
    pub(super) fn take_exact(&mut self, id: PacketId, message: Message, out: &mut Out<B>) {
        let main = self.main();
        self.ask(main, Asked::Publish { id: Some(id), is_exact: true }, Call::Publish(message), out);
    }

    /// The hub's answer to a message.
    pub(super) fn taken(
        &mut self,
        now: Now,
        id: Option<PacketId>,
        is_exact: bool,
        answer: Answer,
        out: &mut Out<B>,
    ) {
        if id.is_some() && !is_exact {
            self.taking = self.taking.saturating_sub(1);
        }
        let reason = match answer {
            Answer::Refused(refused) if id.is_some() && is_passing(&refused) => {
                // Not confirmed, it comes again with the next connection.
                self.say_goodbye(now, Reason::ServerBusy, None, out);
                return self.end(FAILED, format_args!("the hub does not take a message now: {refused}"), out);
            }
            Answer::Refused(refused) => {
                self.status.drop_one(&self.setup.name, &refused);
                reason_of(&refused, Kind::Puback)
            }
            _ => {
                self.status.count_received();
                Reason::Success
            }
        };
        match (id, is_exact) {
            (Some(id), false) => self.puback_to(now, id, reason, out),
            (Some(id), true) => self.pubrec_to(now, id, reason, out),
            (None, _) => {}
        }
    }

    fn puback_to(&mut self, now: Now, id: PacketId, reason: Reason, out: &mut Out<B>) {
        self.send(now, &Packet::Puback(Ack::new(id, reason)), out);
    }

    fn pubrec_to(&mut self, now: Now, id: PacketId, reason: Reason, out: &mut Out<B>) {
        if reason.is_failure() && self.version() == Version::V5 {
            // The exchange ends here (MQTT-4.3.3-9).
            self.memories[self.main()].lock().received.remove(&id);
        } else {
            self.hold_safe(id);
        }
        self.send(now, &Packet::Pubrec(Ack::new(id, reason)), out);
    }

    /// The other broker releases a message of QoS 2.
    pub(super) fn pubrel(&mut self, now: Now, id: PacketId, out: &mut Out<B>) {
        let main = self.main();
        let is_known = self.memories[main].lock().received.remove(&id).is_some();
        if is_known {
            // Forgotten, the next message with this identifier would be taken for this one.
            self.after_save(main, After::Complete(id), out);
        } else {
            self.send(now, &Packet::Pubcomp(Ack::new(id, Reason::PacketIdNotFound)), out);
        }
    }

    /// Sends PUBCOMP.
    pub(super) fn complete(&mut self, now: Now, id: PacketId, out: &mut Out<B>) {
        self.send(now, &Packet::Pubcomp(Ack::new(id, Reason::Success)), out);
    }
}
