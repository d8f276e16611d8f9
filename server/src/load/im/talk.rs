//! One client that waits for each answer: what has to be there before the load begins.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use serde_json::{Value, json};

use super::{
    super::{
        engine::Target,
        wire::{Frame, Upgraded, push_pong, push_text, take_frame, upgrade_request, upgraded},
    },
    hello,
};

/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// A client that waits for each answer.
pub(super) struct Talk {
    stream: TcpStream,
    input: Vec<u8>,
    next: u64,
}

impl Talk {
    /// Comes in as a guest.
    pub(super) fn open(target: &Target, user: &str) -> Result<Self, String> {
        let fail = |error: std::io::Error| format!("cannot connect to {}: {error}", target.address);
        let stream = TcpStream::connect(target.address).map_err(fail)?;
        stream.set_nodelay(true).map_err(fail)?;
        stream.set_read_timeout(Some(ANSWER_WITHIN)).map_err(fail)?;
        let mut talk = Self { stream, input: Vec::new(), next: 2 };
        let request = upgrade_request(&target.address.to_string(), &target.path, target.subprotocol);
        talk.stream.write_all(&request).map_err(fail)?;
        loop {
            match upgraded(&talk.input) {
                Upgraded::Yes(n) => {
                    talk.input.drain(..n);
                    break;
                }
                Upgraded::No(line) => return Err(format!("the server refused a WebSocket: {line}")),
                Upgraded::NotYet => talk.read()?,
            }
        }
        talk.send(&hello(user))?;
        talk.answer(1)?;
        Ok(talk)
    }

    /// Asks the service, and waits for what it says.
    pub(super) fn ask(&mut self, op: &str, data: &Value) -> Result<Value, String> {
        let id = self.next;
        self.next += 1;
        let ask = json!({"type": "ask", "id": id, "to": format!("im/{op}"), "data": data});
        self.send(ask.to_string().as_bytes())?;
        Ok(self.answer(id)?["data"].take())
    }

    fn send(&mut self, payload: &[u8]) -> Result<(), String> {
        let mut out = Vec::with_capacity(payload.len() + 16);
        push_text(&mut out, payload);
        self.stream.write_all(&out).map_err(|error| format!("a connection broke: {error}"))
    }

    fn read(&mut self) -> Result<(), String> {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => Err("the server closed a connection".to_owned()),
            Ok(n) => {
                self.input.extend_from_slice(&buffer[..n]);
                Ok(())
            }
            Err(error) => Err(format!("a connection broke: {error}")),
        }
    }

    /// The event that answers command `id`; what else comes is passed over.
    fn answer(&mut self, id: u64) -> Result<Value, String> {
        loop {
            let Some((n, frame)) = take_frame(&self.input)? else {
                self.read()?;
                continue;
            };
            let mut events = Vec::new();
            let mut pong = Vec::new();
            match frame {
                Frame::Message(payload) => {
                    let value: Value = serde_json::from_slice(payload).map_err(|error| error.to_string())?;
                    match value {
                        Value::Array(all) => events = all,
                        one => events.push(one),
                    }
                }
                Frame::Ping(payload) => push_pong(&mut pong, payload),
                Frame::Close(code, reason) => return Err(format!("the server closed: {code} {reason}")),
                Frame::Pong => {}
            }
            self.input.drain(..n);
            if !pong.is_empty() {
                self.stream.write_all(&pong).map_err(|error| error.to_string())?;
            }
            for event in events {
                if event["re"] == id {
                    return match event["type"].as_str() {
                        Some("error") => Err(format!("the server refused: {event}")),
                        _ => Ok(event),
                    };
                }
            }
        }
    }
}
