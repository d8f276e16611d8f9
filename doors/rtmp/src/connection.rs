//! One client's side of a talk in RTMP, without I/O: it publishes one broadcast, or watches one.

mod commands;
mod playing;
mod publishing;
mod reasons;

use std::{marker::PhantomData, net::IpAddr, sync::Arc, time::Instant};

use bytes::BytesMut;
use yizhan_media::{
    amf::Value,
    seat::{Answer, Call, Delivery},
    viewer::Party,
};
use yizhan_talk::{Again, Backend, Close, Connection as Talk, Fault, Now, Out};

use crate::{
    Terms,
    address::Part,
    carrier::{COMMANDS_ONLY, Carrier},
    pack::STREAM,
    wire::{
        ChunkError, Command, Control, Message, UserControl,
        command::information,
        handshake::{Answering, NotRtmp},
        message::kind,
    },
};
use playing::{Playing, Watch};
use publishing::Publishing;

/// The bit of `capsEx` by which a client says that it reconnects when it is asked to (E-RTMP v2).
const RECONNECTS: u32 = 1;

/// A backend that the door's connections can stand before: a seat, or a script in its place.
pub trait SeatBackend: Backend<Call = Call, Answer = Answer, Delivery = Delivery> {}

impl<B: Backend<Call = Call, Answer = Answer, Delivery = Delivery>> SeatBackend for B {}

/// A client that has just come.
#[derive(Debug, Clone, Copy)]
pub struct Guest {
    /// From where.
    pub address: IpAddr,
    /// Bytes of a frame that are taken from it, should it publish.
    pub frame_bytes_max: usize,
}

/// Where the talk stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Shaking(Answering),
    /// `connect` has not come.
    Silent,
    Open,
    /// The last word was said.
    Ended,
}

/// What the client does.
enum Role {
    Idle,
    /// The backend has to say whether it may publish.
    WantsToPublish,
    /// The backend has to say whether it may watch.
    WantsToWatch(Watch),
    Publishing(Box<Publishing>),
    Playing(Box<Playing>),
    /// The backend has to say that it has ended; then comes what stands here.
    Stopping(Option<Box<Watch>>),
}

/// One client's side of a talk in RTMP.
pub struct Connection<B> {
    terms: Arc<Terms>,
    guest: Guest,
    stage: Stage,
    role: Role,
    carrier: Carrier,
    app: Part,
    /// What the client says it is.
    client: Arc<str>,
    /// What it can besides RTMP 1.0: `capsEx` of E-RTMP.
    caps: u32,
    /// Which kinds of frames it wants while it watches: sound, picture.
    wants: (bool, bool),
    began: Instant,
    /// Since when it neither publishes nor watches.
    idle_since: Instant,
    /// When something came from it last.
    heard: Instant,
    /// When it was asked whether it is there, if nothing came since.
    pinged: Option<Instant>,
    backend: PhantomData<fn() -> B>,
}

impl<B: SeatBackend> Connection<B> {
    /// A client that has said nothing.
    #[must_use]
    pub fn new(now: Now, terms: Arc<Terms>, guest: Guest) -> Self {
        Self {
            terms,
            guest,
            stage: Stage::Shaking(Answering::Silent),
            role: Role::Idle,
            carrier: Carrier::new(COMMANDS_ONLY),
            app: Part::default(),
            client: "".into(),
            caps: 0,
            wants: (true, true),
            began: now.steady,
            idle_since: now.steady,
            heard: now.steady,
            pinged: None,
            backend: PhantomData,
        }
    }

    /// What the client is to the core.
    fn party(&self, params: Arc<str>) -> Party {
        let by = Party { address: Some(self.guest.address), params, ..Party::by("rtmp") };
        by.with_client(&self.client)
    }

    /// Our clock for the handshake and for pings: milliseconds, 32 bits of them.
    fn millis(&self, now: Now) -> u32 {
        now.steady.saturating_duration_since(self.began).as_millis() as u32
    }

