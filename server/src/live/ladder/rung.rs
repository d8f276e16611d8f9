//! One rung: a child that is fed, read and watched, and another one when it has died.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::{
    io::AsyncWriteExt as _,
    process::ChildStdin,
    sync::watch,
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tracing::{info, warn};
use yizhan_ffmpeg::{
    BackOff, Child, Ffmpeg, Job, Pace,
    args::{self, Container, Rung, Sound},
};
use yizhan_media::{
    Broadcast, Codec, Kind, Media, Name, Packet, Setup, config::ladder::Planned, media::Publisher,
    viewer::Party,
};
use yizhan_talk::Clock;

use super::{
    super::{
        inlet::{Inlet, NoMore},
        pump::{Pump, Taken, Wrap},
    },
    Happened, Inner, Ladder,
};

/// How often a child is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A child that makes nothing for so long, while something comes in, hangs.
const SILENT_MAX: Duration = Duration::from_secs(8);
/// Over this time it is looked whether a child keeps up.
const PACE_OVER: Duration = Duration::from_secs(10);
/// One that makes less of each second does not.
const SPEED_MIN: f64 = 0.95;
/// How long a child may take to finish what it has.
const FINISH_WITHIN: Duration = Duration::from_secs(3);
/// The waits before a child is started again.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// Bits a second of sound that has to be encoded again.
const SOUND_BITS: u32 = 128_000;

/// Why a rung is not made any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Done {
    /// Its source is over.
    Ended,
    /// Nobody watches it.
    Unwatched,
    /// The machine is too slow for it.
    GivenUp,
}

/// What a rung is made of.
pub(super) struct Making {
    pub(super) media: Media,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) ffmpeg: Ffmpeg,
    pub(super) source: Broadcast,
    pub(super) name: Name,
    pub(super) planned: Planned,
    pub(super) wanted: watch::Receiver<Instant>,
    /// When somebody was seen watching last.
    pub(super) seen: Mutex<Seen>,
    pub(super) stop: watch::Receiver<Option<Done>>,
    pub(super) ladder: Weak<Inner>,
}

/// Who was seen watching a rung.
pub(super) struct Seen {
    /// When somebody was, or asked for it.
    pub(super) at: Instant,
    /// Somebody has been since it was asked for: who waits for its first pictures is no viewer yet.
    pub(super) came: bool,
}

/// How one child ended.
enum Ended {
    /// The rung is done.
    Done(Done),
    /// The source goes on with another setup.
    Changed,
    /// It died, or had to be killed.
    Failed(String),
}

/// Why nothing more is written to a child.
enum Fed {
    Changed,
    Ended,
    /// It does not take more.
    Broken,
}

/// Until where the rung is made: what a new child makes once more is left out.
#[derive(Default)]
struct Through {
    video: Option<i64>,
    audio: Option<i64>,
}

impl Making {
    /// Makes the rung until it is done.
    pub(super) async fn run(self) -> Done {
        let mut pump = Pump::new(&self.source);
        let mut back_off = BackOff::new(RETRY.0, RETRY.1);
        let mut through = Through::default();
        loop {
            let setup = tokio::select! {
                setup = pump.begin() => setup,
                done = self.watched() => return done,
            };
            let Some(setup) = setup else { return Done::Ended };
            let begun = Instant::now();
            match self.child(&mut pump, &setup, &mut through).await {
                Ended::Done(done) => return done,
                Ended::Changed => {}
                Ended::Failed(why) => {
                    let wait = back_off.after(begun.elapsed());
                    warn!(rung = %self.name, why, ?wait, "ffmpeg is started again");
                    if let Some(inner) = self.ladder.upgrade() {
                        Ladder(inner).tell(&self.name, Happened::Failed(why.into()));
                    }
                    tokio::select! {
                        () = sleep(wait) => {}
                        done = self.watched() => return done,
                    }
                }
            }
        }
    }

