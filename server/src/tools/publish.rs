//! `yizhan pub`: one message, or one for each line.

use std::io::{BufRead, Read};

use anyhow::{Context, bail};
use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use crate::client::{Client, Reach, percent_encode};

/// Lines that are sent in one request.
const BATCH_MAX: usize = 200;
/// Bytes of lines that are sent in one request.
const BATCH_BYTES_MAX: usize = 256 * 1024;

/// Publish a message.
#[derive(Debug, clap::Args)]
pub(crate) struct Publish {
    /// Where to.
    topic: String,
    /// The message; `-` reads all of the standard input.
    #[arg(required_unless_present = "lines")]
    message: Option<String>,
    /// One message for each line of the standard input.
    #[arg(long, conflicts_with = "message")]
    lines: bool,
    /// The body is JSON.
    #[arg(long)]
    json: bool,
    /// Make it the topic's newest message with this key; with an empty message the key goes away.
    #[arg(long)]
    key: Option<String>,
    /// Your own id for the message: published again with the same id it is not sent again.
    #[arg(long)]
    mid: Option<String>,
    /// How long it is worth delivering, in seconds.
    #[arg(long, value_name = "SECONDS")]
    expires: Option<f64>,
    /// Refuse where the space promises less: `memory` or `disk`.
    #[arg(long, value_name = "WHERE")]
    durable: Option<String>,
    /// A header, as NAME=VALUE. May be given several times.
    #[arg(long = "header", value_name = "NAME=VALUE")]
    headers: Vec<String>,
    /// Print the receipts as JSON.
    #[arg(long)]
    receipt: bool,
    #[command(flatten)]
    reach: Reach,
}

/// Runs it.
///
/// # Errors
/// The server cannot be reached or refuses.
pub(crate) async fn run(args: Publish) -> anyhow::Result<()> {
    let client = args.reach.client()?;
    if args.lines {
        return lines(&args, &client).await;
    }
    let body = match args.message.as_deref() {
        Some("-") => {
            let mut body = Vec::new();
            std::io::stdin().lock().read_to_end(&mut body).context("cannot read the standard input")?;
            Bytes::from(body)
        }
        message => Bytes::from(message.unwrap_or_default().to_owned()),
    };
    let mut headers = vec![("content-type".to_owned(), content_type(&args, &body)?.to_owned())];
    let mut header = |name: &str, value: &Option<String>| {
        headers.extend(value.clone().map(|value| (name.to_owned(), value)));
    };
    header("yizhan-key", &args.key);
    header("idempotency-key", &args.mid);
    header("yizhan-expires", &args.expires.map(|seconds| seconds.to_string()));
    header("yizhan-durable", &args.durable);
    for (name, value) in own_headers(&args)? {
        headers.push((format!("yizhan-header-{name}"), value));
    }
    let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let path = format!("/v1/publish/{}", percent_encode(&args.topic));
    let receipt = client.request(Method::POST, &path, &headers, body).await?.json()?;
    print_receipt(&args, &receipt);
    Ok(())
}

fn content_type<'a>(args: &Publish, body: &[u8]) -> anyhow::Result<&'a str> {
    if args.json {
        serde_json::from_slice::<Value>(body).context("the message is no JSON")?;
        return Ok("application/json");
    }
    let text = std::str::from_utf8(body).is_ok();
    Ok(if text { "text/plain; charset=utf-8" } else { "application/octet-stream" })
}

fn own_headers(args: &Publish) -> anyhow::Result<Vec<(String, String)>> {
    let split = |header: &String| {
        let (name, value) =
            header.split_once('=').with_context(|| format!("'{header}' is not NAME=VALUE"))?;
        Ok((name.to_owned(), value.to_owned()))
    };
    args.headers.iter().map(split).collect()
}

async fn lines(args: &Publish, client: &Client) -> anyhow::Result<()> {
    if args.mid.is_some() {
        bail!("--mid is for one message: with --lines all but the first would be taken for repeats");
    }
    let mut base = json!({"type": "publish", "topic": args.topic});
    for (name, value) in [("key", &args.key), ("durable", &args.durable)] {
        if let Some(value) = value {
            base[name] = value.as_str().into();
        }
    }
    if let Some(seconds) = args.expires {
        base["expires"] = seconds.into();
    }
    if !args.headers.is_empty() {
        let headers = own_headers(args)?;
        base["headers"] = headers.into_iter().map(|(n, v)| (n, Value::String(v))).collect();
    }
    let (mut batch, mut bytes) = (Vec::new(), 0);
    for line in std::io::stdin().lock().lines() {
        let line = line.context("cannot read the standard input")?;
        let mut command = base.clone();
        command["id"] = batch.len().into();
        if args.json {
            command["data"] = serde_json::from_str(&line).with_context(|| format!("no JSON: {line}"))?;
        } else {
            command["text"] = line.as_str().into();
        }
        bytes += line.len();
        batch.push(command);
        if batch.len() >= BATCH_MAX || bytes >= BATCH_BYTES_MAX {
            send(args, client, std::mem::take(&mut batch)).await?;
            bytes = 0;
        }
    }
    if batch.is_empty() { Ok(()) } else { send(args, client, batch).await }
}

async fn send(args: &Publish, client: &Client, batch: Vec<Value>) -> anyhow::Result<()> {
    let answers = client.json(Method::POST, "/v1/send", Some(&Value::Array(batch))).await?;
    for answer in answers.as_array().into_iter().flatten() {
        if answer["type"] == "error" {
            bail!("refused ({}): {}", answer["code"], answer["reason"].as_str().unwrap_or_default());
        }
        print_receipt(args, answer);
    }
    Ok(())
}

fn print_receipt(args: &Publish, receipt: &Value) {
    if args.receipt {
        println!("{receipt}");
    }
}
