//! What a bridge remembers with each of its sessions at the hub: packets under way to the other broker, and in
//! the main session those that come from it. It outlives connections, and what must not be lost outlives the
//! server.

use std::{collections::BTreeMap, sync::Arc};

use bytes::{Bytes, BytesMut};
use parking_lot::{Mutex, MutexGuard};
use yizhan_hub::{Keepsake, Position, Qos, Record, SpaceId, link::SubscriptionId};
use yizhan_talk::Now;
use yizhan_wire::{ReadError, Reader, Writer};

use crate::wire::PacketId;

/// The first byte: how the rest is to be read.
const FORMAT: u8 = 1;
/// Bytes of a filter at the other broker.
const FILTER_BYTES_MAX: usize = 65_535;

/// The memory of one session.
pub(super) struct Memory(Mutex<State>);

/// See [`Memory`].
#[derive(Debug, Default)]
pub(super) struct State {
    /// When it began, µs of the wall clock: tells its messages from those of an earlier one of the same name.
    pub(super) born: u64,
    /// QoS 1 and 2 to the other broker, in the order in which they were sent.
    pub(super) sent: Vec<Sent>,
    /// Messages of QoS 2 that came from the other broker, ever.
    pub(super) taken: u64,
    /// QoS 2 from the other broker: what was not released yet.
    pub(super) received: BTreeMap<PacketId, Received>,
    /// What the other broker was asked to send.
    pub(super) filters: Vec<String>,
}

/// A PUBLISH of QoS 1 or 2 to the other broker.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) id: PacketId,
    pub(super) qos: Qos,
    pub(super) phase: Phase,
    /// For which subscription of the session.
    pub(super) subscription: SubscriptionId,
    pub(super) place: Place,
    /// The delivery's number in this connection; `None` where the hub has not delivered it again yet.
    pub(super) number: Option<u64>,
    /// The record, where it may have to be sent.
    pub(super) record: Option<Arc<Record>>,
}

/// How far an exchange is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// It is, or will be, sent.
    Sent,
    /// QoS 2: the other broker has it; PUBREL is, or will be, sent.
    Released,
    /// It is over; remembered until the hub knows that.
    Done,
}

/// What tells a record when the hub delivers it again.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// Its place in a journal.
    Kept(Position),
    /// Itself: a space that keeps nothing delivers the same one again.
    Unkept(Arc<Record>),
    /// It never comes again: the server was restarted. Its identifier must still be given back.
    Gone,
}

/// A PUBLISH of QoS 2 from the other broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Received {
    /// The how manyeth it was: part of the message's id at the hub, so that the hub knows it again.
    pub(super) number: u64,
    pub(super) hold: Hold,
}

/// Whether the hub has a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    /// Not in this connection's time.
    Open,
    /// It is on its way to the hub.
    Asked,
    /// The hub has it, or will never take it.
    Safe,
}

impl Place {
    /// Where this record is.
    pub(super) fn of(record: &Arc<Record>) -> Self {
        record.position.map_or_else(|| Self::Unkept(record.clone()), Self::Kept)
    }

    fn is(&self, record: &Arc<Record>) -> bool {
        match self {
            Self::Kept(position) => record.position == Some(*position),
            Self::Unkept(same) => Arc::ptr_eq(same, record),
            Self::Gone => false,
        }
    }

    /// Whether it would have come before this record, had it come again.
    fn is_before(&self, record: &Record) -> bool {
        match (self, record.position) {
            (Self::Kept(before), Some(at)) => before.same_lane(&at) && before.offset < at.offset,
            (Self::Unkept(before), None) => before.at < record.at,
            _ => false,
        }
    }
}

impl Memory {
    /// An empty one.
    pub(super) fn new(now: Now) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State { born: now.wall.0, ..State::default() })))
    }

    /// The one that was written as these bytes; `None` where they are not such bytes.
    pub(super) fn read(bytes: &[u8]) -> Option<Arc<Self>> {
        let mut reader = Reader::new(bytes);
        let state = read(&mut reader).ok()??;
        reader.is_empty().then(|| Arc::new(Self(Mutex::new(state))))
    }

    /// To read and change it. Held for a moment only: the hub writes it with the session.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }
}

