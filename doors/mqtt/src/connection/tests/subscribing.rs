use yizhan_hub::{
    Filter,
    link::{Deal, Subscribe as HubSubscribe},
};

use super::*;
use crate::config::{self, Share};

fn asks(call: Call) -> HubSubscribe {
    match call {
        Call::Subscribe(subscribe) => *subscribe,
        call => panic!("{call:?}"),
    }
}

fn unsubscribing(version: Version, id: u16, filters: &[&'static str]) -> Vec<u8> {
    let (properties, filters) = (UnsubscribeProperties::default(), filters.to_vec());
    bytes(version, &Packet::Unsubscribe(Unsubscribe { id: pid(id), properties, filters }))
}

fn unsuback(version: Version, id: u16, reasons: &[Reason]) -> Vec<u8> {
    let (properties, reasons) = (AckProperties::default(), reasons.to_vec());
    bytes(version, &Packet::Unsuback(Reasons { id: pid(id), properties, reasons }))
}

/// Checks SUBACK's reasons; their text is for people.
fn grants(id: u16, reasons: &[Reason]) -> impl FnOnce(&[u8]) {
    move |packet| match wire::decode(packet, Some(V5), &wire::Limits::default()).unwrap() {
        Some((Packet::Suback(suback), _)) => assert_eq!((suback.id, &suback.reasons[..]), (pid(id), reasons)),
        other => panic!("{other:?}"),
    }
}

fn handling(retain_handling: RetainHandling) -> Options {
    Options { qos: QOS1, retain_handling, ..Options::default() }
}

/// MQTT-3.8.4-5, MQTT-3.8.4-6
#[test]
fn suback_has_an_answer_for_each_filter_in_their_order() {
    let filters = [("a", at_most(QOS2)), ("b/#", at_most(QOS0)), ("c", at_most(QOS1))];
    for version in BOTH {
        open(version)
            .client(subscribing(version, 9, &filters))
            .asked(|call| {
                let asked = asks(call);
                assert_eq!((asked.id, asked.filter.as_str(), asked.qos), (1, "a", QOS2));
                assert!(asked.with_state && matches!(asked.from, Start::Now) && asked.window.is_none());
            })
            .asked(|call| assert_eq!(asks(call).id, 2))
            .asked(|call| assert_eq!(asks(call).id, 3))
            .backend(subscribed(1))
            .backend(subscribed(2))
            .silent()
            .backend(subscribed(3))
            .server(suback(version, 9, &[Reason::GrantedQos2, Reason::Success, Reason::GrantedQos1]));
    }
}

#[test]
fn what_is_refused_has_its_reason_among_the_others() {
    let filters = [("a", at_most(QOS1)), ("b/#/c", at_most(QOS1)), ("c", at_most(QOS1))];
    let refused =
        || Answer::Refused(Refused::NotAllowed { action: yizhan_hub::Action::Subscribe, name: "c".into() });
    let story = |version| {
        open(version)
            .client(subscribing(version, 9, &filters))
            .asked(drop)
            .asked(drop)
            .backend(subscribed(1))
            .backend(refused())
    };
    let reasons = [Reason::GrantedQos1, Reason::TopicFilterInvalid, Reason::NotAuthorized];
    drop(story(V5).hears(grants(9, &reasons)));
    let story = story(V4).server([0x90, 5, 0, 9, 1, 0x80, 0x80]);
    drop(story.look(|connection, _| {
        let session = connection.session.as_ref().unwrap();
        assert_eq!(session.of(connection.owner).unwrap().subscriptions.len(), 1);
    }));
}

#[test]
fn no_more_is_granted_than_the_server_allows() {
    let config = Config { qos_max: 1, ..Config::default() };
    open_with(connect(V5), config, Duration::ZERO)
        .client(subscribing(V5, 9, &[("a", at_most(QOS2))]))
        .asked(|call| assert_eq!(asks(call).qos, QOS1))
        .backend(subscribed(1))
        .server(suback(V5, 9, &[Reason::GrantedQos1]));
}

#[test]
fn a_kept_session_is_saved_before_suback() {
    open_kept(V5)
        .client(subscribing(V5, 9, &[("a", at_most(QOS1))]))
        .asked(drop)
        .backend(subscribed(1))
        .silent()
        .asked(is_save)
        .backend(Answer::Done)
        .server(suback(V5, 9, &[Reason::GrantedQos1]));
}

/// MQTT-3.8.4-3
#[test]
fn the_same_filter_again_replaces_the_subscription_and_loses_nothing() {
    listening(open(V5), V5, QOS1)
        .client(subscribing(V5, 9, &[("t/#", handling(RetainHandling::SendIfNew))]))
        .asked(|call| {
            let asked = asks(call);
            assert_eq!((asked.id, asked.with_state), (1, false));
            assert!(matches!(asked.from, Start::Keep));
        })
        .backend(subscribed(1))
        .server(suback(V5, 9, &[Reason::GrantedQos1]))
        .asked_nothing();
}

#[test]
fn a_filter_that_is_refused_anew_goes_on_as_it_was() {
    let record = unkept(QOS2, b"x");
    listening(open(V4), V4, QOS0)
        .client(subscribing(V4, 9, &[("t/#", at_most(QOS1))]))
        .asked(drop)
        .asked(drop)
        .backend(Answer::Refused(Refused::Stopping))
        .backend(Answer::State(Vec::new()))
        .server([0x90, 3, 0, 9, 0x80])
        .deliver([delivery(1, &record)])
        .server(heard(V4, QOS0, 0, b"x"));
}

/// MQTT-3.8.4-4, MQTT-3.3.1-9
#[test]
fn retained_messages_come_again_behind_suback_where_the_client_wants_them() {
    let record = unkept(QOS2, b"old");
    listening(open(V5), V5, QOS1)
        .client(subscribing(V5, 9, &[("t/#", handling(RetainHandling::Send))]))
        .asked(|call| assert!(!asks(call).with_state))
        .asked(|call| assert!(matches!(call, Call::State(filter, _) if filter.as_str() == "t/#")))
        .backend(subscribed(1))
        .silent()
        .backend(Answer::State(vec![record]))
        .server(suback(V5, 9, &[Reason::GrantedQos1]))
        .server(retained(heard(V5, QOS1, 1, b"old")))
        .client(puback(1))
        .asked_nothing();
}

/// MQTT-3.3.1-10, MQTT-3.3.1-11
#[test]
fn retain_handling_says_whether_retained_messages_come() {
    for (how, comes) in
        [(RetainHandling::Send, true), (RetainHandling::SendIfNew, true), (RetainHandling::Keep, false)]
    {
        open(V5)
            .client(subscribing(V5, 9, &[("a", handling(how))]))
            .asked(|call| assert_eq!(asks(call).with_state, comes, "{how:?}"));
    }
}

#[test]
fn a_shared_subscription_is_one_of_a_group_without_retained_messages() {
    let share = Share { strategy: config::Strategy::Sticky, ..Share::default() };
    let config = || Config { share: share.clone(), ..Config::default() };
    for version in BOTH {
        open_with(connect(version), config(), Duration::ZERO)
            .client(subscribing(version, 9, &[("$share/g/a/#", at_most(QOS1))]))
            .asked(|call| {
                let asked = asks(call);
                assert_eq!(asked.filter.as_str(), "a/#");
                assert!(!asked.with_state);
                let group = asked.group.unwrap();
                assert_eq!((&*group.name, group.deal, group.window), ("g", Deal::Sticky, 64));
            })
            .backend(subscribed(1))
            .server(suback(version, 9, &[Reason::GrantedQos1]));
    }
}

/// MQTT-3.8.3-4
#[test]
fn no_local_on_a_shared_subscription_ends_the_talk() {
    let options = Options { no_local: true, ..Options::default() };
    let story = open(V5).client(subscribing(V5, 9, &[("$share/g/a", options)]));
    story.hears(disconnects(Reason::ProtocolError)).closed(1002);
}

#[test]
fn an_exclusive_subscription_is_refused_where_another_has_it() {
    let filter = Filter::new("a").unwrap();
    open(V5)
        .client(subscribing(V5, 9, &[("$exclusive/a", at_most(QOS1))]))
        .asked(|call| {
            let asked = asks(call);
            assert!(asked.exclusive && asked.filter == Filter::new("a").unwrap());
        })
        .backend(Answer::Refused(Refused::Taken(filter)))
        .hears(grants(9, &[Reason::QuotaExceeded]));
}

#[test]
fn a_bridge_hears_nothing_of_its_own_and_sees_the_retain_flag() {
    let mut record = message("t/1", QOS2, b"x");
    record.key = Some(RETAINED.into());
    let record = Arc::new(Record::new(None, 0, AT, record));
    let bridge = Connect { bridge: true, ..connect(V4) };
    open_with(bridge, Config::default(), Duration::ZERO)
        .client(subscribing(V4, 9, &[("t/#", at_most(QOS0))]))
        .asked(|call| assert!(asks(call).no_local))
        .backend(subscribed(1))
        .server(suback(V4, 9, &[Reason::Success]))
        .deliver([Delivery::StateEnd { subscription: 1 }, delivery(1, &record)])
        .server(retained(heard(V4, QOS0, 0, b"x")));
}

#[test]
fn subscriptions_may_have_no_identifiers_here() {
    let config = Config { subscription_ids: false, ..Config::default() };
    let properties =
        SubscribeProperties { subscription_id: SubscriptionIdentifier::new(7), ..Default::default() };
    let filters = vec![("a", Options::default())];
    let packet = bytes(V5, &Packet::Subscribe(Subscribe { id: pid(9), properties, filters }));
    let story = open_with(connect(V5), config, Duration::ZERO).client(packet);
    story.hears(disconnects(Reason::SubscriptionIdsNotSupported)).closed(1002);
}

/// MQTT-3.10.4-4, MQTT-3.11.3-1
#[test]
fn unsuback_says_what_was_there() {
    for version in BOTH {
        listening(open(version), version, QOS1)
            .client(unsubscribing(version, 9, &["x", "t/#", "t/#"]))
            .asked(|call| assert!(matches!(call, Call::Unsubscribe(1))))
            .asked_nothing()
            .silent()
            .backend(Answer::Done)
            .server(unsuback(
                version,
                9,
                &[Reason::NoSubscriptionExisted, Reason::Success, Reason::NoSubscriptionExisted],
            ));
    }
}

/// MQTT-3.10.4-1
#[test]
fn nothing_comes_after_unsubscribe_but_what_was_begun_ends() {
    let record = unkept(QOS2, b"x");
    listening(open(V4), V4, QOS2)
        .deliver([delivery(1, &record)])
        .server(heard(V4, QOS2, 1, b"x"))
        .client(unsubscribing(V4, 9, &["t/#"]))
        .asked(drop)
        .deliver([delivery(2, &record)])
        .backend(Answer::Done)
        .server(unsuback(V4, 9, &[Reason::Success]))
        .silent()
        .client(pubrec(1))
        .server(pubrel(1))
        .client(pubcomp(1))
        .asked_nothing();
}

#[test]
fn a_filter_of_a_client_that_left_it_is_a_new_subscription() {
    listening(open(V4), V4, QOS1)
        .client(unsubscribing(V4, 9, &["t/#"]))
        .asked(drop)
        .backend(Answer::Done)
        .server(unsuback(V4, 9, &[Reason::Success]))
        .client(subscribing(V4, 10, &[("t/#", at_most(QOS1))]))
        .asked(|call| {
            let asked = asks(call);
            assert_eq!((asked.id, asked.with_state), (2, true));
            assert!(matches!(asked.from, Start::Now));
        });
}

#[test]
fn two_subscribes_behind_one_another_are_answered_each() {
    open(V4)
        .client(
            [
                subscribing(V4, 9, &[("a", at_most(QOS1)), ("b", at_most(QOS1))]),
                subscribing(V4, 10, &[("c", at_most(QOS0))]),
                unsubscribing(V4, 11, &["a"]),
            ]
            .concat(),
        )
        .backend(subscribed(1))
        .backend(subscribed(2))
        .server(suback(V4, 9, &[Reason::GrantedQos1, Reason::GrantedQos1]))
        .backend(subscribed(3))
        .server(suback(V4, 10, &[Reason::Success]))
        .backend(Answer::Done)
        .server(unsuback(V4, 11, &[Reason::Success]));
}

#[test]
fn a_new_session_has_the_subscriptions_of_the_config() {
    let subscribe = config::Subscription {
        filter: "to/%c".into(),
        qos: 1,
        no_local: true,
        retain_as_published: false,
        retain_handling: 2,
        client: None,
    };
    let config = || Config { subscribe: vec![subscribe.clone()], ..Config::default() };
    let story = open_with(connect(V5), config(), Duration::ZERO).asked(|call| {
        let asked = asks(call);
        assert_eq!((asked.filter.as_str(), asked.qos, asked.no_local), ("to/c1", QOS1, true));
        assert!(!asked.with_state);
    });
    let record = Arc::new(Record::new(None, 0, AT, message("to/c1", QOS2, b"x")));
    let packet = publishing(V5, publish(QOS1, 1, "to/c1", b"x"));
    story.backend(subscribed(1)).silent().deliver([delivery(1, &record)]).server(packet);
}
