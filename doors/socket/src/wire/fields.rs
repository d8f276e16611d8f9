//! What one command's object holds: values by name, each read strictly by the type it must have.

use std::{borrow::Cow, sync::Arc, time::Duration};

use bytes::Bytes;
use yizhan_hub::{Filter, Position, Topic};
use yizhan_talk::Timestamp;

use super::Wrong;

/// Whole numbers up to here survive every JSON library (2^53 − 1).
pub(crate) const INTEGER_MAX: u64 = (1 << 53) - 1;
/// Positions in one list: more lanes than any filter overlaps.
const POSITIONS_MAX: usize = 1024;
/// The longest duration that is told apart from "for ever", s: a hundred years.
const SECONDS_MAX: f64 = 100.0 * 365.0 * 86_400.0;

/// One value of an encoding, checked as a whole before.
pub(crate) trait Value<'a>: Copy {
    fn is_null(self) -> bool;
    fn string(self) -> Option<Cow<'a, str>>;
    fn boolean(self) -> Option<bool>;
    /// A whole number that is not negative.
    fn integer(self) -> Option<u64>;
    /// A finite number.
    fn number(self) -> Option<f64>;
    fn elements(self) -> Option<impl Iterator<Item = Self> + 'a>;
    fn entries(self) -> Option<impl Iterator<Item = (Cow<'a, str>, Self)> + 'a>;
    /// Bytes: base64 in JSON, a byte string in CBOR.
    fn bin(self) -> Option<Bytes>;
    /// The value as JSON text.
    fn json(self) -> Result<Bytes, &'static str>;
}

/// `n` as a whole number, where it is one that a double holds exactly.
pub(crate) fn whole(n: f64) -> Option<u64> {
    // The bounds make the conversion exact.
    (n >= 0.0 && n <= INTEGER_MAX as f64 && n.fract() == 0.0).then_some(n as u64)
}

macro_rules! keys {
    ($($key:ident $name:literal)*) => {
        /// The names that mean something in some command.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[allow(clippy::enum_variant_names, reason = "one of the names is `key`")]
        pub(crate) enum Key { $($key),* }

        impl Key {
            const ALL: &'static [Self] = &[$(Self::$key),*];

            fn find(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$key),)* _ => None }
            }

            pub(crate) fn name(self) -> &'static str {
                match self { $(Self::$key => $name),* }
            }
        }
    };
}

keys! {
    Type "type" Id "id" Topic "topic" Text "text" Data "data" Bin "bin" Content "content" Key "key" Mid "mid"
    Headers "headers" Expires "expires" Durable "durable" Sub "sub" Filter "filter" After "after" Seq "seq"
    Last "last" State "state" Window "window" NoLocal "no_local" N "n" Pos "pos" Before "before" Since "since"
    Limit "limit" User "user" Password "password" Token "token" Ticket "ticket" Device "device" Keep "keep"
    Network "network" Client "client" Resume "resume" Session "session" Secret "secret" Have "have" Will "will"
    T1 "t1" Qos "qos" Delay "delay" To "to"
}

/// The values of one object by name. Names that mean nothing are ignored, of a repeated one the last
/// counts, and `null` is as good as absent (except as `data`, where it is a value).
#[derive(Debug)]
pub(crate) struct Fields<V> {
    values: [Option<V>; Key::ALL.len()],
}

impl<'a, V: Value<'a>> Fields<V> {
    pub(crate) fn new() -> Self {
        Self { values: [None; Key::ALL.len()] }
    }

    pub(crate) fn put(&mut self, name: &str, value: V) {
        if let Some(key) = Key::find(name) {
            self.values[key as usize] = (key == Key::Data || !value.is_null()).then_some(value);
        }
    }

    /// The fields of an object inside the command.
    pub(crate) fn object(&self, key: Key) -> Result<Option<Self>, Wrong> {
        self.read(key, "an object", |value| Self::of(value))
    }

