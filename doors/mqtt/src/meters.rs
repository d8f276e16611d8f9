//! What the door counts.

use yizhan_talk::{Counter, Gauge};

use crate::wire::{Kind, Reason};

/// Kinds of packets, by number; 0 is none.
const KINDS: usize = 16;
/// Reason codes are one byte.
const REASONS: usize = 256;

/// What all connections of the door count together.
#[derive(Debug)]
pub struct Meters {
    received: [Counter; KINDS],
    sent: [Counter; KINDS],
    connects: [Counter; REASONS],
    disconnects_sent: [Counter; REASONS],
    /// Bytes of the payloads of PUBLISH received.
    pub publish_bytes_in: Counter,
    /// Bytes of the payloads of PUBLISH sent.
    pub publish_bytes_out: Counter,
    /// Clients now: CONNECT was answered well, and the connection is open.
    pub clients: Gauge,
    /// The most clients at one time since the start.
    clients_most: Gauge,
    /// Messages of QoS 1 and 2 under way to clients that are here.
    pub inflight: Gauge,
    /// Messages of QoS 2 that were received and are not released yet, of clients that are here.
    pub qos2_held: Gauge,
    /// Messages not sent because the client takes no packet that large (MQTT-3.1.2-24).
    pub dropped_too_large: Counter,
    /// Messages not sent because they had expired (MQTT-3.3.2-5).
    pub dropped_expired: Counter,
    /// Messages of QoS 0 that were left out when a session was resumed, or a client read too slowly.
    pub dropped_qos0: Counter,
    /// PUBLISH that was not taken, and why it was not is in the acknowledgement's reason.
    pub publish_refused: Counter,
}

impl Default for Meters {
    fn default() -> Self {
        Self {
            received: std::array::from_fn(|_| Counter::default()),
            sent: std::array::from_fn(|_| Counter::default()),
            connects: std::array::from_fn(|_| Counter::default()),
            disconnects_sent: std::array::from_fn(|_| Counter::default()),
            publish_bytes_in: Counter::default(),
            publish_bytes_out: Counter::default(),
            clients: Gauge::default(),
            clients_most: Gauge::default(),
            inflight: Gauge::default(),
            qos2_held: Gauge::default(),
            dropped_too_large: Counter::default(),
            dropped_expired: Counter::default(),
            dropped_qos0: Counter::default(),
            publish_refused: Counter::default(),
        }
    }
}

impl Meters {
    /// Counts packets that came.
    pub fn received(&self, kind: Kind, n: u64) {
        self.received[kind as usize % KINDS].add(n);
    }

    /// Counts packets that were sent.
    pub fn sent(&self, kind: Kind, n: u64) {
        self.sent[kind as usize % KINDS].add(n);
    }

    /// Counts a CONNECT, by what CONNACK answered (in MQTT 5's numbers).
    pub fn connect(&self, answer: Reason) {
        self.connects[usize::from(answer.number())].one();
    }

    /// Counts a connection that the server ended, by DISCONNECT's reason; also where MQTT 3.1.1 has no packet
    /// for it.
    pub fn disconnect(&self, reason: Reason) {
        self.disconnects_sent[usize::from(reason.number())].one();
    }

    /// A client is in.
    pub fn client_came(&self) {
        self.clients.up();
        let now = self.clients.value();
        // Two that come at once may both see the higher number: it is right in any case.
        if now > self.clients_most.value() {
            self.clients_most.set(now);
        }
    }

    /// A client that was in is gone.
    pub fn client_left(&self) {
        self.clients.down();
    }

    /// The most clients at one time since the start.
    #[must_use]
    pub fn clients_most(&self) -> u64 {
        u64::try_from(self.clients_most.value()).unwrap_or(0)
    }

    /// Packets of one kind: received, sent.
    #[must_use]
    pub fn packets(&self, kind: Kind) -> (u64, u64) {
        (self.received[kind as usize % KINDS].value(), self.sent[kind as usize % KINDS].value())
    }

    /// All packets: received, sent.
    #[must_use]
    pub fn all_packets(&self) -> (u64, u64) {
        let sum = |all: &[Counter]| all.iter().map(Counter::value).sum();
        (sum(&self.received), sum(&self.sent))
    }

    /// CONNECTs by what was answered: all answers that there are.
    pub fn connects(&self) -> impl Iterator<Item = (Reason, u64)> {
        counted(&self.connects, Kind::Connack)
    }

    /// Connections that the server ended, by reason: all reasons that there are.
    pub fn disconnects(&self) -> impl Iterator<Item = (Reason, u64)> {
        counted(&self.disconnects_sent, Kind::Disconnect)
    }
}

fn counted(by_reason: &[Counter; REASONS], kind: Kind) -> impl Iterator<Item = (Reason, u64)> {
    let all = Reason::ALL.iter().map(|reason| (*reason, by_reason[usize::from(reason.number())].value()));
    all.filter(move |(reason, n)| reason.fits(kind) || *n > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_counted_by_kind_and_way() {
        let meters = Meters::default();
        meters.received(Kind::Publish, 2);
        meters.sent(Kind::Puback, 2);
        meters.sent(Kind::Publish, 5);
        assert_eq!(meters.packets(Kind::Publish), (2, 5));
        assert_eq!(meters.all_packets(), (2, 7));
    }

    #[test]
    fn answers_that_were_not_given_are_shown_as_none() {
        let meters = Meters::default();
        meters.connect(Reason::Success);
        meters.connect(Reason::NotAuthorized);
        meters.connect(Reason::Success);
        let given: Vec<_> = meters.connects().filter(|(_, n)| *n > 0).collect();
        assert_eq!(given, [(Reason::Success, 2), (Reason::NotAuthorized, 1)]);
        assert!(meters.connects().any(|answer| answer == (Reason::Banned, 0)));
        assert!(meters.connects().all(|(reason, _)| reason != Reason::PacketIdInUse));
        assert!(meters.disconnects().all(|(_, n)| n == 0) && meters.disconnects().count() > 10);
    }

    #[test]
    fn the_most_clients_stay_the_most() {
        let meters = Meters::default();
        meters.client_came();
        meters.client_came();
        meters.client_left();
        assert_eq!((meters.clients.value(), meters.clients_most()), (1, 2));
    }
}
