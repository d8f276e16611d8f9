//! What the address of an event stream or of a long-poll asks for: who, and which subscriptions.

use std::{sync::Arc, time::Duration};

use bytes::BytesMut;
use yizhan_hub::{
    Credentials, Filter, Hello, Position, Refused,
    link::{Have, Start, Subscribe},
};
use yizhan_net::Request;

use super::credentials;
use crate::wire::{
    Encoding, Wrong,
    command::{Command, DEVICE_BYTES_MAX, Network, PAGE_RECORDS_MAX, is_short},
    pen,
    script::write_command,
};

/// Filters that one address may name.
const FILTERS_MAX: usize = 32;
/// Positions that one address may name.
const POSITIONS_MAX: usize = 64;

/// What an address asks for.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) credentials: Credentials,
    pub(crate) device: Option<Arc<str>>,
    pub(crate) network: Network,
    filters: Vec<Filter>,
    from: Start,
    with_state: bool,
    no_local: bool,
}

impl Opening {
    /// Reads a request.
    pub(crate) fn read(request: &Request) -> Result<Self, Wrong> {
        let mut opening = Self {
            credentials: credentials(request)?,
            device: None,
            network: Network::default(),
            filters: Vec::new(),
            from: Start::Now,
            with_state: false,
            no_local: false,
        };
        let mut positions: Vec<Position> = Vec::new();
        let mut starts = 0;
        for (name, value) in request.query() {
            match &*name {
                "filter" | "topic" if opening.filters.len() == FILTERS_MAX => {
                    return Err(wrong("filter", "at most 32 times"));
                }
                "filter" | "topic" => {
                    opening.filters.push(Filter::new(&value).map_err(|bad| Wrong::Refused(bad.into()))?);
                }
                "token" => opening.credentials = Credentials::Token(value.into()),
                "ticket" => opening.credentials = Credentials::Ticket(value.into()),
                "device" if is_short(&value, DEVICE_BYTES_MAX) => opening.device = Some(value.into()),
                "device" => return Err(wrong("device", "a name of at most 64 bytes")),
                "network" => {
                    opening.network = Network::find(&value)
                        .ok_or_else(|| wrong("network", "'wifi', 'cellular' or 'iot'"))?;
                }
                "state" => opening.with_state = flag("state", &value)?,
                "no_local" => opening.no_local = flag("no_local", &value)?,
                "after" if positions.len() == POSITIONS_MAX => {
                    return Err(wrong("after", "at most 64 times"));
                }
                "after" => {
                    positions.push(value.parse().map_err(|_| wrong("after", "a position"))?);
                }
                "seq" => {
                    starts += 1;
                    opening.from = Start::Seq(value.parse().map_err(|_| wrong("seq", "a whole number"))?);
                }
                "last" => {
                    starts += 1;
                    let last = value.parse().ok().filter(|&last| u64::from(last) <= PAGE_RECORDS_MAX);
                    opening.from =
                        Start::Last(last.ok_or_else(|| wrong("last", "a whole number from 0 to 1000"))?);
                }
                _ => {}
            }
        }
        if starts + usize::from(!positions.is_empty()) > 1 {
            return Err(wrong("after", "only one of after, seq and last"));
        }
        if !positions.is_empty() {
            opening.from = Start::Positions(positions);
        }
        Ok(opening)
    }

    /// The hello of a new session.
    pub(crate) fn hello(&self, keep: Duration) -> Hello {
        Hello { credentials: self.credentials.clone(), device: self.device.clone(), keep, ..Hello::default() }
    }

    /// The frame that subscribes to the filters: from where the address says, or after the places that an
    /// earlier session `had`.
    pub(crate) fn subscribes(&self, had: &[Have]) -> BytesMut {
        let mut frame = BytesMut::new();
        pen::open_array(self.filters.len(), &mut frame, Encoding::Json);
        for (i, (filter, sub)) in self.filters.iter().zip(1..).enumerate() {
            pen::next_item(i, &mut frame, Encoding::Json);
            let from = match had.iter().find(|have| have.subscription == sub) {
                Some(have) if have.positions.is_empty() => Start::Now,
                Some(have) => Start::Positions(have.positions.clone()),
                None => self.from.clone(),
            };
            let wish = Subscribe {
                from,
                with_state: self.with_state,
                no_local: self.no_local,
                ..Subscribe::new(sub, filter.clone())
            };
            write_command(None, &Command::Subscribe(Box::new(wish)), &mut frame, Encoding::Json);
        }
        pen::shut_array(&mut frame, Encoding::Json);
        frame
    }

    /// Those subscriptions of an earlier session that cannot go on without a gap.
    pub(crate) fn lost(&self, had: &[Have]) -> Vec<u32> {
        let gap =
            |have: &&Have| have.positions.is_empty() && have.subscription as usize <= self.filters.len();
        had.iter().filter(gap).map(|have| have.subscription).collect()
    }
}

fn wrong(name: &'static str, expected: &'static str) -> Wrong {
    Wrong::Field { name, expected }
}

fn flag(name: &'static str, value: &str) -> Result<bool, Wrong> {
    match value {
        "true" | "1" | "" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(wrong(name, "true or false")),
    }
}

/// Whether a hello may be said again without `resume` where it was refused like this.
pub(crate) fn is_gone(refused: &Refused) -> bool {
    matches!(refused, Refused::NoSession)
}
