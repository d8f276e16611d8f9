//! Frames become messages: fragments, masks, limits, UTF-8, compression (RFC 6455 §5, RFC 7692 §6).

use bytes::{Buf, BytesMut};
use yizhan_talk::{Again, Close};

use super::{
    Kind,
    deflate::inflate,
    frame::{Head, Opcode, apply_mask, broken, is_close_code},
    utf8::Utf8,
};

/// Which side reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// What comes is masked.
    Server,
    /// What comes is not.
    Client,
}

/// What a peer said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Message(Kind, BytesMut),
    Ping(BytesMut),
    Pong,
    /// The talk is over: the code, where one was given, and the reason.
    Close(Option<u16>, String),
}

/// Reads frames and yields messages. It owns nothing while no message is unfinished.
#[derive(Debug)]
pub(crate) struct Reader {
    role: Role,
    deflate: bool,
    over: bool,
    bytes_max: usize,
    partial: Option<Box<Partial>>,
}

/// An unfinished message.
#[derive(Debug)]
struct Partial {
    kind: Kind,
    compressed: bool,
    bytes: BytesMut,
    utf8: Utf8,
    /// The frame that is being read has so many bytes to come.
    rest: u64,
    /// So many bytes of it were read.
    at: usize,
    mask: Option<[u8; 4]>,
    /// It is the message's last frame.
    fin: bool,
}

impl Reader {
    /// `deflate`: permessage-deflate was agreed on. `bytes_max`: what a message may have, inflated.
    pub(crate) fn new(role: Role, deflate: bool, bytes_max: usize) -> Self {
        Self { role, deflate, over: false, bytes_max, partial: None }
    }

    /// Whether a message has begun and not ended.
    pub(crate) fn is_within_message(&self) -> bool {
        self.partial.is_some()
    }

    /// Takes the next event from the front of `input`; `None` where more input is needed. Of an unfinished
    /// data frame it takes what is there.
    ///
    /// # Errors
    /// The peer broke the protocol: with which code and reason to close. Nothing more is read after that.
    pub(crate) fn next(&mut self, input: &mut BytesMut) -> Result<Option<Event>, Close> {
        let event = if self.over { Ok(None) } else { self.read(input) };
        if event.is_err() || matches!(event, Ok(Some(Event::Close(..)))) {
            self.over = true;
        }
        if self.over {
            // What follows a close frame is not looked at (RFC 6455, 5.5.1).
            input.clear();
            self.partial = None;
        }
        event
    }

    fn read(&mut self, input: &mut BytesMut) -> Result<Option<Event>, Close> {
        loop {
            if let Some(partial) = &mut self.partial
                && (partial.rest > 0 || partial.fin)
            {
                partial.take_from(input)?;
                if partial.rest > 0 {
                    return Ok(None);
                }
                if !partial.fin {
                    continue;
                }
                // It is there: a moment ago it was looked at.
                let Some(partial) = self.partial.take() else { return Ok(None) };
                return self.finish(*partial).map(Some);
            }
            let Some(head) = Head::parse(input)? else { return Ok(None) };
            self.check(&head)?;
            let here = (input.len() - head.size) as u64 >= head.len;
            if head.opcode.is_control() {
                if !here {
                    return Ok(None);
                }
                return control(head, take_payload(input, &head)).map(Some);
            }
            if here && head.fin && self.partial.is_none() {
                let payload = take_payload(input, &head);
                return self.whole(&head, payload).map(Some);
            }
            input.advance(head.size);
            self.begin_frame(&head);
        }
    }

    fn check(&self, head: &Head) -> Result<(), Close> {
        match (self.role, head.mask) {
            (Role::Server, None) => return Err(broken("clients mask their frames (RFC 6455, 5.1)")),
            (Role::Client, Some(_)) => return Err(broken("servers do not mask (RFC 6455, 5.1)")),
            _ => {}
        }
        if head.opcode.is_control() {
            return Ok(());
        }
        let begins = head.opcode != Opcode::Continuation;
        if head.compressed && !(begins && self.deflate) {
            return Err(broken("nobody agreed on compression here (RFC 6455, 5.2; RFC 7692, 6)"));
        }
        let before = match (&self.partial, begins) {
            (Some(_), true) => return Err(broken("a message began within another (RFC 6455, 5.4)")),
            (None, false) => return Err(broken("nothing to continue (RFC 6455, 5.4)")),
            (Some(partial), false) => partial.bytes.len(),
            (None, true) => 0,
        };
        if head.len > (self.bytes_max - before) as u64 {
            return Err(Close::TOO_BIG);
        }
        Ok(())
    }

