"""QoS 0, 1 and 2 in both directions: who acknowledges what, and what is sent again."""

import asyncio

from client import PATIENCE, expect
from suite import holds
from wire import PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL


# The server receives


@holds("MQTT-3.3.4-1", "MQTT-2.3.1-6", "MQTT-4.3.2-2", "MQTT5-3.3.4-1", "MQTT5-2.2.1-5", "MQTT5-4.3.2-4", "MQTT5-3.4.2-1")
async def qos_1_is_answered_with_puback(t):
    client = await t.connect()
    for pid in (1, 2, 65535, 300):
        answer = await client.publish(t.topic(), b"x", 1, pid=pid)
        expect(answer.reason in (0x00, 0x10), f"answered with {answer}")


@holds("MQTT-3.3.4-1", "MQTT-4.3.3-2", "MQTT5-3.3.4-1", "MQTT5-4.3.3-8", "MQTT5-4.3.3-11", "MQTT5-3.5.2-1", "MQTT5-3.7.2-1", "MQTT5-2.2.1-5")
async def qos_2_is_answered_with_pubrec_and_pubcomp(t):
    client = await t.connect()
    for pid in (1, 65535, 300):
        client.push(t.topic(), b"x", 2, pid=pid)
        expect((await client.take(PUBREC, pid)).reason in (0x00, 0x10), "refused")
        client.ack(PUBREL, pid)
        expect((await client.take(PUBCOMP, pid)).reason == 0, "refused")


@holds("MQTT-3.3.4-1", "MQTT5-3.3.4-1")
async def qos_0_is_answered_with_nothing(t):
    client = await t.connect()
    await client.publish(t.topic(), b"x")
    expect(not client.packets, f"{client.packets}")


@holds("MQTT-4.3.2-2", "MQTT5-4.3.2-5")
async def after_puback_the_same_identifier_is_a_new_message(t):
    topic = t.topic()
    watcher, client = await t.pair(topic)
    for i, dup in enumerate((False, False, True)):
        await client.publish(topic, str(i).encode(), 1, pid=5, dup=dup)
    expect([await watcher.text() for _ in range(3)] == ["0", "1", "2"], "not three messages")


@holds("MQTT-4.3.3-2", "MQTT5-4.3.3-10")
async def a_copy_before_pubrel_is_acknowledged_and_not_delivered_again(t):
    topic = t.topic()
    watcher, client = await t.pair(topic)
    client.push(topic, b"once", 2, pid=5)
    await client.take(PUBREC, 5)
    for _ in range(3):
        client.push(topic, b"once", 2, pid=5, dup=True)
        await client.take(PUBREC, 5)
    client.ack(PUBREL, 5)
    await client.take(PUBCOMP, 5)
    expect(await watcher.text() == "once", "something else came")
    await watcher.nothing()


@holds("MQTT-4.3.3-2", "MQTT5-4.3.3-12")
async def after_pubcomp_the_same_identifier_is_a_new_message(t):
    topic = t.topic()
    watcher, client = await t.pair(topic)
    for i, dup in enumerate((False, False, True)):
        await client.publish(topic, str(i).encode(), 2, pid=5, dup=dup)
    expect([await watcher.text() for _ in range(3)] == ["0", "1", "2"], "not three messages")


@holds("MQTT-4.3.3-2", "MQTT5-4.3.3-11", "MQTT5-3.7.2-1")
async def a_release_of_nothing_is_completed(t):
    client = await t.connect()
    client.ack(PUBREL, 77)
    expect((await client.take(PUBCOMP, 77)).reason in (0x00, 0x92), "refused")
    await client.publish(t.topic(), b"x", 2, pid=78)
    client.ack(PUBREL, 78)
    await client.take(PUBCOMP, 78)


@holds("MQTT-4.3.3-2", "MQTT5-4.3.3-8")
async def many_qos_2_messages_are_open_at_once_and_released_in_any_order(t):
    topic = t.topic()
    watcher, client = await t.pair(topic)
    pids = [client.push(topic, str(i).encode(), 2) for i in range(10)]
    for pid in pids:
        await client.take(PUBREC, pid)
    for pid in reversed(pids):
        client.ack(PUBREL, pid)
    for pid in pids:
        await client.take(PUBCOMP, pid)
    got = [await watcher.text() for _ in range(10)]
    expect(sorted(got) == [str(i) for i in range(10)], f"came as {got}")
    await watcher.nothing()


