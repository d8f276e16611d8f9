//! Clients that watch.

use std::sync::Arc;

use bytes::BytesMut;
use yizhan_media::{
    Block, Kind, Name, Refused, Setup,
    amf::{self, Value},
    porter::Creds,
    seat::Call,
};
use yizhan_talk::{Close, Now, Out};

use super::{Connection, Role, SeatBackend, reasons};
use crate::{
    address, pack,
    pack::{Audience, STREAM},
    wire::{Command, Control, Head, UserControl, chunk::on, message::kind},
};

/// What a client wants to watch.
#[derive(Debug)]
pub(super) struct Watch {
    name: Name,
    params: Arc<str>,
    /// What is said first: a reset, where the client wanted one, or a change from another broadcast.
    first: Option<First>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum First {
    Reset,
    Transition,
}

/// A client that watches.
#[derive(Debug, Default)]
pub(super) struct Playing {
    /// What the frames that it has got are decoded with.
    setup: Option<Arc<Setup>>,
    is_paused: bool,
    /// It goes on with the next block that joins.
    waits_to_join: bool,
    /// It goes on with the next key frame, as far as pictures go.
    waits_for_key: bool,
}

impl<B: SeatBackend> Connection<B> {
    /// `play` (RTMP 1.0 §7.2.2.1).
    pub(super) fn play(&mut self, command: &Command, out: &mut Out<B>) {
        if command.boolean(0) == Some(false) {
            return self.stop(None, out);
        }
        // -2 and -1 (or these in milliseconds) are live broadcasts; so is 0, which players send that think of files.
        if command.number(1).is_some_and(|start| start > 0.0)
            || command.number(2).is_some_and(|length| length > 0.0)
        {
            let why = "a live broadcast has no start and no length: HLS has time shift, recordings have seek";
            return self.status(STREAM, "error", "NetStream.Play.Failed", why, out);
        }
        let resets =
            command.boolean(3).or_else(|| command.number(3).map(|number| number != 0.0)).unwrap_or(true);
        if !resets && matches!(self.role, Role::Playing(_)) {
            let why = "live broadcasts are not played one after the other: leave reset on";
            return self.status(STREAM, "error", "NetStream.Play.Failed", why, out);
        }
        let first = resets.then_some(First::Reset);
        self.begin_to_watch(command.text(0).unwrap_or_default(), first, out);
    }

    /// `play2` (RTMP 1.0 §7.2.2.2): to another broadcast, or another rung of the same.
    pub(super) fn play2(&mut self, command: &Command, out: &mut Out<B>) {
        let field = |name: &str| command.args.first().and_then(|options| options.get(name)?.as_str());
        match field("transition").unwrap_or("switch") {
            "switch" | "swap" | "reset" => {
                let name = field("streamName").unwrap_or_default().to_owned();
                self.begin_to_watch(&name, Some(First::Transition), out);
            }
            _ => {
                let why = "play2 switches, swaps and resets here";
                self.status(STREAM, "error", "NetStream.Play.Failed", why, out);
            }
        }
    }

    fn begin_to_watch(&mut self, name: &str, first: Option<First>, out: &mut Out<B>) {
        let (name, params) = match address::wanted(&self.app, name, Name::of_any) {
            Ok(wanted) => wanted,
            Err(bad) => return self.refuse_viewer(&Refused::BadName(bad), out),
        };
        let watch = Watch { name, params, first };
        match self.role {
            Role::Idle => self.watch(watch, out),
            Role::Playing(_) => self.stop(Some(Box::new(watch)), out),
            _ => {
                let why = "this connection publishes: watch over another one";
                self.status(STREAM, "error", "NetStream.Play.Failed", why, out);
            }
        }
    }

    pub(super) fn watch(&mut self, watch: Watch, out: &mut Out<B>) {
        let party = self.party(watch.params.clone());
        let creds = Creds { params: watch.params.clone(), bearer: None };
        out.calls.push(Call::Play { name: watch.name.clone(), party, creds });
        self.role = Role::WantsToWatch(watch);
    }

    pub(super) fn watches(&mut self, now: Now, result: Result<(), Refused>, out: &mut Out<B>) {
        let first = match &self.role {
            Role::WantsToWatch(watch) => watch.first,
            _ => None,
        };
        self.idle(now);
        if let Err(refused) = result {
            return self.refuse_viewer(&refused, out);
        }
        self.terms.meters.plays.one();
        self.role = Role::Playing(Box::default());
        self.carrier.control(Control::User(UserControl::StreamBegin(STREAM)), &mut out.packets);
        match first {
            Some(First::Reset) => {
                self.status(STREAM, "status", "NetStream.Play.Reset", "from the start", out)
            }
            Some(First::Transition) => {
                self.status(STREAM, "status", "NetStream.Play.Transition", "to another broadcast", out);
            }
            None => {}
        }
        self.status(STREAM, "status", "NetStream.Play.Start", "live", out);
        // Flash players may look at sound and picture only after this.
        let access = [Value::from("|RtmpSampleAccess"), true.into(), true.into()];
        let mut body = BytesMut::new();
        amf::write_all(&access, &mut body);
        let head = Head { on: on::DATA, kind: kind::DATA, timestamp: 0, stream: STREAM };
        self.carrier.say(head, &[&body], &mut out.packets);
    }

