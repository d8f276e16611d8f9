use super::*;

fn disconnecting(reason: Reason, session_expiry: Option<u32>) -> Vec<u8> {
    let properties = DisconnectProperties { session_expiry, ..DisconnectProperties::default() };
    bytes(V5, &Packet::Disconnect(Disconnect { reason, properties }))
}

fn rests(keep: Option<u64>, says_last: bool) -> impl FnOnce(Call) {
    move |call| match call {
        Call::Rest { keep: kept, say_last } => {
            assert_eq!((kept, say_last), (keep.map(Duration::from_secs), says_last));
        }
        call => panic!("{call:?}"),
    }
}

/// A client that was sent these and has gone.
fn gone_with(version: Version, qos: Qos, records: &[Arc<Record>]) -> Story {
    let all = records.iter().enumerate().map(|(i, record)| delivery(i as u64 + 1, record));
    let story = listening(open_kept(version), version, qos).deliver(all);
    if qos == QOS2 { story.asked(is_save).backend(Answer::Done) } else { story }
}

#[test]
fn goodbye_lets_the_session_rest_and_the_will_is_forgotten() {
    open(V4).client([0xe0, 0]).asked(rests(None, false)).asked_nothing().closed(1000);
    let story = open(V5).client(disconnecting(Reason::Success, None));
    story.asked(rests(None, false)).closed(1000);
}

/// MQTT-3.14.4-3
#[test]
fn goodbye_for_another_reason_has_the_will_said() {
    let story = open(V5).client(disconnecting(Reason::DisconnectWithWill, None));
    story.asked(rests(None, true)).closed(1000);
}

#[test]
fn goodbye_may_change_how_long_the_session_is_kept() {
    let story = open_kept(V5).client(disconnecting(Reason::Success, Some(10)));
    story.asked(rests(Some(10), false)).closed(1000);
    let story = open_kept(V5).client(disconnecting(Reason::Success, Some(u32::MAX)));
    story.asked(rests(Some(7 * 86_400), false)).closed(1000);
    let story = open(V5).client(disconnecting(Reason::Success, Some(0)));
    story.asked(rests(Some(0), false)).closed(1000);
    let story = open(V5).client(disconnecting(Reason::Success, Some(10)));
    story.hears(disconnects(Reason::ProtocolError)).closed(1002);
}

#[test]
fn what_came_before_goodbye_is_told_to_the_hub() {
    listening(open_kept(V4), V4, QOS1)
        .deliver([delivery(1, &kept(5, QOS1, b"x"))])
        .client([puback(1), vec![0xe0, 0]].concat())
        .asked(acks(1, Acked::Position(position(5))))
        .asked(rests(None, false))
        .asked_nothing()
        .closed_after(heard(V4, QOS1, 1, b"x"));
}

trait ClosedAfter {
    fn closed_after(self, packet: Vec<u8>);
}

impl ClosedAfter for Story {
    fn closed_after(self, packet: Vec<u8>) {
        self.server(packet).closed(1000);
    }
}

/// MQTT-4.4.0-1
#[test]
fn what_was_not_acked_comes_again_under_its_identifier_as_a_duplicate() {
    for (version, records) in [
        (V4, [kept(5, QOS1, b"a"), kept(6, QOS1, b"b"), kept(7, QOS1, b"c")]),
        (V5, [unkept(QOS1, b"a"), unkept(QOS1, b"b"), unkept(QOS1, b"c")]),
    ] {
        let before = gone_with(version, QOS1, &records[..2]).client(puback(1));
        come_back(version, live(&before))
            .silent()
            .deliver([delivery(2, &records[1]), delivery(3, &records[2])])
            .server(again(heard(version, QOS1, 2, b"b")))
            .server(heard(version, QOS1, 3, b"c"))
            .client([puback(2), puback(3)].concat())
            .asked(|call| assert!(matches!(call, Call::Ack(1, _))))
            .asked_nothing();
    }
}

/// The client had acked out of order: the hub was told nothing of the second.
#[test]
fn what_was_acked_behind_something_else_does_not_come_again() {
    let records = [kept(5, QOS1, b"a"), kept(6, QOS1, b"b")];
    let before = gone_with(V4, QOS1, &records).client(puback(2)).asked_nothing();
    for session in [live(&before), saved(&before)] {
        come_back(V4, session)
            .deliver([delivery(1, &records[0]), delivery(2, &records[1])])
            .server(again(heard(V4, QOS1, 1, b"a")))
            .silent()
            .client(puback(1))
            .asked(acks(1, Acked::Position(position(6))));
    }
}

