//! `yizhan ask trace`: what one client of MQTT does, as it happens.

use std::{io::Write, path::Path};

use anyhow::Context;
use serde_json::{Value, json};

use crate::{
    config::units::{parse_duration, show_duration},
    control,
};

/// Starts the trace and prints its lines until it ends.
///
/// # Errors
/// No server runs with the data folder, or it refuses.
pub(crate) async fn run(data: &Path, client: &str, time: &str, json: bool) -> anyhow::Result<()> {
    let time =
        parse_duration(time).with_context(|| format!("'{time}' is no time: write one like 60s or 5m"))?;
    let request = json!({"do": "trace", "client": client, "seconds": time.as_secs()});
    eprintln!("following '{client}' for {}; press Ctrl-C to end earlier", show_duration(time));
    let mut out = std::io::stdout();
    let done = control::request(data, &request, |line, text| {
        if json {
            writeln!(out, "{text}")?;
        } else {
            writeln!(out, "{}", show(line))?;
        }
        Ok(())
    });
    let lines = done.await?["lines"].as_u64().unwrap_or(0);
    eprintln!("{lines} lines");
    Ok(())
}

/// One line for people: `12.345678 in  PUBLISH a/b qos 1 id 7 20 bytes`.
fn show(line: &Value) -> String {
    let after = line["after_us"].as_u64().unwrap_or(0);
    let way = line["direction"].as_str().unwrap_or("");
    let packet = line["packet"].as_str().unwrap_or("");
    let mut text = String::new();
    if let Some(dropped) = line["dropped"].as_u64() {
        text.push_str(&format!("({dropped} lines are missing here)\n"));
    }
    text.push_str(&format!("{:>5}.{:06} {way:<3} {packet:<11}", after / 1_000_000, after % 1_000_000));
    let mut add = |name: &str, value: &Value| match value {
        Value::Null => {}
        Value::Bool(_) => text.push_str(&format!(" {name}")),
        Value::String(value) => {
            text.push_str(&format!(" {}{}{}", name, if name.is_empty() { "" } else { " " }, plain(value)))
        }
        value => text.push_str(&format!(" {name} {value}")),
    };
    add("", &line["topic"]);
    add("qos", &line["qos"]);
    add("retain", &line["retain"]);
    add("dup", &line["dup"]);
    add("id", &line["id"]);
    if let (Some(code), Some(name)) = (line["reason"].as_u64(), line["reason_name"].as_str()) {
        add("reason", &json!(format!("0x{code:02x} {name}")));
    }
    add("bytes", &line["bytes"]);
    add("", &line["text"]);
    text
}

/// What a client sends is not to move the terminal's cursor.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_readable() {
        let line = json!({"at": 1, "after_us": 12_345_678, "client": "c", "direction": "in", "packet": "PUBLISH",
            "bytes": 20, "id": 7, "topic": "a/\u{1b}b", "qos": 1, "retain": true});
        assert_eq!(show(&line), "   12.345678 in  PUBLISH     a/\u{fffd}b qos 1 retain id 7 bytes 20");
        let line = json!({"after_us": 1, "direction": "out", "packet": "CONNACK", "reason": 0x87,
            "reason_name": "Not authorized", "dropped": 3});
        let shown = show(&line);
        assert!(shown.starts_with("(3 lines are missing here)\n    0.000001 out CONNACK"), "{shown}");
        assert!(shown.ends_with("reason 0x87 Not authorized"), "{shown}");
    }
}
