//! The client's side of a talk in RTMP, without I/O: it fetches one broadcast, or sends one.

use std::{
    marker::PhantomData,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use yizhan_media::{
    Block, Packet, Party, Setup,
    amf::Value,
    porter::Creds,
    seat::{Answer, Call, Delivery},
};
use yizhan_talk::{Again, Close, Connection as Talk, Fault, Now, Out};

use super::wish::{Way, Wish};
use crate::{
    carrier::{Carrier, WINDOW_BYTES, with_frames},
    connection::SeatBackend,
    pack::{self, Audience, STREAM},
    unpack::{Unpack, is_final},
    wire::{Command, Control, Message, UserControl, handshake::Calling, message::kind},
};

/// How long it may take until the broadcast is carried.
const OPEN_WITHIN: Duration = Duration::from_secs(10);
/// Nothing may come from who sends us a broadcast for so long.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// How often is looked whether anybody watches what is fetched.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// What we say we are: servers look for the words of Adobe's encoder.
const CLIENT_VERSION: &str = concat!("FMLE/3.0 (compatible; Yizhan ", env!("CARGO_PKG_VERSION"), ")");
/// How much we say we buffer, milliseconds: some servers send as much at once.
const BUFFER_MILLIS: u32 = 1000;
/// Malformed messages in a row; then the other server is left.
const MALFORMED_MAX: u32 = 100;

/// Transaction ids: what answers are told apart by.
const CONNECT: f64 = 1.0;
const RELEASE: f64 = 2.0;
const FC_PUBLISH: f64 = 3.0;
const CREATE: f64 = 4.0;
const START: f64 = 5.0;

/// Said to the network shell when there is no more to carry.
const DONE: Close = Close::new(1000, "the relay is over", Again::Soon);
const FAILED: Close = Close::new(1002, "the other server did not do what was asked", Again::Soon);

/// Where the talk stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    New,
    Shaking(Calling),
    Connecting,
    Creating,
    Starting,
    /// The broadcast is carried.
    Up,
    Ended,
}

/// The client's side of a talk.
pub(super) struct Caller<B> {
    wish: Arc<Wish>,
    stage: Stage,
    carrier: Carrier,
    /// The message stream, as the server has numbered it.
    stream: u32,
    unpack: Unpack,
    packets: Vec<Packet>,
    malformed: u32,
    /// What the frames that were sent are decoded with.
    setup: Option<Arc<Setup>>,
    began: Instant,
    heard: Instant,
    looked: Instant,
    backend: PhantomData<fn() -> B>,
}

impl<B: SeatBackend> Caller<B> {
    pub(super) fn new(now: Now, wish: Arc<Wish>) -> Self {
        Self {
            carrier: Carrier::new(with_frames(wish.frame_bytes_max)),
            wish,
            stage: Stage::New,
            stream: 0,
            unpack: Unpack::default(),
            packets: Vec::new(),
            malformed: 0,
            setup: None,
            began: now.steady,
            heard: now.steady,
            looked: now.steady,
            backend: PhantomData,
        }
    }

    fn party(&self) -> Party {
        Party::by("relay").with_client(&self.wish.url.to_string())
    }

    /// Ends it for a reason that another attempt may overcome.
    fn fail(&mut self, reason: &str, out: &mut Out<B>) {
        self.wish.status.fail(reason);
        self.stage = Stage::Ended;
        out.close(FAILED);
    }

    /// Ends it for good; the other server is told.
    fn finish(&mut self, reason: &str, out: &mut Out<B>) {
        self.wish.status.over(reason);
        if self.stream != 0 {
            if self.wish.way == Way::To {
                self.ask("FCUnpublish", 0.0, &[Value::Null, self.there()], out);
            }
            self.ask("deleteStream", 0.0, &[Value::Null, self.stream.into()], out);
        }
        if self.stage == Stage::Up {
            out.calls.push(Call::Stop);
        }
        self.stage = Stage::Ended;
        out.close(DONE);
    }

