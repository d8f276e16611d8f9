use super::*;
use wire::Kind;

fn refused(version: Version, qos: Qos, refused: Refused) -> Story {
    open(version)
        .client(publishing(version, publish(qos, 7, "a", b"x")))
        .asked(drop)
        .backend(Answer::Refused(refused))
}

fn not_allowed() -> Refused {
    Refused::NotAllowed { action: yizhan_hub::Action::Publish, name: "a".into() }
}

#[test]
fn qos_0_is_published_and_nothing_is_said() {
    for version in BOTH {
        open(version)
            .client(publishing(version, publish(QOS0, 0, "a/b", b"hello")))
            .asked(|call| {
                let publish = published(call);
                assert_eq!((publish.topic.as_str(), &publish.body[..]), ("a/b", &b"hello"[..]));
                assert_eq!((publish.qos, publish.key, publish.id), (QOS0, None, None));
            })
            .backend(receipt())
            .silent()
            .open();
    }
}

/// MQTT-4.3.2-4
#[test]
fn qos_1_is_acknowledged_when_the_hub_has_it_and_not_before() {
    for version in BOTH {
        open(version)
            .client(publishing(version, publish(QOS1, 7, "a", b"x")))
            .silent()
            .asked(|call| assert_eq!(published(call).qos, QOS1))
            .backend(receipt())
            .server(puback(7))
            .silent()
            .open();
    }
}

/// MQTT-4.6.0-2
#[test]
fn pubacks_go_out_in_the_order_of_publishes_refused_ones_too() {
    open(V5)
        .client(publishing(V5, publish(QOS1, 7, "a", b"x")))
        .client(publishing(V5, publish(QOS1, 8, "bad\u{1}", b"x")))
        .client(publishing(V5, publish(QOS1, 9, "a", b"x")))
        .silent()
        .backend(receipt())
        .server(puback(7))
        .hears(acknowledges(Kind::Puback, 8, Reason::TopicNameInvalid))
        .silent()
        .backend(receipt())
        .server(puback(9));
}

#[test]
fn a_retained_message_has_the_key_of_retained_messages() {
    let publish = Publish { retain: true, ..publish(QOS1, 7, "a", b"x") };
    open(V4).client(publishing(V4, publish)).asked(|call| {
        assert_eq!(published(call).key.as_deref(), Some(RETAINED));
    });
}

#[test]
fn properties_become_content_headers_and_expiry() {
    let properties = PublishProperties {
        payload_is_utf8: Some(true),
        message_expiry: Some(60),
        response_topic: Some("r"),
        correlation_data: Some(b"\xff"),
        user: vec![("a", "1"), ("a", "2")],
        ..PublishProperties::default()
    };
    let publish = Publish { properties, ..publish(QOS0, 0, "a", b"text") };
    open(V5).client(publishing(V5, publish)).asked(|call| {
        let publish = published(call);
        assert_eq!(publish.content, yizhan_hub::Content::Text);
        assert_eq!(publish.expires_in, Some(Duration::from_secs(60)));
        let headers: Vec<_> = publish.headers.iter().map(|(n, v)| (&**n, &**v)).collect();
        assert_eq!(headers, [("reply-to", "r"), ("correlation-base64", "/w=="), ("a", "1"), ("a", "2")]);
    });
}

#[test]
fn a_payload_that_is_not_utf8_as_said_is_refused() {
    let properties = || PublishProperties { payload_is_utf8: Some(true), ..PublishProperties::default() };
    let packet = |qos| publishing(V5, Publish { properties: properties(), ..publish(qos, 7, "a", b"\xff") });
    let story = open(V5).client(packet(QOS1)).asked_nothing();
    drop(story.hears(acknowledges(Kind::Puback, 7, Reason::PayloadFormatInvalid)).open());
    let story = open(V5).client(packet(QOS0)).asked_nothing();
    story.hears(disconnects(Reason::PayloadFormatInvalid)).closed(1002);
}

#[test]
fn a_delayed_message_waits_in_the_hub() {
    open(V4).client(publishing(V4, publish(QOS1, 7, "$delayed/60/a", b"x"))).asked(|call| {
        let publish = published(call);
        assert_eq!((publish.topic.as_str(), publish.delay), ("a", Some(Duration::from_secs(60))));
    });
}

