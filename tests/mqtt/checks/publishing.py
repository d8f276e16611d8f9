"""What a PUBLISH may say, and that what it says arrives: properties, names, expiry."""

import asyncio
import struct

import wire
from client import expect
from suite import holds
from wire import PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL


async def refused(t, *data, reasons=(0x81, 0x82)):
    """Bytes on a connection that is open; the server ends it."""
    for one in data:
        client = await t.connect()
        client.send(one)
        await client.closed(*reasons)


async def refused_or_told(t, kind, *data, reasons=(0x81, 0x82, 0x90)):
    """Bytes that are answered with a refusal, or with the end."""
    for one in data:
        client = await t.connect()
        client.send(one)
        await client._until(lambda: True if client.ended or client._first(lambda p: p.kind == kind and p.reason >= 0x80) else None,
                            f"a refusal of {one.hex(' ')[:60]}", 5)
        if client.ended:
            await client.closed(*reasons)


@holds("MQTT-3.3.1-4", "MQTT5-3.3.1-4")
async def qos_3_ends_the_connection(t):
    await refused(t, wire.publish(t.version, t.topic(), b"x", 3, 1), wire.publish(t.version, t.topic(), b"x", 3, 1, retain=True, dup=True))


@holds("MQTT-3.3.1-2", "MQTT5-3.3.1-2")
async def dup_at_qos_0_is_not_passed_on(t):
    topic = t.topic()
    watcher, client = await t.pair(topic)
    # A server may also take it for malformed.
    client.send(wire.publish(t.version, topic, b"x", 0, dup=True))
    await client.flushed()
    other = await t.connect()
    await other.publish(topic, b"y", 1)
    while (await watcher.message()).payload != b"y":
        pass


@holds("MQTT-3.3.2-2", "MQTT-4.7.1-1", "MQTT5-3.3.2-2", "MQTT5-4.7.0-1")
async def a_topic_name_with_wildcards_is_refused(t):
    root = t.topic()
    watcher = await t.connect()
    await watcher.subscribe(root + "/#")
    for name in (root + "/#", root + "/+", root + "/a+", root + "/a#b", root + "/+/x"):
        for qos in (0, 1, 2):
            client = await t.connect()
            client.send(wire.publish(t.version, name, b"x", qos, 1 if qos else None))
            await client._until(lambda: True if client.ended or client._first(lambda p: p.kind in (PUBACK, PUBREC) and p.reason >= 0x80) else None,
                                f"a refusal of {name}", 5)
    await watcher.nothing(grace=0.1)


@holds("MQTT-4.7.3-1", "MQTT5-4.7.3-1")
async def a_publish_without_a_topic_ends_the_connection(t):
    await refused(t, wire.publish(t.version, "", b"x"), wire.publish(t.version, "", b"x", 1, 1), reasons=(0x81, 0x82, 0x90))


@holds("MQTT-1.5.3-1", "MQTT-1.5.3-2", "MQTT-3.3.2-1", "MQTT-4.7.3-2", "MQTT5-1.5.4-1", "MQTT5-1.5.4-2", "MQTT5-3.3.2-1", "MQTT5-4.7.3-2")
async def a_topic_name_that_is_not_utf8_ends_the_connection(t):
    for wrong in (b"\xff", b"a/\xed\xa0\x80", b"a\x00b", b"\xc0\x80", b"\xf8\x88\x80\x80\x80", b"a/\xe9", b"\xed\xbf\xbf", b"\xf5\x80\x80\x80"):
        await refused(t, wire.publish(t.version, wrong, b"x"), reasons=(0x81, 0x82, 0x90))


@holds("MQTT-3.3.2-1", "MQTT-4.8.0-1", "MQTT5-3.3.2-1", "MQTT5-4.13.1-1")
async def a_publish_that_is_cut_ends_the_connection(t):
    await refused(t, wire.packet(PUBLISH, b""), wire.packet(PUBLISH, b"\0"), wire.packet(PUBLISH, b"\0\x05abc"),
                  wire.packet(PUBLISH, b"\0\x01a", 2), wire.packet(PUBLISH, b"\0\x01a\0", 2), *(
                      [wire.packet(PUBLISH, b"\0\x01a"), wire.packet(PUBLISH, b"\0\x01a\x05\x01\x01")] if t.v5 else []))


@holds("MQTT5-3.3.2-4", "MQTT5-3.3.2-15", "MQTT5-3.3.2-16", "MQTT5-3.3.2-17", "MQTT5-3.3.2-18", "MQTT5-3.3.2-20")
async def properties_arrive_as_they_were_sent(t):
    topic = t.topic()
    watcher, client = await t.pair(topic)
    user = [("user", pair) for pair in (("z", "1"), ("a", "2"), ("z", "1"), ("", "empty"), ("empty", ""), ("ключ", "值 👋"))]
    for props in ([("payload_format", 0)], [("payload_format", 1)], [("content_type", "")], [("content_type", "application/json; charset=ü")],
                  [("response_topic", "answers/驿站/1")], [("correlation_data", b"")], [("correlation_data", bytes(range(256)) * 16)], user,
                  [("payload_format", 1), ("content_type", "x"), ("response_topic", "r"), ("correlation_data", b"\0"), *user]):
        for qos in (0, 1, 2):
            await client.publish(topic, "ü".encode(), qos, props=props)
            message = await watcher.message()
            came = [pair for pair in message.props if pair != ("payload_format", 0)]
            sent = [pair for pair in props if pair != ("payload_format", 0)]
            expect(sorted(came, key=str) == sorted(sent, key=str), f"sent {sent}, came {came}")
            expect(message.all("user") == [value for name, value in props if name == "user"], f"came as {message}")


