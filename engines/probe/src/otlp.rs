//! Traces for OpenTelemetry: spans become OTLP/HTTP with JSON bodies (OTLP 1.x, `/v1/traces`).
//!
//! A small exporter of our own: the whole of OTLP that a tracer needs is one POST, and the usual crates would
//! double the build. A span is finished on the thread that worked in it, goes into a bounded queue, and a task
//! sends what has gathered. A full queue loses spans, and counts them; it never holds anybody up.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    Layer,
    filter::Targets,
    layer::Context,
    registry::{LookupSpan, SpanRef},
};
use yizhan_talk::Counter;

/// Finished spans that wait to be sent.
const SPANS_WAITING_MAX: usize = 8192;
/// Spans in one request.
const SPANS_SENT_MAX: usize = 512;
/// Events kept of one span; later ones are counted (`droppedEventsCount`).
const EVENTS_MAX: usize = 32;
/// Attributes kept of one span or event.
const ATTRIBUTES_MAX: usize = 32;
/// Bytes kept of one attribute's value.
const ATTRIBUTE_BYTES_MAX: usize = 1024;
/// How long spans gather before they are sent.
const GATHER: Duration = Duration::from_secs(1);
/// How long a collector may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Bytes looked at of a collector's answer.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// The exporter cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum OtlpError {
    /// The address is no URL.
    #[error("'{0}' is no collector's URL: write one such as http://127.0.0.1:4318")]
    BadUrl(String),
    /// The filter is not valid.
    #[error("'{0}' is no level or filter for spans")]
    BadLevel(String),
}

/// What became of spans.
#[derive(Debug, Default)]
pub struct OtlpFigures {
    /// Accepted by the collector.
    pub sent: Counter,
    /// Lost because the queue was full or the collector did not take them.
    pub lost: Counter,
}

/// Where finished spans go, before the log is started.
pub struct Exporter {
    layer: Spans,
    targets: Targets,
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter").finish_non_exhaustive()
    }
}

/// An exporter and what belongs to it.
pub struct Export {
    /// For the log.
    pub exporter: Exporter,
    /// What became of spans.
    pub figures: Arc<OtlpFigures>,
    /// What sends the spans: run it as a task.
    pub sending: Sending,
    /// Tells it to send what waits and to end.
    pub finish: oneshot::Sender<()>,
}

impl fmt::Debug for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Export").field("figures", &self.figures).finish_non_exhaustive()
    }
}

impl Export {
    /// An exporter to `url` (`/v1/traces` is added where it has no path), for the share `sampled` (0 to 1) of
    /// traces, with spans of `level` (a level, or targets with levels).
    ///
    /// # Errors
    /// See [`OtlpError`].
    pub fn new(url: &str, service: &str, level: &str, sampled: f64) -> Result<Self, OtlpError> {
        let uri = traces_uri(url).ok_or_else(|| OtlpError::BadUrl(url.to_owned()))?;
        let targets: Targets = level.parse().map_err(|_| OtlpError::BadLevel(level.to_owned()))?;
        // The client's own spans must not make spans.
        let targets = ["hyper", "hyper_util", "h2", "rustls", "tokio"]
            .iter()
            .fold(targets, |t, own| t.with_target(*own, tracing::level_filters::LevelFilter::OFF));
        let (queue, waiting) = mpsc::channel(SPANS_WAITING_MAX);
        let figures = Arc::new(OtlpFigures::default());
        let layer = Spans {
            queue,
            figures: figures.clone(),
            sampled_below: (sampled.clamp(0.0, 1.0) * u64::MAX as f64) as u64,
        };
        let resource = json!({"attributes": [
            attribute("service.name", json!({"stringValue": service})),
            attribute("process.pid", json!({"intValue": std::process::id().to_string()})),
        ]});
        let (finish, told) = oneshot::channel();
        let sending = Box::pin(send_all(uri, resource, waiting, figures.clone(), told));
        Ok(Self { exporter: Exporter { layer, targets }, figures, sending, finish })
    }
}

/// What sends the spans. It ends when it is told to, or when the log does.
pub type Sending = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

impl Exporter {
    /// As a layer of a subscriber.
    pub fn into_layer<S>(self) -> impl Layer<S>
    where
        S: Subscriber + for<'s> LookupSpan<'s>,
    {
        self.layer.with_filter(self.targets)
    }
}

