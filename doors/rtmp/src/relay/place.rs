//! A relay's place among the broadcasts, as a backend: as a client's seat, but that nobody is asked whether it may, and
//! that one which fetches leaves when nobody watches.

use std::{
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use yizhan_media::{
    Fed, Feed, Media, Name, Party, Publisher, PushError, Refused, Viewer,
    seat::{Answer, Call, Delivery},
};
use yizhan_talk::{Backend, Called, Now};

/// A relay's place. Dropping it is being cut off.
pub(super) struct Place {
    media: Media,
    /// How long it goes on fetching when nobody watches; for ever where there is none.
    linger: Option<Duration>,
    unwatched_since: Option<Instant>,
    last: Option<Now>,
    doing: Doing,
}

enum Doing {
    Nothing,
    Publishing(Box<Publisher>),
    Watching(Box<(Feed, Viewer)>),
    /// It was told to go, or the broadcast is over.
    Over,
}

impl Place {
    pub(super) fn new(media: Media, linger: Option<Duration>) -> Self {
        Self { media, linger, unwatched_since: None, last: None, doing: Doing::Nothing }
    }

    fn publish(&mut self, now: Now, name: &Name, party: Party) -> Result<(), Refused> {
        let publisher = self.media.publish(now, name, party)?;
        self.doing = Doing::Publishing(Box::new(publisher));
        Ok(())
    }

    fn play(&mut self, now: Now, name: &Name, party: Party) -> Answer {
        let found = self.media.find(name).ok_or(Refused::NotOnAir);
        Answer::Playing(found.and_then(|broadcast| {
            let viewer = self.media.viewer(now, &broadcast, party)?;
            self.doing = Doing::Watching(Box::new((broadcast.feed(), viewer)));
            Ok(broadcast.setup())
        }))
    }

    fn push(&mut self, now: Now, packet: yizhan_media::Packet) -> Result<(), PushError> {
        match &mut self.doing {
            Doing::Publishing(publisher) => publisher.push(now, packet),
            _ => Err(PushError::Gone),
        }
    }

    /// Whether nobody has watched for so long that it need not go on.
    fn is_unwanted(&mut self, now: Now) -> bool {
        let (Doing::Publishing(publisher), Some(linger)) = (&self.doing, self.linger) else { return false };
        let all = self.media.rungs(&publisher.broadcast().name().source());
        if all.iter().any(|broadcast| broadcast.viewer_count() > 0) {
            self.unwatched_since = None;
            return false;
        }
        let since = *self.unwatched_since.get_or_insert(now.steady);
        now.steady.saturating_duration_since(since) >= linger
    }
}

impl Backend for Place {
    type Call = Call;
    type Answer = Answer;
    type Delivery = Delivery;

    fn call(&mut self, now: Now, call: Call) -> Called<Answer> {
        self.last = Some(now);
        Called::Done(match call {
            Call::Publish { name, party, .. } => Answer::Published(self.publish(now, &name, party)),
            Call::Play { name, party, .. } => self.play(now, &name, party),
            Call::Push(packet) => Answer::Pushed(self.push(now, packet)),
            Call::Sent(bytes) => {
                if let Doing::Watching(watching) = &self.doing {
                    watching.1.sent(bytes);
                }
                Answer::Counted
            }
            Call::Stop => {
                if let Doing::Publishing(publisher) = std::mem::replace(&mut self.doing, Doing::Over) {
                    publisher.end(now);
                }
                Answer::Stopped
            }
        })
    }

    fn poll_deliveries(
        &mut self,
        cx: &mut Context<'_>,
        now: Now,
        into: &mut Vec<Delivery>,
        max: usize,
    ) -> Poll<()> {
        self.last = Some(now);
        if self.is_unwanted(now) {
            into.push(Delivery::Leave("nobody watches".into()));
            // Asked once more before the answer, it would say so again.
            self.linger = None;
            return Poll::Ready(());
        }
        match &mut self.doing {
            Doing::Publishing(publisher) => {
                into.push(Delivery::Leave(ready!(publisher.poll_told_to_go(cx))));
            }
            Doing::Watching(watching) => {
                let (feed, viewer) = &mut **watching;
                if let Poll::Ready(reason) = viewer.poll_kicked(cx) {
                    into.push(Delivery::Leave(reason));
                } else {
                    return match take_blocks(feed, viewer, cx, into, max) {
                        Poll::Ready(true) => {
                            self.doing = Doing::Over;
                            Poll::Ready(())
                        }
                        taken => taken.map(drop),
                    };
                }
            }
            Doing::Nothing | Doing::Over => return Poll::Pending,
        }
        // A publisher that was told to go is dropped, and the broadcast does not wait for it.
        self.doing = Doing::Over;
        Poll::Ready(())
    }
}

/// Takes what is there; says whether that was the last.
fn take_blocks(
    feed: &mut Feed,
    viewer: &Viewer,
    cx: &mut Context<'_>,
    into: &mut Vec<Delivery>,
    max: usize,
) -> Poll<bool> {
    let before = into.len();
    while into.len() - before < max {
        match feed.poll_next(cx) {
            Poll::Ready(Fed::Block(block)) => into.push(Delivery::Block(block)),
            Poll::Ready(Fed::Skipped(blocks)) => {
                viewer.skipped(blocks);
                into.push(Delivery::Skipped(blocks));
            }
            Poll::Ready(Fed::Ended) => {
                into.push(Delivery::Ended);
                return Poll::Ready(true);
            }
            Poll::Pending if into.len() == before => return Poll::Pending,
            Poll::Pending => break,
        }
    }
    Poll::Ready(false)
}

impl Drop for Place {
    fn drop(&mut self) {
        if let (Doing::Publishing(publisher), Some(now)) =
            (std::mem::replace(&mut self.doing, Doing::Over), self.last)
        {
            publisher.cut_off(now);
        }
    }
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Place").finish_non_exhaustive()
    }
}
