use std::sync::Arc;

use super::*;

#[test]
fn a_publisher_is_on_air_when_the_core_says_so() {
    let mut talk =
        Talk::connected().command("publish", &["room?token=x".into(), "live".into()]).hears_nothing();
    assert!(!talk.connection.takes_input());
    match talk.asked() {
        Call::Publish { name, party, creds } => {
            assert_eq!(
                (name.to_string().as_str(), party.door, &*party.client),
                ("live/room", "rtmp", "test 1.0")
            );
            assert_eq!((party.address, &*creds.params), (Some([192, 0, 2, 7].into()), "token=x"));
        }
        other => panic!("{other:?}"),
    }
    talk.answer(Answer::Published(Ok(())))
        .hears(&["User(StreamBegin(1))", "onStatus NetStream.Publish.Start"])
        .hears_nothing()
        .open();
}

#[test]
fn a_publisher_that_is_refused_is_told_why_and_sent_away() {
    let reason: Arc<str> = "the key is wrong".into();
    for (refused, status, code) in [
        (Refused::Taken, "onStatus NetStream.Publish.BadName", 4003),
        (Refused::NotAnApp("x".into()), "onStatus NetStream.Publish.BadName", 4003),
        (Refused::Denied(reason.clone()), "onStatus NetStream.Publish.Denied", 4003),
        (Refused::Expired, "onStatus NetStream.Publish.Denied", 4004),
        (Refused::TooMany(reason.clone()), "onStatus NetStream.Publish.Denied", 4029),
        (Refused::Hook(reason), "onStatus NetStream.Publish.Denied", 4003),
    ] {
        Talk::connected()
            .command("publish", &["room".into()])
            .answer(Answer::Published(Err(refused)))
            .hears(&[status])
            .closed(code);
    }
    for name in ["", "a b", "../x", "room~720p"] {
        Talk::connected()
            .command("publish", &[name.into()])
            .hears(&["onStatus NetStream.Publish.BadName"])
            .closed(4003);
    }
}

#[test]
fn what_is_sent_right_behind_publish_is_not_lost() {
    let mut bytes = BytesMut::new();
    let body = command("publish", 0.0, &[Value::Null, "room".into()]);
    write_message(&mut bytes, Head { on: 3, kind: 20, timestamp: 0, stream: 1 }, &[&body], 128);
    let script = command("cue", 0.0, &[]);
    write_message(&mut bytes, Head { on: 5, kind: 18, timestamp: 40, stream: 1 }, &[&script], 128);
    let mut talk = Talk::connected().bytes(&bytes);
    talk.asked_to_publish();
    assert!(talk.calls.is_empty());
    let mut talk = talk.answer(Answer::Published(Ok(())));
    assert!(matches!(talk.asked(), Call::Push(Packet::Frame { kind: Kind::Data, dts: 40_000, .. })));
}

#[test]
fn a_second_publish_is_refused_and_the_first_goes_on() {
    Talk::publishing()
        .command("publish", &["other".into()])
        .hears(&["onStatus NetStream.Publish.BadName"])
        .command("play", &["other".into()])
        .hears(&["onStatus NetStream.Play.Failed"])
        .open();
}

#[test]
fn a_publisher_ends_in_any_of_four_ways_and_may_begin_again() {
    type Words<'a> = (&'a str, Vec<Value>, &'a [&'a str]);
    let unpublished = "onStatus NetStream.Unpublish.Success";
    let ways: [Words<'_>; 4] = [
        ("FCUnpublish", vec!["room".into()], &["onFCUnpublish NetStream.Unpublish.Success", unpublished]),
        ("deleteStream", vec![1.0.into()], &[unpublished]),
        ("closeStream", vec![], &[unpublished]),
        ("publish", vec![false.into()], &[]),
    ];
    for (name, args, heard) in ways {
        let mut talk = Talk::publishing()
            .command(name, &args)
            .hears(heard)
            .asked_to_stop()
            .hears_nothing()
            .command("publish", &["again".into()]);
        assert_eq!(talk.asked_to_publish().0, "live/again");
        talk.open();
    }
}

#[test]
fn the_publishers_clock_goes_on_behind_32_bits() {
    let script = command("cue", 0.0, &[]);
    let mut talk = Talk::publishing();
    for timestamp in [u32::MAX - 10, 5] {
        talk = talk.message(kind::AUDIO, timestamp, &[0xaf, 1, 0x21, 0x10]);
    }
    let mut talk = talk.message(kind::DATA, 7, &script);
    let mut last = None;
    while let Some(call) = talk.calls.pop_front() {
        if let Call::Push(Packet::Frame { kind: Kind::Data, dts, .. }) = call {
            last = Some(dts);
        }
    }
    assert_eq!(last, Some(((1 << 32) + 7) * 1000));
}

#[test]
fn an_error_of_the_core_ends_the_publisher() {
    let error = yizhan_media::PushError::TooBig { bytes: 9, max: 5 };
    Talk::publishing()
        .answer(Answer::Pushed(Ok(())))
        .answer(Answer::Pushed(Err(error)))
        .hears(&["onStatus NetStream.Publish.Failed"])
        .closed(1009);
}

#[test]
fn a_publisher_that_is_told_to_go_hears_why() {
    Talk::publishing()
        .deliver([Delivery::Leave("taken over".into())])
        .hears(&["onStatus NetStream.Publish.Failed"])
        .closed(4030);
}

#[test]
fn malformed_messages_are_left_out_until_there_are_too_many() {
    let mut talk = Talk::publishing();
    for _ in 0..99 {
        talk = talk.message(kind::VIDEO, 0, &[0x17, 1]).open();
    }
    let mut good = talk.message(kind::DATA, 0, &command("cue", 0.0, &[])).open();
    for _ in 0..99 {
        good = good.message(kind::VIDEO, 0, &[0x17, 1]).open();
    }
    good.hears_nothing()
        .message(kind::VIDEO, 0, &[0x17, 1])
        .hears(&["onStatus NetStream.Publish.Failed"])
        .closed(1003);
}

#[test]
fn a_codec_that_nobody_carries_is_named() {
    Talk::publishing()
        .message(kind::VIDEO, 0, &[0x12, 0, 0])
        .hears(&["onStatus NetStream.Publish.Failed"])
        .closed(1003);
}

#[test]
fn a_frame_over_the_limit_ends_the_talk_before_it_has_come() {
    let mut head = vec![6, 0, 0, 0];
    head.extend_from_slice(&(FRAME_BYTES_MAX as u32 * 2).to_be_bytes()[1..]);
    head.extend_from_slice(&[9, 1, 0, 0, 0]);
    Talk::publishing().bytes(&head).hears(&["onStatus NetStream.Publish.Failed"]).closed(1009);
}

#[test]
fn aggregates_are_taken_apart() {
    let one = |time: u8| {
        let script = command("cue", 0.0, &[]);
        let len = script.len() as u8;
        [&[18, 0, 0, len, 0, 0, time, 0, 0, 0, 0][..], &script, &[0, 0, 0, 11 + len]].concat()
    };
    let mut talk = Talk::publishing().message(kind::AGGREGATE, 1000, &[one(50), one(90)].concat());
    for expected in [1_000_000, 1_040_000] {
        assert!(matches!(talk.asked(), Call::Push(Packet::Frame { dts, .. }) if dts == expected));
    }
}
