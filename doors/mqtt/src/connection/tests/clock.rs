use super::*;

fn with_keep_alive(version: Version, keep_alive: u16) -> Story {
    open_with(Connect { keep_alive, ..connect(version) }, Config::default(), Duration::ZERO)
}

/// MQTT-3.1.2-22
#[test]
fn a_silent_client_is_let_go_after_one_and_a_half_times_its_keep_alive() {
    let second = Duration::from_secs(1);
    drop(with_keep_alive(V4, 10).pass(14 * second).open());
    with_keep_alive(V4, 10).pass(15 * second).closed(4008);
    with_keep_alive(V5, 10).pass(15 * second).hears(disconnects(Reason::KeepAliveTimeout)).closed(4008);
    let mut story = with_keep_alive(V4, 10);
    for _ in 0..10 {
        story = story.pass(10 * second).client(PINGREQ).server(PINGRESP);
    }
    drop(story.open());
}

#[test]
fn without_a_keep_alive_a_client_may_be_silent_for_ever() {
    let story = open(V5).look(|connection, _| assert_eq!(connection.deadline(), None));
    drop(story.pass(HOUR * 1000).open());
}

#[test]
fn the_operators_keep_alive_counts() {
    let config = || Config { keep_alive_max: 10, ..Config::default() };
    for version in BOTH {
        let story = open_with(connect(version), config(), Duration::ZERO);
        let (_, end) = story.pass(Duration::from_secs(15)).rest();
        assert_eq!(end.map(|close| close.code), Some(4008));
    }
}

#[test]
fn connect_has_to_come_in_time() {
    drop(silent(Config::default()).pass(Duration::from_secs(9)).open());
    silent(Config::default()).pass(Duration::from_secs(10)).closed(4001);
    let half = &connecting(connect(V5))[..5];
    silent(Config::default())
        .pass(Duration::from_secs(9))
        .client(half)
        .pass(Duration::from_secs(1))
        .closed(4001);
}

#[test]
fn while_the_hub_thinks_about_hello_time_does_not_count() {
    let story = silent(Config::default()).client(connecting(connect(V4))).pass(HOUR);
    drop(story.backend(welcome(Duration::ZERO)).server([0x20, 2, 0, 0]).open());
}

fn expiring(version: Version, at: Timestamp) -> Story {
    let mut opened = opened(Duration::ZERO, false);
    opened.principal = Arc::new(Principal { expires_at: Some(at), ..Principal::clone(&opened.principal) });
    silent(Config::default())
        .client(connecting(connect(version)))
        .asked(drop)
        .backend(Answer::Opened(Box::new(opened)))
        .hears(|_| {})
}

#[test]
fn a_talk_ends_with_the_credentials() {
    let at = Timestamp::from_millis(1_767_225_600_000).plus(HOUR);
    expiring(V5, at).pass(HOUR).hears(disconnects(Reason::NotAuthorized)).closed(4004);
    expiring(V4, at).pass(HOUR).closed(4004);
    // The clock is set back by half an hour.
    let story = expiring(V4, at).pass(HOUR / 2).set_wall(Timestamp::from_millis(1_767_225_600_000));
    story.pass(HOUR / 2).open().pass(HOUR / 2).closed(4004);
}

#[test]
fn the_server_says_why_it_ends_a_talk() {
    open(V5).leave(Close::GOING_AWAY).hears(disconnects(Reason::ServerShuttingDown)).closed(1001);
    open(V5).leave(Close::KICKED).hears(disconnects(Reason::AdministrativeAction)).closed(4030);
    open(V4).leave(Close::GOING_AWAY).closed(1001);
    silent(Config::default()).leave(Close::GOING_AWAY).closed(1001);
    let story = silent(Config::default()).client(connecting(connect(V5))).leave(Close::GOING_AWAY);
    story.hears(refuses(V5, Reason::ServerUnavailable)).closed(1001);
}

#[test]
fn a_server_that_stops_may_name_another() {
    let config = Config { server_reference: Some("other:1883".into()), ..Config::default() };
    let story = open_with(connect(V5), config, Duration::ZERO).leave(Close::GOING_AWAY);
    story
        .hears(|packet| match wire::decode(packet, Some(V5), &wire::Limits::default()).unwrap() {
            Some((Packet::Disconnect(said), _)) => {
                assert_eq!(said.reason, Reason::UseAnotherServer);
                assert_eq!(said.properties.server_reference, Some("other:1883"));
            }
            other => panic!("{other:?}"),
        })
        .closed(1001);
}