impl State {
    /// A new connection: nothing was delivered in it, nothing asked.
    pub(super) fn begin(&mut self) {
        for sent in &mut self.sent {
            sent.number = None;
            sent.record = None;
        }
        for received in self.received.values_mut().filter(|received| received.hold == Hold::Asked) {
            received.hold = Hold::Open;
        }
    }

    /// The other broker has forgotten the session (MQTT-3.2.2-5). What it had not confirmed in full is sent
    /// anew: once too often rather than never.
    pub(super) fn forget_session(&mut self) {
        self.sent.retain(|sent| sent.phase == Phase::Done);
        self.received.clear();
        self.filters.clear();
    }

    /// What was sent for this record before.
    pub(super) fn find(&mut self, subscription: SubscriptionId, record: &Arc<Record>) -> Option<&mut Sent> {
        self.sent.iter_mut().find(|sent| sent.subscription == subscription && sent.place.is(record))
    }

    /// By packet identifier.
    pub(super) fn by_id(&mut self, id: PacketId) -> Option<&mut Sent> {
        self.sent.iter_mut().find(|sent| sent.id == id && sent.phase != Phase::Done)
    }

    /// Gives up what comes no more: its subscription is gone, or the hub is further already.
    pub(super) fn give_up(&mut self, is_lost: impl Fn(&Sent) -> bool) {
        for sent in &mut self.sent {
            if sent.number.is_none() && is_lost(sent) {
                sent.place = Place::Gone;
            }
        }
        // Of QoS 1 nothing is left to be done; nor of what is over.
        self.sent.retain(|sent| {
            !matches!(sent.place, Place::Gone) || (sent.qos == Qos::ExactlyOnce && sent.phase != Phase::Done)
        });
    }

    /// The same for all that should have come before this record of the subscription.
    pub(super) fn give_up_before(&mut self, subscription: SubscriptionId, record: &Record) {
        self.give_up(|sent| sent.subscription == subscription && sent.place.is_before(record));
    }

    /// The hub knows that everything of a subscription is done up to this number.
    pub(super) fn acked(&mut self, subscription: SubscriptionId, number: u64) {
        self.sent.retain(|sent| {
            let is_known = sent.subscription == subscription && sent.number.is_some_and(|n| n <= number);
            !(sent.phase == Phase::Done && is_known)
        });
    }

    /// Packets under way in this connection.
    pub(super) fn under_way(&self) -> usize {
        let is_flying = |sent: &&Sent| match sent.phase {
            Phase::Sent => sent.number.is_some(),
            Phase::Released => true,
            Phase::Done => false,
        };
        self.sent.iter().filter(is_flying).count()
    }
}

impl Keepsake for Memory {
    fn to_bytes(&self) -> Bytes {
        write(&self.0.lock())
    }

    fn figures(&self) -> Vec<(&'static str, u64)> {
        let state = self.0.lock();
        vec![("inflight", state.under_way() as u64), ("awaiting_release", state.received.len() as u64)]
    }
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}

fn write(state: &State) -> Bytes {
    let mut bytes = BytesMut::new();
    let mut into = Writer::new(&mut bytes);
    into.u8(FORMAT);
    into.u64_be(state.born);
    into.leb128(state.taken);
    into.leb128(state.received.len() as u64);
    for (id, received) in &state.received {
        into.u16_be(id.get());
        into.leb128(received.number);
        into.u8((received.hold == Hold::Safe).into());
    }
    into.leb128(state.filters.len() as u64);
    for filter in &state.filters {
        into.leb128_bytes(filter.as_bytes());
    }
    for sent in &state.sent {
        // Of a record that never comes again, what is over or was of QoS 1 matters no more.
        let position = if let Place::Kept(position) = sent.place { Some(position) } else { None };
        if position.is_none() && (sent.qos != Qos::ExactlyOnce || sent.phase == Phase::Done) {
            continue;
        }
        into.u16_be(sent.id.get());
        into.u8((sent.qos == Qos::ExactlyOnce).into());
        into.u8(match sent.phase {
            Phase::Sent => 0,
            Phase::Released => 1,
            Phase::Done => 2,
        });
        into.leb128(sent.subscription.into());
        into.u8(position.is_some().into());
        if let Some(position) = position {
            into.u16_be(position.space.0);
            into.u16_be(position.lane);
            into.u32_be(position.epoch);
            into.u64_be(position.offset);
        }
    }
    bytes.freeze()
}

