//! `yizhan sub`: follow topics.

use std::io::{IsTerminal, Write};

use anyhow::{Context, bail};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt;
use serde_json::Value;

use crate::client::{Reach, percent_encode};

/// Bytes that one event may have.
const EVENT_BYTES_MAX: usize = 16 << 20;

/// Follow topics: print what is published.
#[derive(Debug, clap::Args)]
pub(crate) struct Subscribe {
    /// Topics or filters: `rooms/kitchen`, `rooms/+`, `rooms/#`.
    #[arg(required = true)]
    filters: Vec<String>,
    /// Print the records as JSON, one a line.
    #[arg(long)]
    json: bool,
    /// Print only the bodies.
    #[arg(long, conflicts_with = "json")]
    body: bool,
    /// Begin with the newest so many.
    #[arg(long, value_name = "N", conflicts_with_all = ["seq", "after"])]
    last: Option<u32>,
    /// Begin after this number of the topic.
    #[arg(long, value_name = "SEQ", conflicts_with = "after")]
    seq: Option<u64>,
    /// Begin after this position.
    #[arg(long, value_name = "POSITION")]
    after: Option<String>,
    /// First the newest message of each key.
    #[arg(long)]
    state: bool,
    /// End after so many messages.
    #[arg(long, short = 'n', value_name = "N")]
    count: Option<u64>,
    #[command(flatten)]
    reach: Reach,
}

/// Runs it.
///
/// # Errors
/// The server cannot be reached, refuses, or ends the stream.
pub(crate) async fn run(args: Subscribe) -> anyhow::Result<()> {
    let client = args.reach.client()?;
    let mut query: Vec<String> =
        args.filters.iter().map(|f| format!("filter={}", percent_encode(f))).collect();
    query.extend(args.last.map(|n| format!("last={n}")));
    query.extend(args.seq.map(|seq| format!("seq={seq}")));
    query.extend(args.after.as_ref().map(|after| format!("after={}", percent_encode(after))));
    if args.state {
        query.push("state=true".into());
    }
    let path = format!("/v1/sse?{}", query.join("&"));
    let headers = [("accept", "text/event-stream")];
    let response = client.send(Method::GET, &path, &headers, Bytes::new()).await?;
    let status = response.status();
    let mut body = response.into_body();
    if !status.is_success() {
        let body = body.collect().await?.to_bytes();
        crate::client::Answer { status, body }.json()?;
        bail!("the server answered with status {status}");
    }
    let mut printer = Printer::new(&args);
    let mut lines = Lines::default();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.context("the server ended the stream")?.into_data() else { continue };
        if let Ending::Enough = lines.feed(&data, |event| printer.event(event))? {
            return Ok(());
        }
    }
    bail!("the server ended the stream")
}

/// Whether more is wanted.
enum Ending {
    GoOn,
    Enough,
}

/// Puts the lines of an event stream together again.
#[derive(Default)]
struct Lines {
    rest: Vec<u8>,
    data: Vec<u8>,
}

impl Lines {
    fn feed(
        &mut self,
        bytes: &[u8],
        mut each: impl FnMut(&[u8]) -> anyhow::Result<Ending>,
    ) -> anyhow::Result<Ending> {
        self.rest.extend_from_slice(bytes);
        let mut from = 0;
        while let Some(length) = memchr::memchr(b'\n', &self.rest[from..]) {
            let line = &self.rest[from..from + length];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            from += length + 1;
            if let Some(data) = line.strip_prefix(b"data:") {
                if !self.data.is_empty() {
                    self.data.push(b'\n');
                }
                self.data.extend_from_slice(data.strip_prefix(b" ").unwrap_or(data));
            } else if line.is_empty() && !self.data.is_empty() {
                let data = std::mem::take(&mut self.data);
                if let Ending::Enough = each(&data)? {
                    return Ok(Ending::Enough);
                }
            }
        }
        self.rest.drain(..from);
        if self.rest.len() + self.data.len() > EVENT_BYTES_MAX {
            bail!("the server sent an event of more than {EVENT_BYTES_MAX} bytes");
        }
        Ok(Ending::GoOn)
    }
}

/// Prints records in the form that was asked for.
struct Printer<'a> {
    args: &'a Subscribe,
    left: Option<u64>,
    colours: bool,
}

impl<'a> Printer<'a> {
    fn new(args: &'a Subscribe) -> Self {
        let colours = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { args, left: args.count, colours }
    }

    fn event(&mut self, data: &[u8]) -> anyhow::Result<Ending> {
        let frame: Value = serde_json::from_slice(data).context("the server sent no JSON")?;
        let events = match frame {
            Value::Array(events) => events,
            one => vec![one],
        };
        for event in &events {
            match event["type"].as_str() {
                Some("records") => {
                    for record in event["records"].as_array().into_iter().flatten() {
                        self.record(record)?;
                        self.left = self.left.map(|left| left.saturating_sub(1));
                        if self.left == Some(0) {
                            return Ok(Ending::Enough);
                        }
                    }
                }
                Some("missed") => eprintln!("missed: {}", event["missed"]),
                Some("error") => {
                    bail!("refused ({}): {}", event["code"], event["reason"].as_str().unwrap_or_default());
                }
                Some("close") => {
                    bail!("closed ({}): {}", event["code"], event["reason"].as_str().unwrap_or_default());
                }
                _ => {}
            }
        }
        Ok(Ending::GoOn)
    }

    fn record(&self, record: &Value) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        let write = if self.args.json {
            writeln!(out, "{record}")
        } else {
            let body = body_of(record);
            if self.args.body {
                out.write_all(&body).and_then(|()| out.write_all(b"\n"))
            } else {
                let topic = record["topic"].as_str().unwrap_or_default();
                let from = record["from"].as_str().unwrap_or_default();
                let key = record["key"].as_str().map(|key| format!(" [{key}]")).unwrap_or_default();
                let (dim, plain) = if self.colours { ("\x1b[2m", "\x1b[0m") } else { ("", "") };
                write!(out, "{topic}{dim}{key} {from}:{plain} ")
                    .and_then(|()| out.write_all(&printable(&body)))
                    .and_then(|()| out.write_all(b"\n"))
            }
        };
        // A closed pipe (`| head`) is the usual end of this program.
        write.and_then(|()| out.flush()).context("cannot write to the standard output")
    }
}

/// A record's body as bytes.
fn body_of(record: &Value) -> Vec<u8> {
    if let Some(text) = record["text"].as_str() {
        return text.as_bytes().to_vec();
    }
    if let Some(bin) = record["bin"].as_str() {
        return BASE64_STANDARD.decode(bin).unwrap_or_default();
    }
    record.get("data").map(|data| data.to_string().into_bytes()).unwrap_or_default()
}

/// A stranger's bytes must not steer the terminal: control characters are shown, not sent.
fn printable(body: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(body);
    let safe: String =
        text.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect();
    safe.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_put_together_from_any_pieces() {
        let stream = b": hi\nid: 1\ndata: {\"a\":\ndata: 1}\n\ndata:x\r\n\r\n";
        for size in 1..stream.len() {
            let (mut lines, mut events) = (Lines::default(), Vec::new());
            for piece in stream.chunks(size) {
                lines
                    .feed(piece, |event| {
                        events.push(event.to_vec());
                        Ok(Ending::GoOn)
                    })
                    .unwrap();
            }
            assert_eq!(events, [b"{\"a\":\n1}".to_vec(), b"x".to_vec()], "{size}");
        }
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(printable(b"a\x1b[31mb\tc"), "a\u{fffd}[31mb\tc".as_bytes());
    }
}
