//! One client's place among the broadcasts, as a backend: for doors that are connections.

use std::{
    fmt, mem,
    sync::Arc,
    task::{Context, Poll},
};

use parking_lot::Mutex;
use yizhan_talk::{Backend, Called, Now, Timestamp};

use crate::{
    block::Block,
    broadcast::Broadcast,
    feed::{Fed, Feed},
    frame::Packet,
    media::{Media, Publisher},
    name::Name,
    porter::{Creds, Gone, Pass, Wish},
    refused::{PushError, Refused},
    track::Setup,
    viewer::{Party, Viewer},
};

/// What a client may ask.
#[derive(Debug)]
pub enum Call {
    /// To publish.
    Publish {
        /// What.
        name: Name,
        /// Who.
        party: Party,
        /// What they show.
        creds: Creds,
    },
    /// To watch.
    Play {
        /// What.
        name: Name,
        /// Who.
        party: Party,
        /// What they show.
        creds: Creds,
    },
    /// A packet of what it publishes.
    Push(Packet),
    /// To end publishing or watching by its own wish.
    Stop,
    /// So many bytes were given to the viewer; counts, and is answered all the same.
    Sent(u64),
}

/// What comes back.
#[derive(Debug)]
pub enum Answer {
    /// To [`Call::Publish`].
    Published(Result<(), Refused>),
    /// To [`Call::Play`].
    Playing(Result<Arc<Setup>, Refused>),
    /// To [`Call::Push`]. After an error the publisher is to be ended.
    Pushed(Result<(), PushError>),
    /// To [`Call::Stop`].
    Stopped,
    /// To [`Call::Sent`].
    Counted,
}

/// What comes unasked.
#[derive(Debug)]
pub enum Delivery {
    /// Frames for a viewer. Where their setup is another `Arc` than that of the block before, its head goes first.
    Block(Arc<Block>),
    /// So many blocks were passed over, since the viewer was too slow.
    Skipped(u64),
    /// The broadcast is over.
    Ended,
    /// Something that the publisher may want to show.
    Note(Arc<str>),
    /// The publisher or viewer is to go: kicked, taken over, its time is over.
    Leave(Arc<str>),
}

/// One client's place. Dropping it is being cut off.
pub struct Seat {
    media: Media,
    place: Arc<Mutex<Place>>,
}

#[derive(Default)]
struct Place {
    doing: Doing,
    /// Until when it may.
    until: Option<Timestamp>,
    /// Who it is; who decides hears of its end.
    wish: Option<Wish>,
    /// When it was heard of last.
    last: Option<Now>,
    /// Bytes of frames that it pushed.
    pushed: u64,
}

#[derive(Default)]
enum Doing {
    #[default]
    Nothing,
    /// Who decides is asked, or a relay fetches the broadcast.
    Asking,
    Publishing(Publisher),
    Watching(Box<Feed>, Viewer),
    /// It was told to go, or the broadcast is over: nothing more comes.
    Over,
}

impl Place {
    fn is_over_time(&self, now: Now) -> bool {
        self.until.is_some_and(|until| until <= now.wall)
    }

    /// It publishes or watches no more; `wished`: by its own wish.
    fn leave(&mut self, media: &Media, wished: bool) {
        let doing = mem::take(&mut self.doing);
        let now = self.last;
        let bytes = match doing {
            Doing::Publishing(publisher) => {
                match now {
                    Some(now) if wished => publisher.end(now),
                    Some(now) => publisher.cut_off(now),
                    None => drop(publisher),
                }
                self.pushed
            }
            Doing::Watching(_, viewer) => viewer.sent_bytes(),
            Doing::Nothing | Doing::Asking | Doing::Over => 0,
        };
        if let (Some(wish), Some(now)) = (self.wish.take(), now) {
            let Wish { name, party, publishing, id, .. } = wish;
            media.gone(Gone { now, name, party, publishing, id, bytes });
        }
    }
}

impl Seat {
    /// A place for one client.
    #[must_use]
    pub fn new(media: Media) -> Self {
        Self { media, place: Arc::default() }
    }

