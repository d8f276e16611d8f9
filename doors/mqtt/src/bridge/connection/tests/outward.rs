//! From the hub to the other broker.

use std::num::{NonZeroU16, NonZeroU32};

use yizhan_hub::message::RETAINED;

use super::*;
use crate::bridge::VIA;
use Qos::{AtLeastOnce, AtMostOnce, ExactlyOnce};

fn world(qos: u8) -> World {
    World::new(&config(vec![rule("#", qos, 0)], vec![]))
}

fn puback(world: &World, id: u16) -> Vec<u8> {
    world.bytes(&Packet::Puback(ack(id, Reason::Success)))
}

/// Up, towards a broker that says this of itself.
fn up_with(world: &mut World, properties: ConnackProperties<'_>) -> Scene {
    let connack = Connack { session_present: false, reason: Reason::Success, properties };
    world.connect().hears(|_| {}).client(world.bytes(&Packet::Connack(Box::new(connack))))
}

#[test]
fn a_message_is_acked_to_the_hub_once_the_other_broker_has_it() {
    let mut world = world(1);
    let scene = world.up(false).deliver([delivery(0, 1, &record("l/a", 5))]);
    let scene = scene.asked_nothing().hears(|bytes| {
        let packet = world.read(bytes);
        assert_eq!(seen(&packet), (false, AtLeastOnce, "r/a".into(), 1, "body 5".into()));
        let Packet::Publish(publish) = packet else { panic!() };
        assert_eq!(publish.properties.user, [(VIA, "edge")]);
        assert!(!publish.retain);
    });
    drop(scene.client(puback(&world, 1)).asked(is_ack(0, 1, 1)).asked_nothing().open());
    assert_eq!(world.status.view("", "").sent, 1);
}

#[test]
fn the_hub_is_told_only_what_is_done_without_gaps() {
    let mut world = world(1);
    let records: Vec<_> = (1..=3).map(|n| delivery(0, n, &record("l/a", n))).collect();
    let mut scene = world.up(false).deliver(records);
    for id in [2, 3] {
        scene = scene.hears(|_| {}).client(puback(&world, id)).asked_nothing();
    }
    let refused = Packet::Puback(ack(1, Reason::NoMatchingSubscribers));
    drop(scene.client(world.bytes(&refused)).asked(is_ack(0, 1, 3)).open());
}

#[test]
fn qos_0_is_done_when_it_is_sent() {
    let mut world = world(0);
    let scene =
        world.up(false).deliver([delivery(0, 1, &record("l/a", 1)), delivery(0, 2, &record("l/b", 2))]);
    let scene = hears_publish(&world, scene, (false, AtMostOnce, "r/a", 0, "body 1"));
    let scene = hears_publish(&world, scene, (false, AtMostOnce, "r/b", 0, "body 2"));
    drop(scene.asked(is_ack(0, 1, 2)).asked_nothing().open());
}

#[test]
fn a_message_goes_with_the_lesser_qos() {
    let mut world = world(2);
    let once = record_of("l/a", 1, |message| message.qos = AtMostOnce);
    let scene = world.up(false).deliver([delivery(0, 1, &once)]);
    let scene = hears_publish(&world, scene, (false, AtMostOnce, "r/a", 0, "body 1"));
    drop(scene.asked(is_ack(0, 1, 1)).open());
}

#[test]
fn what_matters_more_goes_first() {
    let rules = vec![rule("low/#", 1, 0), rule("high/#", 1, 9)];
    let mut world = World::new(&Config { inflight_max: 1, ..config(rules, vec![]) });
    let scene = world
        .up(false)
        .deliver([delivery(1, 1, &record("l/low/1", 1)), delivery(1, 2, &record("l/low/2", 2))]);
    // While one is under way, something important comes.
    let scene = scene.deliver([delivery(0, 1, &record("l/high/1", 3))]);
    let scene = hears_publish(&world, scene, (false, AtLeastOnce, "r/low/1", 1, "body 1")).silent();
    let scene = scene.client(puback(&world, 1)).asked(is_ack(1, 1, 1));
    let scene = hears_publish(&world, scene, (false, AtLeastOnce, "r/high/1", 2, "body 3")).silent();
    let scene = scene.client(puback(&world, 2)).asked(is_ack(0, 1, 1));
    drop(hears_publish(&world, scene, (false, AtLeastOnce, "r/low/2", 3, "body 2")).open());
}

#[test]
fn the_other_brokers_receive_maximum_is_kept() {
    let mut world = world(1);
    let theirs = ConnackProperties { receive_maximum: NonZeroU16::new(2), ..Default::default() };
    let scene = up_with(&mut world, theirs);
    let records: Vec<_> = (1..=3).map(|n| delivery(0, n, &record("l/a", n))).collect();
    let scene = scene.deliver(records).hears(|_| {}).hears(|_| {}).silent();
    drop(scene.client(puback(&world, 1)).hears(|_| {}).open());
}