    /// A message in one frame that is all there: its bytes are used where they lie.
    fn whole(&self, head: &Head, mut payload: BytesMut) -> Result<Event, Close> {
        let kind = kind_of(head.opcode);
        if head.compressed {
            payload = inflate(&payload, self.bytes_max)?;
        }
        if kind == Kind::Text && std::str::from_utf8(&payload).is_err() {
            return Err(Close::NOT_UTF8);
        }
        Ok(Event::Message(kind, payload))
    }

    fn begin_frame(&mut self, head: &Head) {
        let partial = self.partial.get_or_insert_with(|| {
            Box::new(Partial {
                kind: kind_of(head.opcode),
                compressed: head.compressed,
                bytes: BytesMut::new(),
                utf8: Utf8::default(),
                rest: 0,
                at: 0,
                mask: None,
                fin: false,
            })
        });
        partial.rest = head.len;
        partial.at = 0;
        partial.mask = head.mask;
        partial.fin = head.fin;
    }

    fn finish(&self, partial: Partial) -> Result<Event, Close> {
        let Partial { kind, compressed, bytes, utf8, .. } = partial;
        if !compressed {
            if !utf8.is_whole() {
                return Err(Close::NOT_UTF8);
            }
            return Ok(Event::Message(kind, bytes));
        }
        let bytes = inflate(&bytes, self.bytes_max)?;
        if kind == Kind::Text && std::str::from_utf8(&bytes).is_err() {
            return Err(Close::NOT_UTF8);
        }
        Ok(Event::Message(kind, bytes))
    }
}

impl Partial {
    /// Takes what `input` has of the frame that is being read.
    fn take_from(&mut self, input: &mut BytesMut) -> Result<(), Close> {
        let n = usize::try_from(self.rest).unwrap_or(usize::MAX).min(input.len());
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&input[..n]);
        input.advance(n);
        let piece = &mut self.bytes[start..];
        if let Some(mask) = self.mask {
            apply_mask(piece, mask, self.at);
        }
        self.at += n;
        self.rest -= n as u64;
        if self.kind == Kind::Text && !self.compressed {
            self.utf8.push(piece).map_err(|_| Close::NOT_UTF8)?;
        }
        Ok(())
    }
}

fn kind_of(opcode: Opcode) -> Kind {
    if opcode == Opcode::Text { Kind::Text } else { Kind::Binary }
}

/// Takes a whole frame from `input` and gives its payload, unmasked.
fn take_payload(input: &mut BytesMut, head: &Head) -> BytesMut {
    input.advance(head.size);
    // The caller saw that all of it is there, so the length fits.
    let mut payload = input.split_to(head.len as usize);
    if let Some(mask) = head.mask {
        apply_mask(&mut payload, mask, 0);
    }
    payload
}

fn control(head: Head, payload: BytesMut) -> Result<Event, Close> {
    match head.opcode {
        Opcode::Ping => return Ok(Event::Ping(payload)),
        Opcode::Pong => return Ok(Event::Pong),
        _ => {}
    }
    let [high, low, reason @ ..] = &payload[..] else {
        return match payload.is_empty() {
            true => Ok(Event::Close(None, String::new())),
            false => Err(broken("a close code has two bytes (RFC 6455, 5.5.1)")),
        };
    };
    let code = u16::from_be_bytes([*high, *low]);
    if !is_close_code(code) {
        return Err(broken("this close code is not sent (RFC 6455, 7.4)"));
    }
    let reason = std::str::from_utf8(reason).map_err(|_| {
        Close::new(1007, "the reason of a close is not UTF-8 (RFC 6455, 5.5.1)", Again::Never)
    })?;
    Ok(Event::Close(Some(code), reason.to_owned()))
}
