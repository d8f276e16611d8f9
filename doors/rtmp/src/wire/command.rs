//! Commands and data messages: AMF0 values behind a name (RTMP 1.0 §7.1.1, §7.2).

use bytes::{Bytes, BytesMut};
use yizhan_media::amf::{self, AmfError, Value};

use super::{Message, message::kind};

/// A command (RTMP 1.0 §7.2).
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    /// What is wanted: `connect`.
    pub name: String,
    /// What the answer is to be told apart by; 0 where none is wanted.
    pub transaction: f64,
    /// The command object; null where there is none.
    pub object: Value,
    /// What follows.
    pub args: Vec<Value>,
}

impl Command {
    /// Reads a command message's body.
    ///
    /// # Errors
    /// It is not AMF0, or not with a name in front. A transaction id that is missing is 0.
    pub fn read(message: &Message) -> Result<Self, AmfError> {
        let mut values = amf::Reader::new(plain(message));
        let name = values.name()?;
        let transaction = values.read()?.and_then(|value| value.as_number()).unwrap_or_default();
        let object = values.read()?.unwrap_or(Value::Null);
        let mut args = Vec::new();
        while let Some(value) = values.read()? {
            args.push(value);
        }
        Ok(Self { name, transaction, object, args })
    }

    /// Whether an answer is wanted.
    #[must_use]
    pub fn wants_answer(&self) -> bool {
        self.transaction != 0.0
    }

    /// The text at this place behind the command object.
    #[must_use]
    pub fn text(&self, at: usize) -> Option<&str> {
        self.args.get(at)?.as_str()
    }

    /// The number at this place behind the command object.
    #[must_use]
    pub fn number(&self, at: usize) -> Option<f64> {
        self.args.get(at)?.as_number()
    }

    /// The boolean at this place behind the command object.
    #[must_use]
    pub fn boolean(&self, at: usize) -> Option<bool> {
        self.args.get(at)?.as_bool()
    }
}

/// The AMF0 of a command or data message: those of AMF3 have a byte before it that says how the rest is encoded, and
/// only 0, AMF0, is ever used (E-RTMP v2, "Important AMF3-encoded Historical Specification Clarification").
#[must_use]
pub fn plain(message: &Message) -> &[u8] {
    match (message.kind, message.body.split_first()) {
        (kind::COMMAND_AMF3 | kind::DATA_AMF3, Some((0, rest))) => rest,
        _ => &message.body,
    }
}

/// As [`plain`], to be kept.
#[must_use]
pub fn plain_bytes(message: &Message) -> Bytes {
    message.body.slice(message.body.len() - plain(message).len()..)
}

/// The body of a command.
#[must_use]
pub fn command(name: &str, transaction: f64, values: &[Value]) -> BytesMut {
    let mut body = BytesMut::with_capacity(128);
    amf::write_str(name, &mut body);
    amf::write(&Value::Number(transaction), &mut body);
    amf::write_all(values, &mut body);
    body
}

/// An information object (RTMP 1.0 §7.2.1.1, §7.2.2).
#[must_use]
pub fn information(level: &str, code: &str, description: &str) -> Value {
    Value::object([("level", level.into()), ("code", code.into()), ("description", description.into())])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, body: Bytes) -> Message {
        Message { kind, timestamp: 0, stream: 0, body }
    }

    #[test]
    fn a_command_is_read_as_it_was_written() {
        let object = Value::object([("app", "live".into())]);
        let args = vec![Value::from("x"), Value::from(2.0), Value::from(true)];
        let values = [&[object.clone()][..], &args].concat();
        let body = command("connect", 1.0, &values).freeze();
        let read = Command::read(&message(kind::COMMAND, body.clone())).unwrap();
        assert_eq!(read, Command { name: "connect".into(), transaction: 1.0, object, args });
        assert_eq!(
            (read.text(0), read.number(1), read.boolean(2), read.text(3)),
            (Some("x"), Some(2.0), Some(true), None)
        );
        let wrapped: Bytes = [&[0][..], &body].concat().into();
        assert_eq!(Command::read(&message(kind::COMMAND_AMF3, wrapped)), Ok(read.clone()));
        assert_eq!(Command::read(&message(kind::COMMAND_AMF3, body)), Ok(read));
    }

    #[test]
    fn a_command_may_be_only_a_name() {
        let read = Command::read(&message(kind::COMMAND, Bytes::from_static(b"\x02\0\x04ping"))).unwrap();
        assert_eq!((read.name.as_str(), read.wants_answer(), read.object), ("ping", false, Value::Null));
        for bad in [&b""[..], b"\x05", b"\x02\0\x09ping", &[0; 9]] {
            assert!(Command::read(&message(kind::COMMAND, bad.to_vec().into())).is_err(), "{bad:?}");
        }
    }
}