@holds("MQTT-4.3.3-2", "MQTT5-4.3.3-8")
async def an_identifier_of_qos_2_and_one_of_qos_1_may_follow_each_other(t):
    topic = t.topic()
    watcher, client = await t.pair(topic)
    await client.publish(topic, b"1", 2, pid=3)
    await client.publish(topic, b"2", 1, pid=3)
    await client.publish(topic, b"3", 2, pid=3)
    expect([await watcher.text() for _ in range(3)] == ["1", "2", "3"], "not three messages")


@holds("MQTT5-3.6.2-1", "MQTT5-4.3.3-11")
async def acknowledgements_with_reason_codes_and_properties_are_understood(t):
    topic = t.topic()
    watcher, client = await t.pair(topic)
    client.push(topic, b"a", 2, pid=1)
    await client.take(PUBREC, 1)
    client.ack(PUBREL, 1, 0, [("reason", "because"), ("user", ("a", "b"))])
    await client.take(PUBCOMP, 1)
    message = await watcher.arrival()
    watcher.ack(PUBREC, message.pid, 0x00, ())
    await watcher.take(PUBREL, message.pid)
    watcher.ack(PUBCOMP, message.pid, 0x00, [("user", ("a", "b"))])
    await client.publish(topic, b"b", 1)
    message = await watcher.arrival()
    watcher.ack(PUBACK, message.pid, 0x00, [("reason", "ok")])
    await client.publish(topic, b"c", 1)
    message = await watcher.arrival()
    watcher.ack(PUBACK, message.pid, 0x10)
    await watcher.alive()


# The server sends


@holds("MQTT-4.3.1-1", "MQTT-2.3.1-5", "MQTT-3.3.1-2", "MQTT5-4.3.1-1", "MQTT5-2.2.1-2", "MQTT5-3.3.1-2")
async def qos_0_is_delivered_as_qos_0(t):
    topic = t.topic()
    watcher, client = await t.pair(topic)
    await client.publish(topic, b"x")
    message = await watcher.message()
    expect((message.qos, message.dup, message.pid, message.payload) == (0, False, None, b"x"), f"came as {message}")


@holds("MQTT-4.3.2-1", "MQTT-2.3.1-1", "MQTT-2.3.1-4", "MQTT5-4.3.2-1", "MQTT5-4.3.2-2", "MQTT5-2.2.1-4", "MQTT5-4.3.3-1", "MQTT5-4.3.3-2")
async def new_messages_have_free_identifiers_and_no_dup(t):
    topic = t.topic()
    watcher, client = await t.pair(topic)
    for i in range(12):
        await client.publish(topic, b"x", 1 + i % 2)
    # The reader sees to it that no identifier is used that was not acknowledged.
    messages = [await watcher.arrival() for _ in range(12)]
    expect(not any(message.dup for message in messages), f"came as {messages}")
    expect(len({message.pid for message in messages}) == 12, f"came as {messages}")
    for message in messages:
        await watcher.accept(message)


@holds("MQTT-3.3.1-3", "MQTT5-3.3.1-3")
async def dup_is_not_passed_on(t):
    topic = t.topic()
    watcher, client = await t.pair(topic)
    for qos in (1, 2):
        await client.publish(topic, b"x", qos, dup=True)
        expect(not (await watcher.message()).dup, "it has DUP")


@holds("MQTT-4.3.3-1", "MQTT5-4.3.3-4", "MQTT5-3.6.2-1")
async def every_pubrec_is_answered_with_pubrel(t):
    topic = t.topic()
    watcher, client = await t.pair(topic)
    await client.publish(topic, b"x", 2)
    message = await watcher.arrival()
    for _ in range(2):
        watcher.ack(PUBREC, message.pid)
        expect((await watcher.take(PUBREL, message.pid)).reason == 0, "refused")
    watcher.ack(PUBCOMP, message.pid)
    await watcher.nothing()