    fn read(&mut self, now: Now, input: &mut BytesMut, out: &mut Out<B>) -> Result<(), Fault> {
        if let Stage::Shaking(mut state) = self.stage {
            let millis = self.millis(now);
            let mut reply = BytesMut::new();
            let shaken = state.receive(millis, input, &mut reply);
            if !reply.is_empty() {
                out.packets.push(&reply);
            }
            shaken.map_err(|NotRtmp(_)| Fault(Close::new(1002, "this port speaks RTMP", Again::Never)))?;
            self.stage = if state == Answering::Done { Stage::Silent } else { Stage::Shaking(state) };
        }
        while matches!(self.stage, Stage::Silent | Stage::Open) && self.takes_input() {
            match self.carrier.next(input, &mut out.packets) {
                Ok(Some(message)) => self.message(now, &message, out)?,
                Ok(None) => return Ok(()),
                Err(error) => return Err(self.broken(&error, out)),
            }
        }
        Ok(())
    }

    /// The bytes are not RTMP, or more than is taken: the client is told where it can be.
    fn broken(&mut self, error: &ChunkError, out: &mut Out<B>) -> Fault {
        let close = match error {
            ChunkError::TooBig { .. } | ChunkError::TooMuch(_) => Close::TOO_BIG,
            _ => Close { reason: error.to_string().into(), ..Close::PROTOCOL },
        };
        if self.stage == Stage::Open {
            self.say_why(&error.to_string(), out);
        }
        self.stage = Stage::Ended;
        Fault(close)
    }

    fn message(&mut self, now: Now, message: &Message, out: &mut Out<B>) -> Result<(), Fault> {
        match message.kind {
            kind::COMMAND | kind::COMMAND_AMF3 => {
                let command = Command::read(message).map_err(|error| {
                    Fault(Close { reason: format!("a malformed command: {error}").into(), ..Close::PROTOCOL })
                })?;
                self.command(now, &command, out)
            }
            _ if self.stage == Stage::Silent => Err(Fault(Close {
                reason: "connect comes first (RTMP 1.0 §7.2.1.1)".into(),
                ..Close::PROTOCOL
            })),
            _ => {
                self.publish_message(message, out);
                Ok(())
            }
        }
    }

    /// Says how things stand, on the message stream or on the connection (0) (RTMP 1.0 §7.2.2).
    fn status(&mut self, stream: u32, level: &str, code: &str, description: &str, out: &mut Out<B>) {
        let values = [Value::Null, information(level, code, description)];
        self.carrier.command(stream, "onStatus", 0.0, &values, &mut out.packets);
    }

    /// Says that the talk is over, to who can hear it.
    fn say_why(&mut self, why: &str, out: &mut Out<B>) {
        let (stream, code) = match self.role {
            Role::Publishing(_) => (STREAM, "NetStream.Publish.Failed"),
            Role::Playing(_) => (STREAM, "NetStream.Play.Failed"),
            _ => (0, "NetConnection.Connect.Closed"),
        };
        self.status(stream, "error", code, why, out);
    }

    /// Ends the talk, with the reason in the protocol's own words.
    fn end(&mut self, why: &str, close: Close, out: &mut Out<B>) {
        if self.stage == Stage::Open {
            self.say_why(why, out);
        }
        self.stage = Stage::Ended;
        out.close(close);
    }

    /// Stops what the client does; what follows then, comes after the backend has answered.
    fn stop(&mut self, then: Option<Box<Watch>>, out: &mut Out<B>) {
        if matches!(self.role, Role::Publishing(_) | Role::Playing(_)) {
            self.role = Role::Stopping(then);
            out.calls.push(Call::Stop);
        }
    }

    fn idle(&mut self, now: Now) {
        self.role = Role::Idle;
        self.idle_since = now.steady;
    }
}

impl<B: SeatBackend> Talk for Connection<B> {
    type Backend = B;

    fn receive(&mut self, now: Now, input: &mut BytesMut, out: &mut Out<B>) -> Result<(), Fault> {
        self.heard = now.steady;
        self.pinged = None;
        let read = self.read(now, input, out);
        if read.is_err() {
            self.terms.meters.faults.one();
            self.stage = Stage::Ended;
        }
        if self.stage == Stage::Ended {
            input.clear();
        }
        read
    }

