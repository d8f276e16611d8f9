use super::*;
use wire::Kind;

fn windowed(version: Version, window: u16) -> Story {
    match version {
        V4 => {
            let config = Config { inflight_max: window, ..Config::default() };
            open_with(connect(V4), config, Duration::ZERO)
        }
        V5 => {
            let mut connect = connect(V5);
            connect.properties.receive_maximum = NonZeroU16::new(window);
            open_with(connect, Config::default(), Duration::ZERO)
        }
    }
}

fn changed(record: &Arc<Record>, change: impl FnOnce(&mut Message)) -> Arc<Record> {
    let mut message = record.message.clone();
    change(&mut message);
    Arc::new(Record::new(record.position, record.seq, record.at, message))
}

/// MQTT-3.8.4-8
#[test]
fn a_record_comes_with_what_both_sides_want_at_most() {
    for version in BOTH {
        for (wanted, sent, qos) in [
            (QOS0, QOS2, QOS0),
            (QOS1, QOS2, QOS1),
            (QOS2, QOS1, QOS1),
            (QOS2, QOS0, QOS0),
            (QOS2, QOS2, QOS2),
        ] {
            listening(open(version), version, wanted)
                .deliver([delivery(1, &unkept(sent, b"x"))])
                .server(heard(version, qos, 1, b"x"))
                .silent();
        }
    }
}

#[test]
fn a_batch_of_qos_0_is_one_copy() {
    for version in BOTH {
        let records = [unkept(QOS2, b"one"), unkept(QOS0, b"two"), unkept(QOS1, b"three")];
        let all = [&b"one"[..], b"two", b"three"].map(|body| heard(version, QOS0, 0, body)).concat();
        listening(open(version), version, QOS0).deliver([batch(1, &records)]).server(all).silent();
        let records = [unkept(QOS0, b"one"), unkept(QOS0, b"two")];
        let all = [&b"one"[..], b"two"].map(|body| heard(version, QOS0, 0, body)).concat();
        listening(open(version), version, QOS2).deliver([batch(1, &records)]).server(all).silent();
    }
}

#[test]
fn a_batch_of_qos_1_has_an_identifier_for_each() {
    let records = [unkept(QOS2, b"one"), unkept(QOS2, b"two")];
    listening(open(V4), V4, QOS1)
        .deliver([batch(1, &records)])
        .server(heard(V4, QOS1, 1, b"one"))
        .server(heard(V4, QOS1, 2, b"two"))
        .client(puback(1))
        .client(puback(2))
        .deliver([delivery(3, &records[0])])
        .server(heard(V4, QOS1, 3, b"one"));
}

/// MQTT-3.3.4-7
#[test]
fn no_more_is_under_way_than_the_client_takes() {
    for version in BOTH {
        let records = [&b"1"[..], b"2", b"3", b"4", b"5"].map(|body| unkept(QOS2, body));
        listening(windowed(version, 2), version, QOS1)
            .deliver([batch(1, &records)])
            .server(heard(version, QOS1, 1, b"1"))
            .server(heard(version, QOS1, 2, b"2"))
            .silent()
            .look(|connection, _| assert!(!connection.takes_delivery()))
            .client(puback(2))
            .server(heard(version, QOS1, 3, b"3"))
            .silent()
            .client([puback(1), puback(3)].concat())
            .server(heard(version, QOS1, 4, b"4"))
            .server(heard(version, QOS1, 5, b"5"))
            .look(|connection, _| assert!(!connection.takes_delivery()))
            .client(puback(4))
            .look(|connection, _| assert!(connection.takes_delivery()));
    }
}

/// MQTT-4.3.3-1 to -6
#[test]
fn qos_2_goes_through_all_its_steps() {
    for version in BOTH {
        listening(windowed(version, 1), version, QOS2)
            .deliver([delivery(1, &unkept(QOS2, b"x"))])
            .server(heard(version, QOS2, 1, b"x"))
            .client(pubrec(1))
            .server(pubrel(1))
            .look(|connection, _| assert!(!connection.takes_delivery(), "it counts until PUBCOMP"))
            .client(pubrec(1))
            .server(pubrel(1))
            .client(pubcomp(1))
            .look(|connection, _| assert!(connection.takes_delivery()))
            .client(pubcomp(1))
            .silent()
            .open();
    }
}

