//! From the other broker to the hub.

use yizhan_hub::{Refused, StoreError, message::RETAINED};

use super::*;
use crate::{bridge::VIA, wire::properties::UserProperties};

fn world() -> World {
    World::new(&config(vec![], vec![rule("#", 2, 0)]))
}

fn publish<'a>(qos: Qos, id: u16, topic: &'a str, user: UserProperties<'a>) -> Publish<'a> {
    Publish {
        dup: false,
        qos,
        retain: false,
        topic,
        id: PacketId::new(id),
        properties: PublishProperties { user, ..PublishProperties::default() },
        payload: b"body",
    }
}

fn bytes(world: &World, publish: Publish<'_>) -> Vec<u8> {
    world.bytes(&Packet::Publish(publish))
}

/// The hub is to publish this; gives the message's id.
fn asked_publish(scene: Scene, topic: &str) -> (Scene, Option<Arc<str>>) {
    let mut id = None;
    let scene = scene.asked(|call| {
        let Call::Publish(publish) = call.what else { panic!("{:?}", call.what) };
        assert_eq!((publish.topic.as_str(), &publish.body[..]), (topic, &b"body"[..]));
        id = publish.id;
    });
    (scene, id)
}

#[test]
fn qos_1_is_confirmed_once_the_hub_has_it() {
    let mut world = world();
    let scene = world.up(false).client(bytes(&world, publish(Qos::AtLeastOnce, 9, "r/a", vec![])));
    let (scene, id) = asked_publish(scene.silent(), "l/a");
    assert_eq!(id, None);
    let scene = scene.backend(Ranked::new(0, published()));
    drop(world.hears(scene, &Packet::Puback(ack(9, Reason::Success))).silent().open());
    assert_eq!(world.status.view("", "").received, 1);
}

#[test]
fn qos_0_is_given_to_the_hub_and_that_is_all() {
    let mut world = world();
    let scene = world.up(false).client(bytes(&world, publish(Qos::AtMostOnce, 0, "r/a", vec![])));
    let (scene, _) = asked_publish(scene, "l/a");
    drop(scene.backend(Ranked::new(0, published())).silent().open());
}

#[test]
fn a_retained_message_is_retained_here() {
    let mut world = world();
    let mut retained = publish(Qos::AtMostOnce, 0, "r/a", vec![("n", "v")]);
    retained.retain = true;
    retained.properties.message_expiry = Some(9);
    let scene = world.up(false).client(bytes(&world, retained)).asked(|call| {
        let Call::Publish(publish) = call.what else { panic!() };
        assert_eq!(publish.key.as_deref(), Some(RETAINED));
        assert_eq!(publish.expires_in, Some(Duration::from_secs(9)));
        assert_eq!(&*publish.headers, [("n".into(), "v".into())]);
    });
    drop(scene.open());
}

#[test]
fn qos_2_is_known_before_the_hub_has_it_and_confirmed_after() {
    let mut world = world();
    let bytes = bytes(&world, publish(Qos::ExactlyOnce, 9, "r/a", vec![]));
    let scene = world.up(false).client(&bytes).asked(is_save(0)).asked_nothing().backend(done(0));
    let (scene, id) = asked_publish(scene, "l/a");
    assert!(id.is_some());
    // It comes again while the hub is busy with it, and after that.
    let scene = scene.client(&bytes).asked_nothing().silent().backend(Ranked::new(0, published()));
    let scene = world.hears(scene, &Packet::Pubrec(ack(9, Reason::Success))).client(&bytes).asked_nothing();
    let scene = world.hears(scene, &Packet::Pubrec(ack(9, Reason::Success)));
    let scene = scene.client(world.bytes(&Packet::Pubrel(ack(9, Reason::Success))));
    let scene = scene.asked(is_save(0)).silent().backend(done(0));
    let scene = world.hears(scene, &Packet::Pubcomp(ack(9, Reason::Success)));
    // PUBREL again: it is over. The same identifier: another message.
    let scene = scene.client(world.bytes(&Packet::Pubrel(ack(9, Reason::Success))));
    let scene = world.hears(scene, &Packet::Pubcomp(ack(9, Reason::PacketIdNotFound)));
    let (_, next) = asked_publish(scene.client(&bytes).asked(is_save(0)).backend(done(0)), "l/a");
    assert_ne!(next, id);
}

#[test]
fn after_a_kill_the_hub_is_asked_under_the_same_id() {
    let mut world = world();
    let bytes = bytes(&world, publish(Qos::ExactlyOnce, 9, "r/a", vec![]));
    let scene = world.up(false).client(&bytes).asked(is_save(0)).backend(done(0));
    let (scene, first) = asked_publish(scene, "l/a");
    drop(scene);
    world.restart();
    let scene = world.up(true).client(&bytes).asked(is_save(0)).backend(done(0));
    let (scene, again) = asked_publish(scene, "l/a");
    assert_eq!(first, again);
    // Once the hub has answered, nothing is asked any more.
    drop(scene.backend(Ranked::new(0, published())));
    let scene = world.up(true).client(&bytes).asked_nothing();
    drop(world.hears(scene, &Packet::Pubrec(ack(9, Reason::Success))).open());
}