    fn answer(&mut self, now: Now, answer: Answer, out: &mut Out<B>) {
        if self.stage == Stage::Ended {
            return;
        }
        match answer {
            Answer::Published(result) => self.published(now, result, out),
            Answer::Playing(result) => self.watches(now, result.map(drop), out),
            Answer::Pushed(Ok(())) | Answer::Counted => {}
            Answer::Pushed(Err(error)) => {
                let close = Close { reason: error.to_string().into(), ..Close::TOO_BIG };
                self.end(&error.to_string(), close, out);
            }
            Answer::Stopped => {
                let then = match &mut self.role {
                    Role::Stopping(then) => then.take(),
                    _ => None,
                };
                self.idle(now);
                if let Some(watch) = then {
                    self.watch(*watch, out);
                }
            }
        }
    }

    fn deliver(&mut self, _now: Now, deliveries: &mut Vec<Delivery>, out: &mut Out<B>) {
        let before = out.packets.bytes().len();
        for delivery in deliveries.drain(..) {
            match delivery {
                _ if self.stage != Stage::Open => {}
                Delivery::Block(block) => self.show(&block, out),
                Delivery::Skipped(blocks) => self.skipped(blocks, out),
                Delivery::Ended => self.broadcast_ended(out),
                Delivery::Note(note) => self.note(&note, out),
                Delivery::Leave(why) => {
                    let close = Close { reason: why.to_string().into(), ..Close::KICKED };
                    self.end(&why, close, out);
                }
            }
        }
        let bytes = out.packets.bytes().len() - before;
        if bytes > 0 && matches!(self.role, Role::Playing(_)) {
            out.calls.push(Call::Sent(bytes as u64));
        }
    }

    fn expire(&mut self, now: Now, out: &mut Out<B>) {
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now.steady);
        if !due(self.deadline()) {
            return;
        }
        match self.role {
            Role::Playing(_) if self.pinged.is_none() => {
                self.pinged = Some(now.steady);
                let ping = Control::User(UserControl::Ping(self.millis(now)));
                self.carrier.control(ping, &mut out.packets);
            }
            Role::Playing(_) | Role::Publishing(_) => {
                self.terms.meters.silent.one();
                self.end("nothing was heard from you for too long", Close::SILENT, out);
            }
            _ if self.stage == Stage::Open => {
                self.end("nothing was published or watched in time", Close::SILENT, out);
            }
            _ => {
                self.terms.meters.silent.one();
                self.end("", Close::HELLO_LATE, out);
            }
        }
    }

    fn leave(&mut self, _now: Now, close: Close, out: &mut Out<B>) {
        if self.stage != Stage::Open {
            self.stage = Stage::Ended;
            return out.close(close);
        }
        if close.code != Close::GOING_AWAY.code {
            return self.end(&close.reason.clone(), close, out);
        }
        if self.caps & RECONNECTS != 0 {
            // It goes on until its next key frame and comes back then; the shell ends what stays too long.
            let code = "NetConnection.Connect.ReconnectRequest";
            self.status(0, "status", code, &close.reason, out);
            if matches!(self.role, Role::Publishing(_)) {
                return;
            }
        } else {
            self.status(0, "status", "NetConnection.Connect.AppShutdown", &close.reason, out);
        }
        self.stage = Stage::Ended;
        out.close(close);
    }

    fn deadline(&self) -> Option<Instant> {
        let config = &self.terms.config;
        match (self.stage, &self.role) {
            (Stage::Ended, _) => None,
            (_, Role::Idle) => Some(self.idle_since + config.idle_max),
            (_, Role::WantsToPublish | Role::WantsToWatch(_) | Role::Stopping(_)) => None,
            (_, Role::Publishing(_)) => Some(self.heard + config.silence_max),
            (_, Role::Playing(_)) if config.ping_interval.is_zero() => None,
            (_, Role::Playing(_)) => Some(match self.pinged {
                Some(at) => at + config.silence_max,
                None => self.heard + config.ping_interval,
            }),
        }
    }

    fn takes_input(&self) -> bool {
        !matches!(self.role, Role::WantsToPublish | Role::WantsToWatch(_) | Role::Stopping(_))
    }

    fn takes_delivery(&self) -> bool {
        self.stage == Stage::Open
            && matches!(self.role, Role::Publishing(_) | Role::Playing(_))
            && self.carrier.has_room()
    }
}

impl<B> std::fmt::Debug for Connection<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("stage", &self.stage)
            .field("app", &self.app.path)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