    /// Takes the place for a client that asks.
    fn begin(&self, now: Now) -> Result<(), Refused> {
        let mut place = self.place.lock();
        place.last = Some(now);
        match place.doing {
            Doing::Nothing => {
                place.doing = Doing::Asking;
                Ok(())
            }
            _ => Err(Refused::Denied("this connection publishes or watches already".into())),
        }
    }

    fn publish(&self, wish: Wish) -> Called<Answer> {
        if let Err(refused) = self.begin(wish.now) {
            return Called::Done(Answer::Published(Err(refused)));
        }
        let (media, place) = (self.media.clone(), self.place.clone());
        let asked = media.may(wish.clone());
        let enter = move |passed: Result<Pass, Refused>| {
            let entered = passed.and_then(|pass| {
                let wish = named(wish, &pass);
                let publisher = media.publish(wish.now, &wish.name, wish.party.clone())?;
                Ok((Place { doing: Doing::Publishing(publisher), ..entered(wish, &pass) }, ()))
            });
            Answer::Published(settle(&place, entered))
        };
        match asked {
            Called::Done(passed) => Called::Done(enter(passed)),
            Called::Later(passed) => Called::Later(Box::pin(async move { enter(passed.await) })),
        }
    }

    fn play(&self, wish: Wish) -> Called<Answer> {
        if let Err(refused) = self.begin(wish.now) {
            return Called::Done(Answer::Playing(Err(refused)));
        }
        let (media, place) = (self.media.clone(), self.place.clone());
        let asked = media.may(wish.clone());
        let enter = {
            let media = media.clone();
            let place = place.clone();
            let wish = wish.clone();
            move |pass: Pass, found: Option<Broadcast>| {
                let wish = named(wish, &pass);
                let entered = found.ok_or(Refused::NotOnAir).and_then(|broadcast| {
                    let viewer = media.viewer(wish.now, &broadcast, wish.party.clone())?;
                    let doing = Doing::Watching(Box::new(broadcast.feed()), viewer);
                    Ok((Place { doing, ..entered(wish, &pass) }, broadcast.setup()))
                });
                Answer::Playing(settle(&place, entered))
            }
        };
        match asked {
            Called::Done(Err(refused)) => Called::Done(Answer::Playing(settle(&place, Err(refused)))),
            Called::Done(Ok(pass)) => match media.find(&wish.name) {
                Some(found) => Called::Done(enter(pass, Some(found))),
                None => {
                    let wanted = media.wanted(wish.now, &wish.name);
                    Called::Later(Box::pin(async move { enter(pass, wanted.await) }))
                }
            },
            Called::Later(passed) => Called::Later(Box::pin(async move {
                match passed.await {
                    Err(refused) => Answer::Playing(settle(&place, Err(refused))),
                    Ok(pass) => {
                        let found = media.wanted(wish.now, &wish.name).await;
                        enter(pass, found)
                    }
                }
            })),
        }
    }

    fn push(&self, now: Now, packet: Packet) -> Result<(), PushError> {
        let mut place = self.place.lock();
        place.last = Some(now);
        let over = place.is_over_time(now);
        if let Packet::Frame { data, .. } = &packet {
            place.pushed += data.len() as u64;
        }
        match &mut place.doing {
            Doing::Publishing(_) if over => Err(PushError::Gone),
            Doing::Publishing(publisher) => publisher.push(now, packet),
            _ => Err(PushError::Gone),
        }
    }
}

/// Bytes of frames after which no further block is taken at once: what a connection has to hold for a viewer that does
/// not take it.
const TAKE_BYTES: usize = 64 * 1024;