    /// What it is called there.
    fn there(&self) -> Value {
        self.wish.url.stream(&self.wish.name.name).into()
    }

    fn ask(&mut self, name: &str, transaction: f64, values: &[Value], out: &mut Out<B>) {
        self.carrier.command(0, name, transaction, values, &mut out.packets);
    }

    fn read(&mut self, now: Now, input: &mut BytesMut, out: &mut Out<B>) -> Result<(), Fault> {
        if let Stage::Shaking(mut state) = self.stage {
            let mut reply = BytesMut::new();
            state.receive(input, &mut reply).map_err(|error| self.broken(&error))?;
            if state == Calling::Done {
                out.packets.push(&reply);
                self.connect(out);
            } else {
                self.stage = Stage::Shaking(state);
            }
        }
        while !matches!(self.stage, Stage::New | Stage::Shaking(_) | Stage::Ended) {
            match self.carrier.next(input, &mut out.packets) {
                Ok(Some(message)) => self.message(now, &message, out)?,
                Ok(None) => break,
                Err(error) => return Err(self.broken(&error)),
            }
        }
        Ok(())
    }

    fn broken(&mut self, error: &dyn std::fmt::Display) -> Fault {
        self.wish.status.fail(error);
        self.stage = Stage::Ended;
        Fault(Close { reason: error.to_string().into(), ..Close::PROTOCOL })
    }

    /// `connect` (RTMP 1.0 §7.2.1.1), in chunks of the first size: there are servers that know no other yet.
    fn connect(&mut self, out: &mut Out<B>) {
        let url = &self.wish.url;
        let mut object = vec![
            ("app", Value::from(url.app.as_str())),
            ("flashVer", CLIENT_VERSION.into()),
            ("tcUrl", url.tc_url().into()),
        ];
        match self.wish.way {
            Way::To => object.push(("type", "nonprivate".into())),
            Way::From => object.extend([
                ("fpad", false.into()),
                ("capabilities", 15.0.into()),
                ("audioCodecs", 4071.0.into()),
                ("videoCodecs", 252.0.into()),
                ("videoFunction", 1.0.into()),
            ]),
        }
        let codecs = ["avc1", "hvc1", "av01", "mp4a", "Opus", ".mp3"].map(Value::from);
        object.push(("fourCcList", Value::List(codecs.into())));
        self.stage = Stage::Connecting;
        self.ask("connect", CONNECT, &[Value::object(object)], out);
    }

    fn message(&mut self, now: Now, message: &Message, out: &mut Out<B>) -> Result<(), Fault> {
        if matches!(message.kind, kind::COMMAND | kind::COMMAND_AMF3) {
            let command = Command::read(message).map_err(|error| self.broken(&error))?;
            self.command(&command, out);
        } else if self.wish.way == Way::From && matches!(self.stage, Stage::Starting | Stage::Up) {
            self.take(now, message, out);
        }
        Ok(())
    }

    fn command(&mut self, command: &Command, out: &mut Out<B>) {
        let information = || [&command.object].into_iter().chain(&command.args);
        let field =
            |name: &str| information().find_map(|value| value.get(name)?.as_str()).unwrap_or_default();
        match (command.name.as_str(), self.stage) {
            ("_result", Stage::Connecting) if command.transaction == CONNECT => self.create(out),
            ("_result", Stage::Creating) if command.transaction == CREATE => {
                // The number stands behind the null of the command object.
                let number = command.number(0).filter(|number| (1.0..=f64::from(u32::MAX)).contains(number));
                self.stream = number.map_or(STREAM, |number| number as u32);
                self.start(out);
            }
            ("_error", _) if [CONNECT, CREATE, START].contains(&command.transaction) => {
                self.fail(&reason(field("code"), field("description")), out);
            }
            ("onStatus", _) => {
                let (level, code) = (field("level"), field("code"));
                match code {
                    "NetStream.Publish.Start"
                        if self.stage == Stage::Starting && self.wish.way == Way::To =>
                    {
                        self.published(out);
                    }
                    "NetStream.Play.UnpublishNotify" | "NetStream.Play.Stop" | "NetStream.Play.Complete" => {
                        self.finish("the other server says that it is over", out);
                    }
                    "NetConnection.Connect.Closed"
                    | "NetConnection.Connect.AppShutdown"
                    | "NetConnection.Connect.ReconnectRequest" => {
                        self.fail(&reason(code, field("description")), out);
                    }
                    _ if level == "error" => self.fail(&reason(code, field("description")), out),
                    _ => {}
                }
            }
            _ => {}
        }
    }