#[test]
fn a_release_that_was_not_completed_is_said_again_once_it_is_safe() {
    let records = [kept(5, QOS2, b"a"), kept(6, QOS2, b"b")];
    let before = gone_with(V4, QOS2, &records).client(pubrec(1)).asked(is_save);
    for session in [live(&before), saved(&before)] {
        come_back(V4, session)
            .silent()
            .asked(is_save)
            .backend(Answer::Done)
            .server(pubrel(1))
            .deliver([delivery(1, &records[0]), delivery(2, &records[1])])
            .asked(is_save)
            .silent()
            .backend(Answer::Done)
            .server(again(heard(V4, QOS2, 2, b"b")))
            .silent()
            .client(pubcomp(1))
            .asked(acks(1, Acked::Position(position(5))))
            .backend(Answer::Done)
            .client(pubrec(2))
            .asked(is_save)
            .backend(Answer::Done)
            .server(pubrel(2));
    }
}

#[test]
fn a_release_completed_before_its_record_comes_again_is_not_sent_again() {
    let records = [kept(5, QOS2, b"a")];
    let before = gone_with(V5, QOS2, &records).client(pubrec(1)).asked(is_save);
    come_back(V5, live(&before))
        .asked(is_save)
        .backend(Answer::Done)
        .server(pubrel(1))
        .client(pubcomp(1))
        .deliver([delivery(1, &records[0])])
        .asked(is_save)
        .backend(Answer::Done)
        .silent()
        .client(PINGREQ)
        .server(PINGRESP)
        .asked(acks(1, Acked::Position(position(5))));
}

#[test]
fn an_identifier_that_the_client_may_still_know_is_not_used_for_another_message() {
    let before = gone_with(V4, QOS2, &[kept(5, QOS2, b"a")]);
    // Its record expired meanwhile and never comes again.
    come_back(V4, saved(&before))
        .deliver([delivery(1, &kept(6, QOS2, b"b"))])
        .asked(is_save)
        .backend(Answer::Done)
        .server(heard(V4, QOS2, 2, b"b"))
        .client(pubrec(1))
        .asked(is_save)
        .backend(Answer::Done)
        .server(pubrel(1));
}

#[test]
fn the_window_begins_anew_with_each_connection() {
    let records = [kept(5, QOS1, b"a"), kept(6, QOS1, b"b")];
    let before = gone_with(V4, QOS1, &records);
    let story = come_back(V4, live(&before));
    drop(story.look(|connection, _| assert!(connection.takes_delivery() && connection.gauged == (0, 0))));
}

#[test]
fn who_was_taken_over_changes_nothing_of_the_session() {
    let record = kept(5, QOS1, b"a");
    let before = gone_with(V5, QOS1, std::slice::from_ref(&record));
    let after = come_back(V5, live(&before));
    before
        .server(heard(V5, QOS1, 1, b"a"))
        .client(puback(1))
        .asked_nothing()
        .deliver([Delivery::Leave(Close::TAKEN_OVER)])
        .hears(disconnects(Reason::SessionTakenOver))
        .closed(4009);
    let story = after.deliver([delivery(1, &record)]).server(again(heard(V5, QOS1, 1, b"a")));
    drop(story.client(puback(1)).asked(acks(1, Acked::Position(position(5)))));
}

/// MQTT 5 §4.1: QoS 0 is not part of the session's state.
#[test]
fn messages_of_qos_0_from_before_are_dropped_where_the_operator_does_not_want_them() {
    let old = |body| {
        let message = message("t/1", QOS0, body);
        Arc::new(Record::new(Some(position(5)), 5, Timestamp::from_millis(1_767_225_599_999), message))
    };
    let before = gone_with(V4, QOS1, &[]);
    let after = come_back(V4, live(&before));
    let now = Arc::new(Record::new(Some(position(6)), 6, AT, message("t/1", QOS0, b"new")));
    after
        .deliver([delivery(1, &old(b"old")), batch(2, &[old(b"old"), now.clone()]), delivery(4, &now)])
        .server(heard(V4, QOS0, 0, b"new"))
        .server(heard(V4, QOS0, 0, b"new"))
        .silent()
        .look(|connection, _| assert_eq!(connection.terms.meters.dropped_qos0.value(), 2))
        .pass(Duration::from_secs(1))
        .asked(acks(1, Acked::Position(position(6))));
}

#[test]
fn the_retained_messages_that_a_subscription_began_with_come_again_too() {
    let records = [kept(2, QOS1, b"old")];
    let before = open_kept(V4)
        .client(subscribing(V4, 1, &[("t/#", at_most(QOS1))]))
        .asked(drop)
        .backend(subscribed(1))
        .asked(is_save)
        .backend(Answer::Done)
        .server(suback(V4, 1, &[Reason::GrantedQos1]))
        .deliver([delivery(1, &records[0]), Delivery::StateEnd { subscription: 1 }])
        .server(retained(heard(V4, QOS1, 1, b"old")));
    come_back(V4, live(&before))
        .server(again(retained(heard(V4, QOS1, 1, b"old"))))
        .client(puback(1))
        .asked_nothing();
}