    /// One child, from its start to its end.
    async fn child(&self, pump: &mut Pump, setup: &Arc<Setup>, through: &mut Through) -> Ended {
        let mut wrap = Wrap::of(setup);
        let job = Job { args: args::rung(wrap.container(), &self.wish(wrap.container(), setup)), fed: true };
        let mut child = match self.ffmpeg.start(job) {
            Ok(child) => child,
            Err(error) => return Ended::Failed(error.to_string()),
        };
        // Both were asked for, so both are there.
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Ended::Failed("ffmpeg has no pipes".into());
        };
        let inlet = Inlet::new(stdout, self.media.config().frame_bytes_max);
        let made = AtomicI64::new(i64::MIN);
        let mut publisher = None;
        let ended = {
            let feed = feed(pump, setup, &mut wrap, stdin);
            let read = self.read(inlet, &mut publisher, through, &made);
            self.until_end(feed, read, &made).await
        };
        let ended = match ended {
            // What it said says more than that its pipe is closed.
            Ended::Failed(why) => Ended::Failed(last_words(child, why).await),
            other => {
                child.kill().await;
                other
            }
        };
        if let Some(publisher) = publisher {
            let now = self.clock.now();
            match ended {
                Ended::Done(_) => publisher.end(now),
                // Viewers wait for the next child.
                Ended::Changed | Ended::Failed(_) => publisher.cut_off(now),
            }
        }
        ended
    }

    /// Feeds, reads and watches until one of them says that it is enough.
    async fn until_end(
        &self,
        feed: impl Future<Output = Fed>,
        read: impl Future<Output = NoMore>,
        made: &AtomicI64,
    ) -> Ended {
        tokio::pin!(feed, read);
        let fed = tokio::select! {
            fed = &mut feed => fed,
            NoMore(why) = &mut read => return Ended::Failed(why.as_deref().unwrap_or("it ended").into()),
            done = self.watched() => return Ended::Done(done),
            ended = self.keeps_up(made) => return ended,
        };
        let ended = match fed {
            Fed::Changed => Ended::Changed,
            Fed::Ended => Ended::Done(Done::Ended),
            Fed::Broken => Ended::Failed("it takes no more".into()),
        };
        // What it still has comes out; what it has not said by then is lost.
        drop(timeout(FINISH_WITHIN, read).await);
        ended
    }

    /// Publishes what comes out of a child.
    async fn read(
        &self,
        mut inlet: Inlet,
        publisher: &mut Option<Publisher>,
        through: &mut Through,
        made: &AtomicI64,
    ) -> NoMore {
        let mut joined = false;
        loop {
            let packet = match inlet.next().await {
                Ok(packet) => packet,
                Err(no_more) => return no_more,
            };
            if let Packet::Frame { kind, key, dts, .. } = &packet {
                if *kind == Kind::Video {
                    made.fetch_max(*dts, Relaxed);
                    joined |= *key && through.video.is_none_or(|last| *dts > last);
                }
                if !joined || !through.passes(*kind, *dts) {
                    continue;
                }
            }
            let now = self.clock.now();
            if publisher.is_none() {
                let party = Party::by("ladder").with_client(&format!("ffmpeg {}", self.ffmpeg.version()));
                match self.media.publish(now, &self.name, party) {
                    Ok(new) => *publisher = Some(new),
                    Err(refused) => return NoMore(Some(refused.to_string().into())),
                }
            }
            if let Some(publisher) = publisher
                && let Err(error) = publisher.push(now, packet)
            {
                return NoMore(Some(error.to_string().into()));
            }
            if let Some(reason) = publisher.as_ref().and_then(Publisher::told_to_go) {
                return NoMore(Some(reason));
            }
        }
    }

    /// Returns when nobody has watched for a while, or the rung is to stop.
    async fn watched(&self) -> Done {
        let mut stop = self.stop.clone();
        let mut looks = interval(LOOK_EVERY);
        loop {
            tokio::select! {
                // Where the ladder is gone, the server ends.
                told = stop.wait_for(Option::is_some) => return told.ok().and_then(|told| *told).unwrap_or(Done::Ended),
                _ = looks.tick() => {}
            }
            let now = Instant::now();
            let (config, rung) = (self.media.config(), self.media.find(&self.name));
            let is_watched = rung.is_some_and(|rung| rung.viewer_count() > 0);
            let mut seen = self.seen.lock();
            let wanted = *self.wanted.borrow();
            if is_watched {
                *seen = Seen { at: now, came: true };
            } else if wanted > seen.at {
                *seen = Seen { at: wanted, came: false };
            }
            let linger = config.ladder.linger;
            let linger = if seen.came { linger } else { linger.max(config.wanted_for) };
            if now.duration_since(seen.at) > linger {
                return Done::Unwatched;
            }
        }
    }

    /// Returns when a child hangs, or does not keep up and its rung is the one to be given up for that.
    async fn keeps_up(&self, made: &AtomicI64) -> Ended {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut pace = Pace::new(PACE_OVER);
        // When something was made last, and where the source was then.
        let mut last = (i64::MIN, Instant::now(), self.source.newest_dts());
        loop {
            looks.tick().await;
            let (now, made, source) = (Instant::now(), made.load(Relaxed), self.source.newest_dts());
            if made != last.0 || source == last.2 {
                last = (made, now, source);
            }
            if now.duration_since(last.1) > SILENT_MAX {
                return Ended::Failed(format!("it made nothing for {SILENT_MAX:?}"));
            }
            if made == i64::MIN {
                continue;
            }
            pace.note(now, source.unwrap_or(made), made);
            if pace.speed().is_some_and(|speed| speed < SPEED_MIN) {
                let speed = pace.speed().unwrap_or_default();
                let goes = self.ladder.upgrade().is_none_or(|inner| Ladder(inner).give_up_top(&self.name));
                warn!(rung = %self.name, speed, goes, "the machine is too slow for this ladder: its top rung goes");
                if goes {
                    return Ended::Done(Done::GivenUp);
                }
                pace.clear();
            }
        }
    }

    fn wish(&self, container: Container, setup: &Setup) -> Rung {
        let config = self.media.config();
        let Planned { rung, width, height } = &self.planned;
        // FLV carries them as they are.
        let plain = setup.audio.as_ref().is_none_or(|track| matches!(track.codec, Codec::Aac | Codec::Mp3));
        info!(rung = %self.name, ?container, width, height, bits = rung.bits_per_second, "ffmpeg is started");
        Rung {
            width: *width,
            height: *height,
            video_bits: rung.bits_per_second,
            frames_max: (rung.frames_max > 0).then_some(rung.frames_max),
            encoder: config.ladder.encoder.clone(),
            preset: config.ladder.preset.clone(),
            look_ahead: config.ladder.look_ahead,
            threads: config.ladder.threads,
            sound: if plain { Sound::Copy } else { Sound::Aac(SOUND_BITS) },
        }
    }
}