#[test]
fn a_broker_that_forgot_its_session_begins_anew() {
    let mut world = world();
    let bytes = bytes(&world, publish(Qos::ExactlyOnce, 9, "r/a", vec![]));
    let scene = world.up(false).client(&bytes).asked(is_save(0)).backend(done(0));
    let (scene, first) = asked_publish(scene, "l/a");
    drop(scene.backend(Ranked::new(0, published())));
    let scene = world.up(false).client(&bytes).asked(is_save(0)).backend(done(0));
    let (_, next) = asked_publish(scene, "l/a");
    assert_ne!(first, next, "it is another message");
}

#[test]
fn what_no_rule_wants_and_what_left_from_here_is_confirmed_and_goes_nowhere() {
    let mut world = world();
    let scene = world.up(false).client(bytes(&world, publish(Qos::AtLeastOnce, 1, "other/a", vec![])));
    let scene = world.hears(scene, &Packet::Puback(ack(1, Reason::Success)));
    let came_back = publish(Qos::AtLeastOnce, 2, "r/a", vec![(VIA, "b edge c")]);
    let scene = scene.client(bytes(&world, came_back));
    let scene = world.hears(scene, &Packet::Puback(ack(2, Reason::Success)));
    let came_back = publish(Qos::ExactlyOnce, 3, "r/a", vec![(VIA, "edge")]);
    let scene = scene.client(bytes(&world, came_back));
    let scene = world.hears(scene, &Packet::Pubrec(ack(3, Reason::Success)));
    let scene = scene.client(world.bytes(&Packet::Pubrel(ack(3, Reason::Success))));
    let scene = scene.asked(is_save(0)).backend(done(0));
    drop(world.hears(scene, &Packet::Pubcomp(ack(3, Reason::Success))).asked_nothing().open());
}

#[test]
fn what_the_hub_never_takes_is_refused_by_its_reason() {
    let refused = || {
        let (action, name) = (yizhan_hub::Action::Publish, "l/a".into());
        Answer::Refused(Refused::NotAllowed { action, name })
    };
    let mut world = world();
    let scene = world.up(false).client(bytes(&world, publish(Qos::AtLeastOnce, 1, "r/a", vec![])));
    let scene = scene.backend(Ranked::new(0, refused()));
    let scene = world.hears(scene, &Packet::Puback(ack(1, Reason::NotAuthorized)));
    let scene = scene.client(bytes(&world, publish(Qos::ExactlyOnce, 2, "r/a", vec![])));
    let scene = scene.backend(done(0)).backend(Ranked::new(0, refused()));
    drop(world.hears(scene, &Packet::Pubrec(ack(2, Reason::NotAuthorized))).open());
    assert_eq!(world.status.view("", "").dropped, 2);
}

#[test]
fn what_the_hub_cannot_take_now_is_not_confirmed_and_comes_again() {
    let mut world = world();
    let scene = world.up(false).client(bytes(&world, publish(Qos::AtLeastOnce, 1, "r/a", vec![])));
    let busy = Answer::Refused(Refused::Store(StoreError::Busy));
    scene
        .backend(Ranked::new(0, busy))
        .hears(|bytes| {
            let Packet::Disconnect(disconnect) = world.read(bytes) else { panic!() };
            assert_eq!(disconnect.reason, Reason::ServerBusy);
        })
        .closed(1011);
}

#[test]
fn in_3_1_1_a_refusal_cannot_be_said() {
    let config = Config { protocol: Protocol::V4, ..config(vec![], vec![rule("#", 2, 0)]) };
    let mut world = World::new(&config);
    let scene = world.up(false).client(bytes(&world, publish(Qos::ExactlyOnce, 2, "r/a", vec![])));
    let scene = scene.backend(done(0)).backend(Ranked::new(0, Answer::Refused(Refused::HeadersTooLarge)));
    let scene = scene.server(b"\x50\x02\x00\x02").client(b"\x62\x02\x00\x02").backend(done(0));
    drop(scene.server(b"\x70\x02\x00\x02").open());
}

#[test]
fn who_sends_more_than_is_taken_at_once_is_told() {
    let mut world = World::new(&Config { inflight_max: 1, ..config(vec![], vec![rule("#", 2, 0)]) });
    let scene = world.up(false).client(bytes(&world, publish(Qos::ExactlyOnce, 1, "r/a", vec![])));
    let scene = scene.client(bytes(&world, publish(Qos::AtLeastOnce, 2, "r/a", vec![])));
    scene
        .hears(|bytes| {
            let Packet::Disconnect(disconnect) = world.read(bytes) else { panic!() };
            assert_eq!(disconnect.reason, Reason::ReceiveMaximumExceeded);
        })
        .closed(Close::PROTOCOL.code);
}

#[test]
fn a_payload_that_is_not_what_it_says_is_confirmed_and_counted() {
    let mut world = world();
    let mut bad = publish(Qos::AtLeastOnce, 1, "r/a", vec![]);
    bad.payload = b"\xff";
    bad.properties.payload_is_utf8 = Some(true);
    let scene = world.up(false).client(bytes(&world, bad)).asked_nothing();
    drop(world.hears(scene, &Packet::Puback(ack(1, Reason::Success))).open());
    assert_eq!(world.status.view("", "").dropped, 1);
}
