//! The least of an HTTP client: one connection that stays, one request after another, whole answers.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context, Result, bail};

/// How long an answer may take: longer than any playlist is held back.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
/// Bytes of an answer, at most.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A client of one server.
pub(super) struct Client {
    server: SocketAddr,
    stream: BufReader<TcpStream>,
    /// What the server set, as it is sent back.
    cookie: Option<String>,
}

/// What a server said to a request.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

impl Client {
    pub(super) fn connect(server: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        Ok(Self { server, stream: BufReader::with_capacity(256 * 1024, stream), cookie: None })
    }

    /// The body behind a path.
    ///
    /// # Errors
    /// It is not there, or the server does not answer.
    pub(super) fn body(&mut self, path: &str) -> Result<Vec<u8>> {
        let answer = self.get(path)?;
        if answer.status != 200 {
            let text = String::from_utf8_lossy(&answer.body);
            bail!("{path}: {}: {}", answer.status, text.chars().take(200).collect::<String>());
        }
        Ok(answer.body)
    }

    /// The text behind a path.
    ///
    /// # Errors
    /// As [`body`](Self::body).
    pub(super) fn text(&mut self, path: &str) -> Result<String> {
        String::from_utf8(self.body(path)?).with_context(|| format!("{path}: no text"))
    }

    /// Asks, whatever the answer is.
    ///
    /// # Errors
    /// The server does not answer.
    pub(super) fn get(&mut self, path: &str) -> Result<Answer> {
        let cookie = self.cookie.as_ref().map_or(String::new(), |c| format!("Cookie: {c}\r\n"));
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n{cookie}\r\n", self.server);
        self.stream.get_mut().write_all(request.as_bytes()).with_context(|| format!("{path}: not sent"))?;
        self.answer().with_context(|| format!("{path}: no answer"))
    }

    fn answer(&mut self) -> Result<Answer> {
        let first = self.line()?;
        let status = first.split(' ').nth(1).and_then(|s| s.parse().ok()).context("a status")?;
        let (mut length, mut chunked) = (0, false);
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else { break };
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse::<usize>()?,
                "transfer-encoding" => chunked = value.eq_ignore_ascii_case("chunked"),
                "set-cookie" => self.cookie = value.split(';').next().map(str::to_owned),
                _ => {}
            }
        }
        let mut body = Vec::new();
        if chunked {
            loop {
                let size = usize::from_str_radix(self.line()?.trim(), 16)?;
                self.read_into(&mut body, size)?;
                self.line()?;
                if size == 0 {
                    break;
                }
            }
        } else {
            self.read_into(&mut body, length)?;
        }
        Ok(Answer { status, body })
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            bail!("the server closed");
        }
        line.truncate(line.trim_end().len());
        Ok(line)
    }

    fn read_into(&mut self, body: &mut Vec<u8>, bytes: usize) -> Result<()> {
        let from = body.len();
        if from + bytes > ANSWER_BYTES_MAX {
            bail!("an answer of more than {ANSWER_BYTES_MAX} bytes");
        }
        body.resize(from + bytes, 0);
        Ok(self.stream.read_exact(&mut body[from..])?)
    }
}

/// An address in a playlist that lies at `base`, as a path.
pub(super) fn resolve(base: &str, address: &str) -> String {
    if address.starts_with('/') {
        return address.to_owned();
    }
    let folder =
        base.split('?').next().and_then(|path| path.rsplit_once('/')).map_or("", |(folder, _)| folder);
    format!("{folder}/{address}")
}
