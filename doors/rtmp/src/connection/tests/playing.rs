use super::*;

const START: [&str; 4] = [
    "User(StreamBegin(1))",
    "onStatus NetStream.Play.Reset",
    "onStatus NetStream.Play.Start",
    "data |RtmpSampleAccess",
];

#[test]
fn a_viewer_hears_of_the_start_then_heads_then_frames() {
    let mut talk = Talk::connected().command("play", &["room?token=x".into(), (-2000.0).into()]);
    assert_eq!(talk.asked_to_play(), ("live/room".into(), "token=x".into()));
    let (one, two) = (setup(1), setup(2));
    let mut talk = talk
        .answer(Answer::Playing(Ok(one.clone())))
        .hears(&START)
        .hears_nothing()
        .deliver([block(&one, true, 5000), block(&one, false, 5100)])
        .hears(&["data onMetaData", "picture 5000", "sound 5000"])
        .hears(&["picture 5000", "sound 5001", "picture 5100", "sound 5101"])
        .hears_nothing()
        .deliver([block(&two, true, 6000)])
        .hears(&["data onMetaData", "picture 6000", "sound 6000", "picture 6000", "sound 6001"])
        .hears_nothing();
    assert!(matches!(talk.asked(), Call::Sent(bytes) if bytes > 0));
    assert!(matches!(talk.asked(), Call::Sent(bytes) if bytes > 0));
}

#[test]
fn all_viewers_get_the_same_bytes() {
    let one = setup(1);
    let delivery = block(&one, true, 0);
    let Delivery::Block(shared) = &delivery else { unreachable!() };
    let first = crate::pack::block(shared).as_ptr();
    let again = Delivery::Block(shared.clone());
    Talk::watching().deliver([delivery]);
    let Delivery::Block(shared) = &again else { unreachable!() };
    assert_eq!(crate::pack::block(shared).as_ptr(), first);
}

#[test]
fn what_is_not_on_air_is_said_and_something_else_may_be_asked_for() {
    let mut talk = Talk::connected()
        .command("play", &["room".into()])
        .answer(Answer::Playing(Err(Refused::NotOnAir)))
        .hears(&["onStatus NetStream.Play.StreamNotFound"])
        .command("play", &["a b".into()])
        .hears(&["onStatus NetStream.Play.StreamNotFound"])
        .open()
        .command("play", &["other".into()]);
    talk.asked_to_play();
    assert_eq!(talk.asked_to_play().0, "live/other");
}

#[test]
fn a_viewer_that_may_not_watch_is_sent_away() {
    for (refused, code) in
        [(Refused::Denied("no".into()), 4003), (Refused::Expired, 4004), (Refused::Full, 4029)]
    {
        Talk::connected()
            .command("play", &["room".into()])
            .answer(Answer::Playing(Err(refused)))
            .hears(&["onStatus NetStream.Play.Failed"])
            .closed(code);
    }
}

#[test]
fn live_broadcasts_have_no_start_no_length_and_no_playlists() {
    let fails = |args: &[Value]| {
        Talk::connected()
            .command("play", args)
            .hears(&["onStatus NetStream.Play.Failed"])
            .hears_nothing()
            .open();
    };
    fails(&["room".into(), 10.0.into()]);
    fails(&["room".into(), 0.0.into(), 5.0.into()]);
    for args in [vec![], vec![0.0.into()], vec![(-1.0).into(), (-1.0).into()], vec![(-2.0).into()]] {
        let mut talk = Talk::connected().command("play", &[vec!["room".into()], args].concat());
        talk.asked_to_play();
    }
    let append = ["other".into(), (-1.0).into(), (-1.0).into(), false.into()];
    Talk::watching().command("play", &append).hears(&["onStatus NetStream.Play.Failed"]).open();
    // Without a reset none is said.
    let first = Talk::connected().command("play", &["room".into(), (-1.0).into(), (-1.0).into(), 0.0.into()]);
    first.answer(Answer::Playing(Ok(setup(1)))).hears(&[START[0], START[2], START[3]]).hears_nothing();
}

