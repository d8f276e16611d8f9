//! A client of the TCP door: lines of JSON over a blocking socket.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, ErrorKind, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::{Value, json};

use crate::PATIENCE;

/// One connection.
pub struct Client {
    reader: BufReader<TcpStream>,
    stream: TcpStream,
    /// Events of a frame that held several.
    waiting: VecDeque<Value>,
    next_id: u64,
}

impl Client {
    /// Connects and says nothing yet.
    ///
    /// # Panics
    /// Nobody listens there.
    #[must_use]
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("somebody listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout above zero");
        stream.set_nodelay(true).expect("a TCP socket");
        let reader = BufReader::new(stream.try_clone().expect("a socket can be shared"));
        Self { reader, stream, waiting: VecDeque::new(), next_id: 0 }
    }

    /// Sends one frame as it is.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn send(&mut self, frame: &Value) -> std::io::Result<()> {
        self.stream.write_all(format!("{frame}\n").as_bytes())
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// The next event; `None` once the server has closed.
    ///
    /// # Panics
    /// Nothing came for [`PATIENCE`], or it was not JSON.
    pub fn next_event(&mut self) -> Option<Value> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            let mut line = String::new();
            match self.reader.read_line(&mut line) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(e) if matches!(e.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
                    return None;
                }
                Err(e) => panic!("no event came: {e}"),
            }
            if !line.ends_with('\n') {
                // The server was killed within a line.
                return None;
            }
            match serde_json::from_str(&line).expect("the server sends JSON") {
                Value::Array(events) => self.waiting.extend(events),
                event => return Some(event),
            }
        }
    }

    /// The next event that `wanted` takes; others are dropped.
    ///
    /// # Panics
    /// The server closed first.
    pub fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let event = self.next_event().expect("the server goes on");
            if wanted(&event) {
                return event;
            }
        }
    }

    /// Sends a command with an id and waits for its answer, which may be an error.
    ///
    /// # Panics
    /// The connection is gone.
    pub fn ask(&mut self, mut command: Value) -> Value {
        self.next_id += 1;
        let id = self.next_id;
        command["id"] = json!(id);
        self.send(&command).expect("the server goes on");
        self.until(|event| event["re"] == id)
    }

    /// Says hello.
    ///
    /// # Panics
    /// The server did not say welcome.
    pub fn hello(&mut self, more: Value) -> Value {
        let mut hello = json!({"type": "hello"});
        if let (Some(hello), Value::Object(more)) = (hello.as_object_mut(), more) {
            hello.extend(more);
        }
        let welcome = self.ask(hello);
        assert_eq!(welcome["type"], "welcome", "{welcome}");
        welcome
    }

    /// The next record of any subscription, one at a time.
    ///
    /// # Panics
    /// The server closed first, or said that records are missing.
    pub fn next_record(&mut self) -> Value {
        let mut event = self.until(|e| matches!(e["type"].as_str(), Some("records" | "missed")));
        assert_eq!(event["type"], "records", "{event}");
        let mut records = match event["records"].take() {
            Value::Array(records) => VecDeque::from(records),
            other => panic!("no records in {other}"),
        };
        let first = records.pop_front().expect("an event has at least one record");
        if !records.is_empty() {
            event["records"] = Value::Array(records.into());
            self.waiting.push_front(event);
        }
        first
    }

    /// Waits at most this long for an event from now on.
    ///
    /// # Panics
    /// The duration is zero.
    pub fn set_patience(&mut self, patience: Duration) {
        self.stream.set_read_timeout(Some(patience)).expect("a timeout above zero");
    }

    /// Ends our side.
    pub fn close(self) {
        // It may be closed already.
        drop(self.stream.shutdown(Shutdown::Both));
    }
}
