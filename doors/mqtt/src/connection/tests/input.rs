use super::*;

/// Whole talks, in pieces of every size.
#[test]
fn packets_may_come_in_any_pieces() {
    let mut packets = connecting(connect(V5));
    packets.extend(publishing(V5, publish(QOS1, 7, "a", b"one")));
    packets.extend(PINGREQ);
    for size in 1..packets.len() {
        let mut story = silent(Config::default());
        let mut said = Vec::new();
        for piece in packets.chunks(size) {
            story = story.client(piece);
            while let Some(call) = story.next_call() {
                story = story.backend(match call {
                    Call::Hello(_) => welcome(Duration::ZERO),
                    _ => receipt(),
                });
            }
        }
        said.extend(story.rest().0.concat());
        assert!(
            said.ends_with(&[puback(7), PINGRESP.to_vec()].concat()) || said.ends_with(&puback(7)),
            "{size}"
        );
    }
}

/// MQTT-6.0.0-4
#[test]
fn packets_may_straddle_the_messages_of_a_websocket() {
    let mut packets = connecting(connect(V4));
    packets.extend(publishing(V4, publish(QOS1, 7, "a", b"one")));
    packets.extend(PINGREQ);
    for size in 1..=packets.len() {
        let terms = terms(Config::default());
        let mut story: Story = Script::new(|now| Client::new(now, terms, Carrier::Messages, None));
        for piece in packets.chunks(size) {
            story = story.client(piece);
            while let Some(call) = story.next_call() {
                story = story.backend(match call {
                    Call::Hello(_) => welcome(Duration::ZERO),
                    _ => receipt(),
                });
            }
        }
        let mut said = story.rest().0;
        assert_eq!(said.remove(0), [0x20, 2, 0, 0], "{size}");
        said.sort();
        assert_eq!(said, [puback(7), PINGRESP.to_vec()], "{size}");
    }
}

#[test]
fn what_waits_in_a_message_is_read_once_it_may() {
    let terms = terms(Config::default());
    let story: Story = Script::new(|now| Client::new(now, terms, Carrier::Messages, None));
    let packets = [connecting(connect(V4)), PINGREQ.to_vec(), vec![0xc0]].concat();
    story
        .client(packets)
        .asked(drop)
        .look(|connection, _| assert!(!connection.takes_input()))
        .backend(welcome(Duration::ZERO))
        .server([0x20, 2, 0, 0])
        .server(PINGRESP)
        .client([0])
        .server(PINGRESP);
}

#[test]
fn malformed_packets_end_the_talk_with_the_standards_reason() {
    let cases: [(&[u8], Reason); 14] = [
        // Reserved flags of PUBREL, SUBSCRIBE and PINGREQ.
        (&[0x60, 2, 0, 1], Reason::MalformedPacket),
        (&[0x80, 6, 0, 1, 0, 0, 0, 0], Reason::MalformedPacket),
        (&[0xc1, 0], Reason::MalformedPacket),
        // Packet type 0, a remaining length of five bytes.
        (&[0x00, 0], Reason::MalformedPacket),
        (&[0x30, 0xff, 0xff, 0xff, 0xff], Reason::MalformedPacket),
        // QoS 3, DUP with QoS 0, packet identifier 0.
        (&[0x36, 6, 0, 1, b'a', 0, 1, 0], Reason::MalformedPacket),
        (&[0x38, 4, 0, 1, b'a', 0], Reason::MalformedPacket),
        (&[0x32, 6, 0, 1, b'a', 0, 0, 0], Reason::ProtocolError),
        // A topic with a wildcard, one that is not UTF-8, none at all.
        (&[0x30, 4, 0, 1, b'#', 0], Reason::TopicNameInvalid),
        (&[0x30, 4, 0, 1, 0xff, 0], Reason::MalformedPacket),
        (&[0x30, 3, 0, 0, 0], Reason::ProtocolError),
        // A property twice, a packet larger than agreed, a packet that only servers send.
        (&[0x30, 8, 0, 1, b'a', 4, 0x01, 0, 0x01, 0], Reason::ProtocolError),
        (&[0x30, 0xff, 0xff, 0xff, 0x7f], Reason::PacketTooLarge),
        (&[0x90, 4, 0, 1, 0, 0], Reason::ProtocolError),
    ];
    for (packet, reason) in cases {
        let (packets, end) = open(V5).client(packet).rest();
        disconnects(reason)(&packets[0]);
        assert!(end.is_some() && packets.len() == 1, "{packet:?}");
    }
}

#[test]
fn in_3_1_1_malformed_packets_end_the_talk_without_a_word() {
    for packet in [&[0xc1, 0][..], &[0x00, 0], &[0x36, 5, 0, 1, b'a', 0, 1], &[0xf0, 0], &[0x82, 2, 0, 1]] {
        let (packets, end) = open(V4).client(packet).rest();
        assert!(packets.is_empty() && end.is_some(), "{packet:?}");
    }
}

#[test]
fn after_the_last_word_input_is_thrown_away() {
    let (packets, end) = open(V4).client([&[0xe0, 0][..], &PINGREQ, &[0xff; 10]].concat()).rest();
    assert!(packets.is_empty());
    assert_eq!(end.map(|close| close.code), Some(1000));
}

#[test]
fn a_trace_tells_packets_of_both_ways_and_no_bodies() {
    use futures_util::FutureExt as _;
    let terms = terms(Config::default());
    let traces = terms.traces.clone();
    let mut lines = None;
    let story: Story = Script::new(|now| {
        lines = Some(traces.follow(now, "c1", HOUR).unwrap());
        Client::new(now, terms, Carrier::Stream, None)
    });
    let story = story
        .client(connecting(connect(V4)))
        .asked(drop)
        .backend(welcome(Duration::ZERO))
        .client(publishing(V4, publish(QOS1, 7, "a/b", b"secret")))
        .asked(drop)
        .backend(receipt())
        .hears(|_| {})
        .hears(|_| {});
    let story = listening(story, V4, QOS0).deliver([batch(1, &[unkept(QOS0, b"x"), unkept(QOS0, b"y")])]);
    drop(story);
    let run = traces.clone().run(|_, _| {});
    assert!(run.now_or_never().is_none());
    let mut told = String::new();
    let mut lines = lines.unwrap();
    while let Ok(line) = lines.try_recv() {
        told.push_str(std::str::from_utf8(&line).unwrap());
    }
    for packet in ["CONNACK", "PUBLISH", "PUBACK", "SUBSCRIBE", "SUBACK"] {
        assert!(told.contains(packet), "{packet}: {told}");
    }
    assert_eq!(told.matches("PUBLISH").count(), 3, "{told}");
    assert!(told.contains("a/b") && !told.contains("secret"), "{told}");
}