@holds("MQTT5-3.3.2-17", "MQTT5-3.3.2-18")
async def sixty_user_properties_arrive_in_their_order(t):
    topic = t.topic()
    watcher, client = await t.pair(topic)
    props = [("user", (f"name {i * 7919 % 100}", f"value {i}")) for i in range(60)]
    await client.publish(topic, b"x", 1, props=props)
    message = await watcher.message()
    expect(message.props == props, f"{len(message.props)} came, or in another order")


@holds("MQTT5-3.3.2-15", "MQTT5-3.3.2-16")
async def a_request_is_answered(t):
    questions, answers = t.topic(), t.topic()
    server, client = await t.connect(), await t.connect()
    await server.subscribe(questions)
    await client.subscribe(answers)
    await client.publish(questions, b"2+2", 1, props=[("response_topic", answers), ("correlation_data", b"\x07")])
    question = await server.message()
    await server.publish(question.get("response_topic"), b"4", 1, props=[("correlation_data", question.get("correlation_data"))])
    answer = await client.message()
    expect((answer.payload, answer.get("correlation_data")) == (b"4", b"\x07"), f"came as {answer}")


@holds("MQTT5-3.3.2-13", "MQTT5-3.3.2-14", "MQTT5-3.3.2-19", "MQTT5-1.5.7-1", "MQTT5-1.5.4-2")
async def a_publish_with_wrong_texts_in_its_properties_is_refused(t):
    topic = t.topic()
    for pairs in ([("response_topic", "a/+")], [("response_topic", "#")], [("response_topic", b"\xff")], [("content_type", b"\xc3(")],
                  [("user", (b"\xff", "x"))], [("user", ("x", b"\xed\xa0\x80"))], [("content_type", "a\0b")], [("user", ("a\0b", "x"))]):
        await refused_or_told(t, PUBACK, wire.publish(5, topic, b"x", 1, 1, props=pairs))


@holds("MQTT5-3.3.4-6")
async def a_clients_publish_has_no_subscription_identifier(t):
    topic = t.topic()
    await refused(t, wire.publish(5, topic, b"x", props=[("subscription_id", 1)]), wire.publish(5, topic, b"x", 1, 1, props=[("subscription_id", 1)]))


@holds("MQTT5-4.13.1-1", "MQTT5-1.5.5-1")
async def a_publish_with_wrong_properties_ends_the_connection(t):
    topic = t.topic()
    for pairs in ([("session_expiry", 1)], [("receive_maximum", 1)], [("will_delay", 1)], [("reason", "x")], [("message_expiry", 1), ("message_expiry", 1)],
                  [("content_type", "a"), ("content_type", "a")], [("payload_format", 0), ("payload_format", 0)],
                  [("response_topic", "a"), ("response_topic", "a")], [("correlation_data", b""), ("correlation_data", b"")],
                  [("alias", 1), ("alias", 1)], b"\x02\x55\x00", b"\x03\x02\0\0", b"\xff\xff\xff\x7f", b"\x80\x80\x80\x80\x01", b"\x01\x01"):
        await refused(t, wire.publish(5, topic, b"x", props=pairs), reasons=(0x81, 0x82, 0x94))


@holds("MQTT5-3.3.2-6")
async def the_expiry_interval_is_counted_down(t):
    name, topic = t.id(), t.topic()
    client = await t.connect(name, keep=True)
    await client.subscribe(topic)
    await client.leave()
    other = await t.connect()
    await other.publish(topic, b"x", 1, props=[("message_expiry", 100)])
    await asyncio.sleep(2.2)
    client = await t.connect(name, keep=True)
    message = await client.message()
    expect(90 <= message.get("message_expiry", 0) <= 98, f"came as {message}")
    await other.publish(topic, b"x", 1, props=[("message_expiry", 100)])
    message = await client.message()
    expect(99 <= message.get("message_expiry", 0) <= 100, f"came as {message}")
    await other.publish(topic, b"x", 1)
    expect((await client.message()).get("message_expiry") is None, "an expiry that nobody gave")
    await client.leave()
    await t.forget(name)


