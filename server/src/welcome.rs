//! What a person sees when the server starts.

use std::{collections::BTreeMap, fmt::Write, net::SocketAddr, path::Path};

use crate::client::url_of;

/// Everything that the start-up text says.
pub(crate) struct Welcome<'a> {
    pub(crate) version: &'a str,
    pub(crate) data: &'a Path,
    pub(crate) doors: &'a BTreeMap<String, Vec<SocketAddr>>,
    pub(crate) secure: bool,
    pub(crate) dev: bool,
    /// What stands behind `#link=` for the first owner, where there is none yet.
    pub(crate) ticket: Option<&'a str>,
    pub(crate) colours: bool,
}

impl Welcome<'_> {
    /// The text; its last line is the URL to open.
    pub(crate) fn text(&self) -> String {
        let (strong, dim, link, plain) =
            if self.colours { ("\x1b[1m", "\x1b[2m", "\x1b[1;36m", "\x1b[0m") } else { ("", "", "", "") };
        let mut text = format!("\n  {strong}yizhan {}{plain}\n", self.version);
        // Writing to a String does not fail.
        let mut row = |name: &str, value: &str| {
            writeln!(text, "  {dim}{name:<8}{plain}{value}").ok();
        };
        row("data", &self.data.display().to_string());
        for (door, addresses) in self.doors {
            let list: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            row(door, &format!("{}  {dim}{}{plain}", list.join(", "), about(door)));
        }
        if self.dev {
            row("access", "anybody on this machine may do everything outside `$` topics (--dev)");
        }
        let url = self.url();
        match (self.ticket, url) {
            (Some(ticket), Some(url)) => {
                writeln!(text, "\n  Open this once to become the owner (good for an hour):").ok();
                writeln!(text, "\n  {link}{url}/#link={ticket}{plain}\n").ok();
            }
            (None, Some(url)) => {
                writeln!(text, "\n  {link}{url}{plain}\n").ok();
            }
            (_, None) => {}
        }
        text
    }

    /// The console's URL.
    pub(crate) fn url(&self) -> Option<String> {
        let address = *self.doors.get("http")?.first()?;
        Some(url_of(address, self.secure))
    }
}

fn about(door: &str) -> &'static str {
    match door {
        "http" => "console, WebSocket, SSE, API",
        "tcp" => "newline-delimited JSON",
        "mqtt" => "MQTT 3.1.1 and 5.0",
        "rtmp" => "live streaming: publish and play",
        "rtmps" => "live streaming over TLS",
        "mqtts" => "MQTT over TLS",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_the_url_to_open() {
        let doors: BTreeMap<String, Vec<SocketAddr>> =
            [("http".to_owned(), vec!["127.0.0.1:8080".parse().unwrap()])].into();
        let mut welcome = Welcome {
            version: "0",
            data: Path::new("d"),
            doors: &doors,
            secure: false,
            dev: true,
            ticket: None,
            colours: false,
        };
        assert_eq!(welcome.text().trim().lines().last(), Some("  http://localhost:8080"));
        welcome.ticket = Some("abc");
        assert_eq!(welcome.text().trim().lines().last(), Some("  http://localhost:8080/#link=abc"));
    }
}