fn traces_uri(url: &str) -> Option<http::Uri> {
    let uri: http::Uri = url.parse().ok()?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none() {
        return None;
    }
    match uri.path() {
        "" | "/" => format!("{}/v1/traces", url.trim_end_matches('/')).parse().ok(),
        _ => Some(uri),
    }
}

/// The layer that makes OTLP spans of `tracing`'s.
struct Spans {
    queue: mpsc::Sender<Value>,
    figures: Arc<OtlpFigures>,
    /// A trace whose random number lies below is sampled.
    sampled_below: u64,
}

/// What is gathered of a span while it is open.
struct Gathered {
    trace: u128,
    span: u64,
    parent: Option<u64>,
    sampled: bool,
    began: SystemTime,
    began_steady: Instant,
    attributes: Vec<Value>,
    events: Vec<Value>,
    events_dropped: usize,
    failed: bool,
}

impl<S> Layer<S> for Spans
where
    S: Subscriber + for<'s> LookupSpan<'s>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let above = span
            .parent()
            .and_then(|parent| parent.extensions().get::<Gathered>().map(|g| (g.trace, g.span, g.sampled)));
        let (trace, parent, sampled) = match above {
            Some((trace, parent, sampled)) => (trace, Some(parent), sampled),
            None => {
                let trace: u128 = rand::random();
                // The low half decides, so that servers that share a trace agree about it.
                (trace, None, (trace as u64) <= self.sampled_below && self.sampled_below > 0)
            }
        };
        let mut fields = Fields::default();
        if sampled {
            attributes.record(&mut fields);
        }
        span.extensions_mut().insert(Gathered {
            trace,
            span: rand::random(),
            parent,
            sampled,
            began: SystemTime::now(),
            began_steady: Instant::now(),
            attributes: fields.attributes,
            events: Vec::new(),
            events_dropped: 0,
            failed: false,
        });
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut extensions = span.extensions_mut();
        let Some(gathered) = extensions.get_mut::<Gathered>().filter(|g| g.sampled) else { return };
        let mut fields = Fields { attributes: std::mem::take(&mut gathered.attributes), message: None };
        values.record(&mut fields);
        gathered.attributes = fields.attributes;
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let Some(span) = context.event_span(event) else { return };
        let mut extensions = span.extensions_mut();
        let Some(gathered) = extensions.get_mut::<Gathered>().filter(|g| g.sampled) else { return };
        gathered.failed |= *event.metadata().level() == tracing::Level::ERROR;
        if gathered.events.len() >= EVENTS_MAX {
            gathered.events_dropped += 1;
            return;
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        gathered.events.push(json!({
            "timeUnixNano": nanos(gathered.began + gathered.began_steady.elapsed()),
            "name": fields.message.unwrap_or_else(|| event.metadata().name().to_owned()),
            "attributes": fields.attributes,
        }));
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let Some(gathered) = span.extensions_mut().remove::<Gathered>() else { return };
        if gathered.sampled && self.queue.try_send(span_json(gathered, &span)).is_err() {
            self.figures.lost.one();
        }
    }
}

fn span_json<'s, S: LookupSpan<'s>>(gathered: Gathered, span: &SpanRef<'s, S>) -> Value {
    let metadata: &Metadata<'_> = span.metadata();
    let mut attributes = gathered.attributes;
    attributes.push(attribute("code.namespace", json!({"stringValue": metadata.target()})));
    // The length is measured on the steady clock: a wall clock that is set meanwhile makes no odd spans.
    let ended = gathered.began + gathered.began_steady.elapsed();
    let mut value = json!({
        "traceId": format!("{:032x}", gathered.trace),
        "spanId": format!("{:016x}", gathered.span),
        "name": metadata.name(),
        "kind": 2, // SPAN_KIND_SERVER
        "startTimeUnixNano": nanos(gathered.began),
        "endTimeUnixNano": nanos(ended),
        "attributes": attributes,
        "events": gathered.events,
        "droppedEventsCount": gathered.events_dropped,
        "status": if gathered.failed { json!({"code": 2}) } else { json!({}) },
    });
    if let Some(parent) = gathered.parent {
        value["parentSpanId"] = format!("{parent:016x}").into();
        value["kind"] = 1.into(); // SPAN_KIND_INTERNAL
    }
    value
}

/// 64-bit numbers are strings in OTLP's JSON, as protobuf's mapping has it.
fn nanos(at: SystemTime) -> String {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos().to_string()
}

fn attribute(name: &str, value: Value) -> Value {
    json!({"key": name, "value": value})
}