/// Takes what is there; says whether the broadcast is over.
fn take_blocks(
    feed: &mut Feed,
    viewer: &Viewer,
    cx: &mut Context<'_>,
    into: &mut Vec<Delivery>,
    max: usize,
) -> Poll<bool> {
    let (before, mut bytes) = (into.len(), 0);
    while into.len() - before < max && bytes < TAKE_BYTES {
        match feed.poll_next(cx) {
            Poll::Ready(Fed::Block(block)) => {
                bytes += block.weight();
                into.push(Delivery::Block(block));
            }
            Poll::Ready(Fed::Skipped(blocks)) => {
                viewer.skipped(blocks);
                into.push(Delivery::Skipped(blocks));
            }
            Poll::Ready(Fed::Ended) => return Poll::Ready(true),
            Poll::Pending if into.len() == before => return Poll::Pending,
            Poll::Pending => break,
        }
    }
    Poll::Ready(false)
}

/// With who it turned out to be.
fn named(mut wish: Wish, pass: &Pass) -> Wish {
    if let Some(user) = &pass.user {
        wish.party.user = Some(user.clone());
    }
    wish
}

fn entered(wish: Wish, pass: &Pass) -> Place {
    Place { doing: Doing::Nothing, until: pass.until, last: Some(wish.now), wish: Some(wish), pushed: 0 }
}

/// Puts a client in its place, or leaves that free.
fn settle<T>(place: &Mutex<Place>, entered: Result<(Place, T), Refused>) -> Result<T, Refused> {
    let mut place = place.lock();
    match entered {
        Ok((entered, told)) => {
            *place = entered;
            Ok(told)
        }
        Err(refused) => {
            place.doing = Doing::Nothing;
            Err(refused)
        }
    }
}

impl Backend for Seat {
    type Call = Call;
    type Answer = Answer;
    type Delivery = Delivery;

    fn call(&mut self, now: Now, call: Call) -> Called<Answer> {
        let wish = |name, party, creds, publishing| Wish {
            now,
            name,
            party,
            creds,
            publishing,
            id: self.media.next_id(),
        };
        match call {
            Call::Publish { name, party, creds } => self.publish(wish(name, party, creds, true)),
            Call::Play { name, party, creds } => self.play(wish(name, party, creds, false)),
            Call::Push(packet) => Called::Done(Answer::Pushed(self.push(now, packet))),
            Call::Stop => {
                let mut place = self.place.lock();
                place.last = Some(now);
                place.leave(&self.media, true);
                Called::Done(Answer::Stopped)
            }
            Call::Sent(bytes) => {
                if let Doing::Watching(_, viewer) = &self.place.lock().doing {
                    viewer.sent(bytes);
                }
                Called::Done(Answer::Counted)
            }
        }
    }

    fn poll_deliveries(
        &mut self,
        cx: &mut Context<'_>,
        now: Now,
        into: &mut Vec<Delivery>,
        max: usize,
    ) -> Poll<()> {
        let mut place = self.place.lock();
        place.last = Some(now);
        let over = place.is_over_time(now);
        let delivery = match &mut place.doing {
            Doing::Publishing(_) | Doing::Watching(..) if over => {
                Delivery::Leave("the time that the token gave is over".into())
            }
            Doing::Publishing(publisher) => match (publisher.poll_told_to_go(cx), publisher.take_note()) {
                (Poll::Ready(reason), _) => Delivery::Leave(reason),
                (Poll::Pending, Some(note)) => {
                    into.push(Delivery::Note(note));
                    return Poll::Ready(());
                }
                (Poll::Pending, None) => return Poll::Pending,
            },
            Doing::Watching(feed, viewer) => match viewer.poll_kicked(cx) {
                Poll::Ready(reason) => Delivery::Leave(reason),
                Poll::Pending => match take_blocks(feed, viewer, cx, into, max) {
                    // All that came before the end is given first.
                    Poll::Ready(true) if into.is_empty() => Delivery::Ended,
                    taken => return taken.map(drop),
                },
            },
            Doing::Nothing | Doing::Asking | Doing::Over => return Poll::Pending,
        };
        into.push(delivery);
        place.leave(&self.media, false);
        place.doing = Doing::Over;
        Poll::Ready(())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.place.lock().leave(&self.media, false);
    }
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seat").finish_non_exhaustive()
    }
}