    /// The fields of the object that `value` is.
    pub(crate) fn of(value: V) -> Option<Self> {
        let mut fields = Self::new();
        for (name, value) in value.entries()? {
            fields.put(&name, value);
        }
        Some(fields)
    }

    pub(crate) fn has(&self, key: Key) -> bool {
        self.values[key as usize].is_some()
    }

    /// Reads a field with `read`; one that `read` cannot read is of the wrong type.
    pub(crate) fn read<T>(
        &self,
        key: Key,
        expected: &'static str,
        read: impl FnOnce(V) -> Option<T>,
    ) -> Result<Option<T>, Wrong> {
        let Some(value) = self.values[key as usize] else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| Wrong::Field { name: key.name(), expected })
    }

    pub(crate) fn string(&self, key: Key) -> Result<Option<Cow<'a, str>>, Wrong> {
        self.read(key, "a string", Value::string)
    }

    /// A string that goes on as it is.
    pub(crate) fn shared(&self, key: Key) -> Result<Option<Arc<str>>, Wrong> {
        Ok(self.string(key)?.map(Arc::from))
    }

    pub(crate) fn integer(
        &self,
        key: Key,
        range: std::ops::RangeInclusive<u64>,
        expected: &'static str,
    ) -> Result<Option<u64>, Wrong> {
        self.read(key, expected, |value| value.integer().filter(|n| range.contains(n)))
    }

    pub(crate) fn flag(&self, key: Key) -> Result<bool, Wrong> {
        Ok(self.read(key, "true or false", Value::boolean)?.unwrap_or_default())
    }

    pub(crate) fn duration(&self, key: Key) -> Result<Option<Duration>, Wrong> {
        self.read(key, "a number of seconds, not negative", |value| {
            let seconds = value.number().filter(|s| *s >= 0.0)?;
            Duration::try_from_secs_f64(seconds.min(SECONDS_MAX)).ok()
        })
    }

    pub(crate) fn time(&self, key: Key) -> Result<Option<Timestamp>, Wrong> {
        self.read(key, "milliseconds since 1970", |value| {
            let millis = value.number().filter(|ms| (0.0..=INTEGER_MAX as f64).contains(ms))?;
            // A conversion from float to integer stays at the largest one.
            Some(Timestamp((millis * 1000.0) as u64))
        })
    }

    /// One position or a list of them.
    pub(crate) fn positions(&self, key: Key) -> Result<Option<Vec<Position>>, Wrong> {
        self.read(key, "a position or a list of positions", |value| {
            let position = |value: V| value.string()?.parse().ok();
            if let Some(one) = position(value) {
                return Some(vec![one]);
            }
            let mut positions = Vec::new();
            for element in value.elements()? {
                if positions.len() == POSITIONS_MAX {
                    return None;
                }
                positions.push(position(element)?);
            }
            Some(positions)
        })
    }

    pub(crate) fn topic(&self) -> Result<Option<Topic>, Wrong> {
        self.string(Key::Topic)?
            .map(|name| Topic::new(&name).map_err(|e| Wrong::Refused(e.into())))
            .transpose()
    }

    /// `filter`, or `topic` as another name for it.
    pub(crate) fn filter(&self) -> Result<Filter, Wrong> {
        let pattern = match self.string(Key::Filter)? {
            Some(filter) => Some(filter),
            None => self.string(Key::Topic)?,
        };
        let pattern = pattern.ok_or_else(|| missing(Key::Filter))?;
        Filter::new(&pattern).map_err(|e| Wrong::Refused(e.into()))
    }
}

/// A field that has to be there is not.
pub(crate) fn missing(key: Key) -> Wrong {
    Wrong::Field { name: key.name(), expected: "to be there" }
}

/// Of fields that exclude each other, more than one is there.
pub(crate) fn one_too_many(key: Key, expected: &'static str) -> Wrong {
    Wrong::Field { name: key.name(), expected }
}
