//! Properties of PUBLISH (MQTT 5 §3.3.2.3) and a message's content and headers: what one MQTT client says,
//! another hears unaltered, and other doors see headers.
//!
//! - User properties are headers of the same names, in order. A name that is reserved here, or begins with
//!   `user:`, has `user:` put before it.
//! - The response topic is the header `reply-to`; correlation data is `correlation`, or `correlation-base64`
//!   where it is not UTF-8.
//! - A payload said to be UTF-8 is text; one that is also said to be `application/json`, and is, is JSON. Any
//!   other content type is kept, with the header `payload-format: utf8` where the payload is said to be UTF-8.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use yizhan_hub::{Content, Headers, Message, Qos, Record};

use crate::wire::{
    packet::Publish,
    properties::{PublishProperties, UserProperties, WillProperties},
};

const REPLY_TO: &str = "reply-to";
const CORRELATION: &str = "correlation";
const CORRELATION_BASE64: &str = "correlation-base64";
const PAYLOAD_FORMAT: &str = "payload-format";
const UTF8: &str = "utf8";
/// Before user properties whose names mean something else here.
const USER: &str = "user:";
const JSON: &str = "application/json";

/// The payload is not UTF-8, as it was said to be (MQTT-3.3.2-4 and §3.3.2.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotUtf8;

/// What PUBLISH and a will say about their message in the same way.
pub(crate) struct About<'p, 'a> {
    is_utf8: Option<bool>,
    content_type: Option<&'a str>,
    response_topic: Option<&'a str>,
    correlation: Option<&'a [u8]>,
    user: &'p UserProperties<'a>,
}

impl<'p, 'a> From<&'p PublishProperties<'a>> for About<'p, 'a> {
    fn from(of: &'p PublishProperties<'a>) -> Self {
        Self {
            is_utf8: of.payload_is_utf8,
            content_type: of.content_type,
            response_topic: of.response_topic,
            correlation: of.correlation_data,
            user: &of.user,
        }
    }
}

impl<'p, 'a> From<&'p WillProperties<'a>> for About<'p, 'a> {
    fn from(of: &'p WillProperties<'a>) -> Self {
        Self {
            is_utf8: of.payload_is_utf8,
            content_type: of.content_type,
            response_topic: of.response_topic,
            correlation: of.correlation_data,
            user: &of.user,
        }
    }
}

impl About<'_, '_> {
    /// Content and headers of the message.
    ///
    /// # Errors
    /// The payload is not what it is said to be.
    pub(crate) fn read(&self, payload: &[u8]) -> Result<(Content, Headers), NotUtf8> {
        let text = match self.is_utf8 {
            Some(true) => Some(std::str::from_utf8(payload).map_err(|_| NotUtf8)?),
            _ => None,
        };
        let mut headers: Vec<(Arc<str>, Arc<str>)> = Vec::new();
        let content = match (text, self.content_type) {
            (None, None) => Content::Binary,
            (Some(_), None) => Content::Text,
            (Some(text), Some(JSON)) if is_json(text) => Content::Json,
            (text, Some(other)) => {
                if text.is_some() {
                    headers.push((PAYLOAD_FORMAT.into(), UTF8.into()));
                }
                Content::Other(other.into())
            }
        };
        if let Some(topic) = self.response_topic {
            headers.push((REPLY_TO.into(), topic.into()));
        }
        if let Some(data) = self.correlation {
            headers.push(match std::str::from_utf8(data) {
                Ok(text) => (CORRELATION.into(), text.into()),
                Err(_) => (CORRELATION_BASE64.into(), BASE64.encode(data).into()),
            });
        }
        for (name, value) in self.user {
            let name = if is_reserved(name) { format!("{USER}{name}").into() } else { (*name).into() };
            headers.push((name, (*value).into()));
        }
        Ok((content, if headers.is_empty() { Headers::default() } else { headers.into() }))
    }
}