impl Through {
    /// Whether this frame is new. If so, the rung is made until there.
    fn passes(&mut self, kind: Kind, dts: i64) -> bool {
        let place = match kind {
            Kind::Video => &mut self.video,
            Kind::Audio => &mut self.audio,
            Kind::Data => return false,
        };
        let is_new = place.is_none_or(|last| dts > last);
        if is_new {
            *place = Some(dts);
        }
        is_new
    }
}

/// Writes the source to a child as long as it has this setup.
async fn feed(pump: &mut Pump, setup: &Setup, wrap: &mut Wrap, mut stdin: ChildStdin) -> Fed {
    if stdin.write_all(&wrap.head(setup)).await.is_err() {
        return Fed::Broken;
    }
    loop {
        match pump.take(setup).await {
            Taken::Frames(frames) => {
                if stdin.write_all(&wrap.put(&frames)).await.is_err() {
                    return Fed::Broken;
                }
            }
            Taken::Changed => return Fed::Changed,
            Taken::Ended => return Fed::Ended,
        }
    }
}

/// How a child ended that failed, with what it said last.
async fn last_words(mut child: Child, why: String) -> String {
    let exit = match timeout(Duration::from_millis(500), child.ended()).await {
        Ok(exit) => exit,
        Err(_) => child.kill().await,
    };
    format!("{why} ({exit})")
}