async def away(t, *qos):
    """A client with a session that has a message of each QoS, and no answer given yet: its name, it, the messages, a publisher, a topic."""
    name, topic = t.id(), t.topic()
    client = await t.connect(name, keep=True)
    await client.subscribe(topic)
    other = await t.connect()
    for i, level in enumerate(qos):
        await other.publish(topic, str(i).encode(), level)
    messages = [await client.arrival() for _ in qos]
    return name, client, messages, other, topic


@holds("MQTT-4.4.0-1", "MQTT-3.3.1-1", "MQTT-4.3.2-1", "MQTT5-4.4.0-1", "MQTT5-3.3.1-1", "MQTT5-4.3.2-3")
async def qos_1_without_puback_is_sent_again_with_dup_and_the_same_identifier(t):
    name, client, (first,), _, _ = await away(t, 1)
    client.drop()
    client = await t.connect(name, keep=True)
    again = await client.message()
    expect((again.pid, again.dup, again.payload) == (first.pid, True, b"0"), f"first {first}, then {again}")
    await client.alive()
    await client.leave()
    client = await t.connect(name, keep=True)
    await client.nothing()
    await client.leave()
    await t.forget(name)


@holds("MQTT-4.4.0-1", "MQTT-4.3.3-1", "MQTT5-4.4.0-1", "MQTT5-4.3.3-3")
async def qos_2_without_pubrec_is_sent_again_with_dup_and_the_same_identifier(t):
    name, client, (first,), _, _ = await away(t, 2)
    client.drop()
    client = await t.connect(name, keep=True)
    again = await client.message()
    expect((again.pid, again.dup, again.payload) == (first.pid, True, b"0"), f"first {first}, then {again}")
    await client.alive()
    await client.leave()
    client = await t.connect(name, keep=True)
    await client.nothing()
    await client.leave()
    await t.forget(name)


@holds("MQTT-4.4.0-1", "MQTT-4.3.3-1", "MQTT5-4.4.0-1", "MQTT5-4.3.3-5", "MQTT5-4.3.3-6")
async def after_pubrec_only_pubrel_is_sent_again(t):
    name, client, (first,), _, _ = await away(t, 2)
    client.ack(PUBREC, first.pid)
    await client.take(PUBREL, first.pid)
    for _ in range(2):
        client.drop()
        client = await t.connect(name, keep=True)
        await client.take(PUBREL, first.pid)
        await client.nothing()
    client.ack(PUBCOMP, first.pid)
    await client.alive()
    await client.leave()
    client = await t.connect(name, keep=True)
    await client.nothing(PUBREL)
    await client.leave()
    await t.forget(name)


@holds("MQTT-4.6.0-1", "MQTT-4.6.0-6", "MQTT5-4.6.0-5", "MQTT5-4.4.0-1")
async def what_is_sent_again_comes_in_its_order_and_before_what_is_new(t):
    name, client, first, other, topic = await away(t, 1, 2, 1, 1, 2, 2)
    client.drop()
    for i in (6, 7, 8):
        await other.publish(topic, str(i).encode(), 1 + i % 2)
    client = await t.connect(name, keep=True)
    again = [await client.arrival() for _ in range(6)]
    expect([message.pid for message in again] == [message.pid for message in first], f"first {first}, then {again}")
    for message in again:
        await client.accept(message)
    rest = [message.payload for message in await client.messages(3)]
    expect(sorted(rest) == [b"6", b"7", b"8"], f"came as {rest}")
    await client.leave()
    await t.forget(name)


@holds("MQTT5-4.4.0-1")
async def nothing_is_sent_again_while_the_connection_is_open(t):
    _, client, _, _, _ = await away(t, 1, 2)
    await client.nothing(PUBLISH, grace=6)