fn read(reader: &mut Reader<'_>) -> Result<Option<State>, ReadError> {
    if reader.u8()? != FORMAT {
        return Ok(None);
    }
    let mut state = State { born: reader.u64_be()?, taken: reader.leb128()?, ..State::default() };
    for _ in 0..reader.leb128()? {
        let Some(id) = PacketId::new(reader.u16_be()?) else { return Ok(None) };
        let number = reader.leb128()?;
        let hold = if reader.u8()? == 0 { Hold::Open } else { Hold::Safe };
        state.received.insert(id, Received { number, hold });
    }
    for _ in 0..reader.leb128()? {
        state.filters.push(reader.leb128_str(FILTER_BYTES_MAX)?.to_owned());
    }
    while !reader.is_empty() {
        let Some(sent) = read_sent(reader)? else { return Ok(None) };
        state.sent.push(sent);
    }
    Ok(Some(state))
}

fn read_sent(reader: &mut Reader<'_>) -> Result<Option<Sent>, ReadError> {
    let id = PacketId::new(reader.u16_be()?);
    let qos = if reader.u8()? == 0 { Qos::AtLeastOnce } else { Qos::ExactlyOnce };
    let phase = match reader.u8()? {
        0 => Phase::Sent,
        1 => Phase::Released,
        2 => Phase::Done,
        _ => return Ok(None),
    };
    let subscription = SubscriptionId::try_from(reader.leb128()?).ok();
    let place = match reader.u8()? {
        0 => Place::Gone,
        _ => Place::Kept(Position {
            space: SpaceId(reader.u16_be()?),
            lane: reader.u16_be()?,
            epoch: reader.u32_be()?,
            offset: reader.u64_be()?,
        }),
    };
    let (Some(id), Some(subscription)) = (id, subscription) else { return Ok(None) };
    Ok(Some(Sent { id, qos, phase, subscription, place, number: None, record: None }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn position(offset: u64) -> Position {
        Position { space: SpaceId(1), lane: 2, epoch: 3, offset }
    }

    fn sent(id: u16, qos: Qos, phase: Phase, place: Place) -> Sent {
        let id = PacketId::new(id).unwrap();
        Sent { id, qos, phase, subscription: 7, place, number: None, record: None }
    }

    fn state() -> State {
        let received = Received { number: 4, hold: Hold::Safe };
        State {
            born: 99,
            sent: vec![
                sent(1, Qos::ExactlyOnce, Phase::Released, Place::Kept(position(10))),
                sent(2, Qos::AtLeastOnce, Phase::Done, Place::Kept(position(11))),
                sent(3, Qos::ExactlyOnce, Phase::Sent, Place::Gone),
            ],
            taken: 5,
            received: [(PacketId::MAX, received)].into(),
            filters: vec!["a/#".into()],
        }
    }

    #[test]
    fn a_memory_survives_its_bytes() {
        let bytes = write(&state());
        let memory = Memory::read(&bytes).unwrap();
        assert_eq!(format!("{:?}", *memory.lock()), format!("{:?}", state()));
        assert_eq!(memory.to_bytes(), bytes);
        for len in 0..bytes.len() {
            // Cut between two packets it is a shorter list, and nothing else.
            if let Some(memory) = Memory::read(&bytes[..len]) {
                assert!(memory.lock().sent.len() < 3);
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_pass(bytes: Vec<u8>) {
            Memory::read(&bytes);
            Memory::read(&[&[FORMAT][..], &bytes].concat());
        }
    }

    #[test]
    fn what_cannot_come_again_gives_its_identifier_back() {
        let mut state = state();
        state.give_up(|_| true);
        // QoS 1 and what was over are forgotten; the others are to be released.
        let left: Vec<_> = state.sent.iter().map(|sent| sent.id.get()).collect();
        assert_eq!(left, [1, 3]);
    }

    #[test]
    fn a_session_that_the_other_broker_forgot_leaves_what_is_over() {
        let mut state = state();
        state.forget_session();
        assert_eq!(state.sent.iter().map(|sent| sent.id.get()).collect::<Vec<_>>(), [2]);
        assert!(state.received.is_empty() && state.filters.is_empty());
    }
}
