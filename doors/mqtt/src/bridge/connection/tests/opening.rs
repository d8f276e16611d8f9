//! Coming in on both sides, keeping the line, losing it.

use yizhan_hub::{Refused, StoreError, link::Start};

use super::*;
use crate::wire::packet::{Disconnect, RetainHandling};

#[test]
fn the_hub_is_open_before_the_other_broker_is_asked() {
    let config = Config {
        user: Some("u".into()),
        password: Some("p".to_owned().into()),
        ..config(vec![rule("a/#", 2, 0), rule("b", 1, 7)], vec![rule("c/#", 1, 0)])
    };
    let mut world = World::new(&config);
    assert_eq!(world.setup.session_name(0), "bridge:cloud:7", "the highest priority comes first");
    assert_eq!(world.setup.session_name(2), "bridge:cloud");
    let scene = world.connect().asked_nothing().hears(|bytes| {
        let Packet::Connect(connect) = world.read(bytes) else { panic!() };
        assert_eq!((connect.client_id, connect.user_name), ("yizhan-edge-cloud", Some("u")));
        assert_eq!(connect.password.map(|p| p.0), Some(&b"p"[..]));
        assert!(connect.clean_start && !connect.bridge, "what we forgot, the other side forgets");
        assert_eq!(connect.properties.session_expiry, Some(u32::MAX));
        assert_eq!(connect.properties.receive_maximum.map(|n| n.get()), Some(64));
        assert_eq!(connect.keep_alive, 60);
    });
    assert!(!scene.peek(|bridge| bridge.takes_delivery()));
    let scene = scene.client(world.bytes(&connack(false))).hears(|bytes| {
        let Packet::Subscribe(subscribe) = world.read(bytes) else { panic!() };
        let (filter, options) = subscribe.filters[0];
        assert_eq!((filter, options.qos), ("r/c/#", Qos::AtLeastOnce));
        assert!(options.no_local && options.retain_as_published);
        assert_eq!(options.retain_handling, RetainHandling::SendIfNew);
    });
    assert!(scene.peek(|bridge| bridge.takes_delivery()));
    assert_eq!(*world.told.lock(), [true]);
    let view = world.status.view("cloud", "broker.test:1883");
    assert!(view.connected_since.is_some() && view.last_error.is_none());
}

#[test]
fn a_session_goes_on_where_it_stands_and_gives_up_what_no_rule_wants() {
    let mut world = World::new(&config(vec![rule("a", 1, 0), rule("b", 1, 0)], vec![]));
    let first = world.up(false);
    drop(first);
    world.subscriptions[0][1].1 = Filter::new("l/old").unwrap();
    let mut scene = world.begin();
    scene = scene.asked(drop).asked(drop);
    scene = scene.backend(opened(
        0,
        true,
        world.subscriptions[0].clone(),
        world.kept[0].clone(),
        KeepsakePlace::default(),
    ));
    scene = scene.backend(opened(1, true, vec![], world.kept[1].clone(), KeepsakePlace::default()));
    scene = scene
        .asked(|call| {
            let Call::Subscribe(wish) = call.what else { panic!() };
            assert_eq!((wish.id, wish.filter.as_str(), wish.with_state), (1, "l/a", false));
            assert!(matches!(wish.from, Start::Keep));
        })
        .asked(|call| {
            let Call::Subscribe(wish) = call.what else { panic!() };
            assert_eq!((wish.id, wish.filter.as_str(), wish.with_state), (3, "l/b", true));
            assert!(matches!(wish.from, Start::Now) && wish.no_local && wish.window == Some(64));
        })
        .asked(|call| assert!(matches!(call.what, Call::Unsubscribe(2))));
    let subscribed = |id| Ranked::new(0, Answer::Subscribed { id, heads: vec![], missed: Missed::NONE });
    let scene = scene.backend(subscribed(1)).silent().backend(subscribed(3)).backend(done(0));
    scene
        .hears(|bytes| {
            let Packet::Connect(connect) = world.read(bytes) else { panic!() };
            assert!(!connect.clean_start);
        })
        .open();
}

#[test]
fn a_hub_that_refuses_ends_it_and_is_heard_of() {
    let world = World::new(&config(vec![rule("a", 1, 0)], vec![]));
    let scene = world.begin();
    scene.backend(Ranked::new(0, Answer::Refused(Refused::NotAdmitted))).closed(1011);
    let (was_up, reason) = world.status.down();
    assert!(!was_up && reason.contains("not admitted"), "{reason}");
}

#[test]
fn another_broker_that_refuses_is_heard_of_with_its_reason() {
    let mut world = World::new(&config(vec![rule("a", 1, 0)], vec![]));
    let refusal = Packet::Connack(Box::new(Connack {
        session_present: false,
        reason: Reason::NotAuthorized,
        properties: ConnackProperties { reason_string: Some("who are you?"), ..Default::default() },
    }));
    world.connect().hears(|_| {}).client(world.bytes(&refusal)).closed(1000);
    let (_, reason) = world.status.down();
    assert!(reason.contains("Not authorized who are you?"), "{reason}");
    assert!(world.told.lock().is_empty(), "it never was up");
}