@holds("MQTT-4.3.2-1", "MQTT5-4.3.2-3", "MQTT5-4.3.3-3")
async def acknowledgements_may_come_in_any_order(t):
    topic = t.topic()
    watcher, client = await t.pair(topic)
    for i in range(8):
        await client.publish(topic, str(i).encode(), 1 + i % 2)
    for message in reversed([await watcher.arrival() for _ in range(8)]):
        await watcher.accept(message)
    for i in range(8, 40):
        await client.publish(topic, str(i).encode(), 1)
        expect(await watcher.text() == str(i), "something else came")


@holds("MQTT5-4.4.0-2", "MQTT5-4.3.3-4")
async def what_a_client_refuses_is_not_sent_again(t):
    name, client, (first, second), other, topic = await away(t, 1, 2)
    client.ack(PUBACK, first.pid, 0x97)
    client.ack(PUBREC, second.pid, 0x80)
    await client.nothing(PUBREL)
    client.drop()
    client = await t.connect(name, keep=True)
    await client.nothing()
    expect(not client.packets, f"{client.packets}")
    await other.publish(topic, b"new", 2)
    expect(await client.text() == "new", "something else came")
    await client.leave()
    await t.forget(name)


@holds("MQTT-4.6.0-5", "MQTT-4.6.0-6", "MQTT5-4.6.0-5", "MQTT5-4.6.0-6")
async def messages_of_a_topic_come_in_the_order_of_publishing(t):
    topic = t.topic()
    watcher, client = await t.pair(topic)
    count = 300
    for qos in (0, 1, 2):
        texts = []

        async def read():
            for _ in range(count):
                texts.append(await watcher.text())

        reading = asyncio.ensure_future(read())
        for first in range(0, count, 10):
            pids = [client.push(topic, str(i).encode(), qos) for i in range(first, first + 10)]
            for pid in pids if qos else ():
                await client.take(PUBACK if qos == 1 else PUBREC, pid)
                if qos == 2:
                    client.ack(PUBREL, pid)
            for pid in pids if qos == 2 else ():
                await client.take(PUBCOMP, pid)
        await client.ping()
        await asyncio.wait_for(reading, PATIENCE)
        expect(texts == [str(i) for i in range(count)], f"at QoS {qos} they came as {texts[:20]}…")


@holds("MQTT-3.8.4-6", "MQTT5-3.8.4-8")
async def messages_come_with_the_lower_qos_of_publisher_and_subscription(t):
    topic = t.topic()
    client = await t.connect()
    for granted in (0, 1, 2):
        watcher = await t.connect()
        await watcher.subscribe(topic, qos=granted)
        for qos in (0, 1, 2):
            await client.publish(topic, b"x", qos)
            message = await watcher.message()
            expect(message.qos == min(qos, granted), f"published at {qos}, granted {granted}, came at {message.qos}")


@holds("MQTT-4.5.0-1", "MQTT5-4.5.0-1", "MQTT5-3.4.2-1")
async def every_subscriber_has_every_message(t):
    topic = t.topic()
    client = await t.connect()
    watchers = [await t.connect() for _ in range(20)]
    for i, watcher in enumerate(watchers):
        await watcher.subscribe(topic if i % 2 else topic.rpartition("/")[0] + "/+", qos=i % 3)
    for i in range(10):
        await client.publish(topic, str(i).encode(), 2)
    for watcher in watchers:
        expect([await watcher.text() for _ in range(10)] == [str(i) for i in range(10)], "not all, or not in order")


@holds("MQTT-4.3.2-2", "MQTT5-4.3.2-4")
async def a_message_may_be_a_megabyte(t):
    topic = t.topic()
    watcher, client = await t.pair(topic)
    if client.connack.get("packet_maximum", 1 << 28) < 1_100_000:
        return
    payload = bytes(range(256)) * 4096
    for qos in (0, 1, 2):
        await client.publish(topic, payload, qos)
        expect((await watcher.message()).payload == payload, "it came changed")


@holds("MQTT-4.3.2-2", "MQTT5-4.3.2-4")
async def a_client_may_be_its_own_subscriber(t):
    topic = t.topic()
    client = await t.connect()
    await client.subscribe(topic)
    for qos in (0, 1, 2):
        await client.publish(topic, b"x", qos)
        expect((await client.message()).qos == qos, "another QoS")
