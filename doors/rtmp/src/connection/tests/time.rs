use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn who_is_slow_to_shake_hands_is_cut_off() {
    let talk = Talk::silent_with(Config::default()).bytes(&[3]).pass(9 * SECOND).open();
    talk.pass(SECOND).closed(4001);
    Talk::new().pass(10 * SECOND).closed(4001);
}

#[test]
fn who_neither_publishes_nor_watches_is_cut_off() {
    Talk::connected()
        .pass(9 * SECOND)
        .ask("createStream", &[])
        .hears(&["_result Number(1.0)"])
        .pass(SECOND)
        .hears(&["onStatus NetConnection.Connect.Closed"])
        .closed(4008);
    // Waiting for the core counts not.
    let talk = Talk::connected().command("play", &["room".into()]).pass(60 * SECOND).open();
    talk.answer(Answer::Playing(Err(Refused::NotOnAir))).open().pass(10 * SECOND).closed(4008);
}

#[test]
fn a_publisher_that_stops_in_the_middle_of_a_frame_is_cut_off() {
    let half = [&[6, 0, 0, 0, 0, 1, 0, 9, 1, 0, 0, 0][..], &[0x17; 100]].concat();
    Talk::publishing()
        .bytes(&half)
        .pass(29 * SECOND)
        .open()
        .pass(SECOND)
        .hears(&["onStatus NetStream.Publish.Failed"])
        .closed(4008);
}

#[test]
fn a_silent_viewer_is_asked_whether_it_is_there() {
    let talk = Talk::watching().pass(60 * SECOND).hears(&["ping"]).open();
    let pong = Control::User(UserControl::Pong(60_000));
    let mut body = BytesMut::new();
    pong.write(&mut body);
    talk.message(kind::USER_CONTROL, 0, &body)
        .pass(59 * SECOND)
        .hears_nothing()
        .pass(SECOND)
        .hears(&["ping"])
        .pass(29 * SECOND)
        .open()
        .pass(SECOND)
        .hears(&["onStatus NetStream.Play.Failed"])
        .closed(4008);
    let config = Config { ping_interval: Duration::ZERO, ..Config::default() };
    let talk = Talk::with(config).connect("live", &[]).command("play", &["room".into()]);
    let talk = talk.answer(Answer::Playing(Ok(setup(1))));
    talk.pass(3600 * SECOND).open();
}

#[test]
fn when_the_server_stops_clients_that_can_are_asked_to_come_back() {
    let leave = |mut talk: Talk, close: Close| {
        talk.connection.leave(talk.now, close, &mut talk.out);
        talk.settle()
    };
    leave(Talk::watching(), Close::GOING_AWAY)
        .hears(&["onStatus NetConnection.Connect.AppShutdown"])
        .closed(1001);
    leave(Talk::watching(), Close::KICKED).hears(&["onStatus NetStream.Play.Failed"]).closed(4030);
    leave(Talk::new(), Close::GOING_AWAY).hears_nothing().closed(1001);
    let mut talk = Talk::connected_to("live", &[("capsEx", 1.0.into())]).command("publish", &["room".into()]);
    talk.asked_to_publish();
    let mut talk = talk.answer(Answer::Published(Ok(())));
    talk.heard.clear();
    // A publisher goes on until its next key frame.
    leave(talk, Close::GOING_AWAY).hears(&["onStatus NetConnection.Connect.ReconnectRequest"]).open();
}