/// Up to the PUBLISH of QoS 2 with identifier 1.
fn exact(world: &mut World) -> Scene {
    let scene = world.up(false).deliver([delivery(0, 1, &record("l/a", 5))]);
    let scene = scene.asked(is_save(0)).silent().backend(done(0));
    hears_publish(world, scene, (false, ExactlyOnce, "r/a", 1, "body 5"))
}

/// Further, up to PUBREL being safe.
fn released(world: &mut World) -> Scene {
    let scene = exact(world).client(world.bytes(&Packet::Pubrec(ack(1, Reason::Success))));
    let scene = scene.asked(is_save(0)).silent().backend(done(0));
    world.hears(scene, &Packet::Pubrel(ack(1, Reason::Success)))
}

#[test]
fn each_step_of_qos_2_is_safe_before_it_is_said() {
    let mut world = world(2);
    let scene = released(&mut world);
    let scene = scene.asked_nothing().client(world.bytes(&Packet::Pubcomp(ack(1, Reason::Success))));
    let scene = scene.asked(is_ack(0, 1, 1)).backend(done(0));
    assert!(scene.peek(|bridge| bridge.memories[0].lock().sent.is_empty()));
}

#[test]
fn a_refusal_ends_qos_2_and_the_message_is_counted() {
    let mut world = world(2);
    let scene = exact(&mut world).client(world.bytes(&Packet::Pubrec(ack(1, Reason::QuotaExceeded))));
    drop(scene.asked(is_ack(0, 1, 1)).silent().open());
    let view = world.status.view("", "");
    assert_eq!((view.sent, view.dropped), (0, 1));
}

#[test]
fn after_a_kill_qos_2_goes_on_under_its_identifier() {
    let mut world = world(2);
    drop(exact(&mut world));
    world.restart();
    // PUBREC had not come: the same PUBLISH once more. No save: the identifier is known.
    let scene =
        world.up(true).deliver([delivery(0, 1, &record("l/a", 5)), delivery(0, 2, &record("l/b", 6))]);
    let scene = hears_publish(&world, scene, (true, ExactlyOnce, "r/a", 1, "body 5"));
    let scene = scene.asked(is_save(0)).backend(done(0));
    drop(hears_publish(&world, scene, (false, ExactlyOnce, "r/b", 2, "body 6")).open());
}

#[test]
fn after_a_kill_what_was_released_is_released_again_and_not_sent() {
    let mut world = world(2);
    drop(released(&mut world));
    world.restart();
    let scene = world.up(true);
    let scene = world.hears(scene, &Packet::Pubrel(ack(1, Reason::Success)));
    // The hub delivers it again before PUBCOMP, or after it.
    let scene = scene.deliver([delivery(0, 1, &record("l/a", 5))]).silent().asked_nothing();
    let scene = scene.client(world.bytes(&Packet::Pubcomp(ack(1, Reason::PacketIdNotFound))));
    drop(scene.asked(is_ack(0, 1, 1)).silent().open());
}

#[test]
fn after_a_kill_what_is_over_stays_over() {
    let mut world = world(2);
    let scene = released(&mut world).client(world.bytes(&Packet::Pubcomp(ack(1, Reason::Success))));
    // The hub is asked and killed before it has written that down.
    drop(scene.asked(is_ack(0, 1, 1)));
    world.restart();
    let scene = world.up(true).deliver([delivery(0, 1, &record("l/a", 5))]);
    drop(scene.asked(is_ack(0, 1, 1)).silent().open());
}

#[test]
fn what_the_other_broker_forgot_is_sent_anew() {
    let mut world = world(2);
    drop(released(&mut world));
    let scene = world.up(false).deliver([delivery(0, 1, &record("l/a", 5))]);
    let scene = scene.asked(is_save(0)).backend(done(0));
    drop(hears_publish(&world, scene, (false, ExactlyOnce, "r/a", 1, "body 5")).open());
}

#[test]
fn qos_1_comes_again_as_the_same_packet() {
    let mut world = world(1);
    let a = record("l/a", 5);
    drop(world.up(false).deliver([delivery(0, 1, &a)]));
    let scene = world.up(true).deliver([delivery(0, 1, &a)]);
    drop(hears_publish(&world, scene, (true, AtLeastOnce, "r/a", 1, "body 5")).open());
}