    /// Who asks for what is not there may ask for something else; others are sent away.
    fn refuse_viewer(&mut self, refused: &Refused, out: &mut Out<B>) {
        self.terms.meters.plays_refused.one();
        let why = refused.to_string();
        self.status(STREAM, "error", reasons::of_play(refused), &why, out);
        if !matches!(refused, Refused::NotOnAir | Refused::BadName(_)) {
            self.stage = super::Stage::Ended;
            out.close(Close { reason: why.into(), ..reasons::close_of(refused) });
        }
    }

    /// `pause` (RTMP 1.0 §7.2.2.8). It goes on live, not where it stopped.
    pub(super) fn pause(&mut self, command: &Command, out: &mut Out<B>) {
        let Role::Playing(playing) = &mut self.role else {
            return self.status(STREAM, "error", "NetStream.Failed", "nothing is played", out);
        };
        // Without a word it is the other way round.
        let pauses = command.boolean(0).unwrap_or(!playing.is_paused);
        playing.is_paused = pauses;
        playing.waits_to_join = true;
        // Whatever it has forgotten meanwhile is said again.
        playing.setup = None;
        let (code, what) = if pauses {
            ("NetStream.Pause.Notify", "paused")
        } else {
            ("NetStream.Unpause.Notify", "goes on with the next key frame")
        };
        self.status(STREAM, "status", code, what, out);
    }

    /// `receiveAudio` (RTMP 1.0 §7.2.2.4).
    pub(super) fn receive_audio(&mut self, command: &Command, out: &mut Out<B>) {
        self.wants.0 = command.boolean(0).unwrap_or(true);
        self.notify_wants(self.wants.0, out);
    }

    /// `receiveVideo` (RTMP 1.0 §7.2.2.5).
    pub(super) fn receive_video(&mut self, command: &Command, out: &mut Out<B>) {
        let before = self.wants.1;
        self.wants.1 = command.boolean(0).unwrap_or(true);
        if let (Role::Playing(playing), false, true) = (&mut self.role, before, self.wants.1) {
            playing.waits_for_key = true;
        }
        self.notify_wants(self.wants.1, out);
    }

    /// What was turned off needs no word, what was turned on has two (RTMP 1.0 §7.2.2.4).
    fn notify_wants(&mut self, is_on: bool, out: &mut Out<B>) {
        if is_on && matches!(self.role, Role::Playing(_)) {
            self.status(STREAM, "status", "NetStream.Seek.Notify", "live", out);
            self.status(STREAM, "status", "NetStream.Play.Start", "live", out);
        }
    }

    /// Sends a block's frames, and what stands before them where the setup is another one.
    pub(super) fn show(&mut self, block: &Block, out: &mut Out<B>) {
        let Role::Playing(playing) = &mut self.role else { return };
        if playing.is_paused || (playing.waits_to_join && !block.joins()) {
            return;
        }
        playing.waits_to_join = false;
        let setup = block.setup();
        if playing.setup.as_ref().is_none_or(|known| !Arc::ptr_eq(known, setup)) {
            playing.setup = Some(setup.clone());
            let mut heads = BytesMut::new();
            pack::heads(setup, block.dts().div_euclid(1000), Audience::Viewer, &mut heads);
            self.carrier.say_chunks(&heads, &mut out.packets);
        }
        if self.wants == (true, true) && !playing.waits_for_key {
            return self.carrier.say_chunks(pack::block(block), &mut out.packets);
        }
        let mut some = BytesMut::new();
        for frame in block.frames() {
            let wanted = match frame.kind {
                Kind::Audio => self.wants.0,
                Kind::Video => {
                    playing.waits_for_key &= !frame.key;
                    self.wants.1 && !playing.waits_for_key
                }
                Kind::Data => true,
            };
            if wanted {
                pack::frame(frame, STREAM, &mut some);
            }
        }
        if !some.is_empty() {
            self.carrier.say_chunks(&some, &mut out.packets);
        }
    }

    /// It was too slow, and goes on with a key frame.
    pub(super) fn skipped(&mut self, blocks: u64, out: &mut Out<B>) {
        if matches!(self.role, Role::Playing(_)) {
            let why = format!("too slow: {blocks} blocks of frames were passed over");
            self.status(STREAM, "warning", "NetStream.Play.InsufficientBW", &why, out);
        }
    }

    /// The publisher is told something, as a status that is no failure.
    pub(super) fn note(&mut self, note: &str, out: &mut Out<B>) {
        if matches!(self.role, Role::Publishing(_)) {
            self.status(STREAM, "warning", "NetStream.Publish.Notice", note, out);
        }
    }

    /// The broadcast is over; the client may watch another one.
    pub(super) fn broadcast_ended(&mut self, out: &mut Out<B>) {
        if matches!(self.role, Role::Playing(_)) {
            self.carrier.control(Control::User(UserControl::StreamEof(STREAM)), &mut out.packets);
            self.status(STREAM, "status", "NetStream.Play.UnpublishNotify", "the broadcast is over", out);
            self.status(STREAM, "status", "NetStream.Play.Stop", "the broadcast is over", out);
            self.stop(None, out);
        }
    }
}