#[test]
fn a_client_that_refuses_a_message_is_not_asked_again() {
    for (qos, kind) in [(QOS1, 0x40), (QOS2, 0x50)] {
        listening(windowed(V5, 1), V5, qos)
            .deliver([delivery(1, &unkept(QOS2, b"x"))])
            .server(heard(V5, qos, 1, b"x"))
            .client([kind, 3, 0, 1, 0x80])
            .silent()
            .look(|connection, _| assert!(connection.takes_delivery()));
    }
}

#[test]
fn acks_of_what_was_never_sent_are_passed_over() {
    drop(listening(open(V4), V4, QOS1).client(puback(7)).client(pubcomp(7)).silent().open());
    drop(listening(open(V5), V5, QOS1).client(puback(7)).client(pubcomp(7)).silent().open());
    drop(open(V4).client(pubrec(7)).server(pubrel(7)));
    drop(open(V5).client(pubrec(7)).hears(acknowledges(Kind::Pubrel, 7, Reason::PacketIdNotFound)));
}

#[test]
fn an_ack_that_does_not_fit_ends_the_talk_in_5_0() {
    let sent = |version| {
        listening(open(version), version, QOS2)
            .deliver([delivery(1, &unkept(QOS2, b"x"))])
            .server(heard(version, QOS2, 1, b"x"))
    };
    sent(V5).client(puback(1)).hears(disconnects(Reason::ProtocolError)).closed(1002);
    sent(V5).client(pubcomp(1)).hears(disconnects(Reason::ProtocolError)).closed(1002);
    drop(sent(V4).client(puback(1)).client(pubcomp(1)).silent().client(pubrec(1)).server(pubrel(1)).open());
}

/// MQTT-3.3.1-8, MQTT-3.3.1-12, MQTT-3.3.1-13
#[test]
fn the_retain_flag_is_set_while_the_state_comes_and_then_as_published_where_wanted() {
    let keyed = changed(&unkept(QOS2, b"x"), |message| message.key = Some(RETAINED.into()));
    let options = |retain_as_published| Options { qos: QOS0, retain_as_published, ..Options::default() };
    for (wanted, after) in [(false, heard(V5, QOS0, 0, b"x")), (true, retained(heard(V5, QOS0, 0, b"x")))] {
        open(V5)
            .client(subscribing(V5, 1, &[("t/#", options(wanted))]))
            .backend(subscribed(1))
            .server(suback(V5, 1, &[Reason::Success]))
            .deliver([delivery(1, &keyed), Delivery::StateEnd { subscription: 1 }, delivery(2, &keyed)])
            .server(retained(heard(V5, QOS0, 0, b"x")))
            .server(after);
    }
}

/// MQTT-3.3.4-3
#[test]
fn a_subscription_identifier_goes_along() {
    let subscription_id = SubscriptionIdentifier::new(300);
    let properties = SubscribeProperties { subscription_id, ..SubscribeProperties::default() };
    let filters = vec![("t/#", at_most(QOS1))];
    let with_id = |qos, id| {
        let subscription_ids = subscription_id.into_iter().collect();
        let properties = PublishProperties { subscription_ids, ..PublishProperties::default() };
        publishing(V5, Publish { properties, ..publish(qos, id, "t/1", b"x") })
    };
    open(V5)
        .client(bytes(V5, &Packet::Subscribe(Subscribe { id: pid(1), properties, filters })))
        .backend(subscribed(1))
        .server(suback(V5, 1, &[Reason::GrantedQos1]))
        .deliver([Delivery::StateEnd { subscription: 1 }])
        .deliver([batch(1, &[unkept(QOS0, b"x"), unkept(QOS1, b"x")])])
        .server(with_id(QOS0, 0))
        .server(with_id(QOS1, 1));
}

/// MQTT-3.3.2-6
#[test]
fn the_expiry_is_what_is_left_of_it() {
    let in_a_minute = changed(&unkept(QOS2, b"x"), |message| {
        message.expires_at = Some(AT.plus(Duration::from_secs(60)));
    });
    let with_expiry = |seconds| {
        let properties = PublishProperties { message_expiry: Some(seconds), ..PublishProperties::default() };
        publishing(V5, Publish { properties, ..publish(QOS0, 0, "t/1", b"x") })
    };
    listening(open(V5), V5, QOS0)
        .pass(Duration::from_millis(1))
        .deliver([delivery(1, &in_a_minute)])
        .server(with_expiry(60))
        .pass(Duration::from_millis(20_500))
        .deliver([delivery(2, &in_a_minute)])
        .server(with_expiry(40));
}