#[test]
fn a_refused_publish_has_its_reason_in_5_0() {
    for (why, reason) in [
        (not_allowed(), Reason::NotAuthorized),
        (Refused::NoSpace(Topic::new("a").unwrap()), Reason::TopicNameInvalid),
        (Refused::HeadersTooLarge, Reason::QuotaExceeded),
        (Refused::Store(StoreError::Full), Reason::QuotaExceeded),
        (Refused::Store(StoreError::Busy), Reason::Unspecified),
    ] {
        let story = refused(V5, QOS1, why.clone());
        drop(story.hears(acknowledges(Kind::Puback, 7, reason)).open());
        let story = refused(V5, QOS2, why);
        drop(story.hears(acknowledges(Kind::Pubrec, 7, reason)).open());
    }
}

#[test]
fn reason_strings_are_left_out_where_the_client_wants_none() {
    let mut terse = connect(V5);
    terse.properties.request_problem_information = Some(false);
    open_with(terse, Config::default(), Duration::ZERO)
        .client(publishing(V5, publish(QOS1, 7, "a", b"x")))
        .asked(drop)
        .backend(Answer::Refused(not_allowed()))
        .server([0x40, 3, 0, 7, 0x87]);
}

#[test]
fn what_may_not_be_published_is_acknowledged_and_dropped_in_3_1_1() {
    drop(refused(V4, QOS1, not_allowed()).server(puback(7)).open());
    let story = refused(V4, QOS2, not_allowed()).server(pubrec(7));
    drop(story.client(pubrel(7)).server(pubcomp(7)).open());
}

#[test]
fn what_is_not_safe_is_not_acknowledged_in_3_1_1() {
    refused(V4, QOS1, Refused::Store(StoreError::Full)).closed(1011);
    refused(V4, QOS2, Refused::Stopping).closed(1001);
}

fn limited() -> Story {
    let mut opened = opened(Duration::ZERO, false);
    let rates = Rates { messages_per_second: Some(1), ..Rates::default() };
    opened.principal = Arc::new(Principal { rates, ..Principal::clone(&opened.principal) });
    silent(Config::default())
        .client(connecting(Connect { keep_alive: 2, ..connect(V4) }))
        .asked(drop)
        .backend(Answer::Opened(Box::new(opened)))
        .server([0x20, 2, 0, 0])
}

#[test]
fn what_comes_too_fast_is_published_later_and_nothing_is_read_meanwhile() {
    let too_fast = || Answer::Refused(Refused::TooFast(Duration::from_secs(5)));
    limited()
        .client(publishing(V4, publish(QOS1, 7, "a", b"one")))
        .client(publishing(V4, publish(QOS1, 8, "a", b"two")))
        .asked(drop)
        .asked(drop)
        .backend(too_fast())
        .backend(too_fast())
        .client(PINGREQ)
        .silent()
        .look(|connection, _| assert!(!connection.takes_input()))
        // Longer than its keep alive: who is not listened to is not gone.
        .pass(Duration::from_secs(5))
        .asked(|call| assert_eq!(published(call).body[..], *b"one"))
        .asked(|call| assert_eq!(published(call).body[..], *b"two"))
        .server(PINGRESP)
        .backend(receipt())
        .server(puback(7))
        .backend(too_fast())
        .pass(Duration::from_secs(5))
        .asked(|call| assert_eq!(published(call).body[..], *b"two"))
        .backend(receipt())
        .server(puback(8))
        .client(PINGREQ)
        .server(PINGRESP)
        .open();
}

/// MQTT-4.3.3-8 to -10
#[test]
fn qos_2_is_received_once() {
    for version in BOTH {
        let packet = publishing(version, publish(QOS2, 7, "a", b"x"));
        open(version)
            .client(&packet)
            .asked(|call| assert_eq!(published(call).id, None, "nobody comes back to this session"))
            // Repeated before the hub has answered, and after.
            .client(again(packet.clone()))
            .asked_nothing()
            .silent()
            .backend(receipt())
            .server(pubrec(7))
            .client(again(packet.clone()))
            .server(pubrec(7))
            .client(pubrel(7))
            .server(pubcomp(7))
            .client(&packet)
            .asked(drop)
            .asked_nothing();
    }
}

