//! FLV over WebSocket: the same tags as messages.

use std::{sync::Arc, time::Instant};

use bytes::{BufMut as _, BytesMut};
use http::StatusCode;
use yizhan_media::{
    Creds, Name, Party, Refused, Seat, Setup, flv,
    seat::{Answer, Call, Delivery},
};
use yizhan_net::{Response, Upgrade, reply};
use yizhan_talk::{Again, Close, Connection, Fault, Now, Out};

use crate::{
    admit::{creds, name, party},
    door::Inner,
    flv::head,
    names::Entry,
};

/// Told when the broadcast is over.
const OVER: Close = Close::new(1000, "the broadcast is over", Again::Soon);

/// Takes a WebSocket at `/{app}/{name}.flv`.
pub(crate) fn open(inner: &Arc<Inner>, upgrade: &Upgrade<'_>) -> Result<(Watching, Seat), Response> {
    let request = upgrade.request;
    let Some((of, Entry::Flv)) = Entry::read(request.param("file")) else {
        return Err(reply::error(StatusCode::NOT_FOUND, "there is no WebSocket at this path"));
    };
    let name = name(request, of)?;
    let party = party(request, "ws-flv");
    let creds = creds(request, &party);
    let begins = inner.clock.now().steady;
    let watching = Watching { wish: Some((name, party, creds)), begins: Some(begins), setup: None };
    Ok((watching, Seat::new(inner.media.clone())))
}

/// One viewer.
pub(crate) struct Watching {
    wish: Option<(Name, Party, Creds)>,
    /// The call to watch goes out then: at once.
    begins: Option<Instant>,
    setup: Option<Arc<Setup>>,
}

impl Connection for Watching {
    type Backend = Seat;

    fn receive(&mut self, _: Now, input: &mut BytesMut, _: &mut Out<Seat>) -> Result<(), Fault> {
        // Players have nothing to say.
        input.clear();
        Ok(())
    }

    fn answer(&mut self, _: Now, answer: Answer, out: &mut Out<Seat>) {
        if let Answer::Playing(Err(refused)) = answer {
            let code = Close::NOT_ADMITTED.code;
            out.close(Close { code, reason: refused.to_string().into(), again: again(&refused) });
        }
    }

    fn deliver(&mut self, _: Now, deliveries: &mut Vec<Delivery>, out: &mut Out<Seat>) {
        for delivery in deliveries.drain(..) {
            match delivery {
                Delivery::Block(block) => {
                    let (head, tags) = (head(self.setup.as_ref(), &block), flv::block(&block));
                    self.setup = Some(block.setup().clone());
                    let bytes = head.as_ref().map_or(0, |head| head.len()) + tags.len();
                    out.packets.write(|to| {
                        to.reserve(bytes);
                        to.put_slice(head.as_deref().unwrap_or_default());
                        to.put_slice(&tags);
                    });
                    out.calls.push(Call::Sent(bytes as u64));
                }
                // Before the first block there is no head that a tag could stand behind.
                Delivery::Skipped(blocks) if self.setup.is_some() => out.packets.push(&flv::skipped(blocks)),
                Delivery::Skipped(_) | Delivery::Note(_) => {}
                Delivery::Ended => out.close(OVER),
                Delivery::Leave(reason) => {
                    let Close { code, again, .. } = Close::KICKED;
                    out.close(Close { code, reason: reason.to_string().into(), again });
                }
            }
        }
    }

    fn expire(&mut self, _: Now, out: &mut Out<Seat>) {
        self.begins = None;
        if let Some((name, party, creds)) = self.wish.take() {
            out.calls.push(Call::Play { name, party, creds });
        }
    }

    fn leave(&mut self, _: Now, close: Close, out: &mut Out<Seat>) {
        out.close(close);
    }

    fn deadline(&self) -> Option<Instant> {
        self.begins
    }
}

/// Whether it is worth coming back.
fn again(refused: &Refused) -> Again {
    match refused {
        Refused::NotOnAir | Refused::Full | Refused::TooMany(_) => Again::Soon,
        _ => Again::Never,
    }
}