/// MQTT-3.3.2-5
#[test]
fn what_expired_while_it_waited_for_the_window_is_not_sent() {
    let short = changed(&unkept(QOS2, b"x"), |message| {
        message.expires_at = Some(AT.plus(Duration::from_secs(10)));
    });
    listening(windowed(V4, 1), V4, QOS1)
        .deliver([delivery(1, &unkept(QOS2, b"a")), delivery(2, &short), delivery(3, &unkept(QOS2, b"b"))])
        .server(heard(V4, QOS1, 1, b"a"))
        .pass(Duration::from_secs(11))
        .client(puback(1))
        .server(heard(V4, QOS1, 2, b"b"))
        .look(|connection, _| assert_eq!(connection.terms.meters.dropped_expired.value(), 1));
}

/// MQTT-3.1.2-24, MQTT-3.1.2-25
#[test]
fn a_packet_larger_than_the_client_takes_counts_as_sent() {
    let mut small = keeping(V5);
    small.properties.maximum_packet_size = std::num::NonZeroU32::new(30);
    let small = open_with(small, Config::default(), HOUR);
    let fitting = heard(V5, QOS1, 1, &[b'x'; 20]);
    assert_eq!(fitting.len(), 30);
    listening(small, V5, QOS1)
        .deliver([delivery(1, &kept(5, QOS1, &[b'x'; 21])), delivery(2, &kept(6, QOS1, &[b'x'; 20]))])
        .server(fitting)
        .look(|connection, _| assert_eq!(connection.terms.meters.dropped_too_large.value(), 1))
        .client(puback(1))
        .asked(acks(1, Acked::Position(position(6))));
}

#[test]
fn a_client_that_takes_aliases_is_given_them() {
    let mut taking = connect(V5);
    taking.properties.topic_alias_maximum = Some(1);
    let story = listening(open_with(taking, Config::default(), Duration::ZERO), V5, QOS0);
    let record = |topic| Arc::new(Record::new(None, 0, AT, message(topic, QOS2, b"x")));
    let aliased = |topic, alias| {
        let topic_alias = NonZeroU16::new(alias);
        let properties = PublishProperties { topic_alias, ..PublishProperties::default() };
        publishing(V5, Publish { properties, ..publish(QOS0, 0, topic, b"x") })
    };
    let (long, other) = (record("t/a/long/topic"), record("t/another/long/topic"));
    story
        .deliver([delivery(1, &long), delivery(2, &other), delivery(3, &long), delivery(4, &record("t/1"))])
        .server(aliased("t/a/long/topic", 1))
        .server(publishing(V5, publish(QOS0, 0, "t/another/long/topic", b"x")))
        .server(aliased("", 1))
        .server(publishing(V5, publish(QOS0, 0, "t/1", b"x")));
}

#[test]
fn a_session_that_ends_with_its_connection_acks_nothing_to_the_hub() {
    listening(open(V4), V4, QOS1)
        .deliver([delivery(1, &kept(5, QOS1, b"x")), delivery(2, &unkept(QOS0, b"x"))])
        .client(puback(1))
        .pass(HOUR)
        .asked_nothing();
}

#[test]
fn the_hub_is_told_once_a_step_how_far_the_client_has_a_kept_subscription() {
    let records: Vec<_> = (5..9).map(|offset| kept(offset, QOS1, b"x")).collect();
    let story = listening(open_kept(V4), V4, QOS1).deliver([batch(1, &records)]);
    story
        .client([puback(1), puback(2)].concat())
        .asked(acks(1, Acked::Position(position(6))))
        .asked_nothing()
        .client(puback(4))
        .asked_nothing()
        .client(puback(3))
        .asked(acks(1, Acked::Position(position(8))))
        .asked_nothing();
}

#[test]
fn of_spaces_that_keep_nothing_the_hub_is_told_the_number() {
    listening(open_kept(V4), V4, QOS1)
        .deliver([delivery(7, &unkept(QOS1, b"x")), delivery(8, &unkept(QOS0, b"y"))])
        .client(puback(1))
        .asked(acks(1, Acked::Number(8)))
        .asked_nothing();
}

