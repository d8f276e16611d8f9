//! What the server says. Each function appends one event.

use std::time::Duration;

use bytes::BytesMut;
use yizhan_hub::{
    Filter, Position, Record,
    link::{Durability, Opened, Present, Receipt, SubscriptionId},
    store::{Missed, Page},
};
use yizhan_talk::{Again, Close, Timestamp};

use super::{
    Encoding, Wrong,
    pen::{self, Pen},
    record,
};

/// Bytes of records in one answer to `state`; what is over is left out, and `more` says so.
const STATE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Appends one event with this type, and with `re` where it answers a command that had an `id`.
fn event(
    name: &str,
    re: Option<u64>,
    into: &mut BytesMut,
    encoding: Encoding,
    fields: impl FnOnce(&mut Pen<'_>),
) {
    let mut pen = Pen::map(into, encoding);
    pen.text("type", name);
    if let Some(re) = re {
        pen.integer("re", re);
    }
    fields(&mut pen);
    pen.end();
}

/// What a `welcome` tells besides the session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Welcome<'a> {
    pub(crate) heartbeat: Duration,
    pub(crate) server: &'a str,
    pub(crate) at: Timestamp,
    pub(crate) frame_bytes_max: usize,
    pub(crate) subscriptions_max: usize,
}

pub(crate) fn welcome(
    re: Option<u64>,
    opened: &Opened,
    told: Welcome<'_>,
    into: &mut BytesMut,
    encoding: Encoding,
) {
    event("welcome", re, into, encoding, |pen| {
        pen.text("session", &opened.session.to_string());
        if !opened.secret.is_empty() {
            pen.text("secret", &opened.secret);
        }
        pen.text("user", &opened.principal.user);
        if let Some(device) = &opened.principal.device {
            pen.text("device", device);
        }
        pen.flag("resumed", opened.resumed);
        pen.number("keep", seconds(opened.keep));
        pen.number("heartbeat", seconds(told.heartbeat));
        pen.text("server", told.server);
        pen.integer("at", told.at.as_millis());
        pen.name("limits");
        let mut limits = Pen::map(pen.into, encoding);
        limits.integer("frame", told.frame_bytes_max as u64);
        limits.integer("subscriptions", told.subscriptions_max as u64);
        limits.end();
        let subscriptions = &opened.subscriptions;
        if !subscriptions.is_empty() {
            pen.array("subs", subscriptions.len(), subscriptions, |(sub, filter, missed), into| {
                subscription(*sub, filter, *missed, into, encoding);
            });
        }
    });
}

fn subscription(
    sub: SubscriptionId,
    filter: &Filter,
    missed: Missed,
    into: &mut BytesMut,
    encoding: Encoding,
) {
    let mut pen = Pen::map(into, encoding);
    pen.integer("sub", sub.into());
    pen.text("filter", filter.as_str());
    missed_field(missed, &mut pen);
    pen.end();
}

fn missed_field(missed: Missed, pen: &mut Pen<'_>) {
    match missed {
        Missed::Count(n) => pen.integer("missed", n),
        Missed::Unknown => pen.minus_one("missed"),
    }
}

fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

pub(crate) fn subscribed(
    re: Option<u64>,
    sub: SubscriptionId,
    heads: &[Position],
    missed: Missed,
    into: &mut BytesMut,
    encoding: Encoding,
) {
    event("subscribed", re, into, encoding, |pen| {
        pen.integer("sub", sub.into());
        pen.array("pos", heads.len(), heads, |head, into| pen::position(head, into, encoding));
        missed_field(missed, pen);
    });
}

pub(crate) fn ok(re: Option<u64>, into: &mut BytesMut, encoding: Encoding) {
    event("ok", re, into, encoding, |_| {});
}

/// A durability's name in commands and receipts.
pub(crate) fn durability_name(durability: Durability) -> &'static str {
    match durability {
        Durability::None => "none",
        Durability::Memory => "memory",
        Durability::Disk => "disk",
    }
}

pub(crate) fn receipt(re: Option<u64>, receipt: &Receipt, into: &mut BytesMut, encoding: Encoding) {
    event("receipt", re, into, encoding, |pen| {
        if let Some(position) = &receipt.position {
            pen.integer("seq", receipt.seq);
            pen.position("pos", position);
        }
        pen.integer("at", receipt.at.as_millis());
        pen.text("durable", durability_name(receipt.durability));
        pen.flag("duplicate", receipt.duplicate);
    });
}

pub(crate) fn history(re: Option<u64>, topic: &str, page: &Page, into: &mut BytesMut, encoding: Encoding) {
    event("history", re, into, encoding, |pen| {
        pen.text("topic", topic);
        pen.name("records");
        record::write_all(page.records.len(), page.records.iter().map(|r| &**r), pen.into, encoding);
        pen.flag("more", !page.at_end);
        missed_field(page.missed, pen);
    });
}