/// Gathers a span's or event's fields.
#[derive(Default)]
struct Fields {
    attributes: Vec<Value>,
    message: Option<String>,
}

impl Fields {
    fn push(&mut self, field: &Field, value: Value) {
        if self.attributes.len() < ATTRIBUTES_MAX {
            self.attributes.push(attribute(field.name(), value));
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        let cut = value.floor_char_boundary(ATTRIBUTE_BYTES_MAX);
        if field.name() == "message" {
            self.message = Some(value[..cut].to_owned());
        } else {
            self.push(field, json!({"stringValue": value[..cut]}));
        }
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.push(field, json!({"intValue": value.to_string()}));
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.push(field, json!({"intValue": value.to_string()}));
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.push(field, json!({"doubleValue": value}));
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.push(field, json!({"boolValue": value}));
    }
}

async fn send_all(
    uri: http::Uri,
    resource: Value,
    mut waiting: mpsc::Receiver<Value>,
    figures: Arc<OtlpFigures>,
    mut told: oneshot::Receiver<()>,
) {
    let tls =
        hyper_rustls::HttpsConnectorBuilder::new().with_webpki_roots().https_or_http().enable_http1().build();
    let client = Client::builder(TokioExecutor::new()).build(tls);
    let mut batch = Vec::new();
    let mut silent = false;
    loop {
        let came = tokio::select! {
            came = waiting.recv_many(&mut batch, SPANS_SENT_MAX) => came,
            () = finished(&mut told) => {
                // What waits still goes out; nothing new comes in.
                waiting.close();
                waiting.recv_many(&mut batch, SPANS_SENT_MAX).await
            }
        };
        if came == 0 {
            return;
        }
        if came < SPANS_SENT_MAX && !waiting.is_closed() {
            // More is likely to follow; a collector likes a few large requests.
            tokio::select! {
                () = tokio::time::sleep(GATHER) => {}
                () = finished(&mut told) => waiting.close(),
            }
            while batch.len() < SPANS_SENT_MAX {
                let Ok(span) = waiting.try_recv() else { break };
                batch.push(span);
            }
        }
        let count = batch.len() as u64;
        let body = json!({"resourceSpans": [{
            "resource": resource,
            "scopeSpans": [{"scope": {"name": "yizhan"}, "spans": std::mem::take(&mut batch)}],
        }]});
        let request = http::Request::post(uri.clone())
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body.to_string())));
        // The URI was checked when the exporter was made, so the request is well formed.
        let Ok(request) = request else { return };
        match tokio::time::timeout(ANSWER_WITHIN, post(&client, request)).await {
            Ok(Ok(())) => {
                figures.sent.add(count);
                silent = false;
            }
            outcome => {
                figures.lost.add(count);
                let why = match outcome {
                    Ok(Err(why)) => why,
                    _ => "no answer in time".to_owned(),
                };
                // Once until it works again: a collector that is away must not fill the log.
                if !std::mem::replace(&mut silent, true) {
                    tracing::warn!(collector = %uri, why, "the trace collector does not take spans");
                }
            }
        }
    }
}

/// Ready once it is time to finish; never where nobody can say so any more.
async fn finished(told: &mut oneshot::Receiver<()>) {
    if told.is_terminated() || told.await.is_err() {
        std::future::pending().await
    }
}

