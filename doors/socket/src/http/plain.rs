//! One request, one call: publish, ask, history, state, presence, time, ticket.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::StatusCode;
use yizhan_hub::{
    Answer, Call, Content, Filter, Headers, Refused, Topic,
    link::Publish,
    service::Ask,
    store::{PageSize, Range},
};
use yizhan_net::{Request, Response};
use yizhan_talk::Timestamp;

use super::{Acting, json, refusal, session_of, unfit};
use crate::{
    door::Inner,
    wire::{
        Encoding, Wrong,
        command::{
            HEADER_BYTES_MAX, HEADERS_MAX, KEY_BYTES_MAX, MID_BYTES_MAX, PAGE_RECORDS, PAGE_RECORDS_MAX,
            TO_BYTES_MAX, TO_EXPECTED, content_of, durability, is_short, is_text_type, qos,
        },
        event, json as json_text,
    },
};

/// Headers of a request that become headers of the message begin so.
const HEADER_PREFIX: &str = "yizhan-header-";
/// Records in one answer to `state`.
const STATE_RECORDS_MAX: usize = 10_000;
/// Bytes of bodies in one page of history.
const PAGE_BYTES_MAX: usize = 1024 * 1024;

/// `POST /v1/publish/{*topic}`
pub(crate) async fn publish(door: Arc<Inner>, mut request: Request) -> Response {
    let body = match request.body_up_to(door.terms.config.frame_bytes_max).await {
        Ok(body) => body,
        Err(error) => return error.into(),
    };
    let publish = match message(&request, body) {
        Ok(publish) => publish,
        Err(wrong) => return refusal(wrong),
    };
    answer(&door, &request, Call::Publish(publish)).await
}

/// `POST /v1/ask/{*to}`
pub(crate) async fn ask(door: Arc<Inner>, mut request: Request) -> Response {
    let body = match request.body_up_to(door.terms.config.frame_bytes_max).await {
        Ok(body) => body,
        Err(error) => return error.into(),
    };
    match question(request.param("to"), body) {
        Ok(ask) => answer(&door, &request, Call::Ask(ask)).await,
        Err(wrong) => refusal(wrong),
    }
}

/// `GET /v1/history/{*topic}`
pub(crate) async fn history(door: Arc<Inner>, request: Request) -> Response {
    match page_wanted(&request) {
        Ok(call) => answer(&door, &request, call).await,
        Err(wrong) => refusal(wrong),
    }
}

/// `GET /v1/state`
pub(crate) async fn state(door: Arc<Inner>, request: Request) -> Response {
    let Some(pattern) = request.query_value("filter") else { return refusal(field("filter", "to be there")) };
    match Filter::new(&pattern) {
        Ok(filter) => answer(&door, &request, Call::State(filter, STATE_RECORDS_MAX)).await,
        Err(bad) => refusal(Refused::from(bad)),
    }
}

/// `GET /v1/presence/{*topic}` and `GET /v1/presence?user=`
pub(crate) async fn presence(door: Arc<Inner>, request: Request) -> Response {
    let call = match request.query_value("user") {
        Some(user) if request.param("topic").is_empty() => Call::PresenceOfUser(user.into()),
        _ => match Topic::new(request.param("topic")) {
            Ok(topic) => Call::PresenceOfTopic(topic),
            Err(bad) => return refusal(Refused::from(bad)),
        },
    };
    answer(&door, &request, call).await
}

/// `GET /v1/time`: needs no credentials.
pub(crate) async fn time(door: Arc<Inner>, _request: Request) -> Response {
    let (read, now) = (door.hub.now(), door.hub.now());
    json(StatusCode::OK, |into| event::time(None, None, read.wall, now.wall, into, Encoding::Json))
}

/// `POST /v1/ticket`
pub(crate) async fn ticket(door: Arc<Inner>, request: Request) -> Response {
    let now = door.hub.now();
    let who = match session_of(&request) {
        Ok(Some((session, secret))) => door.attach(session, secret).map(|handle| handle.principal().clone()),
        Ok(None) => door.visitor(&request).await,
        Err(refused) => Err(refused),
    };
    let made = match who {
        Ok(who) => door.tickets.issue(now, who).await,
        Err(refused) => Err(refused),
    };
    match made {
        Ok(ticket) => json(StatusCode::OK, |into| {
            let mut pen = crate::wire::pen::Pen::map(into, Encoding::Json);
            pen.text("ticket", &ticket.text);
            pen.number("expires_in", ticket.expires_in.as_secs_f64());
            pen.end();
        }),
        Err(refused) => refusal(refused),
    }
}