fn is_reserved(name: &str) -> bool {
    matches!(name, REPLY_TO | CORRELATION | CORRELATION_BASE64 | PAYLOAD_FORMAT) || name.starts_with(USER)
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// The PUBLISH of a record, without what differs from receiver to receiver, given to `write`.
pub(crate) fn with_publish<T>(record: &Record, write: impl FnOnce(&Publish<'_>) -> T) -> T {
    let message = &record.message;
    let decoded = message.headers.iter().find(|(name, _)| **name == *CORRELATION_BASE64);
    let decoded = decoded.and_then(|(_, value)| BASE64.decode(value.as_bytes()).ok());
    let mut properties = properties_of(message, decoded.as_deref());
    properties.message_expiry = message.expires_at.map(|at| seconds_left(at.since(record.at)));
    write(&Publish {
        dup: false,
        qos: Qos::AtMostOnce,
        retain: false,
        topic: message.topic.as_str(),
        id: None,
        properties,
        payload: &message.body,
    })
}

/// Seconds that a message is still good, rounded up: what has just come is good for as long as was said.
pub(crate) fn seconds_left(left: std::time::Duration) -> u32 {
    u32::try_from(left.as_micros().div_ceil(1_000_000)).unwrap_or(u32::MAX)
}

fn properties_of<'a>(message: &'a Message, decoded: Option<&'a [u8]>) -> PublishProperties<'a> {
    let mut properties = PublishProperties::default();
    match &message.content {
        Content::Binary => {}
        Content::Text => properties.payload_is_utf8 = Some(true),
        Content::Json => {
            properties.payload_is_utf8 = Some(true);
            properties.content_type = Some(JSON);
        }
        Content::Other(name) => {
            properties.content_type = Some(name).map(|name| &**name).filter(|n| is_said(n))
        }
    }
    let is_other = matches!(message.content, Content::Other(_));
    for (name, value) in message.headers.iter() {
        match &**name {
            REPLY_TO if properties.response_topic.is_none() && is_topic(value) => {
                properties.response_topic = Some(value);
            }
            CORRELATION if properties.correlation_data.is_none() => {
                properties.correlation_data = Some(value.as_bytes());
            }
            CORRELATION_BASE64 if properties.correlation_data.is_none() && decoded.is_some() => {
                properties.correlation_data = decoded;
            }
            PAYLOAD_FORMAT if is_other && properties.payload_is_utf8.is_none() && **value == *UTF8 => {
                properties.payload_is_utf8 = Some(true);
            }
            name => {
                let name = name.strip_prefix(USER).unwrap_or(name);
                if is_said(name) && is_said(value) {
                    properties.user.push((name, value));
                }
            }
        }
    }
    properties
}

/// Whether MQTT can say it (MQTT-1.5.4-2). What is too long the template leaves out.
fn is_said(text: &str) -> bool {
    !text.as_bytes().contains(&0)
}

fn is_topic(text: &str) -> bool {
    !text.is_empty() && is_said(text) && !text.contains(['+', '#'])
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;
    use yizhan_hub::{SessionId, Topic, message::Sender};
    use yizhan_talk::Timestamp;

    use super::*;

    fn record(content: Content, headers: Headers, body: &[u8]) -> Record {
        let message = Message {
            topic: Topic::new("t").unwrap(),
            key: None,
            id: None,
            from: Sender { user: "u".into(), device: None, session: SessionId(1) },
            content,
            headers,
            body: Bytes::copy_from_slice(body),
            expires_at: None,
            qos: Qos::default(),
        };
        Record::new(None, 0, Timestamp::from_millis(0), message)
    }

    fn header(name: &str, value: &str) -> (Arc<str>, Arc<str>) {
        (name.into(), value.into())
    }

    proptest! {
        #[test]
        fn what_a_client_says_another_hears_unaltered(
            is_utf8 in prop::sample::select(vec![None, Some(true)]),
            content_type in prop::option::of(prop::sample::select(vec!["application/json", "a/b", ""])),
            response_topic in prop::option::of("[a-z/]{1,9}"),
            correlation in prop::option::of(prop::collection::vec(any::<u8>(), 0..9)),
            user in prop::collection::vec(
                (prop::sample::select(vec!["a", "", REPLY_TO, CORRELATION, CORRELATION_BASE64, PAYLOAD_FORMAT,
                    "user:", "user:a", "user:reply-to"]), "[a-z+é]{0,5}"),
                0..5,
            ),
            payload in prop::sample::select(vec![&b"{}"[..], b"text", b"", b"{} x"]),
        ) {
            let user = user.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let said = PublishProperties {
                payload_is_utf8: is_utf8,
                content_type,
                response_topic: response_topic.as_deref(),
                correlation_data: correlation.as_deref(),
                user,
                ..PublishProperties::default()
            };
            let (content, headers) = About::from(&said).read(payload).unwrap();
            let record = record(content, headers, payload);
            with_publish(&record, |heard| assert_eq!(heard.properties, said));
        }
    }

    #[test]
    fn text_that_is_not_utf8_is_refused() {
        let said = PublishProperties { payload_is_utf8: Some(true), ..PublishProperties::default() };
        assert_eq!(About::from(&said).read(b"\xff").unwrap_err(), NotUtf8);
    }

    #[test]
    fn other_doors_see_json_as_json_and_texts_as_text() {
        let said = |content_type| PublishProperties {
            payload_is_utf8: Some(true),
            content_type,
            ..PublishProperties::default()
        };
        let content =
            |content_type, payload: &[u8]| About::from(&said(content_type)).read(payload).unwrap().0;
        assert_eq!(content(None, b"x"), Content::Text);
        assert_eq!(content(Some(JSON), b"[1]"), Content::Json);
        assert_eq!(content(Some(JSON), b"[1"), Content::Other(JSON.into()));
    }

    #[test]
    fn headers_that_mqtt_cannot_say_are_left_out_or_said_as_user_properties() {
        let headers = [
            header("reply-to", "a/#"),
            header("correlation-base64", "not base64!"),
            header("a\0", "x"),
            header("payload-format", "utf8"),
        ];
        let record = record(Content::Binary, headers.into(), b"");
        with_publish(&record, |publish| {
            assert_eq!(publish.properties.response_topic, None);
            assert_eq!(publish.properties.correlation_data, None);
            assert_eq!(
                publish.properties.user,
                [("reply-to", "a/#"), ("correlation-base64", "not base64!"), ("payload-format", "utf8")]
            );
        });
    }
}
