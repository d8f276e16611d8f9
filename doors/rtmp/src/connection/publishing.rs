//! Clients that publish.

use yizhan_media::{Name, Packet, Refused, flv::body::BodyError, porter::Creds, seat::Call};
use yizhan_talk::{Close, Now, Out};

use super::{Connection, Role, SeatBackend, reasons};
use crate::{
    address,
    carrier::with_frames,
    pack::STREAM,
    unpack::{Unpack, is_final},
    wire::{Command, Control, Message, UserControl},
};

/// Malformed messages in a row; then the publisher is sent away.
const MALFORMED_MAX: u32 = 100;

/// A client that publishes.
#[derive(Debug, Default)]
pub(super) struct Publishing {
    unpack: Unpack,
    packets: Vec<Packet>,
    /// How many malformed messages came since the last good one.
    malformed: u32,
}

impl<B: SeatBackend> Connection<B> {
    /// `publish` (RTMP 1.0 §7.2.2.6). "live", "record" and "append" are the same: what is recorded is the server's
    /// affair. `publish(false)` ends, as Adobe's encoders say it.
    pub(super) fn publish(&mut self, command: &Command, out: &mut Out<B>) {
        if command.boolean(0) == Some(false) {
            return self.stop(None, out);
        }
        if !matches!(self.role, Role::Idle) {
            let why = "this connection publishes or watches already";
            return self.status(STREAM, "error", "NetStream.Publish.BadName", why, out);
        }
        match address::wanted(&self.app, command.text(0).unwrap_or_default(), Name::new) {
            Ok((name, params)) => {
                let party = self.party(params.clone());
                self.role = Role::WantsToPublish;
                out.calls.push(Call::Publish { name, party, creds: Creds { params, bearer: None } });
            }
            Err(bad) => self.refuse_publisher(&Refused::BadName(bad), out),
        }
    }

    pub(super) fn published(&mut self, now: Now, result: Result<(), Refused>, out: &mut Out<B>) {
        if let Err(refused) = result {
            self.idle(now);
            return self.refuse_publisher(&refused, out);
        }
        self.terms.meters.publishes.one();
        self.role = Role::Publishing(Box::default());
        self.heard = now.steady;
        self.carrier.set_limits(with_frames(self.guest.frame_bytes_max));
        self.carrier.control(Control::User(UserControl::StreamBegin(STREAM)), &mut out.packets);
        self.status(STREAM, "status", "NetStream.Publish.Start", "on air", out);
    }

    /// A publisher that is refused would send on, so the talk is over.
    fn refuse_publisher(&mut self, refused: &Refused, out: &mut Out<B>) {
        self.terms.meters.publishes_refused.one();
        let why = refused.to_string();
        self.status(STREAM, "error", reasons::of_publish(refused), &why, out);
        self.stage = super::Stage::Ended;
        out.close(Close { reason: why.into(), ..reasons::close_of(refused) });
    }

    /// Sound, picture or data. Who does not publish sends it for nothing.
    pub(super) fn publish_message(&mut self, message: &Message, out: &mut Out<B>) {
        let Role::Publishing(publishing) = &mut self.role else { return };
        let taken = publishing.unpack.message(message, &mut publishing.packets);
        out.calls.extend(publishing.packets.drain(..).map(Call::Push));
        match taken {
            Ok(_) => publishing.malformed = 0,
            Err(error) => {
                publishing.malformed += 1;
                let ends = publishing.malformed >= MALFORMED_MAX || is_final(&error);
                self.terms.meters.malformed.one();
                self.take_malformed(&error, ends, out);
            }
        }
    }

    fn take_malformed(&mut self, error: &BodyError, ends: bool, out: &mut Out<B>) {
        tracing::debug!(%error, "a message of a publisher was left out");
        if ends {
            let close = Close { reason: error.to_string().into(), ..Close::UNSUPPORTED };
            self.end(&error.to_string(), close, out);
        }
    }
}