/// Makes the call as whoever asks, and says what came of it.
async fn answer(door: &Inner, request: &Request, call: Call) -> Response {
    let topic = match &call {
        Call::History(topic, ..) => topic.as_str().to_owned(),
        _ => String::new(),
    };
    let mut acting: Acting = match door.acting(request).await {
        Ok(acting) => acting,
        Err(refused) => return refusal(refused),
    };
    let answer = acting.ask(door.hub.now(), call).await;
    let refused = match &answer {
        Answer::Refused(refused) => Some(refused.clone()),
        Answer::Published(_)
        | Answer::History(_)
        | Answer::State(_)
        | Answer::Present(_)
        | Answer::Told(_) => None,
        other => Some(unfit(other)),
    };
    if let Some(refused) = refused {
        return refusal(refused);
    }
    json(StatusCode::OK, |into| match &answer {
        Answer::Published(receipt) => event::receipt(None, receipt, into, Encoding::Json),
        Answer::History(page) => event::history(None, &topic, page, into, Encoding::Json),
        Answer::State(records) => {
            event::state(None, records.iter().map(|r| &**r), STATE_RECORDS_MAX, into, Encoding::Json);
        }
        Answer::Told(body) => event::told(None, body, into, Encoding::Json),
        Answer::Present(sessions) => event::presence(None, sessions, into, Encoding::Json),
        _ => {}
    })
}

fn field(name: &'static str, expected: &'static str) -> Wrong {
    Wrong::Field { name, expected }
}

/// Reads a query parameter or a header of a request with `read`.
fn parsed<T>(
    text: Option<&str>,
    name: &'static str,
    expected: &'static str,
    read: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, Wrong> {
    text.map(|text| read(text).ok_or_else(|| field(name, expected))).transpose()
}

/// A question to a service, whose body is one JSON value or nothing.
fn question(to: &str, body: Bytes) -> Result<Ask, Wrong> {
    if !is_short(to, TO_BYTES_MAX) {
        return Err(field("to", TO_EXPECTED));
    }
    let text = std::str::from_utf8(&body).map_err(|_| Wrong::NotUtf8)?;
    if text.trim_ascii().is_empty() {
        return Ok(Ask { name: to.into(), body: Bytes::new() });
    }
    json_text::check(text)?;
    Ok(Ask { name: to.into(), body })
}

fn page_wanted(request: &Request) -> Result<Call, Wrong> {
    let topic = Topic::new(request.param("topic")).map_err(|e| Wrong::Refused(e.into()))?;
    let number = |name: &'static str| {
        parsed(request.query_value(name).as_deref(), name, "a whole number", |text| text.parse::<u64>().ok())
    };
    let since =
        parsed(request.query_value("since").as_deref(), "since", "milliseconds since 1970", |text| {
            let millis = text.parse::<f64>().ok().filter(|ms| ms.is_finite() && *ms >= 0.0)?;
            // A conversion from float to integer stays at the largest one.
            Some(Timestamp((millis * 1000.0) as u64))
        })?;
    let range = match (number("before")?, number("after")?, since) {
        (None, None, None) => Range::Newest,
        (Some(before), None, None) => Range::Before(before),
        (None, Some(after), None) => Range::After(after),
        (Some(before), Some(after), None) => Range::Between(after, before),
        (None, None, Some(since)) => Range::Since(since),
        _ => return Err(field("since", "to be without before and after")),
    };
    let records_max = match number("limit")? {
        None => PAGE_RECORDS,
        Some(limit) if (1..=PAGE_RECORDS_MAX).contains(&limit) => limit as usize,
        Some(_) => return Err(field("limit", "a whole number from 1 to 1000")),
    };
    Ok(Call::History(topic, range, PageSize { records_max, bytes_max: PAGE_BYTES_MAX }))
}