async fn post<C>(client: &Client<C, Full<Bytes>>, request: http::Request<Full<Bytes>>) -> Result<(), String>
where
    C: hyper_util::client::legacy::connect::Connect + Clone + Send + Sync + 'static,
{
    let response = client.request(request).await.map_err(|e| e.to_string())?;
    let status = response.status();
    // Read to its end, so that the connection can be used again.
    drop(Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await);
    if status.is_success() { Ok(()) } else { Err(format!("status {status}")) }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    /// Reads one request and answers it; gives its head and its body.
    async fn collect_one(listener: &TcpListener, status: &str) -> (String, Value) {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = Vec::new();
        let (head, body_at) = loop {
            stream.read_buf(&mut bytes).await.unwrap();
            if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
                break (String::from_utf8(bytes[..at].to_vec()).unwrap(), at + 4);
            }
        };
        let length: usize = head
            .lines()
            .find_map(|l| l.to_ascii_lowercase().strip_prefix("content-length: ").map(|n| n.parse().unwrap()))
            .unwrap();
        while bytes.len() < body_at + length {
            stream.read_buf(&mut bytes).await.unwrap();
        }
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}");
        stream.write_all(answer.as_bytes()).await.unwrap();
        (head, serde_json::from_slice(&bytes[body_at..]).unwrap())
    }

    #[tokio::test]
    async fn spans_reach_a_collector_with_parents_fields_and_events() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let Export { exporter, figures, sending, finish: _finish } =
            Export::new(&url, "yizhan-test", "debug", 1.0).unwrap();
        let subscriber = tracing_subscriber::registry().with(exporter.into_layer());
        tracing::subscriber::with_default(subscriber, || {
            let outer = tracing::info_span!("connection", door = "ws", session = tracing::field::Empty);
            outer.record("session", 7u64);
            outer.in_scope(|| {
                tracing::debug_span!("publish", bytes = 128u64)
                    .in_scope(|| tracing::error!(missed = 3, "it failed"));
                tracing::trace_span!("too fine").in_scope(|| ());
            });
        });
        let task = tokio::spawn(sending);
        let (head, body) = collect_one(&listener, "200 OK").await;
        task.await.unwrap();
        assert!(head.starts_with("POST /v1/traces HTTP/1.1"), "{head}");
        let resource = &body["resourceSpans"][0];
        assert_eq!(resource["resource"]["attributes"][0]["value"]["stringValue"], "yizhan-test");
        let spans = resource["scopeSpans"][0]["spans"].as_array().unwrap();
        assert_eq!(spans.len(), 2, "{spans:?}");
        let (inner, outer) = (&spans[0], &spans[1]);
        assert_eq!((&inner["name"], &outer["name"]), (&json!("publish"), &json!("connection")));
        assert_eq!(inner["parentSpanId"], outer["spanId"]);
        assert_eq!(inner["traceId"], outer["traceId"]);
        assert_eq!(inner["events"][0]["name"], "it failed");
        assert_eq!(inner["status"]["code"], 2);
        assert_eq!(outer["attributes"][0], json!({"key": "door", "value": {"stringValue": "ws"}}));
        assert_eq!(outer["attributes"][1], json!({"key": "session", "value": {"intValue": "7"}}));
        assert_eq!((figures.sent.value(), figures.lost.value()), (2, 0));
    }

    #[tokio::test]
    async fn what_waits_is_sent_before_the_end() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let Export { exporter, figures, sending, finish } = Export::new(&url, "y", "info", 1.0).unwrap();
        // The log lives on, as it does in a server that ends.
        let subscriber = tracing_subscriber::registry().with(exporter.into_layer());
        let subscriber = tracing::Dispatch::new(subscriber);
        tracing::dispatcher::with_default(&subscriber, || drop(tracing::info_span!("last")));
        finish.send(()).unwrap();
        let task = tokio::spawn(sending);
        let (_, body) = collect_one(&listener, "200 OK").await;
        task.await.unwrap();
        assert_eq!(body["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["name"], "last");
        assert_eq!(figures.sent.value(), 1);
    }

    #[tokio::test]
    async fn what_a_collector_refuses_is_counted_as_lost() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/custom/path", listener.local_addr().unwrap());
        let Export { exporter, figures, sending, finish: _finish } =
            Export::new(&url, "y", "info", 1.0).unwrap();
        let subscriber = tracing_subscriber::registry().with(exporter.into_layer());
        tracing::subscriber::with_default(subscriber, || drop(tracing::info_span!("one")));
        let task = tokio::spawn(sending);
        let (head, _) = collect_one(&listener, "503 Busy").await;
        task.await.unwrap();
        assert!(head.starts_with("POST /custom/path"), "{head}");
        assert_eq!((figures.sent.value(), figures.lost.value()), (0, 1));
    }

    #[test]
    fn nothing_is_sampled_at_zero_and_urls_are_checked() {
        let Export { exporter, figures, mut sending, finish: _finish } =
            Export::new("http://127.0.0.1:1", "y", "info", 0.0).unwrap();
        let subscriber = tracing_subscriber::registry().with(exporter.into_layer());
        tracing::subscriber::with_default(subscriber, || drop(tracing::info_span!("one")));
        // The queue is empty and closed: the task is done at once, and sent nothing.
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(sending.as_mut().poll(&mut context).is_ready());
        assert_eq!((figures.sent.value(), figures.lost.value()), (0, 0));
        for bad in ["127.0.0.1:4318", "ftp://x", "http://"] {
            assert!(matches!(Export::new(bad, "y", "info", 1.0), Err(OtlpError::BadUrl(_))), "{bad}");
        }
    }
}
