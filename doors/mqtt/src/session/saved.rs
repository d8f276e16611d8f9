//! A session's memory as bytes. Only what this version wrote is read again; anything else is `None`.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use yizhan_hub::{Position, Qos, SpaceId};
use yizhan_wire::{ReadError, Reader, Writer};

use super::{
    Hold, Received, State, Sub,
    flight::{Entry, Flight, Phase, Place},
};
use crate::{
    generations::Generations,
    wire::{PacketId, properties::SubscriptionIdentifier},
};

/// The first byte: how the rest is to be read.
const FORMAT: u8 = 2;
/// Bytes of a filter as a client writes it.
const FILTER_BYTES_MAX: usize = 65_535;

const NO_LOCAL: u8 = 1;
const RETAIN_AS_PUBLISHED: u8 = 2;
const SHARED: u8 = 4;
const IN_STATE: u8 = 8;

/// Writes what a session remembers.
pub(super) fn write(state: &State) -> Bytes {
    let mut bytes = BytesMut::new();
    let mut into = Writer::new(&mut bytes);
    into.u8(FORMAT);
    into.u64_be(state.born);
    let runs = state.generations.runs();
    into.leb128(runs.len() as u64);
    for (id, number) in runs {
        into.u16_be(id);
        into.leb128(number);
    }
    into.leb128(state.received.len() as u64);
    for (id, received) in &state.received {
        into.u16_be(*id);
        into.leb128(received.generation);
        into.u8(u8::from(received.hold == Hold::Safe));
    }
    into.leb128(state.last_subscription.into());
    into.leb128(state.subscriptions.len() as u64);
    for sub in &state.subscriptions {
        write_sub(sub, &mut into);
    }
    into.u16_be(state.flight.last_id());
    for entry in state.flight.all() {
        write_entry(entry, &mut into);
    }
    bytes.freeze()
}

fn write_sub(sub: &Sub, into: &mut Writer<'_, BytesMut>) {
    let flag = |is: bool, flag: u8| if is { flag } else { 0 };
    into.leb128(sub.id.into());
    into.leb128_bytes(sub.filter.as_bytes());
    into.u8(sub.qos as u8);
    into.u8(flag(sub.no_local, NO_LOCAL)
        | flag(sub.retain_as_published, RETAIN_AS_PUBLISHED)
        | flag(sub.shared, SHARED)
        | flag(sub.in_state, IN_STATE));
    into.leb128(sub.identifier.map_or(0, SubscriptionIdentifier::get).into());
}

/// What never comes again and is done is left out; so is the number, which the hub gives anew.
fn write_entry(entry: &Entry, into: &mut Writer<'_, BytesMut>) {
    let place = match entry.place {
        Place::Kept(position) => Some(position),
        Place::Unkept(_) | Place::Nowhere => None,
    };
    if entry.qos == Qos::AtMostOnce || (entry.phase == Phase::Done && place.is_none()) {
        return;
    }
    into.u16_be(entry.id.map_or(0, PacketId::get));
    into.u8(entry.qos as u8);
    into.u8(match entry.phase {
        Phase::Sent => 0,
        Phase::Released => 1,
        Phase::Done => 2,
    });
    into.leb128(entry.subscription.into());
    into.u8(place.is_some().into());
    if let Some(position) = place {
        into.u16_be(position.space.0);
        into.u16_be(position.lane);
        into.u32_be(position.epoch);
        into.u64_be(position.offset);
    }
}

/// Reads what [`write()`] wrote.
pub(super) fn read(bytes: &[u8]) -> Option<State> {
    let mut reader = Reader::new(bytes);
    let state = read_state(&mut reader).ok()??;
    reader.is_empty().then_some(state)
}

fn read_state(reader: &mut Reader<'_>) -> Result<Option<State>, ReadError> {
    if reader.u8()? != FORMAT {
        return Ok(None);
    }
    let mut state = State::new(reader.u64_be()?);
    let mut runs = Vec::new();
    for _ in 0..reader.leb128()? {
        runs.push((reader.u16_be()?, reader.leb128()?));
    }
    let Some(generations) = Generations::from_runs(&runs) else { return Ok(None) };
    state.generations = generations;
    for _ in 0..reader.leb128()? {
        let id = reader.u16_be()?;
        let generation = reader.leb128()?;
        let hold = if reader.u8()? == 0 { Hold::Asked(0) } else { Hold::Safe };
        if id == 0 || state.received.insert(id, Received { generation, hold }).is_some() {
            return Ok(None);
        }
    }
    let Ok(last) = u32::try_from(reader.leb128()?) else { return Ok(None) };
    state.last_subscription = last;
    for _ in 0..reader.leb128()? {
        let Some(sub) = read_sub(reader)? else { return Ok(None) };
        let is_behind = state.subscriptions.last().is_none_or(|before| before.id < sub.id);
        if !is_behind || sub.id > last {
            return Ok(None);
        }
        state.subscriptions.push(sub);
    }
    let last_id = reader.u16_be()?;
    let mut entries = VecDeque::new();
    while !reader.is_empty() {
        let Some(entry) = read_entry(reader)? else { return Ok(None) };
        entries.push_back(entry);
    }
    state.flight = Flight::restore(entries, last_id);
    Ok(Some(state))
}