fn message(request: &Request, body: Bytes) -> Result<Publish, Wrong> {
    let topic = Topic::new(request.param("topic")).map_err(|e| Wrong::Refused(e.into()))?;
    let short = |name: &str, bytes_max: usize| match request.header(name) {
        Some(text) if text.len() > bytes_max => Err(Wrong::Refused(Refused::HeadersTooLarge)),
        text => Ok(text.map(Arc::from)),
    };
    let seconds = |name: &'static str| {
        parsed(request.header(name), name, "a number of seconds", |text| {
            Duration::try_from_secs_f64(text.parse().ok()?).ok()
        })
    };
    let qos =
        parsed(request.header("yizhan-qos"), "yizhan-qos", "0, 1 or 2", |text| qos(text.parse().ok()?))?;
    let wants =
        parsed(request.header("yizhan-durable"), "yizhan-durable", "'none', 'memory' or 'disk'", durability)?;
    Ok(Publish {
        topic,
        key: short("yizhan-key", KEY_BYTES_MAX)?,
        id: short("idempotency-key", MID_BYTES_MAX)?,
        content: content(request.header("content-type"), &body)?,
        headers: headers(request)?,
        body,
        expires_in: seconds("yizhan-expires")?,
        wants: wants.unwrap_or_default(),
        qos: qos.unwrap_or_default(),
        delay: seconds("yizhan-delay")?,
    })
}

fn headers(request: &Request) -> Result<Headers, Wrong> {
    let mut headers: Vec<(Arc<str>, Arc<str>)> = Vec::new();
    let mut bytes = 0;
    for (name, value) in request.headers() {
        let Some(name) = name.as_str().strip_prefix(HEADER_PREFIX).filter(|name| !name.is_empty()) else {
            continue;
        };
        let value = value.to_str().map_err(|_| field("headers", "values of visible ASCII characters"))?;
        bytes += name.len() + value.len();
        if bytes > HEADER_BYTES_MAX || headers.len() == HEADERS_MAX {
            return Err(Wrong::Refused(Refused::HeadersTooLarge));
        }
        headers.retain(|(there, _)| **there != *name);
        headers.push((name.into(), value.into()));
    }
    Ok(headers.into())
}

/// How a body is to be read, by its `Content-Type`: JSON is checked, text is text where it is UTF-8.
fn content(content_type: Option<&str>, body: &[u8]) -> Result<Content, Wrong> {
    let Some(content_type) = content_type else { return Ok(Content::Binary) };
    let (media_type, parameters) = match content_type.split_once(';') {
        Some((media_type, parameters)) => (media_type.trim(), parameters.trim()),
        None => (content_type.trim(), ""),
    };
    let text = std::str::from_utf8(body).ok();
    if media_type.eq_ignore_ascii_case("application/json") {
        return match text.map(json_text::check) {
            Some(Ok(_)) => Ok(Content::Json),
            Some(Err(not)) => Err(not.into()),
            None => Err(Wrong::NotUtf8),
        };
    }
    let other_charset = parameters.get(..8).is_some_and(|name| name.eq_ignore_ascii_case("charset="))
        && !parameters[8..].trim_matches('"').eq_ignore_ascii_case("utf-8");
    if is_text_type(media_type) && text.is_some() && !other_charset {
        let media_type = media_type.to_ascii_lowercase();
        return content_of(Some(&media_type), true);
    }
    content_of(Some(content_type), false)
}

impl Inner {
    /// Who somebody is that shows credentials for this one request.
    async fn visitor(&self, request: &Request) -> Result<Arc<yizhan_hub::Principal>, Refused> {
        let hello =
            yizhan_hub::Hello { credentials: super::credentials(request)?, ..yizhan_hub::Hello::default() };
        let (_link, opened) = self.hello(super::peer(request, "http"), hello).await?;
        Ok(opened.principal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_type_decides_how_a_body_is_read() {
        let other = |name: &str| Ok(Content::Other(name.into()));
        for (content_type, body, expected) in [
            (None, &b"x"[..], Ok(Content::Binary)),
            (Some("application/octet-stream"), b"x", Ok(Content::Binary)),
            (Some("application/json; charset=utf-8"), b"{\"a\": 1}", Ok(Content::Json)),
            (Some("application/json"), b"\xff", Err(Wrong::NotUtf8)),
            (Some("text/plain"), b"x", Ok(Content::Text)),
            (Some("Text/Plain; charset=\"UTF-8\""), b"x", Ok(Content::Text)),
            (Some("text/plain; charset=latin1"), b"x", other("text/plain; charset=latin1")),
            (Some("text/plain"), b"\xff", other("text/plain")),
            (Some("text/html"), b"x", other("text/html")),
            (Some("image/png"), b"x", other("image/png")),
        ] {
            assert_eq!(content(content_type, body), expected, "{content_type:?}");
        }
        assert!(matches!(content(Some("application/json"), b"{"), Err(Wrong::NotFrame { .. })));
        assert!(content(Some(&"x".repeat(200)), b"").is_err());
    }
}