    fn create(&mut self, out: &mut Out<B>) {
        self.carrier.tell_window(WINDOW_BYTES, &mut out.packets);
        self.stage = Stage::Creating;
        if self.wish.way == Way::To {
            self.carrier.enlarge_chunks(&mut out.packets);
            self.ask("releaseStream", RELEASE, &[Value::Null, self.there()], out);
            self.ask("FCPublish", FC_PUBLISH, &[Value::Null, self.there()], out);
        }
        self.ask("createStream", CREATE, &[Value::Null], out);
    }

    fn start(&mut self, out: &mut Out<B>) {
        self.stage = Stage::Starting;
        let (stream, there) = (self.stream, self.there());
        match self.wish.way {
            Way::To => {
                let values = [Value::Null, there, "live".into()];
                self.carrier.command(stream, "publish", START, &values, &mut out.packets);
            }
            Way::From => {
                let buffer = UserControl::BufferLength { stream, millis: BUFFER_MILLIS };
                self.carrier.control(Control::User(buffer), &mut out.packets);
                // Live, and whatever else has this name (RTMP 1.0 §7.2.2.1).
                let values = [Value::Null, there, (-2.0).into()];
                self.carrier.command(stream, "play", START, &values, &mut out.packets);
            }
        }
    }

    /// The other server takes the broadcast: its frames are wanted from here.
    fn published(&mut self, out: &mut Out<B>) {
        let (name, party) = (self.wish.name.clone(), self.party());
        out.calls.push(Call::Play { name, party, creds: Creds::default() });
    }

    /// Sound, picture or data of a broadcast that is fetched. With the first of it the broadcast is on air here.
    fn take(&mut self, now: Now, message: &Message, out: &mut Out<B>) {
        let taken = self.unpack.message(message, &mut self.packets);
        if !self.packets.is_empty() && self.stage == Stage::Starting {
            let (name, party) = (self.wish.name.clone(), self.party());
            out.calls.push(Call::Publish { name, party, creds: Creds::default() });
            self.stage = Stage::Up;
            self.wish.status.up(now.wall);
        }
        self.wish.status.carried(message.body.len());
        out.calls.extend(self.packets.drain(..).map(Call::Push));
        match taken {
            Ok(_) => self.malformed = 0,
            Err(error) => {
                self.malformed += 1;
                if self.malformed >= MALFORMED_MAX || is_final(&error) {
                    self.fail(&error.to_string(), out);
                }
            }
        }
    }

    /// Sends a block's frames, and what stands before them where the setup is another one.
    fn send(&mut self, block: &Block, out: &mut Out<B>) {
        let setup = block.setup();
        let mut bytes = BytesMut::new();
        if self.setup.as_ref().is_none_or(|known| !Arc::ptr_eq(known, setup)) {
            self.setup = Some(setup.clone());
            let at = block.dts().div_euclid(1000);
            pack::heads(setup, at, Audience::Server(self.stream), &mut bytes);
        }
        if self.stream == STREAM {
            self.carrier.say_chunks(&bytes, &mut out.packets);
            self.carrier.say_chunks(pack::block(block), &mut out.packets);
        } else {
            for frame in block.frames() {
                pack::frame(frame, self.stream, &mut bytes);
            }
            self.carrier.say_chunks(&bytes, &mut out.packets);
        }
    }
}