#[test]
fn a_release_of_nothing_is_answered() {
    drop(open(V4).client(pubrel(9)).server(pubcomp(9)).open());
    let story = open(V5).client(pubrel(9));
    drop(story.hears(acknowledges(Kind::Pubcomp, 9, Reason::PacketIdNotFound)).open());
}

#[test]
fn in_a_kept_session_a_release_is_safe_before_pubcomp() {
    open_kept(V4)
        .client(publishing(V4, publish(QOS2, 7, "a", b"x")))
        .asked(|call| assert!(published(call).id.is_some()))
        .backend(receipt())
        .server(pubrec(7))
        .client(pubrel(7))
        .silent()
        .asked(is_save)
        .backend(Answer::Done)
        .server(pubcomp(7));
}

#[test]
fn all_releases_of_one_step_share_a_save() {
    let mut story = open_kept(V4);
    for id in 1..=3 {
        story = story.client(publishing(V4, publish(QOS2, id, "a", b"x"))).asked(drop).backend(receipt());
        story = story.server(pubrec(id));
    }
    story
        .client([pubrel(1), pubrel(2), pubrel(3)].concat())
        .asked(is_save)
        .asked_nothing()
        .backend(Answer::Done)
        .server(pubcomp(1))
        .server(pubcomp(2))
        .server(pubcomp(3));
}

#[test]
fn a_message_has_another_id_at_the_hub_than_the_one_before_under_its_identifier() {
    let mut ids = Vec::new();
    let mut story = open_kept(V5);
    for _ in 0..3 {
        story = story
            .client(publishing(V5, publish(QOS2, 7, "a", b"x")))
            .asked(|call| ids.push(published(call).id.unwrap()))
            .backend(receipt())
            .server(pubrec(7))
            .client(pubrel(7))
            .asked(is_save)
            .backend(Answer::Done)
            .server(pubcomp(7));
    }
    ids.dedup();
    assert_eq!(ids.len(), 3, "{ids:?}");
}

/// The client repeats what it had under way, and a release comes first: it says nothing about the others.
#[test]
fn a_release_after_a_crash_does_not_change_the_ids_of_other_messages() {
    let before = open_kept(V4);
    let written = saved(&before);
    let packet = publishing(V4, publish(QOS2, 8, "a", b"y"));
    let mut first = None;
    drop(
        before
            .client([publishing(V4, publish(QOS2, 7, "a", b"x")), packet.clone()].concat())
            .asked(drop)
            .asked(|call| first = published(call).id)
            .backend(receipt())
            .server(pubrec(7)),
    );
    let mut second = None;
    let after = come_back(V4, written).asked_nothing();
    drop(
        after
            .client([pubrel(7), again(packet)].concat())
            .asked(|call| second = published(call).id)
            .asked(is_save),
    );
    assert!(first.is_some());
    assert_eq!(first, second);
}

/// The server dies between the hub's commit and PUBREC, and the client repeats its PUBLISH.
#[test]
fn a_message_repeated_after_a_crash_has_the_same_id_at_the_hub() {
    let packet = publishing(V4, publish(QOS2, 8, "a", b"x"));
    let exchange = |story: Story, id: u16| {
        story
            .client(publishing(V4, publish(QOS2, id, "a", b"x")))
            .asked(drop)
            .backend(receipt())
            .server(pubrec(id))
            .client(pubrel(id))
            .asked(is_save)
    };
    let before = exchange(open_kept(V4), 7);
    // What was written when the save of the release was asked for.
    let written = saved(&before);
    let mut first = None;
    let before = before.backend(Answer::Done).server(pubcomp(7));
    drop(before.client(&packet).asked(|call| first = published(call).id));
    let mut second = None;
    let after = come_back(V4, written).asked_nothing();
    drop(after.client(again(packet)).asked(|call| second = published(call).id));
    assert!(first.is_some());
    assert_eq!(first, second);
}