#[test]
fn the_top_bit_of_the_level_is_tried_first_in_3_1_1_only() {
    let protocol = Protocol::V4;
    let mut world = World::new(&Config { protocol, ..config(vec![rule("a", 1, 0)], vec![]) });
    let refusal = |reason| {
        let properties = ConnackProperties::default();
        Packet::Connack(Box::new(Connack { session_present: false, reason, properties }))
    };
    let is_bridge = |bytes: &[u8], is| {
        let Ok(Some((Packet::Connect(connect), _))) = wire::decode(bytes, None, &Limits::default()) else {
            panic!()
        };
        assert_eq!((connect.bridge, connect.version), (is, Version::V4));
    };
    let scene = world.connect().hears(|bytes| is_bridge(bytes, true));
    scene.client(world.bytes(&refusal(Reason::UnsupportedVersion))).closed(1000);
    let _ = world.connect().hears(|bytes| is_bridge(bytes, false)).open();
}

#[test]
fn a_filter_that_3_1_1_knows_is_not_subscribed_to_again() {
    let protocol = Protocol::V4;
    let mut world = World::new(&Config { protocol, ..config(vec![], vec![rule("a", 1, 0)]) });
    drop(world.up(false));
    // The other side has the session: all its retained messages would come once more.
    let scene = world.connect().hears(|_| {}).client(world.bytes(&connack(true)));
    drop(scene.silent().open());
    // It has not: it is told again.
    let scene = world.connect().hears(|_| {}).client(world.bytes(&connack(false)));
    drop(scene.hears(|bytes| assert_eq!(bytes[0], 0x82)).open());
}

#[test]
fn a_filter_that_no_rule_wants_any_more_is_given_up_there_too() {
    let mut world = World::new(&config(vec![], vec![rule("a", 1, 0), rule("b", 1, 0)]));
    drop(world.up(false));
    let mut other = World::new(&config(vec![], vec![rule("b", 1, 0)]));
    other.kept = world.kept.clone();
    let scene = other.connect().hears(|_| {}).client(other.bytes(&connack(true)));
    let scene = scene.hears(|bytes| assert_eq!(bytes[0], 0x82)).hears(|bytes| {
        let Packet::Unsubscribe(unsubscribe) = other.read(bytes) else { panic!() };
        assert_eq!(unsubscribe.filters, ["r/a"]);
    });
    drop(scene.open());
}

#[test]
fn a_subscription_that_is_refused_is_told_and_the_rest_goes_on() {
    let mut world = World::new(&config(vec![], vec![rule("a", 1, 0), rule("b", 1, 0)]));
    let scene = world.connect().hears(|_| {}).client(world.bytes(&connack(false))).hears(|_| {});
    let reasons = vec![Reason::NotAuthorized, Reason::GrantedQos1];
    let id = PacketId::MIN;
    let suback = Packet::Suback(Reasons { id, properties: AckProperties::default(), reasons });
    drop(scene.client(world.bytes(&suback)).open());
    let error = world.status.view("", "").last_error.unwrap();
    assert!(error.contains("'r/a': Not authorized"), "{error}");
}

#[test]
fn a_quiet_line_is_tested_and_a_dead_one_given_up() {
    let mut world = World::new(&config(vec![rule("a", 1, 0)], vec![]));
    let minute = Duration::from_secs(60);
    let scene = world.up(false).pass(minute).server(b"\xc0\x00").client(b"\xd0\x00");
    let scene = scene.pass(minute).server(b"\xc0\x00").pass(minute);
    scene.closed(Close::SILENT.code);
    assert!(world.status.down().0);
    assert_eq!(*world.told.lock(), [true, false]);
}

#[test]
fn nobody_waits_for_ever_to_be_let_in() {
    let mut world = World::new(&config(vec![rule("a", 1, 0)], vec![]));
    world.connect().hears(|_| {}).pass(OPEN_WITHIN).closed(Close::SILENT.code);
}

#[test]
fn both_sides_may_say_goodbye() {
    let mut world = World::new(&config(vec![rule("a", 1, 0)], vec![]));
    world.up(false).leave(Close::GOING_AWAY).server(b"\xe0\x00").closed(1001);
    let disconnect = Packet::Disconnect(Disconnect::new(Reason::ServerShuttingDown));
    world.up(true).client(world.bytes(&disconnect)).closed(1000);
    let (was_up, reason) = world.status.down();
    assert!(was_up && reason.contains("Server shutting down"), "{reason}");
}

#[test]
fn a_broken_packet_is_answered_with_its_reason() {
    let mut world = World::new(&config(vec![rule("a", 1, 0)], vec![]));
    let scene = world.up(false).client(b"\x36\x05\x00\x01t\x00\x01");
    scene
        .hears(|bytes| {
            let Packet::Disconnect(disconnect) = world.read(bytes) else { panic!() };
            assert_eq!(disconnect.reason, Reason::MalformedPacket);
        })
        .closed(Close::PROTOCOL.code);
    // What only a server is sent.
    let scene = world.up(true).client(b"\xc0\x00");
    scene.hears(|bytes| assert_eq!((bytes[0], bytes[2]), (0xe0, 0x82))).closed(Close::PROTOCOL.code);
}

#[test]
fn a_save_that_fails_ends_the_connection() {
    let mut world = World::new(&config(vec![rule("#", 2, 0)], vec![]));
    let scene = world.up(false).deliver([delivery(0, 1, &record("l/a", 1))]).asked(is_save(0));
    let failed = Answer::Refused(Refused::Store(StoreError::Full));
    scene.backend(Ranked::new(0, failed)).closed(1011);
}
