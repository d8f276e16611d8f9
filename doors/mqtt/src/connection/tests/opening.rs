use yizhan_hub::link::{Hello, LastMessage};

use super::*;

fn hello(call: Call) -> Box<Hello> {
    match call {
        Call::Hello(hello) => hello,
        call => panic!("{call:?}"),
    }
}

fn asked_hello(story: Story, check: impl FnOnce(Box<Hello>)) -> Story {
    story.asked(|call| check(hello(call)))
}

fn connack(packet: &[u8], version: Version) -> Connack<'_> {
    match wire::decode(packet, Some(version), &wire::Limits::default()).unwrap() {
        Some((Packet::Connack(connack), _)) => *connack,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_client_of_3_1_1_is_let_in() {
    let story = silent(Config::default()).client(connecting(connect(V4)));
    let story = asked_hello(story, |hello| {
        assert_eq!(hello.device.as_deref(), Some("c1"));
        let name = hello.name.unwrap();
        assert_eq!((&*name.name, name.fresh), ("mqtt:c1", true));
        assert_eq!(hello.keep, Duration::ZERO);
        assert!(matches!(hello.credentials, Credentials::None) && hello.last_message.is_none());
    });
    story.backend(welcome(Duration::ZERO)).server([0x20, 2, 0, 0]).silent().open();
}

#[test]
fn a_client_of_5_0_is_told_what_it_may_do() {
    let story = silent(Config::default()).client(connecting(connect(V5))).asked(drop);
    story.backend(welcome(Duration::ZERO)).hears(|packet| {
        let connack = connack(packet, V5);
        let expected = ConnackProperties {
            receive_maximum: NonZeroU16::new(256),
            maximum_packet_size: std::num::NonZeroU32::new(1024 * 1024 + 64 * 1024),
            topic_alias_maximum: Some(32),
            ..ConnackProperties::default()
        };
        assert_eq!(connack.properties, expected);
    });
}

#[test]
fn what_is_off_is_told_in_connack() {
    let mut config = Config { qos_max: 1, retain: false, wildcards: false, ..Config::default() };
    config.subscription_ids = false;
    config.share.on = false;
    config.topic_alias_max = 0;
    let story = silent(config).client(connecting(connect(V5))).asked(drop);
    story.backend(welcome(Duration::ZERO)).hears(|packet| {
        let properties = connack(packet, V5).properties;
        assert_eq!(properties.maximum_qos, Some(QOS1));
        assert_eq!(properties.retain_available, Some(false));
        assert_eq!(properties.wildcard_subscription_available, Some(false));
        assert_eq!(properties.subscription_identifiers_available, Some(false));
        assert_eq!(properties.shared_subscription_available, Some(false));
        assert_eq!(properties.topic_alias_maximum, None);
    });
}

/// MQTT-3.2.2-2, MQTT-3.2.2-3
#[test]
fn a_session_that_went_on_is_present() {
    for version in BOTH {
        let story = silent(Config::default()).client(connecting(keeping(version)));
        let story = asked_hello(story, |hello| {
            assert!(!hello.name.unwrap().fresh);
            assert!(!hello.keep.is_zero());
        });
        story.backend(Answer::Opened(Box::new(opened(HOUR, true)))).hears(|packet| {
            assert!(connack(packet, version).session_present);
        });
    }
}

#[test]
fn a_session_is_kept_as_long_as_asked_and_the_client_is_told_where_it_is_less() {
    for (asked, expected) in [(None, 0), (Some(10), 10), (Some(u32::MAX), 7 * 86_400)] {
        let mut connect = connect(V5);
        connect.properties.session_expiry = asked;
        let story = silent(Config::default()).client(connecting(connect));
        let story = asked_hello(story, |hello| assert_eq!(hello.keep.as_secs(), expected));
        story.backend(welcome(Duration::from_secs(expected))).hears(|packet| {
            let told = connack(packet, V5).properties.session_expiry;
            assert_eq!(told, (asked == Some(u32::MAX)).then_some(expected as u32));
        });
    }
}

/// MQTT-3.1.3-6, MQTT-3.2.3.7
#[test]
fn a_client_without_an_id_is_given_one_that_is_new() {
    let mut ids = Vec::new();
    for _ in 0..2 {
        let anonymous = Connect { client_id: "", ..connect(V5) };
        let story = silent(Config::default()).client(connecting(anonymous)).asked(drop);
        let story = story.backend(welcome(Duration::ZERO));
        let mut id = String::new();
        drop(story.hears(|packet| {
            id = connack(packet, V5).properties.assigned_client_id.unwrap().to_owned();
        }));
        assert!(id.len() > 20, "{id}");
        ids.push(id);
    }
    assert_ne!(ids[0], ids[1]);
}

/// MQTT-3.1.3-8 of 3.1.1
#[test]
fn a_kept_session_of_3_1_1_needs_a_client_id() {
    let anonymous = Connect { client_id: "", ..keeping(V4) };
    silent(Config::default()).client(connecting(anonymous)).server([0x20, 2, 0, 2]).closed(4003);
}

#[test]
fn a_client_id_that_is_too_long_is_refused() {
    for version in BOTH {
        let long = "x".repeat(300);
        let connect = Connect { client_id: &long, ..connect(version) };
        let story = silent(Config::default()).client(connecting(connect));
        story.hears(refuses(version, Reason::ClientIdNotValid)).closed(4003);
    }
}

#[test]
fn a_name_and_a_password_are_shown_to_the_hub() {
    let connect = Connect { user_name: Some("ann"), password: Some(Hidden(b"secret")), ..connect(V4) };
    let story = silent(Config::default()).client(connecting(connect));
    asked_hello(story, |hello| match hello.credentials {
        Credentials::Password { user, password } => assert_eq!((&*user, &*password), ("ann", "secret")),
        other => panic!("{other:?}"),
    });
}

#[test]
fn whether_a_password_is_a_token_is_not_for_the_door_to_say() {
    for (user, password) in [(None, "anything"), (Some("x"), "eyJa.eyJb.c"), (Some("x"), "yz_abc")] {
        let shown = Some(Hidden(password.as_bytes()));
        let connect = Connect { user_name: user, password: shown, ..connect(V5) };
        let story = silent(Config::default()).client(connecting(connect));
        asked_hello(story, |hello| match &hello.credentials {
            Credentials::Password { user: asked, password: secret } => {
                assert_eq!((&**asked, &**secret), (user.unwrap_or_default(), password));
            }
            other => panic!("{other:?}"),
        });
    }
}

#[test]
fn a_certificate_says_who_the_client_is() {
    let terms = terms(Config::default());
    let story: Story = Script::new(|now| Client::new(now, terms, Carrier::Stream, Some("pump".into())));
    asked_hello(story.client(connecting(connect(V4))), |hello| match hello.credentials {
        Credentials::Certificate { user } => assert_eq!(&*user, "pump"),
        other => panic!("{other:?}"),
    });
}

/// MQTT-3.2.2-15
#[test]
fn a_client_that_takes_not_even_connack_is_let_go() {
    let mut tiny = connect(V5);
    tiny.properties.maximum_packet_size = std::num::NonZeroU32::new(4);
    silent(Config::default()).client(connecting(tiny)).asked(drop).backend(welcome(HOUR)).closed(1009);
}

#[test]
fn refusals_have_the_codes_of_each_version() {
    for (refused, v4, v5) in [
        (Refused::NotAdmitted, 4, Reason::BadUserNameOrPassword),
        (Refused::Banned("flapping".into()), 5, Reason::Banned),
        (Refused::TooManyAttempts(HOUR), 3, Reason::ConnectionRateExceeded),
        (Refused::Stopping, 3, Reason::ServerUnavailable),
    ] {
        let asked = || silent(Config::default());
        let story = asked().client(connecting(connect(V4))).asked(drop);
        let (packets, end) = story.backend(Answer::Refused(refused.clone())).rest();
        assert_eq!((packets, end.is_some()), (vec![vec![0x20, 2, 0, v4]], true), "{refused}");
        let story = asked().client(connecting(connect(V5))).asked(drop);
        drop(story.backend(Answer::Refused(refused)).hears(refuses(V5, v5)));
    }
}

/// MQTT-3.1.2-1, MQTT-3.1.2-2
#[test]
fn other_versions_are_refused_politely() {
    // MQIsdp, level 3.
    let old = [0x10, 16, 0, 6, b'M', b'Q', b'I', b's', b'd', b'p', 3, 2, 0, 0, 0, 2, b'c', b'1'];
    silent(Config::default()).client(old).server([0x20, 2, 0, 1]).closed(1002);
    let new = [0x10, 12, 0, 4, b'M', b'Q', b'T', b'T', 6, 2, 0, 0, 0, 0];
    silent(Config::default()).client(new).hears(refuses(V5, Reason::UnsupportedVersion)).closed(1002);
}

/// MQTT-3.1.0-1
#[test]
fn whatever_comes_before_connect_ends_the_talk_without_a_word() {
    silent(Config::default()).client(PINGREQ).closed(1002);
    silent(Config::default()).client(b"GET / HTTP/1.1\r\n\r\n").closed(1002);
}

/// MQTT-3.1.0-2
#[test]
fn a_second_connect_ends_the_talk() {
    open(V4).client(connecting(connect(V4))).closed(1002);
    open(V5).client(connecting(connect(V5))).hears(disconnects(Reason::ProtocolError)).closed(1002);
}

#[test]
fn a_malformed_connect_is_answered_in_5_0_only() {
    let mut packet = connecting(connect(V4));
    packet[9] |= 1;
    silent(Config::default()).client(packet).closed(1002);
    let mut packet = connecting(connect(V5));
    packet[9] |= 1;
    silent(Config::default()).client(packet).hears(refuses(V5, Reason::MalformedPacket)).closed(1002);
}

/// MQTT 5 §3.1.4
#[test]
fn packets_behind_connect_wait_for_its_answer() {
    let mut packets = connecting(connect(V4));
    packets.extend(publishing(V4, publish(QOS1, 7, "a", b"x")));
    packets.extend(PINGREQ);
    silent(Config::default())
        .client(packets)
        .asked(|call| drop(hello(call)))
        .asked_nothing()
        .backend(welcome(Duration::ZERO))
        .server([0x20, 2, 0, 0])
        .server(PINGRESP)
        .asked(|call| assert_eq!(published(call).topic.as_str(), "a"))
        .backend(receipt())
        .server(puback(7))
        .open();
}

#[test]
fn a_will_becomes_the_sessions_last_message() {
    let will = |topic| Will {
        qos: QOS1,
        retain: true,
        properties: WillProperties {
            delay: Some(5),
            message_expiry: Some(60),
            content_type: Some("a/b"),
            ..WillProperties::default()
        },
        topic,
        payload: b"gone",
    };
    let connect = |topic| Connect { will: Some(will(topic)), ..connect(V5) };
    let story = silent(Config::default()).client(connecting(connect("w/1")));
    asked_hello(story, |hello| {
        let LastMessage { publish, delay } = hello.last_message.unwrap();
        assert_eq!(delay, Some(Duration::from_secs(5)));
        assert_eq!((publish.topic.as_str(), &publish.body[..]), ("w/1", &b"gone"[..]));
        assert_eq!((publish.key.as_deref(), publish.qos), (Some(RETAINED), QOS1));
        assert_eq!(publish.expires_in, Some(Duration::from_secs(60)));
        assert_eq!(publish.content.media_type(), "a/b");
    });
    let story = silent(Config::default()).client(connecting(connect("a\u{7}")));
    story.hears(refuses(V5, Reason::TopicNameInvalid)).closed(1002);
}

#[test]
fn a_will_above_what_is_allowed_is_refused() {
    let will =
        |retain| Will { qos: QOS2, retain, properties: WillProperties::default(), topic: "w", payload: b"" };
    let config = || Config { qos_max: 1, ..Config::default() };
    let connect = |retain| connecting(Connect { will: Some(will(retain)), ..connect(V5) });
    silent(config()).client(connect(false)).hears(refuses(V5, Reason::QosNotSupported)).closed(1002);
    let config = Config { retain: false, ..Config::default() };
    silent(config).client(connect(true)).hears(refuses(V5, Reason::RetainNotSupported)).closed(1002);
}

#[test]
fn response_information_is_told_to_who_asks() {
    let config = || Config { response_information: "answers/%c".into(), ..Config::default() };
    let mut asking = connect(V5);
    asking.properties.request_response_information = Some(true);
    for (connect, told) in [(asking, Some("answers/c1")), (connect(V5), None)] {
        let story = silent(config()).client(connecting(connect)).asked(drop);
        drop(story.backend(welcome(Duration::ZERO)).hears(|packet| {
            assert_eq!(connack(packet, V5).properties.response_information, told);
        }));
    }
}

#[test]
fn the_servers_keep_alive_is_told() {
    let config = Config { server_keep_alive: Some(30), ..Config::default() };
    let story = silent(config).client(connecting(connect(V5))).asked(drop);
    drop(story.backend(welcome(Duration::ZERO)).hears(|packet| {
        assert_eq!(connack(packet, V5).properties.server_keep_alive, Some(30));
    }));
}

fn auth(reason: Reason, method: &'static str, data: &'static [u8]) -> Vec<u8> {
    let properties =
        AuthProperties { method: Some(method), data: Some(Hidden(data)), ..AuthProperties::default() };
    bytes(V5, &Packet::Auth(Auth { reason, properties }))
}

fn proves(data: &'static [u8]) -> impl FnOnce(Call) {
    move |call| match call {
        Call::Prove(prove) => {
            assert_eq!((&*prove.mechanism, &prove.data.0[..]), ("SCRAM-SHA-256", data));
        }
        call => panic!("{call:?}"),
    }
}

fn proving() -> Story {
    let mut connect = connect(V5);
    connect.properties.authentication_method = Some("SCRAM-SHA-256");
    connect.properties.authentication_data = Some(Hidden(b"one"));
    silent(Config::default()).client(connecting(connect)).asked(proves(b"one"))
}

fn proven() -> Story {
    proving()
        .backend(Answer::Challenge((&b"two"[..]).into()))
        .server(auth(Reason::ContinueAuthentication, "SCRAM-SHA-256", b"two"))
        .client(auth(Reason::ContinueAuthentication, "SCRAM-SHA-256", b"three"))
        .asked(proves(b"three"))
        .backend(Answer::Proven((&b"four"[..]).into()))
}

/// MQTT 5 §4.12
#[test]
fn an_authentication_in_steps_ends_in_connack() {
    let story = asked_hello(proven(), |hello| assert!(matches!(hello.credentials, Credentials::Proven)));
    drop(story.backend(welcome(Duration::ZERO)).hears(|packet| {
        let properties = connack(packet, V5).properties;
        assert_eq!(properties.authentication_method, Some("SCRAM-SHA-256"));
        assert_eq!(properties.authentication_data, Some(Hidden(b"four")));
    }));
}

#[test]
fn an_unknown_method_is_refused() {
    let refused = Answer::Refused(Refused::NoMechanism("SCRAM-SHA-256".into()));
    proving().backend(refused).hears(refuses(V5, Reason::BadAuthenticationMethod)).closed(4003);
}

#[test]
fn during_an_authentication_nothing_else_is_taken() {
    let challenged = || {
        proving().backend(Answer::Challenge((&b"two"[..]).into())).server(auth(
            Reason::ContinueAuthentication,
            "SCRAM-SHA-256",
            b"two",
        ))
    };
    challenged().client(PINGREQ).closed(1002);
    let other = auth(Reason::ContinueAuthentication, "PLAIN", b"x");
    challenged().client(other).hears(refuses(V5, Reason::BadAuthenticationMethod)).closed(4003);
    challenged().pass(Duration::from_secs(10)).closed(4001);
}

/// MQTT 5 §4.12.1
#[test]
fn a_client_may_authenticate_anew() {
    let story = asked_hello(proven(), drop).backend(welcome(Duration::ZERO)).hears(|_| {});
    story
        .client(auth(Reason::Reauthenticate, "SCRAM-SHA-256", b"one"))
        .asked(proves(b"one"))
        .backend(Answer::Challenge((&b"two"[..]).into()))
        .server(auth(Reason::ContinueAuthentication, "SCRAM-SHA-256", b"two"))
        .client(auth(Reason::ContinueAuthentication, "SCRAM-SHA-256", b"three"))
        .asked(proves(b"three"))
        .backend(Answer::Proven((&b"four"[..]).into()))
        .server(auth(Reason::Success, "SCRAM-SHA-256", b"four"))
        .client(auth(Reason::Reauthenticate, "SCRAM-SHA-256", b"one"))
        .asked(proves(b"one"))
        .backend(Answer::Refused(Refused::NotAdmitted))
        .hears(disconnects(Reason::Unspecified))
        .closed(4003);
}

#[test]
fn auth_without_a_method_in_connect_is_a_fault() {
    let story = open(V5).client(auth(Reason::Reauthenticate, "SCRAM-SHA-256", b"one"));
    story.hears(disconnects(Reason::ProtocolError)).closed(1002);
}