#[test]
fn an_identifier_whose_message_never_comes_again_is_given_back() {
    let mut world = world(2);
    drop(exact(&mut world));
    world.restart();
    // Retention took it meanwhile: the next one comes.
    let scene = world.up(true).deliver([delivery(0, 1, &record("l/b", 6))]);
    let scene = scene.asked(is_save(0)).backend(done(0));
    drop(hears_publish(&world, scene, (false, ExactlyOnce, "r/b", 2, "body 6")));
    let scene = world.up(true);
    let scene = world.hears(scene, &Packet::Pubrel(ack(1, Reason::Success)));
    let scene = scene.client(world.bytes(&Packet::Pubcomp(ack(1, Reason::PacketIdNotFound))));
    let ids =
        scene.peek(|bridge| bridge.memories[0].lock().sent.iter().map(|s| s.id.get()).collect::<Vec<_>>());
    assert_eq!(ids, [2]);
}

#[test]
fn records_of_a_space_that_keeps_nothing_are_known_again_as_themselves() {
    let mut world = world(2);
    let unkept = Arc::new(Record::new(None, 0, Timestamp(1), record("l/a", 1).message.clone()));
    let scene = world.up(false).deliver([delivery(0, 1, &unkept)]).asked(is_save(0)).backend(done(0));
    drop(hears_publish(&world, scene, (false, ExactlyOnce, "r/a", 1, "body 1")));
    let scene = world.up(true).deliver([delivery(0, 1, &unkept)]);
    drop(hears_publish(&world, scene, (true, ExactlyOnce, "r/a", 1, "body 1")));
    // After a restart it is gone, and its identifier free.
    world.restart();
    let scene = world.up(true);
    drop(world.hears(scene, &Packet::Pubrel(ack(1, Reason::Success))).open());
}

#[test]
fn what_came_in_over_the_bridge_does_not_go_out_over_it() {
    let mut world = World::new(&config(vec![rule("#", 1, 0)], vec![rule("x", 1, 0)]));
    let own = record_of("l/a", 1, |message| message.from.session = session(1));
    drop(world.up(false).deliver([delivery(0, 1, &own)]).asked(is_ack(0, 1, 1)).silent().open());
}

#[test]
fn a_message_that_has_crossed_too_many_bridges_stops() {
    let mut world = World::new(&Config { hops_max: 2, ..config(vec![rule("#", 1, 0)], vec![]) });
    let via = |offset, via: &str| {
        record_of("l/a", offset, |message| message.headers = [(VIA.into(), via.into())].into())
    };
    let scene = world.up(false).deliver([delivery(0, 1, &via(1, "b c")), delivery(0, 2, &via(2, "b"))]);
    let scene = scene.hears(|bytes| {
        let Packet::Publish(publish) = world.read(bytes) else { panic!() };
        assert_eq!(publish.properties.user, [(VIA, "b edge")]);
    });
    drop(scene.silent().asked(is_ack(0, 1, 1)).open());
}

#[test]
fn retained_is_retained_and_expiry_is_counted_down() {
    let mut world = world(1);
    let kept = record_of("l/a", 1, |message| {
        message.key = Some(RETAINED.into());
        message.expires_at = Some(Timestamp::from_millis(1_767_225_600_000).plus(Duration::from_secs(90)));
    });
    let scene = world.up(false).pass(Duration::from_secs(30)).deliver([delivery(0, 1, &kept)]);
    let scene = scene.hears(|bytes| {
        let Packet::Publish(publish) = world.read(bytes) else { panic!() };
        assert!(publish.retain);
        assert_eq!(publish.properties.message_expiry, Some(60));
    });
    drop(scene.open());
}

#[test]
fn what_the_other_broker_cannot_take_is_counted_and_passed_over() {
    let mut world = world(2);
    let theirs = ConnackProperties {
        maximum_packet_size: NonZeroU32::new(64),
        maximum_qos: Some(AtLeastOnce),
        retain_available: Some(false),
        ..Default::default()
    };
    let scene = up_with(&mut world, theirs);
    let large = record_of("l/large", 1, |message| message.body = vec![b'x'; 100].into());
    let small = record_of("l/a", 2, |message| message.key = Some(RETAINED.into()));
    let scene = scene.deliver([delivery(0, 1, &large), delivery(0, 2, &small)]);
    let scene = scene.hears(|bytes| {
        let Packet::Publish(publish) = world.read(bytes) else { panic!() };
        assert_eq!((publish.qos, publish.retain, publish.payload), (AtLeastOnce, false, &b"body 2"[..]));
    });
    drop(scene.asked(is_ack(0, 1, 1)).silent().open());
    assert_eq!(world.status.view("", "").dropped, 1);
}

#[test]
fn what_the_hub_could_not_keep_is_counted() {
    let mut world = world(1);
    let missed = Delivery::Missed { subscription: 1, number: 1, missed: Missed::Count(3) };
    let scene = world.up(false).deliver([Ranked::new(0, missed), delivery(0, 4, &record("l/a", 1))]);
    let scene = scene.hears(|_| {}).asked(is_ack(0, 1, 3)).client(puback(&world, 1));
    drop(scene.asked(is_ack(0, 1, 4)).open());
    assert_eq!(world.status.view("", "").missed, 3);
}