@holds("MQTT5-3.3.2-5")
async def a_message_that_has_expired_is_not_delivered(t):
    name, topic = t.id(), t.topic()
    client = await t.connect(name, keep=True)
    await client.subscribe(topic)
    await client.leave()
    other = await t.connect()
    for qos in (1, 2):
        await other.publish(topic, b"short", qos, props=[("message_expiry", 1)])
        await other.publish(topic, b"long", qos, props=[("message_expiry", 100)])
    await asyncio.sleep(2.5)
    client = await t.connect(name, keep=True)
    expect([await client.text() for _ in range(2)] == ["long", "long"], "not what is left")
    await client.nothing()
    await client.leave()
    await t.forget(name)


@holds("MQTT5-3.3.2-5")
async def a_message_expires_also_behind_a_full_window(t):
    topic = t.topic()
    watcher, client = await t.connect(props=[("receive_maximum", 1)]), await t.connect()
    await watcher.subscribe(topic)
    await client.publish(topic, b"first", 1)
    held = await watcher.arrival()
    await client.publish(topic, b"short", 1, props=[("message_expiry", 1)])
    await client.publish(topic, b"long", 1)
    await asyncio.sleep(2.5)
    watcher.ack(PUBACK, held.pid)
    expect(await watcher.text() == "long", "something else came")


@holds("MQTT5-4.3.3-7", "MQTT5-4.3.3-13")
async def what_was_sent_does_not_expire(t):
    name, topic = t.id(), t.topic()
    client, other = await t.connect(name, keep=True), await t.connect()
    await client.subscribe(topic)
    for _ in range(2):
        await other.publish(topic, b"x", 2, props=[("message_expiry", 1)])
    one, two = await client.arrival(), await client.arrival()
    client.ack(PUBREC, one.pid)
    await client.take(PUBREL, one.pid)
    await asyncio.sleep(2.5)
    client.drop()
    client = await t.connect(name, keep=True)
    await client.take(PUBREL, one.pid)
    client.ack(PUBCOMP, one.pid)
    again = await client.message()
    expect((again.pid, again.dup) == (two.pid, True), f"came as {again}")
    await client.leave()
    await t.forget(name)


@holds("MQTT5-4.3.3-13", "MQTT5-4.3.3-11")
async def an_exchange_goes_on_when_its_message_has_expired(t):
    client = await t.connect()
    client.push(t.topic(), b"x", 2, pid=5, props=[("message_expiry", 1)])
    await client.take(PUBREC, 5)
    await asyncio.sleep(2)
    client.ack(PUBREL, 5)
    expect((await client.take(PUBCOMP, 5)).reason == 0, "refused")


@holds("MQTT5-4.3.3-9", "MQTT5-3.5.2-1")
async def after_a_refusal_of_qos_2_the_identifier_is_free(t):
    topic = t.topic()
    watcher, client = await t.pair(topic)
    client.push("a/#", b"x", 2, pid=5)
    await client._until(lambda: True if client.ended or client.packets else None, "an answer")
    if client.ended:
        client = await t.connect()
    else:
        expect((await client.take(PUBREC, 5)).reason >= 0x80, "accepted")
    await client.publish(topic, b"new", 2, pid=5)
    expect(await watcher.text() == "new", "something else came")


@holds("MQTT-7.0.0-2", "MQTT5-3.3.2-17")
async def versions_understand_each_other(t):
    topic = t.topic()
    watcher, client = await t.pair(topic)
    t.version = 9 - t.version
    stranger = await t.connect()
    await stranger.subscribe(topic)
    props = [("user", ("a", "b")), ("content_type", "x")]
    for qos in (0, 1, 2):
        await client.publish(topic, b"to the other", qos, props=props)
        for one in (watcher, stranger):
            message = await one.message()
            expect((message.payload, message.qos) == (b"to the other", qos), f"came as {message}")
        await stranger.publish(topic, b"and back", qos, props=props)
        for one in (watcher, stranger):
            message = await one.message()
            expect((message.payload, message.qos) == (b"and back", qos), f"came as {message}")


@holds("MQTT-2.3.1-5", "MQTT5-2.2.1-2")
async def bytes_after_the_topic_of_qos_0_are_the_payload(t):
    topic = t.topic()
    watcher, client = await t.pair(topic)
    client.send(wire.packet(PUBLISH, wire.string(topic) + (b"\0" if t.v5 else b"") + struct.pack(">H", 7) + b"x"))
    expect((await watcher.message()).payload == b"\0\x07x", "it came changed")


@holds("MQTT-4.3.2-2", "MQTT5-2.2.1-5", "MQTT5-4.3.3-11")
async def one_packet_after_another_in_one_segment_is_answered_in_order(t):
    client = await t.connect()
    client.send(b"".join(wire.publish(t.version, t.topic(), b"x", 1 + i % 2, i + 1) for i in range(100) if i < 15 or i % 2 == 0))
    pids = [i + 1 for i in range(100) if i < 15 or i % 2 == 0]
    for pid in pids:
        packet = await client._until(lambda: client.packets.pop(0) if client.packets else None, "an answer")
        expect(packet.pid == pid and packet.kind == (PUBREC if (pid - 1) % 2 else PUBACK), f"instead of #{pid} came {packet}")
        if packet.kind == PUBREC:
            client.ack(PUBREL, pid)
            await client.take(PUBCOMP, pid)
