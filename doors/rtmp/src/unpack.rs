//! What publishers send: messages become packets.

use yizhan_media::{
    Packet, amf,
    flv::body::{BodyError, Reader},
};

use crate::wire::{Clock, Message, aggregate, command::plain_bytes, message::kind};

/// Puts together what a publisher sends: its clock goes on behind the end of 32 bits.
#[derive(Debug, Default)]
pub(crate) struct Unpack {
    clock: Clock,
    bodies: Reader,
}

impl Unpack {
    /// Appends what this message brings. False where it is about something else.
    ///
    /// # Errors
    /// It is malformed, or of a codec that is not taken. What follows may be good.
    pub(crate) fn message(&mut self, message: &Message, into: &mut Vec<Packet>) -> Result<bool, BodyError> {
        match self.any(message, into) {
            // Of several tracks the first is taken; the others are no fault.
            Err(BodyError::OtherTrack) => Ok(true),
            result => result,
        }
    }

    fn any(&mut self, message: &Message, into: &mut Vec<Packet>) -> Result<bool, BodyError> {
        match message.kind {
            kind::AGGREGATE => {
                let mut result = Ok(true);
                for part in aggregate::Parts::new(message) {
                    if let Err(error) = self.one(&part, into) {
                        result = Err(error);
                    }
                }
                result
            }
            _ => self.one(message, into),
        }
    }

    fn one(&mut self, message: &Message, into: &mut Vec<Packet>) -> Result<bool, BodyError> {
        match message.kind {
            kind::AUDIO => {
                let at = micros(self.clock.unwrap(message.timestamp));
                self.bodies.audio(at, message.body.clone(), into)?;
            }
            kind::VIDEO => {
                let at = micros(self.clock.unwrap(message.timestamp));
                self.bodies.video(at, message.body.clone(), into)?;
            }
            kind::DATA | kind::DATA_AMF3 => {
                let at = micros(self.clock.peek(message.timestamp));
                let body = plain_bytes(message);
                if !is_for_players(&body) {
                    self.bodies.script(at, body, into)?;
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// Whether a server says something to its player here: `|RtmpSampleAccess` and the like, and statuses.
fn is_for_players(body: &[u8]) -> bool {
    let name = amf::Reader::new(body).name();
    name.is_ok_and(|name| name.starts_with('|') || name == "onStatus")
}

/// Whether a broadcast cannot go on after this: what comes next will be the same.
pub(crate) const fn is_final(error: &BodyError) -> bool {
    matches!(error, BodyError::OtherCodec(_))
}

/// 33 bits and more of milliseconds have room for it.
const fn micros(millis: i64) -> i64 {
    millis.saturating_mul(1000)
}