/// A status in words: servers leave out the one or the other.
fn reason(code: &str, description: &str) -> String {
    let text: String = description.chars().take(200).collect();
    match (code.is_empty(), text.is_empty()) {
        (_, true) => format!("the other server says {code}"),
        (true, false) => format!("the other server says: {text}"),
        (false, false) => format!("the other server says {code}: {text}"),
    }
}

impl<B: SeatBackend> Talk for Caller<B> {
    type Backend = B;

    fn receive(&mut self, now: Now, input: &mut BytesMut, out: &mut Out<B>) -> Result<(), Fault> {
        self.heard = now.steady;
        let read = self.read(now, input, out);
        if self.stage == Stage::Ended {
            input.clear();
        }
        read
    }

    fn answer(&mut self, now: Now, answer: Answer, out: &mut Out<B>) {
        match answer {
            _ if self.stage == Stage::Ended => {}
            Answer::Published(Err(refused)) => self.fail(&refused.to_string(), out),
            Answer::Playing(Ok(_)) => {
                self.stage = Stage::Up;
                self.wish.status.up(now.wall);
            }
            Answer::Playing(Err(refused)) => self.finish(&refused.to_string(), out),
            Answer::Pushed(Err(error)) => self.fail(&error.to_string(), out),
            Answer::Published(Ok(())) | Answer::Pushed(Ok(())) | Answer::Stopped | Answer::Counted => {}
        }
    }

    fn deliver(&mut self, _now: Now, deliveries: &mut Vec<Delivery>, out: &mut Out<B>) {
        let before = out.packets.bytes().len();
        for delivery in deliveries.drain(..) {
            match delivery {
                _ if self.stage != Stage::Up => {}
                Delivery::Block(block) => self.send(&block, out),
                // What was passed over is said by the timestamps; the next block begins with a key frame.
                Delivery::Skipped(_) | Delivery::Note(_) => {}
                Delivery::Ended => self.finish("the broadcast is over", out),
                Delivery::Leave(why) => self.finish(&why, out),
            }
        }
        let bytes = out.packets.bytes().len() - before;
        if bytes > 0 && self.wish.way == Way::To {
            self.wish.status.carried(bytes);
            out.calls.push(Call::Sent(bytes as u64));
        }
    }

    fn expire(&mut self, now: Now, out: &mut Out<B>) {
        match self.stage {
            Stage::Ended => {}
            Stage::New => {
                // 32 bits of the wall clock, as good as any.
                let millis = now.wall.as_millis() as u32;
                let mut hello = BytesMut::new();
                self.stage = Stage::Shaking(Calling::begin(millis, &mut hello));
                out.packets.push(&hello);
            }
            Stage::Up if self.heard + SILENCE_MAX <= now.steady => {
                self.fail("nothing came from the other server for too long", out);
            }
            // This turn has asked the backend.
            Stage::Up => self.looked = now.steady,
            _ if self.began + OPEN_WITHIN <= now.steady => {
                self.fail("the other server did not begin in time", out);
            }
            _ => {}
        }
    }

    fn leave(&mut self, _now: Now, close: Close, out: &mut Out<B>) {
        self.wish.status.over(&close.reason);
        self.stage = Stage::Ended;
        out.close(close);
    }

    fn deadline(&self) -> Option<Instant> {
        match (self.stage, self.wish.way) {
            (Stage::Ended, _) => None,
            // At once: a client speaks first.
            (Stage::New, _) => Some(self.began),
            // Who takes a broadcast need not say anything.
            (Stage::Up, Way::To) => None,
            (Stage::Up, Way::From) => Some((self.heard + SILENCE_MAX).min(self.looked + LOOK_INTERVAL)),
            _ => Some(self.began + OPEN_WITHIN),
        }
    }

    fn takes_delivery(&self) -> bool {
        self.stage == Stage::Up && self.carrier.has_room()
    }
}

impl<B> std::fmt::Debug for Caller<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Caller").field("stage", &self.stage).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
