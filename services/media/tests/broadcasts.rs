//! Broadcasts, from outside: who comes, who goes, who is slow.

#![allow(clippy::disallowed_methods, reason = "tests have a clock of their own")]

use std::{
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::Bytes;
use yizhan_media::{
    Broadcast, Codec, Config, Detail, Fed, Feed, Form, Kind, Media, Name, Packet, Party, Publisher,
    PushError, Refused, Seat, State, Track, What, Wish,
    broadcast::From,
    porter::{Creds, Everybody, Gone, Pass, Porter},
    seat::{Answer, Call, Delivery},
};
use yizhan_talk::{Backend as _, Called, Now, Timestamp};

/// A clock that is moved by hand.
#[derive(Clone, Copy)]
struct Time(Now);

impl Time {
    fn new() -> Self {
        Self(Now { steady: Instant::now(), wall: Timestamp::from_millis(1_700_000_000_000) })
    }
    fn later(&mut self, millis: u64) -> Now {
        let by = Duration::from_millis(millis);
        self.0 = Now { steady: self.0.steady + by, wall: self.0.wall.plus(by) };
        self.0
    }
}

fn picture(width: u32) -> Packet {
    let detail = Detail::Video { width, height: 720, millihertz: None };
    let record = Bytes::from(vec![1, width as u8]);
    Packet::Track(Arc::new(Track { codec: Codec::H264, record, detail, rfc6381: "avc1.64001f".into() }))
}

fn sound() -> Packet {
    let detail = Detail::Audio { rate: 48_000, channels: 2, frame_samples: Some(1024) };
    let record = Bytes::from_static(&[0x11, 0x90]);
    Packet::Track(Arc::new(Track { codec: Codec::Aac, record, detail, rfc6381: "mp4a.40.2".into() }))
}

fn frame(kind: Kind, key: bool, millis: i64) -> Packet {
    Packet::Frame { kind, key, dts: millis * 1000, cts: 0, data: Bytes::from(vec![7; 100]) }
}

fn name() -> Name {
    Name::new("live", "room").unwrap()
}

fn media(config: Config) -> Media {
    let media = Media::new(config, 100);
    media.set_porter(Arc::new(Everybody));
    media
}

/// So many seconds of 25 pictures, a key frame each second.
fn send(publisher: &mut Publisher, time: &mut Time, from: i64, seconds: i64) {
    for i in 0..seconds * 25 {
        let at = from + i * 40;
        publisher.push(time.later(40), frame(Kind::Video, i % 25 == 0, at)).unwrap();
    }
}

fn fed(feed: &mut Feed) -> Option<Fed> {
    match feed.poll_next(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(fed) => Some(fed),
        Poll::Pending => None,
    }
}

fn block_of(fed: Option<Fed>) -> Arc<yizhan_media::Block> {
    match fed {
        Some(Fed::Block(block)) => block,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_viewer_begins_with_the_newest_key_frame_and_hears_all_that_comes() {
    let (media, mut time) = (media(Config::default()), Time::new());
    let mut publisher = media.publish(time.0, &name(), Party::by("rtmp")).unwrap();
    publisher.push(time.0, picture(1280)).unwrap();
    send(&mut publisher, &mut time, 0, 3);
    let broadcast = media.find(&name()).unwrap();
    let mut feed = broadcast.feed();
    let first = block_of(fed(&mut feed));
    assert!(first.joins());
    assert_eq!(first.dts(), 2_000_000);
    let mut next = first.frames().last().unwrap().dts;
    while let Some(fed) = fed(&mut feed) {
        for frame in block_of(Some(fed)).frames() {
            assert_eq!(frame.dts, next + 40_000);
            next = frame.dts;
        }
    }
    // What is gathered goes out when its time has come, without another frame.
    media.maintain(time.later(200));
    assert_eq!(block_of(fed(&mut feed)).frames().last().unwrap().dts, 2_960_000);
}

#[test]
fn frames_before_the_first_key_frame_or_without_a_track_are_dropped_and_counted() {
    let (media, mut time) = (media(Config::default()), Time::new());
    let mut publisher = media.publish(time.0, &name(), Party::by("rtmp")).unwrap();
    publisher.push(time.later(1), frame(Kind::Video, true, 0)).unwrap();
    publisher.push(time.later(1), frame(Kind::Audio, true, 0)).unwrap();
    publisher.push(time.later(1), picture(640)).unwrap();
    publisher.push(time.later(1), frame(Kind::Video, false, 40)).unwrap();
    publisher.push(time.later(1), frame(Kind::Video, true, 80)).unwrap();
    let view = publisher.broadcast().view();
    assert_eq!((view.dropped_frames, view.in_frames), (3, 1));
}

#[test]
fn a_slow_viewer_goes_on_from_a_key_frame_and_is_told() {
    let config = Config { behind_max: Duration::from_secs(3), ..Config::default() };
    let (media, mut time) = (media(config), Time::new());
    let mut publisher = media.publish(time.0, &name(), Party::by("rtmp")).unwrap();
    publisher.push(time.0, picture(1280)).unwrap();
    send(&mut publisher, &mut time, 0, 1);
    let mut feed = publisher.broadcast().feed();
    block_of(fed(&mut feed));
    send(&mut publisher, &mut time, 1000, 60);
    // What it had taken already comes first.
    let passed = loop {
        match fed(&mut feed) {
            Some(Fed::Block(block)) => assert!(block.dts() < 1_000_000),
            Some(Fed::Skipped(passed)) => break passed,
            other => panic!("it is not told: {other:?}"),
        }
    };
    assert!(passed > 100, "{passed}");
    let block = block_of(fed(&mut feed));
    assert!(block.joins());
    assert_eq!(block.dts(), 60_000_000);
}

#[test]
fn memory_is_bounded_by_time_and_by_bytes() {
    let config = Config { keep_for: Duration::from_secs(4), ..Config::default() };
    let (media, mut time) = (media(config.clone()), Time::new());
    let mut publisher = media.publish(time.0, &name(), Party::by("rtmp")).unwrap();
    publisher.push(time.0, picture(1280)).unwrap();
    send(&mut publisher, &mut time, 0, 60);
    let mut reader = publisher.broadcast().frames(From::Oldest);
    let mut all = Vec::new();
    reader.try_take(usize::MAX, &mut all).unwrap();
    assert!((100..=130).contains(&all.len()), "{}", all.len());
    assert_eq!(
        publisher.push(
            time.0,
            Packet::Frame {
                kind: Kind::Video,
                key: true,
                dts: 61_000_000,
                cts: 0,
                data: Bytes::from(vec![0; config.frame_bytes_max + 1]),
            }
        ),
        Err(PushError::TooBig { bytes: config.frame_bytes_max + 1, max: config.frame_bytes_max })
    );
}

#[test]
fn a_publisher_that_comes_back_in_time_goes_on_with_the_same_broadcast() {
    let (media, mut time) = (media(Config::default()), Time::new());
    let mut publisher = media.publish(time.0, &name(), Party::by("rtmp")).unwrap();
    publisher.push(time.0, picture(1280)).unwrap();
    send(&mut publisher, &mut time, 5_000, 2);
    let broadcast = publisher.broadcast().clone();
    let mut feed = broadcast.feed();
    drop(publisher);
    let (mut last, mut epochs) = (-1, Vec::new());
    let mut drain = |feed: &mut Feed| {
        while let Some(Fed::Block(block)) = fed(feed) {
            assert!(block.dts() > last);
            last = block.dts();
            epochs.push(block.setup().epoch);
        }
        last
    };
    drain(&mut feed);
    assert_eq!(broadcast.state(), State::Lost);
    media.maintain(time.later(5_000));
    let mut again = media.publish(time.0, &name(), Party::by("rtmp")).unwrap();
    assert_eq!(again.broadcast().id(), broadcast.id());
    again.push(time.0, picture(640)).unwrap();
    send(&mut again, &mut time, 0, 1);
    let last = drain(&mut feed);
    epochs.dedup();
    assert_eq!(epochs, [1, 2]);
    assert!(last > 6_900_000, "the gap is as long as it was: {last}");
}

#[test]
fn a_broadcast_ends_after_its_time_of_grace_or_at_once_by_wish() {
    let (media, mut time) = (media(Config::default()), Time::new());
    let mut events = media.events();
    let mut publisher = media.publish(time.0, &name(), Party::by("rtmp")).unwrap();
    publisher.push(time.0, picture(1280)).unwrap();
    send(&mut publisher, &mut time, 0, 1);
    let broadcast = publisher.broadcast().clone();
    let mut feed = broadcast.feed();
    drop(publisher);
    media.maintain(time.later(9_000));
    assert!(media.find(&name()).is_some());
    media.maintain(time.later(2_000));
    assert!(media.find(&name()).is_none() && broadcast.has_ended());
    while let Some(Fed::Block(_)) = fed(&mut feed) {}
    assert!(matches!(fed(&mut feed), Some(Fed::Ended)));

    let mut publisher = media.publish(time.0, &name(), Party::by("rtmp")).unwrap();
    publisher.push(time.0, picture(1280)).unwrap();
    assert_ne!(publisher.broadcast().id(), broadcast.id());
    publisher.end(time.later(1));
    assert!(media.find(&name()).is_none());
    let mut told = Vec::new();
    events.try_take(100, &mut told).unwrap();
    let words: Vec<_> = told
        .iter()
        .map(|event| match event.what {
            What::OnAir(_) => "on air",
            What::Back(_) => "back",
            What::Changed(_) => "changed",
            What::Lost(_) => "lost",
            What::Ended(_) => "ended",
            What::Wanted(_) => "wanted",
        })
        .collect();
    assert_eq!(words, ["on air", "changed", "lost", "ended", "on air", "changed", "ended"]);
}

#[test]
fn a_second_publisher_is_refused_or_takes_over() {
    let (media, mut time) = (media(Config::default()), Time::new());
    let mut first = media.publish(time.0, &name(), Party::by("rtmp")).unwrap();
    assert_eq!(media.publish(time.0, &name(), Party::by("rtmp")).err(), Some(Refused::Taken));
    media.set_config(Config { take_over: true, ..Config::default() });
    let mut second = media.publish(time.later(1), &name(), Party::by("rtmp")).unwrap();
    assert!(first.told_to_go().is_some());
    assert_eq!(first.push(time.0, picture(1280)), Err(PushError::Gone));
    drop(first);
    second.push(time.0, picture(1280)).unwrap();
    send(&mut second, &mut time, 0, 1);
    assert!(second.broadcast().is_on_air());
}

#[test]
fn another_configuration_is_another_setup_and_the_same_one_is_none() {
    let (media, mut time) = (media(Config::default()), Time::new());
    let mut publisher = media.publish(time.0, &name(), Party::by("rtmp")).unwrap();
    publisher.push(time.0, picture(1280)).unwrap();
    publisher.push(time.0, sound()).unwrap();
    assert_eq!(publisher.broadcast().setup().number, 1);
    send(&mut publisher, &mut time, 0, 1);
    publisher.push(time.0, picture(1280)).unwrap();
    assert_eq!(publisher.broadcast().setup().number, 1);
    publisher.push(time.0, picture(640)).unwrap();
    assert_eq!(publisher.broadcast().setup().number, 2);
    // Until the next key frame there is nothing that could be decoded.
    publisher.push(time.later(40), frame(Kind::Video, false, 1000)).unwrap();
    publisher.push(time.later(40), frame(Kind::Video, true, 1040)).unwrap();
    media.maintain(time.later(200));
    let mut feed = publisher.broadcast().feed();
    let block = block_of(fed(&mut feed));
    assert_eq!((block.setup().number, block.frames().len()), (2, 1));
}

#[test]
fn a_form_is_made_once_for_all_viewers() {
    let (media, mut time) = (media(Config::default()), Time::new());
    let mut publisher = media.publish(time.0, &name(), Party::by("rtmp")).unwrap();
    publisher.push(time.0, picture(1280)).unwrap();
    send(&mut publisher, &mut time, 0, 1);
    let (mut one, mut other) = (publisher.broadcast().feed(), publisher.broadcast().feed());
    let first = block_of(fed(&mut one)).form(Form::Flv, |_| Bytes::from(vec![1; 50])).as_ptr();
    let second = block_of(fed(&mut other)).form(Form::Flv, |_| unreachable!("it is there")).as_ptr();
    assert_eq!(first, second);
}

#[test]
fn there_are_no_more_broadcasts_publishers_and_viewers_than_may_be() {
    let config = Config { broadcasts_max: 3, address_publishers_max: 2, viewers_max: 1, ..Config::default() };
    let (media, time) = (media(config), Time::new());
    let from = |last| Party { address: Some([10, 0, 0, last].into()), ..Party::by("rtmp") };
    let named = |i: u32| Name::new("live", &format!("room{i}")).unwrap();
    let one = media.publish(time.0, &named(1), from(1)).unwrap();
    let _two = media.publish(time.0, &named(2), from(1)).unwrap();
    assert!(matches!(media.publish(time.0, &named(3), from(1)), Err(Refused::TooMany(_))));
    let _three = media.publish(time.0, &named(3), from(2)).unwrap();
    assert!(matches!(media.publish(time.0, &named(4), from(3)), Err(Refused::TooMany(_))));
    let rung = named(1).rung("480p").unwrap();
    let _rung = media.publish(time.0, &rung, Party::by("ladder")).unwrap();
    assert_eq!(media.rungs(&named(1)).len(), 2);
    let viewer = media.viewer(time.0, one.broadcast(), Party::by("flv")).unwrap();
    assert_eq!(media.viewer(time.0, one.broadcast(), Party::by("flv")).err(), Some(Refused::Full));
    assert_eq!(one.broadcast().viewer_count(), 1);
    assert!(one.broadcast().kick_viewer(viewer.id(), "enough"));
    assert_eq!(viewer.kicked().as_deref(), Some("enough"));
    drop(viewer);
    assert_eq!(one.broadcast().viewer_count(), 0);
}

fn done(called: Called<Answer>) -> Answer {
    match called {
        Called::Done(answer) => answer,
        Called::Later(mut answer) => match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => answer,
            Poll::Pending => panic!("it waits"),
        },
    }
}

fn deliveries(seat: &mut Seat, now: Now) -> Vec<Delivery> {
    let mut all = Vec::new();
    while seat.poll_deliveries(&mut Context::from_waker(Waker::noop()), now, &mut all, 8).is_ready() {
        if matches!(all.last(), Some(Delivery::Ended | Delivery::Leave(_))) {
            break;
        }
    }
    all
}

fn play() -> Call {
    Call::Play { name: name(), party: Party::by("rtmp"), creds: Creds::default() }
}

fn publish() -> Call {
    Call::Publish { name: name(), party: Party::by("rtmp"), creds: Creds::default() }
}

#[test]
fn two_seats_are_a_publisher_and_a_viewer() {
    let (media, mut time) = (media(Config::default()), Time::new());
    let (mut sender, mut viewer) = (Seat::new(media.clone()), Seat::new(media.clone()));
    assert!(matches!(done(viewer.call(time.0, play())), Answer::Playing(Err(Refused::NotOnAir))));
    assert!(matches!(done(sender.call(time.0, publish())), Answer::Published(Ok(()))));
    assert!(matches!(done(sender.call(time.0, publish())), Answer::Published(Err(Refused::Denied(_)))));
    done(sender.call(time.0, Call::Push(picture(1280))));
    done(sender.call(time.later(1), Call::Push(frame(Kind::Video, true, 0))));
    assert!(matches!(done(viewer.call(time.0, play())), Answer::Playing(Ok(_))));
    media.maintain(time.later(200));
    assert!(matches!(&deliveries(&mut viewer, time.0)[..], [Delivery::Block(_)]));
    done(viewer.call(time.0, Call::Sent(1000)));
    assert_eq!(media.find(&name()).unwrap().view().out_bytes, 1000);
    done(sender.call(time.0, Call::Stop));
    assert!(matches!(&deliveries(&mut viewer, time.0)[..], [Delivery::Ended]));
    assert!(deliveries(&mut viewer, time.0).is_empty());
    // Both places are free again.
    done(viewer.call(time.0, Call::Stop));
    assert!(matches!(done(sender.call(time.0, publish())), Answer::Published(Ok(()))));
}

#[test]
fn a_kicked_publisher_is_told_and_its_broadcast_ends() {
    let (media, mut time) = (media(Config::default()), Time::new());
    let mut sender = Seat::new(media.clone());
    done(sender.call(time.0, publish()));
    done(sender.call(time.0, Call::Push(picture(1280))));
    media.find(&name()).unwrap().kick("not here");
    assert!(
        matches!(&deliveries(&mut sender, time.later(1))[..], [Delivery::Leave(reason)] if &**reason == "not here")
    );
    assert!(media.find(&name()).is_none());
}

#[test]
fn a_publisher_is_told_what_it_may_want_to_show_and_goes_on() {
    let (media, mut time) = (media(Config::default()), Time::new());
    let mut sender = Seat::new(media.clone());
    done(sender.call(time.0, publish()));
    let broadcast = media.find(&name()).unwrap();
    for i in 0..10 {
        broadcast.tell_publisher(&i.to_string());
    }
    let told = deliveries(&mut sender, time.later(1));
    assert_eq!(told.len(), 8, "the oldest are gone");
    assert!(matches!(&told[7], Delivery::Note(text) if &**text == "9"));
    assert!(broadcast.is_on_air());
}

/// Lets everybody in for a second.
#[derive(Default, Clone)]
struct Strict(Arc<parking_lot::Mutex<Vec<(bool, u64)>>>);

impl Porter for Strict {
    fn may(&self, wish: Wish) -> Called<Result<Pass, Refused>> {
        let until = Some(wish.now.wall.plus(Duration::from_secs(1)));
        Called::Done(Ok(Pass { user: Some("ann".into()), until }))
    }
    fn gone(&self, gone: Gone) {
        assert_eq!(gone.party.user.as_deref(), Some("ann"));
        self.0.lock().push((gone.publishing, gone.bytes));
    }
}

#[test]
fn a_pass_that_has_run_out_ends_publishing_and_watching() {
    let (media, mut time) = (Media::new(Config::default(), 1), Time::new());
    let strict = Strict::default();
    media.set_porter(Arc::new(strict.clone()));
    let (mut sender, mut viewer) = (Seat::new(media.clone()), Seat::new(media.clone()));
    done(sender.call(time.0, publish()));
    done(sender.call(time.0, Call::Push(picture(1280))));
    done(sender.call(time.0, Call::Push(frame(Kind::Video, true, 0))));
    done(viewer.call(time.later(500), play()));
    let pushed = done(sender.call(time.later(600), Call::Push(frame(Kind::Video, true, 600))));
    assert!(matches!(pushed, Answer::Pushed(Err(PushError::Gone))));
    assert!(matches!(&deliveries(&mut sender, time.0)[..], [Delivery::Leave(_)]));
    assert!(matches!(&deliveries(&mut viewer, time.later(600))[..], [Delivery::Leave(_)]));
    assert_eq!(*strict.0.lock(), [(true, 200), (false, 0)]);
}

#[test]
fn who_waits_for_a_relay_gets_the_broadcast_or_is_told_in_time() {
    let (media, mut time) = (media(Config::default()), Time::new());
    media.add_fetcher(Arc::new(|name| &*name.name == "room"));
    let mut events = media.events();
    let other = Name::new("live", "other").unwrap();
    let poll = |future: &mut futures_util::future::BoxFuture<'static, Option<Broadcast>>| {
        future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    };
    assert!(matches!(poll(&mut boxed(media.wanted(time.0, &other))), Poll::Ready(None)));
    let mut waiting = boxed(media.wanted(time.0, &name()));
    let mut also = boxed(media.wanted(time.0, &name()));
    assert!(poll(&mut waiting).is_pending() && poll(&mut also).is_pending());
    let mut told = Vec::new();
    events.try_take(10, &mut told).unwrap();
    assert_eq!(told.len(), 1, "it is asked for once");
    let _publisher = media.publish(time.later(10), &name(), Party::by("relay")).unwrap();
    assert!(matches!(poll(&mut waiting), Poll::Ready(Some(_))));
    assert!(matches!(poll(&mut also), Poll::Ready(Some(_))));
    media.stop_all(time.later(10));
    let mut late = boxed(media.wanted(time.0, &name()));
    assert!(poll(&mut late).is_pending());
    media.maintain(time.later(6_000));
    let mut later = boxed(media.wanted(time.0, &name()));
    media.maintain(time.later(5_000));
    assert!(matches!(poll(&mut late), Poll::Ready(None)), "others who come do not make it wait longer");
    assert!(poll(&mut later).is_pending());
    media.give_up(&name());
    assert!(matches!(poll(&mut later), Poll::Ready(None)));
}

fn boxed<F: Future + Send + 'static>(future: F) -> futures_util::future::BoxFuture<'static, F::Output> {
    Box::pin(future)
}