pub(crate) fn state<'r>(
    re: Option<u64>,
    records: impl Iterator<Item = &'r Record> + Clone,
    records_max: usize,
    into: &mut BytesMut,
    encoding: Encoding,
) {
    let (mut bytes, mut count, mut all) = (0, 0, 0);
    for record in records.clone() {
        all += 1;
        bytes += record::form(record, encoding).len();
        if bytes <= STATE_BYTES_MAX && all == count + 1 {
            count += 1;
        }
    }
    event("state", re, into, encoding, |pen| {
        pen.name("records");
        record::write_all(count, records.take(count), pen.into, encoding);
        pen.flag("more", count < all || all >= records_max);
    });
}

pub(crate) fn presence(re: Option<u64>, sessions: &[Present], into: &mut BytesMut, encoding: Encoding) {
    event("presence", re, into, encoding, |pen| {
        pen.array("sessions", sessions.len(), sessions, |present, into| {
            let mut pen = Pen::map(into, encoding);
            pen.text("user", &present.user);
            if let Some(device) = &present.device {
                pen.text("device", device);
            }
            pen.text("session", &present.session.to_string());
            pen.text("door", present.door);
            pen.integer("since", present.since.as_millis());
            pen.end();
        });
    });
}

/// What a service said: one JSON value, or nothing.
pub(crate) fn told(re: Option<u64>, body: &[u8], into: &mut BytesMut, encoding: Encoding) {
    event("told", re, into, encoding, |pen| {
        // Services answer in UTF-8; were one wrong, it would have said nothing.
        if let Some(text) = std::str::from_utf8(body).ok().filter(|text| !text.is_empty()) {
            record::write_data(text, pen);
        }
    });
}

/// `t1` is the client's time, `t2` when the command was read, `t3` now.
pub(crate) fn time(
    re: Option<u64>,
    t1: Option<f64>,
    t2: Timestamp,
    t3: Timestamp,
    into: &mut BytesMut,
    encoding: Encoding,
) {
    // Microseconds since 1970 need 51 bits, so the division loses less than one of them.
    let millis = |t: Timestamp| t.0 as f64 / 1000.0;
    event("time", re, into, encoding, |pen| {
        if let Some(t1) = t1 {
            pen.number("t1", t1);
        }
        pen.number("t2", millis(t2));
        pen.number("t3", millis(t3));
    });
}

pub(crate) fn pong(re: Option<u64>, heartbeat: Option<Duration>, into: &mut BytesMut, encoding: Encoding) {
    event("pong", re, into, encoding, |pen| {
        if let Some(heartbeat) = heartbeat {
            pen.number("heartbeat", seconds(heartbeat));
        }
    });
}

fn again_field(again: Again, pen: &mut Pen<'_>) {
    match again {
        Again::Never => pen.text("again", "never"),
        Again::Soon => pen.text("again", "soon"),
        // Whole milliseconds, so that nobody reads 0.30000000000000004.
        Again::After(wait) => pen.number("again", wait.as_millis() as f64 / 1000.0),
    }
}

pub(crate) fn error(re: Option<u64>, wrong: &Wrong, into: &mut BytesMut, encoding: Encoding) {
    event("error", re, into, encoding, |pen| {
        pen.integer("code", wrong.code().into());
        pen.text("reason", &wrong.to_string());
        again_field(wrong.again(), pen);
    });
}

pub(crate) fn close(close: &Close, into: &mut BytesMut, encoding: Encoding) {
    event("close", None, into, encoding, |pen| {
        pen.integer("code", close.code.into());
        pen.text("reason", &close.reason);
        again_field(close.again, pen);
    });
}

/// What `records` has before its records; see [`shut_records`].
pub(crate) fn open_records(
    sub: SubscriptionId,
    number: u64,
    count: usize,
    into: &mut BytesMut,
    encoding: Encoding,
) {
    let mut pen = Pen::map(into, encoding);
    pen.text("type", "records");
    pen.integer("sub", sub.into());
    pen.integer("n", number);
    pen.name("records");
    if encoding == Encoding::Cbor {
        // JSON's brace is shut behind the records; CBOR's length is known and filled in here.
        pen.end();
    }
    pen::open_array(count, into, encoding);
}

/// What `records` has behind its records.
pub(crate) fn shut_records(into: &mut BytesMut, encoding: Encoding) {
    if encoding == Encoding::Json {
        into.extend_from_slice(b"]}");
    }
}

pub(crate) fn missed(
    sub: SubscriptionId,
    number: u64,
    missed: Missed,
    into: &mut BytesMut,
    encoding: Encoding,
) {
    event("missed", None, into, encoding, |pen| {
        pen.integer("sub", sub.into());
        pen.integer("n", number);
        missed_field(missed, pen);
    });
}

pub(crate) fn state_end(sub: SubscriptionId, into: &mut BytesMut, encoding: Encoding) {
    event("state_end", None, into, encoding, |pen| pen.integer("sub", sub.into()));
}