#[test]
fn a_viewer_changes_to_another_broadcast() {
    let mut talk = Talk::watching().command("play", &["other".into()]).asked_to_stop();
    assert_eq!(talk.asked_to_play().0, "live/other");
    let options = Value::object([("streamName", "room~720p".into()), ("transition", "switch".into())]);
    let mut talk = talk
        .answer(Answer::Playing(Ok(setup(1))))
        .hears(&START)
        .command("play2", &[options])
        .hears_nothing()
        .asked_to_stop();
    assert_eq!(talk.asked_to_play().0, "live/room~720p");
    talk.answer(Answer::Playing(Ok(setup(1)))).hears(&[
        START[0],
        "onStatus NetStream.Play.Transition",
        START[2],
        START[3],
    ]);
    let append = Value::object([("streamName", "x".into()), ("transition", "append".into())]);
    Talk::watching().command("play2", &[append]).hears(&["onStatus NetStream.Play.Failed"]).open();
}

#[test]
fn a_paused_viewer_goes_on_with_a_key_frame_and_its_heads() {
    let one = setup(1);
    let mut talk = Talk::watching().deliver([block(&one, true, 0)]);
    talk.heard.clear();
    talk.command("pause", &[true.into(), 100.0.into()])
        .hears(&["onStatus NetStream.Pause.Notify"])
        .deliver([block(&one, false, 100), block(&one, true, 200)])
        .hears_nothing()
        .command("pause", &[false.into(), 100.0.into()])
        .hears(&["onStatus NetStream.Unpause.Notify"])
        .deliver([block(&one, false, 300), block(&one, true, 400)])
        .hears(&["data onMetaData", "picture 400", "sound 400", "picture 400", "sound 401"])
        .hears_nothing();
    Talk::connected().command("pause", &[true.into()]).hears(&["onStatus NetStream.Failed"]);
}

#[test]
fn sound_or_picture_are_left_out_on_demand() {
    let one = setup(1);
    let mut talk = Talk::watching().deliver([block(&one, true, 0)]);
    talk.heard.clear();
    let again = ["onStatus NetStream.Seek.Notify", "onStatus NetStream.Play.Start"];
    talk.command("receiveVideo", &[false.into()])
        .deliver([block(&one, true, 100)])
        .hears(&["sound 101"])
        .command("receiveAudio", &[false.into()])
        .deliver([block(&one, true, 200)])
        .hears_nothing()
        .command("receiveVideo", &[true.into()])
        .hears(&again)
        .deliver([block(&one, false, 300), block(&one, true, 400), block(&one, false, 500)])
        .hears(&["picture 400", "picture 500"])
        .command("receiveAudio", &[true.into()])
        .hears(&again)
        .deliver([block(&one, false, 600)])
        .hears(&["picture 600", "sound 601"])
        .hears_nothing();
}

#[test]
fn a_slow_viewer_is_told_that_it_is() {
    Talk::watching()
        .deliver([Delivery::Skipped(20), block(&setup(1), true, 9000)])
        .hears(&["onStatus NetStream.Play.InsufficientBW", "data onMetaData"]);
}

#[test]
fn the_end_of_a_broadcast_is_said_and_another_may_follow() {
    let mut talk = Talk::watching()
        .deliver([Delivery::Ended])
        .hears(&[
            "User(StreamEof(1))",
            "onStatus NetStream.Play.UnpublishNotify",
            "onStatus NetStream.Play.Stop",
        ])
        .asked_to_stop()
        .command("play", &["other".into()]);
    assert_eq!(talk.asked_to_play().0, "live/other");
}

#[test]
fn a_viewer_that_is_kicked_hears_why() {
    Talk::watching()
        .deliver([Delivery::Leave("kicked".into())])
        .hears(&["onStatus NetStream.Play.Failed"])
        .closed(4030);
}

#[test]
fn a_viewer_that_has_set_a_window_is_given_no_more_than_that() {
    let mut bytes = BytesMut::new();
    let limit = [0, 0, 0, 50, 0];
    write_message(
        &mut bytes,
        Head { on: 2, kind: kind::PEER_BANDWIDTH, timestamp: 0, stream: 0 },
        &[&limit],
        128,
    );
    let talk = Talk::watching().bytes(&bytes).hears(&["Window(50)"]);
    let sent = |talk: &Talk| talk.connection.takes_delivery();
    assert!(!sent(&talk), "it has not acknowledged what was said before");
    let mut bytes = BytesMut::new();
    // More than was ever said: all of it.
    write_message(
        &mut bytes,
        Head { on: 2, kind: kind::ACK, timestamp: 0, stream: 0 },
        &[&[0, 1, 0, 0]],
        128,
    );
    let talk = talk.bytes(&bytes);
    assert!(sent(&talk));
}
