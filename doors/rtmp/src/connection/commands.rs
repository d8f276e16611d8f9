//! What a client asks (RTMP 1.0 §7.2), and how it is answered.

use yizhan_media::amf::Value;
use yizhan_talk::{Close, Fault, Now, Out};

use super::{Connection, Role, SeatBackend, Stage};
use crate::{
    address::Part,
    pack::STREAM,
    wire::{Command, Control, command::information, message::Limit},
};

/// What a media server says it is: clients look for the generation whose features they use.
const SERVER_VERSION: &str = "FMS/3,5,7,7009";
/// What such a server can (sharing of objects and more, as Adobe's said it).
const CAPABILITIES: f64 = 31.0;
/// Codecs that are taken and given (E-RTMP v2, `fourCcList`).
const VIDEO_CODECS: [&str; 3] = ["avc1", "hvc1", "av01"];
const AUDIO_CODECS: [&str; 3] = ["mp4a", "Opus", ".mp3"];
/// The flag of `videoFourCcInfoMap`: can be sent on.
const CAN_FORWARD: f64 = 4.0;
/// `capsEx`: we ask clients to reconnect, and can read modifiers.
const CAPS: f64 = 5.0;

impl<B: SeatBackend> Connection<B> {
    pub(super) fn command(&mut self, now: Now, command: &Command, out: &mut Out<B>) -> Result<(), Fault> {
        if (self.stage == Stage::Silent) != (command.name == "connect") {
            let reason = "connect comes first, and once (RTMP 1.0 §7.2.1.1)";
            return Err(Fault(Close { reason: reason.into(), ..Close::PROTOCOL }));
        }
        match command.name.as_str() {
            "connect" => self.connect(now, command, out),
            "createStream" => self.result(command, Value::Number(STREAM.into()), out),
            "publish" => self.publish(command, out),
            "play" => self.play(command, out),
            "play2" => self.play2(command, out),
            "pause" | "pauseRaw" => self.pause(command, out),
            "receiveAudio" => self.receive_audio(command, out),
            "receiveVideo" => self.receive_video(command, out),
            "seek" => self.status(
                STREAM,
                "error",
                "NetStream.Seek.Failed",
                "a live broadcast cannot be sought: HLS has time shift, recordings have seek",
                out,
            ),
            "FCPublish" => self.confirm(command, "onFCPublish", "NetStream.Publish.Start", out),
            "FCSubscribe" => self.confirm(command, "onFCSubscribe", "NetStream.Play.Start", out),
            "FCUnpublish" => {
                self.confirm(command, "onFCUnpublish", "NetStream.Unpublish.Success", out);
                self.stop_streaming(out);
            }
            "closeStream" => self.stop_streaming(out),
            "deleteStream" => self.stop_streaming(out),
            // A live broadcast has no length.
            "getStreamLength" | "getMovLen" => self.result(command, Value::Number(0.0), out),
            "releaseStream" | "FCUnsubscribe" | "_checkbw" | "checkBandwidth" => {
                self.result(command, Value::Undefined, out);
            }
            // Answers to nothing that was asked, and statuses of clients: nothing follows.
            "_result" | "_error" | "onStatus" => {}
            other => {
                let why = format!("there is no '{}' here", other.chars().take(64).collect::<String>());
                self.refuse(command, "NetConnection.Call.Failed", &why, out);
            }
        }
        Ok(())
    }

    /// Answers a command that wants an answer.
    fn result(&mut self, command: &Command, value: Value, out: &mut Out<B>) {
        if command.wants_answer() {
            let values = [Value::Null, value];
            self.carrier.command(0, "_result", command.transaction, &values, &mut out.packets);
        }
    }

    fn refuse(&mut self, command: &Command, code: &str, why: &str, out: &mut Out<B>) {
        if command.wants_answer() {
            let values = [Value::Null, information("error", code, why)];
            self.carrier.command(0, "_error", command.transaction, &values, &mut out.packets);
        }
    }

    /// Answers FCPublish and its like, which Adobe's encoders brought: a result, and a call back.
    fn confirm(&mut self, command: &Command, name: &str, code: &str, out: &mut Out<B>) {
        self.result(command, Value::Undefined, out);
        let stream = Part::new(command.text(0).unwrap_or_default()).path;
        let values = [Value::Null, information("status", code, &stream)];
        self.carrier.command(0, name, 0.0, &values, &mut out.packets);
    }

    fn connect(&mut self, now: Now, command: &Command, out: &mut Out<B>) {
        let text = |name: &str| command.object.get(name).and_then(Value::as_str).unwrap_or_default();
        self.app = Part::new(text("app"));
        if self.app.query.is_empty() {
            // Some clients put the query into the address only: rtmp://host/live?token=x.
            self.app.query = Part::new(text("tcUrl")).query;
        }
        self.client = text("flashVer").chars().take(128).collect::<String>().into();
        let capabilities = command.object.get("capsEx").and_then(Value::as_number).unwrap_or_default();
        // A number of another kind says nothing.
        self.caps = capabilities as u32;
        self.stage = Stage::Open;
        self.idle(now);
        self.terms.meters.connects.one();
        let window = self.terms.config.window_bytes;
        self.carrier.tell_window(window, &mut out.packets);
        let bandwidth = Control::PeerBandwidth { window, limit: Limit::Dynamic };
        self.carrier.control(bandwidth, &mut out.packets);
        self.carrier.enlarge_chunks(&mut out.packets);
        let values = [self.properties(&command.object), connected(&command.object)];
        self.carrier.command(0, "_result", command.transaction, &values, &mut out.packets);
    }

    /// What this server is and can. What E-RTMP brought is said to those who know it.
    fn properties(&self, client: &Value) -> Value {
        let mut properties = vec![("fmsVer", SERVER_VERSION.into()), ("capabilities", CAPABILITIES.into())];
        let enhanced = ["fourCcList", "capsEx", "videoFourCcInfoMap", "audioFourCcInfoMap"];
        if enhanced.iter().any(|name| client.get(name).is_some()) {
            let all = VIDEO_CODECS.iter().chain(&AUDIO_CODECS).map(|codec| Value::from(*codec)).collect();
            let map = |codecs: [&'static str; 3]| {
                Value::object(codecs.map(|codec| (codec, Value::Number(CAN_FORWARD))))
            };
            properties.push(("fourCcList", Value::List(all)));
            properties.push(("videoFourCcInfoMap", map(VIDEO_CODECS)));
            properties.push(("audioFourCcInfoMap", map(AUDIO_CODECS)));
            properties.push(("capsEx", CAPS.into()));
        }
        Value::object(properties)
    }

    /// The client wants to end what it does, by FCUnpublish, closeStream or deleteStream: it need not say it once more.
    fn stop_streaming(&mut self, out: &mut Out<B>) {
        let (code, what) = match &self.role {
            Role::Publishing(_) => ("NetStream.Unpublish.Success", "the broadcast is over"),
            Role::Playing(_) => ("NetStream.Play.Stop", "watching is over"),
            _ => return,
        };
        self.status(STREAM, "status", code, what, out);
        self.stop(None, out);
    }
}

/// What `connect` is answered with (RTMP 1.0 §7.2.1.1).
fn connected(client: &Value) -> Value {
    // 3 lets the client speak AMF3: it sends its commands in messages of that kind, with AMF0 in them.
    let encoding = client.get("objectEncoding").and_then(Value::as_number).filter(|number| *number == 3.0);
    Value::object([
        ("level", "status".into()),
        ("code", "NetConnection.Connect.Success".into()),
        ("description", "connected".into()),
        ("objectEncoding", encoding.unwrap_or_default().into()),
    ])
}
