//! What a child says: the last lines for the log, and how far it is.

use std::{collections::VecDeque, sync::Arc};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Lines that are kept of each child.
const LINES_MAX: usize = 20;
/// Bytes of a line; what is longer is cut.
const LINE_BYTES_MAX: usize = 300;

/// How far a child is, by its own word.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Progress {
    /// Pictures made.
    pub frames: u64,
    /// Timestamp of what was made last, microseconds.
    pub out_time: i64,
    /// Seconds made in one second since the start; 0 where it does not know.
    pub speed: f64,
    /// Reports so far: one a second.
    pub reports: u64,
}

/// What one child said. Cloning it gives another handle to the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tail(Arc<Mutex<Said>>);

#[derive(Debug, Default)]
struct Said {
    lines: VecDeque<String>,
    progress: Progress,
}

impl Tail {
    /// The last lines, oldest first, without secrets.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().lines.iter().cloned().collect()
    }

    pub(crate) fn progress(&self) -> Progress {
        self.0.lock().progress
    }

    /// Reads until the end.
    pub(crate) async fn follow(self, mut from: impl AsyncRead + Unpin) {
        let mut piece = vec![0; 4096];
        let mut line = Vec::new();
        while let Ok(length @ 1..) = from.read(&mut piece).await {
            for &byte in &piece[..length] {
                match byte {
                    b'\n' | b'\r' => {
                        self.take(&String::from_utf8_lossy(&line));
                        line.clear();
                    }
                    _ if line.len() < LINE_BYTES_MAX => line.push(byte),
                    _ => {}
                }
            }
        }
        self.take(&String::from_utf8_lossy(&line));
    }

    fn take(&self, line: &str) {
        let line = line.trim();
        if line.is_empty() {
            return;
        }
        let mut said = self.0.lock();
        if said.progress.read(line) {
            return;
        }
        if said.lines.len() == LINES_MAX {
            said.lines.pop_front();
        }
        said.lines.push_back(mask(line));
    }
}

impl Progress {
    /// Whether this was a line of `-progress`: `key=value`.
    fn read(&mut self, line: &str) -> bool {
        let Some((key, value)) = line.split_once('=') else { return false };
        if !key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return false;
        }
        let value = value.trim();
        match key {
            "frame" => self.frames = value.parse().unwrap_or(self.frames),
            "out_time_us" => self.out_time = value.parse().unwrap_or(self.out_time),
            "speed" => self.speed = value.trim_end_matches('x').parse().unwrap_or(0.0),
            "progress" => self.reports += 1,
            _ => {}
        }
        true
    }
}

/// A line without what is secret in addresses: who one is there, and all behind a question mark.
#[must_use]
pub fn mask(line: &str) -> String {
    let mut masked = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find("://") {
        let (before, address) = rest.split_at(at + 3);
        masked.push_str(before);
        let ends = |c: char| c.is_whitespace() || matches!(c, '\'' | '"' | '<' | '>' | ')');
        let end = address.find(ends).unwrap_or(address.len());
        let (address, behind) = address.split_at(end);
        let host_end = address.find(['/', '?', '#']).unwrap_or(address.len());
        let shown = match address[..host_end].rfind('@') {
            Some(at) => {
                masked.push('•');
                &address[at..]
            }
            None => address,
        };
        match shown.find('?') {
            Some(query) => {
                masked.push_str(&shown[..=query]);
                masked.push('•');
                // ffmpeg says what is wrong behind a colon.
                if shown.ends_with(':') {
                    masked.push(':');
                }
            }
            None => masked.push_str(shown),
        }
        rest = behind;
    }
    masked.push_str(rest);
    masked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_in_addresses_do_not_show() {
        for (line, shown) in [
            ("no address: 1=2", "no address: 1=2"),
            (
                "https://me:pw@host/a/b.m3u8?token=s3cret: 404 Not Found",
                "https://•@host/a/b.m3u8?•: 404 Not Found",
            ),
            ("'rtmp://h/live/x?key=s3cret' and http://h/?s3cret", "'rtmp://h/live/x?•' and http://h/?•"),
            ("http://host/@x", "http://host/@x"),
            ("://", "://"),
        ] {
            assert_eq!(mask(line), shown);
            assert!(!mask(line).contains("s3cret"));
        }
    }

    #[tokio::test]
    async fn the_last_lines_stay_and_reports_are_no_lines() {
        let mut text = "frame=12\nout_time_us=480000\nspeed=1.02x\nprogress=continue\n".to_owned();
        for number in 0..50 {
            text.push_str(&format!("line {number}\r\n"));
        }
        text.push_str(&"x".repeat(5000));
        let tail = Tail::default();
        tail.clone().follow(text.as_bytes()).await;
        let lines = tail.lines();
        assert_eq!(lines.len(), LINES_MAX);
        assert_eq!((lines[0].as_str(), lines[LINES_MAX - 1].len()), ("line 31", LINE_BYTES_MAX));
        assert_eq!(tail.progress(), Progress { frames: 12, out_time: 480_000, speed: 1.02, reports: 1 });
    }

    #[tokio::test]
    async fn bytes_that_are_no_text_are_survived() {
        let tail = Tail::default();
        tail.clone().follow(&b"\xff\xfe\0=\n=\n\xf0\x9f\nframe=x\nout_time_us=N/A\n"[..]).await;
        assert_eq!(tail.progress(), Progress::default());
        assert!(tail.lines().len() <= 3);
    }
}
