//! A record as it is written in `records`, `history` and `state`: made once for each encoding and
//! remembered with the record, for all who hear it.

use bytes::{BufMut, Bytes, BytesMut};
use yizhan_hub::{Batch, Content, Form, Record};

use super::{
    Encoding, cbor,
    command::is_text_type,
    json,
    pen::{self, Pen},
};

/// Bytes that a record takes besides its topic, headers and body, roughly.
const RECORD_BYTES: usize = 256;

/// The record in this encoding.
pub(crate) fn form(record: &Record, encoding: Encoding) -> &Bytes {
    record.form(number(encoding), |record| encode(record, encoding))
}

/// All records of a batch in this encoding, as they stand between the brackets of an array.
pub(crate) fn joined(batch: &Batch, encoding: Encoding) -> &Bytes {
    batch.form(number(encoding), |records| {
        let bytes = records.iter().map(|record| form(record, encoding).len() + 1).sum();
        let mut into = BytesMut::with_capacity(bytes);
        for (i, record) in records.iter().enumerate() {
            pen::next_item(i, &mut into, encoding);
            into.put_slice(form(record, encoding));
        }
        into.freeze()
    })
}

fn number(encoding: Encoding) -> Form {
    match encoding {
        Encoding::Json => Form::SOCKET_JSON,
        Encoding::Cbor => Form::SOCKET_CBOR,
    }
}

fn encode(record: &Record, encoding: Encoding) -> Bytes {
    let message = &record.message;
    let mut into = BytesMut::with_capacity(RECORD_BYTES + message.weight());
    let mut pen = Pen::map(&mut into, encoding);
    pen.text("topic", message.topic.as_str());
    // In somebody's stream a record has the number that it has in its own topic, and no place.
    if record.position.is_some() || record.seq > 0 {
        pen.integer("seq", record.seq);
    }
    if let Some(position) = &record.position {
        pen.position("pos", position);
    }
    pen.integer("at", record.at.as_millis());
    pen.text("from", &message.from.user);
    if let Some(device) = &message.from.device {
        pen.text("device", device);
    }
    pen.text("session", &message.from.session.to_string());
    if let Some(key) = &message.key {
        pen.text("key", key);
    }
    if !message.body.is_empty() {
        write_body(&message.content, &message.body, &mut pen);
    }
    if !message.headers.is_empty() {
        pen.texts("headers", message.headers.len(), message.headers.iter().map(|(n, v)| (&**n, &**v)));
    }
    if let Some(at) = message.expires_at {
        pen.integer("expires_at", at.as_millis());
    }
    pen.end();
    into.freeze()
}

fn write_body(content: &Content, body: &[u8], pen: &mut Pen<'_>) {
    // Doors check what they call text or JSON; were one wrong, its bytes would go out as bytes.
    let text = std::str::from_utf8(body).ok();
    match (content, text) {
        (Content::Text, Some(text)) => pen.text("text", text),
        (Content::Json, Some(text)) => write_data(text, pen),
        (Content::Other(name), Some(text)) if is_text_type(name) => {
            pen.text("text", text);
            pen.text("content", name);
        }
        (Content::Binary, _) => pen.bin("bin", body),
        (content, _) => {
            pen.bin("bin", body);
            pen.text("content", content.media_type());
        }
    }
}

/// Writes the field `data`.
pub(crate) fn write_data(text: &str, pen: &mut Pen<'_>) {
    match pen.encoding {
        Encoding::Json => {
            pen.name("data");
            json::write_on_one_line(text.as_bytes(), pen.into);
        }
        Encoding::Cbor => {
            let mut item = BytesMut::with_capacity(text.len());
            match cbor::translate::from_json(text, &mut item) {
                Ok(()) => {
                    pen.name("data");
                    pen.into.put_slice(&item);
                }
                // Deeper than is taken here, from a door that takes more.
                Err(_) => {
                    pen.text("text", text);
                    pen.text("content", Content::Json.media_type());
                }
            }
        }
    }
}

/// Writes the name `records` and the records.
pub(crate) fn write_all<'r>(
    count: usize,
    records: impl IntoIterator<Item = &'r Record>,
    into: &mut BytesMut,
    encoding: Encoding,
) {
    pen::open_array(count, into, encoding);
    for (i, record) in records.into_iter().enumerate() {
        pen::next_item(i, into, encoding);
        into.put_slice(form(record, encoding));
    }
    pen::shut_array(into, encoding);
}