#[test]
fn after_a_restart_the_subscriptions_of_the_session_count() {
    let before = listening(open_kept(V5), V5, QOS1);
    let session = saved(&before);
    let mut opened = opened(HOUR, true);
    opened.kept = Some(session);
    opened.subscriptions = vec![(9, yizhan_hub::Filter::new("x").unwrap(), Missed::NONE)];
    let place = opened.place.clone();
    let story = silent(Config::default())
        .client(connecting(keeping(V5)))
        .asked(drop)
        .backend(Answer::Opened(Box::new(opened)))
        .asked(|call| assert!(matches!(call, Call::Unsubscribe(9))))
        .asked(|call| match call {
            Call::Subscribe(again) => {
                assert_eq!((again.id, again.filter.as_str(), again.qos), (1, "t/#", QOS1));
                assert!(matches!(again.from, Start::Keep) && !again.with_state);
            }
            call => panic!("{call:?}"),
        });
    assert!(place.get().is_some(), "what was read is put in its place");
    drop(story.backend(Answer::Done).backend(subscribed(1)).open());
}

#[test]
fn a_session_whose_memory_cannot_be_read_goes_on_with_its_subscriptions() {
    for bytes in [&b""[..], b"\x01", b"garbage", &[0xff; 100]] {
        come_back(V4, Kept::Saved(bytes.into()))
            .asked_nothing()
            .deliver([delivery(1, &kept(5, QOS2, b"x"))])
            .server(heard(V4, QOS1, 1, b"x"))
            .client(puback(1))
            .asked(acks(1, Acked::Position(position(5))));
    }
}

/// MQTT-3.10.4-3
#[test]
fn what_was_begun_is_finished_though_its_subscription_is_gone() {
    for record in [kept(5, QOS1, b"a"), unkept(QOS1, b"a")] {
        let properties = UnsubscribeProperties::default();
        let unsubscribe = Unsubscribe { id: pid(9), properties, filters: vec!["t/#"] };
        let before = gone_with(V4, QOS1, std::slice::from_ref(&record))
            .server(heard(V4, QOS1, 1, b"a"))
            .client(bytes(V4, &Packet::Unsubscribe(unsubscribe)))
            .asked(drop)
            .backend(Answer::Done)
            .asked(is_save)
            .backend(Answer::Done)
            .hears(|packet| assert_eq!(packet[0], 0xb0));
        let mut opened = opened(HOUR, true);
        opened.kept = Some(live(&before));
        silent(Config::default())
            .client(connecting(keeping(V4)))
            .asked(drop)
            .backend(Answer::Opened(Box::new(opened)))
            .hears(|_| {})
            .server(again(heard(V4, QOS1, 1, b"a")))
            .client(puback(1))
            .asked_nothing()
            .silent();
    }
}

/// MQTT-4.3.3-7
#[test]
fn what_was_begun_does_not_expire() {
    let mut message = message("t/1", QOS2, b"a");
    message.expires_at = Some(AT.plus(Duration::from_secs(1)));
    let record = Arc::new(Record::new(Some(position(5)), 5, AT, message));
    let before = gone_with(V4, QOS2, std::slice::from_ref(&record)).server(heard(V4, QOS2, 1, b"a"));
    let mut opened = opened(HOUR, true);
    opened.kept = Some(live(&before));
    opened.subscriptions = vec![(1, yizhan_hub::Filter::new("t/#").unwrap(), Missed::NONE)];
    silent(Config::default())
        .pass(Duration::from_secs(2))
        .client(connecting(keeping(V4)))
        .asked(drop)
        .backend(Answer::Opened(Box::new(opened)))
        .hears(|_| {})
        .asked(is_save)
        .backend(Answer::Done)
        .server(again(heard(V4, QOS2, 1, b"a")));
}

#[test]
fn what_does_not_fit_the_client_any_more_is_given_up() {
    let record = kept(5, QOS1, b"a long message");
    let before = gone_with(V5, QOS1, std::slice::from_ref(&record));
    let mut opened = opened(HOUR, true);
    opened.kept = Some(live(&before));
    opened.subscriptions = vec![(1, yizhan_hub::Filter::new("t/#").unwrap(), Missed::NONE)];
    let mut small = keeping(V5);
    small.properties.maximum_packet_size = std::num::NonZeroU32::new(20);
    silent(Config::default())
        .client(connecting(small))
        .asked(drop)
        .backend(Answer::Opened(Box::new(opened)))
        .hears(|_| {})
        .deliver([delivery(1, &record)])
        .silent()
        .asked(acks(1, Acked::Position(position(5))));
}