#[test]
fn a_message_that_was_never_confirmed_is_published_again_under_its_id() {
    let packet = publishing(V4, publish(QOS2, 7, "a", b"x"));
    let mut first = None;
    let before = open_kept(V4).client(&packet).asked(|call| first = published(call).id);
    for kept in [live(&before), saved(&before)] {
        let mut second = None;
        let after = come_back(V4, kept).client(again(packet.clone()));
        let after = after.asked(|call| second = published(call).id).backend(receipt()).server(pubrec(7));
        drop(after.client(again(packet.clone())).server(pubrec(7)).asked_nothing());
        assert_eq!(first, second);
    }
}

#[test]
fn where_a_session_cannot_be_saved_the_talk_ends_and_nothing_is_said_too_early() {
    open_kept(V4)
        .client(pubrel(7))
        .asked(is_save)
        .backend(Answer::Refused(Refused::Store(StoreError::Full)))
        .closed(1011);
}

/// MQTT-3.3.4-9 for the server's own maximum.
#[test]
fn more_under_way_than_the_receive_maximum_ends_the_talk() {
    let config = || Config { receive_max: 2, ..Config::default() };
    let story = |version| open_with(connect(version), config(), Duration::ZERO);
    let one = |version, id, qos| publishing(version, publish(qos, id, "a", b"x"));
    story(V5)
        .client(one(V5, 1, QOS1))
        .client(one(V5, 2, QOS2))
        .backend(receipt())
        .server(puback(1))
        .client(one(V5, 3, QOS1))
        .client(one(V5, 4, QOS0))
        .client(one(V5, 5, QOS1))
        .hears(disconnects(Reason::ReceiveMaximumExceeded))
        .closed(4029);
    let story = story(V4).client(one(V4, 1, QOS1)).client(one(V4, 2, QOS1)).client(one(V4, 3, QOS1));
    drop(story.open());
}

/// MQTT-3.2.2-11, MQTT-3.2.2-14
#[test]
fn what_connack_ruled_out_ends_the_talk() {
    let config = Config { qos_max: 1, ..Config::default() };
    let story = open_with(connect(V5), config, Duration::ZERO);
    let story = story.client(publishing(V5, publish(QOS2, 7, "a", b"x")));
    story.hears(disconnects(Reason::QosNotSupported)).closed(1002);
    let config = Config { retain: false, ..Config::default() };
    let retained = Publish { retain: true, ..publish(QOS0, 0, "a", b"x") };
    let story = open_with(connect(V5), config, Duration::ZERO).client(publishing(V5, retained));
    story.hears(disconnects(Reason::RetainNotSupported)).closed(1002);
}

fn aliased(alias: u16, topic: &'static str) -> Vec<u8> {
    let topic_alias = NonZeroU16::new(alias);
    let properties = PublishProperties { topic_alias, ..PublishProperties::default() };
    publishing(V5, Publish { properties, ..publish(QOS0, 0, topic, b"x") })
}

/// MQTT 5 §3.3.2.3.4
#[test]
fn an_alias_stands_for_its_topic_until_it_is_set_anew() {
    let topic = |topic: &'static str| move |call| assert_eq!(published(call).topic.as_str(), topic);
    open(V5)
        .client(aliased(1, "one"))
        .asked(topic("one"))
        .client(aliased(1, ""))
        .asked(topic("one"))
        .client(aliased(1, "two"))
        .asked(topic("two"))
        .client(aliased(1, ""))
        .asked(topic("two"))
        .open();
}

/// MQTT-3.3.2-9
#[test]
fn an_alias_that_is_not_there_ends_the_talk() {
    open(V5).client(aliased(33, "one")).hears(disconnects(Reason::TopicAliasInvalid)).closed(1002);
    open(V5).client(aliased(2, "")).hears(disconnects(Reason::ProtocolError)).closed(1002);
}

/// MQTT-3.3.4-6
#[test]
fn a_client_sends_no_subscription_identifiers() {
    let subscription_ids = vec![SubscriptionIdentifier::new(1).unwrap()];
    let properties = PublishProperties { subscription_ids, ..PublishProperties::default() };
    let packet = publishing(V5, Publish { properties, ..publish(QOS0, 0, "a", b"x") });
    open(V5).client(packet).hears(disconnects(Reason::ProtocolError)).closed(1002);
}