#[test]
fn of_qos_0_the_hub_is_told_after_a_while() {
    let records: Vec<_> = (5..8).map(|offset| kept(offset, QOS0, b"x")).collect();
    listening(open_kept(V4), V4, QOS1)
        .deliver([batch(1, &records)])
        .asked_nothing()
        .pass(Duration::from_secs(1))
        .asked(acks(1, Acked::Position(position(7))))
        .backend(Answer::Done)
        .pass(HOUR)
        .asked_nothing();
}

#[test]
fn deliveries_of_a_group_are_acked_each_on_its_own() {
    let story = open(V4)
        .client(subscribing(V4, 1, &[("$share/g/t/#", at_most(QOS1))]))
        .asked(drop)
        .backend(subscribed(1))
        .server(suback(V4, 1, &[Reason::GrantedQos1]));
    story
        .deliver([
            delivery(1, &kept(5, QOS1, b"x")),
            delivery(2, &kept(6, QOS1, b"x")),
            delivery(3, &unkept(QOS0, b"x")),
        ])
        .asked_nothing()
        .client(puback(2))
        .asked(acks(1, Acked::One(2)))
        .client(puback(1))
        .asked(acks(1, Acked::One(1)))
        .asked_nothing();
}

#[test]
fn in_a_kept_session_qos_2_is_sent_once_its_identifier_is_saved_and_released_once_that_is() {
    let records = [kept(5, QOS2, b"a"), kept(6, QOS1, b"b"), kept(7, QOS2, b"c")];
    listening(open_kept(V4), V4, QOS2)
        .deliver([batch(1, &records)])
        .silent()
        .asked(is_save)
        .look(|connection, _| assert!(!connection.takes_delivery()))
        .backend(Answer::Done)
        .server(heard(V4, QOS2, 1, b"a"))
        .server(heard(V4, QOS1, 2, b"b"))
        .server(heard(V4, QOS2, 3, b"c"))
        .client([pubrec(1), puback(2), pubrec(3)].concat())
        .silent()
        .asked(is_save)
        .backend(Answer::Done)
        .server(pubrel(1))
        .server(pubrel(3))
        .client([pubcomp(1), pubcomp(3)].concat())
        .asked(acks(1, Acked::Position(position(7))))
        .asked_nothing();
}

#[test]
fn a_kept_session_that_cannot_be_saved_sends_no_qos_2() {
    listening(open_kept(V5), V5, QOS2)
        .deliver([delivery(1, &kept(5, QOS2, b"x"))])
        .asked(is_save)
        .backend(Answer::Refused(Refused::Store(StoreError::Full)))
        .hears(disconnects(Reason::Unspecified))
        .closed(1011);
}

#[test]
fn the_hub_may_end_the_talk_among_deliveries() {
    for (close, reason) in [
        (Close::TAKEN_OVER, Reason::SessionTakenOver),
        (Close::KICKED, Reason::AdministrativeAction),
        (Close::TOO_SLOW, Reason::QuotaExceeded),
    ] {
        let code = close.code;
        listening(open(V5), V5, QOS0)
            .deliver([delivery(1, &unkept(QOS0, b"x")), Delivery::Leave(close)])
            .server(heard(V5, QOS0, 0, b"x"))
            .hears(disconnects(reason))
            .closed(code);
    }
    listening(open(V4), V4, QOS0).deliver([Delivery::Leave(Close::KICKED)]).closed(4030);
}

#[test]
fn properties_come_through_templates_as_they_were_published() {
    let record = changed(&unkept(QOS2, b"{}"), |message| {
        message.content = yizhan_hub::Content::Json;
        message.headers = Arc::new([("reply-to".into(), "r".into()), ("a".into(), "1".into())]);
    });
    let properties = PublishProperties {
        payload_is_utf8: Some(true),
        content_type: Some("application/json"),
        response_topic: Some("r"),
        user: vec![("a", "1")],
        ..PublishProperties::default()
    };
    let said = Publish { properties, ..publish(QOS1, 1, "t/1", b"{}") };
    drop(listening(open(V5), V5, QOS1).deliver([delivery(1, &record)]).server(publishing(V5, said)));
    let story = listening(open(V4), V4, QOS1).deliver([delivery(1, &record)]);
    drop(story.server(heard(V4, QOS1, 1, b"{}")));
}
