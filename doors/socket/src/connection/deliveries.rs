//! Records into frames. Each record was encoded once for all who hear it; here it is only copied.

use bytes::{BufMut, BytesMut};
use yizhan_hub::{Call, Delivery, link::Acked};
use yizhan_talk::{Now, Out};

use super::{Asked, Connection, HubBackend, Pending, Transport, trail};
use crate::wire::{Encoding, event, pen, record};

/// Bytes of one frame; only a record that is larger alone makes a larger one.
const FRAME_BYTES_MAX: usize = 64 * 1024;
/// Bytes that an event takes besides its records, roughly.
const EVENT_BYTES: usize = 64;

impl<B: HubBackend> Connection<B> {
    pub(super) fn take_deliveries(&mut self, now: Now, deliveries: &[Delivery], out: &mut Out<B>) {
        let mut rest = deliveries;
        while let Some(first) = rest.first() {
            if let Delivery::Leave(close) = first {
                return self.end(now, close.clone(), out);
            }
            let plan = plan(rest, self.encoding);
            let (now_sent, later) = rest.split_at(plan.deliveries);
            rest = later;
            if let Transport::Events(stream) = &mut self.transport {
                for (sub, number) in stream.trail.follow(now_sent) {
                    // What no longer fits into the stream's ids was sent long ago: the hub may let it go.
                    self.pending.push_back(Pending { id: None, asked: Asked::Ack });
                    out.calls.push(Call::Ack(sub, Acked::Number(number)));
                }
                out.packets.write(|into| trail::write_id(&stream.trail, into));
            }
            self.emit(now, out, |into, encoding| write(now_sent, plan.events, into, encoding));
        }
    }
}

/// How much of what is there goes into one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    /// How many deliveries.
    pub(crate) deliveries: usize,
    /// In how many events.
    pub(crate) events: usize,
}

/// Plans the next frame: up to [`FRAME_BYTES_MAX`], up to a [`Delivery::Leave`], at least one delivery.
pub(crate) fn plan(deliveries: &[Delivery], encoding: Encoding) -> Plan {
    let (mut bytes, mut events) = (0, 0);
    for (i, delivery) in deliveries.iter().enumerate() {
        let begins = i == 0 || !goes_on(&deliveries[i - 1], delivery);
        bytes += if begins { EVENT_BYTES } else { 1 };
        match delivery {
            Delivery::Record { record, .. } => bytes += record::form(record, encoding).len(),
            Delivery::Batch { batch, .. } => bytes += record::joined(batch, encoding).len(),
            Delivery::Missed { .. } | Delivery::StateEnd { .. } => {}
            Delivery::Leave(_) => return Plan { deliveries: i, events },
        }
        if bytes > FRAME_BYTES_MAX && i > 0 {
            return Plan { deliveries: i, events };
        }
        events += usize::from(begins);
    }
    Plan { deliveries: deliveries.len(), events }
}

/// Whether `next` has records that stand in the same event as those before them.
fn goes_on(before: &Delivery, next: &Delivery) -> bool {
    match (records_of(before), records_of(next)) {
        (Some((a, n, count)), Some((b, m, _))) => a == b && n.checked_add(count as u64) == Some(m),
        _ => false,
    }
}

/// Subscription, first number and count, where records are delivered.
fn records_of(delivery: &Delivery) -> Option<(u32, u64, usize)> {
    match delivery {
        Delivery::Record { subscription, number, .. } => Some((*subscription, *number, 1)),
        Delivery::Batch { subscription, number, batch } => {
            Some((*subscription, *number, batch.records().len()))
        }
        Delivery::Missed { .. } | Delivery::StateEnd { .. } | Delivery::Leave(_) => None,
    }
}

/// Writes one frame with all of `deliveries` in `events` events.
pub(crate) fn write(deliveries: &[Delivery], events: usize, into: &mut BytesMut, encoding: Encoding) {
    if events != 1 {
        pen::open_array(events, into, encoding);
    }
    write_events(deliveries, into, encoding);
    if events != 1 {
        pen::shut_array(into, encoding);
    }
}

/// Writes all of `deliveries` as one JSON array.
pub(crate) fn write_array(deliveries: &[Delivery], into: &mut BytesMut) {
    pen::open_array(deliveries.len(), into, Encoding::Json);
    write_events(deliveries, into, Encoding::Json);
    pen::shut_array(into, Encoding::Json);
}

fn write_events(deliveries: &[Delivery], into: &mut BytesMut, encoding: Encoding) {
    let (mut rest, mut i) = (deliveries, 0);
    while !rest.is_empty() {
        pen::next_item(i, into, encoding);
        let length = 1 + rest.windows(2).take_while(|pair| goes_on(&pair[0], &pair[1])).count();
        let (these, later) = rest.split_at(length);
        (rest, i) = (later, i + 1);
        write_event(these, into, encoding);
    }
}

fn write_event(deliveries: &[Delivery], into: &mut BytesMut, encoding: Encoding) {
    match deliveries.first() {
        Some(
            Delivery::Record { subscription, number, .. } | Delivery::Batch { subscription, number, .. },
        ) => {
            let count = deliveries.iter().filter_map(records_of).map(|(_, _, count)| count).sum();
            event::open_records(*subscription, *number, count, into, encoding);
            for (i, delivery) in deliveries.iter().enumerate() {
                pen::next_item(i, into, encoding);
                match delivery {
                    Delivery::Record { record, .. } => into.put_slice(record::form(record, encoding)),
                    Delivery::Batch { batch, .. } => into.put_slice(record::joined(batch, encoding)),
                    Delivery::Missed { .. } | Delivery::StateEnd { .. } | Delivery::Leave(_) => {}
                }
            }
            event::shut_records(into, encoding);
        }
        Some(Delivery::Missed { subscription, number, missed }) => {
            event::missed(*subscription, *number, *missed, into, encoding);
        }
        Some(Delivery::StateEnd { subscription }) => event::state_end(*subscription, into, encoding),
        Some(Delivery::Leave(close)) => event::close(close, into, encoding),
        None => {}
    }
}