fn read_sub(reader: &mut Reader<'_>) -> Result<Option<Sub>, ReadError> {
    let Ok(id) = u32::try_from(reader.leb128()?) else { return Ok(None) };
    let filter = reader.leb128_str(FILTER_BYTES_MAX)?;
    let Some(qos) = qos(reader.u8()?) else { return Ok(None) };
    let flags = reader.u8()?;
    let Ok(identifier) = u32::try_from(reader.leb128()?) else { return Ok(None) };
    Ok(Some(Sub {
        id,
        filter: filter.into(),
        qos,
        no_local: flags & NO_LOCAL != 0,
        retain_as_published: flags & RETAIN_AS_PUBLISHED != 0,
        shared: flags & SHARED != 0,
        in_state: flags & IN_STATE != 0,
        identifier: SubscriptionIdentifier::new(identifier),
    }))
}

fn read_entry(reader: &mut Reader<'_>) -> Result<Option<Entry>, ReadError> {
    let id = PacketId::new(reader.u16_be()?);
    let Some(qos) = qos(reader.u8()?).filter(|qos| *qos != Qos::AtMostOnce) else { return Ok(None) };
    let phase = match reader.u8()? {
        0 => Phase::Sent,
        1 => Phase::Released,
        2 => Phase::Done,
        _ => return Ok(None),
    };
    if id.is_some() == (phase == Phase::Done) {
        return Ok(None);
    }
    let Ok(subscription) = u32::try_from(reader.leb128()?) else { return Ok(None) };
    let place = if reader.u8()? == 0 {
        Place::Nowhere
    } else {
        Place::Kept(Position {
            space: SpaceId(reader.u16_be()?),
            lane: reader.u16_be()?,
            epoch: reader.u32_be()?,
            offset: reader.u64_be()?,
        })
    };
    Ok(Some(Entry {
        id,
        phase,
        qos,
        counts: false,
        subscription,
        number: 0,
        is_shared: false,
        in_state: false,
        place,
        record: None,
    }))
}

fn qos(number: u8) -> Option<Qos> {
    [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce].into_iter().find(|qos| *qos as u8 == number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_qos() -> impl Strategy<Value = Qos> {
        prop::sample::select(vec![Qos::AtLeastOnce, Qos::ExactlyOnce])
    }

    prop_compose! {
        fn any_entry()(
            id in 1..u16::MAX,
            qos in any_qos(),
            phase in 0..3u8,
            subscription in 0..9u32,
            place in prop::option::of((any::<u16>(), any::<u16>(), any::<u32>(), any::<u64>())),
        ) -> Entry {
            let phase = [Phase::Sent, Phase::Released, Phase::Done][usize::from(phase)];
            let place = place.map_or(Place::Nowhere, |(space, lane, epoch, offset)| {
                Place::Kept(Position { space: SpaceId(space), lane, epoch, offset })
            });
            let id = PacketId::new(id).filter(|_| phase != Phase::Done);
            Entry {
                id,
                phase,
                qos,
                counts: false,
                subscription,
                number: 0,
                is_shared: false,
                in_state: false,
                place,
                record: None,
            }
        }
    }

    prop_compose! {
        fn any_sub()(
            id in 1..50u32,
            filter in "[a-z$+#/é]{1,40}",
            qos in any_qos(),
            flags: [bool; 4],
            identifier in 0..300u32,
        ) -> Sub {
            let [no_local, retain_as_published, shared, in_state] = flags;
            let (filter, identifier) = (filter.into(), SubscriptionIdentifier::new(identifier));
            Sub { id, filter, qos, no_local, retain_as_published, shared, in_state, identifier }
        }
    }

    prop_compose! {
        fn any_state()(
            born: u64,
            releases in prop::collection::vec(1..u16::MAX, 0..9),
            received in prop::collection::btree_map(1..u16::MAX, (any::<u64>(), any::<bool>()), 0..9),
            subs in prop::collection::vec(any_sub(), 0..5),
            entries in prop::collection::vec(any_entry(), 0..9),
            last: u16,
        ) -> State {
            let mut state = State::new(born);
            releases.into_iter().for_each(|id| state.generations.release(id));
            state.received = received
                .into_iter()
                .map(|(id, (generation, safe))| {
                    (id, Received { generation, hold: if safe { Hold::Safe } else { Hold::Asked(0) } })
                })
                .collect();
            state.last_subscription = 50;
            subs.into_iter().for_each(|sub| state.put_sub(sub));
            state.flight = Flight::restore(entries.into(), last);
            state
        }
    }

    proptest! {
        #[test]
        fn a_session_survives_its_bytes(state in any_state()) {
            let bytes = write(&state);
            let again = read(&bytes).expect("what was written is read");
            prop_assert_eq!(write(&again), bytes);
            prop_assert_eq!(again.subscriptions, state.subscriptions);
            prop_assert_eq!(again.received, state.received);
            prop_assert_eq!((again.born, again.generations), (state.born, state.generations));
        }

        #[test]
        fn damaged_bytes_are_refused_or_read_as_a_session(
            state in any_state(),
            at: prop::sample::Index,
            byte: u8,
            cut: prop::sample::Index,
        ) {
            let mut bytes = write(&state).to_vec();
            let i = at.index(bytes.len());
            bytes[i] = byte;
            for bytes in [&bytes[..], &bytes[..cut.index(bytes.len())]] {
                if let Some(state) = read(bytes) {
                    prop_assert!(read(&write(&state)).is_some());
                }
            }
        }

        #[test]
        fn any_bytes_pass(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            drop(read(&bytes));
            let mut bytes = bytes;
            bytes.insert(0, FORMAT);
            drop(read(&bytes));
        }
    }
}
