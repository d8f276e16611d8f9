"""How much may be under way: receive maximum, packet sizes, topic aliases."""

import asyncio

import wire
from client import NotHere, expect
from suite import holds
from wire import PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL


@holds("MQTT5-3.3.4-9", "MQTT5-4.9.0-1", "MQTT5-4.9.0-2")
async def a_server_keeps_to_the_receive_maximum_of_a_client(t):
    for maximum in (1, 3):
        topic = t.topic()
        watcher, client = await t.connect(props=[("receive_maximum", maximum)]), await t.connect()
        await watcher.subscribe(topic)
        for i in range(12):
            await client.publish(topic, str(i).encode(), 1 + i % 2)
        # The reader counts what was not acknowledged.
        first = [await watcher.arrival() for _ in range(maximum)]
        await watcher.nothing()
        for message in first:
            await watcher.accept(message)
        rest = await watcher.messages(12 - maximum)
        texts = sorted(int(message.payload) for message in first + rest)
        expect(texts == list(range(12)), f"came as {texts}")


@holds("MQTT5-3.3.4-9", "MQTT5-4.9.0-2")
async def a_qos_2_message_counts_until_pubcomp(t):
    topic = t.topic()
    watcher, client = await t.connect(props=[("receive_maximum", 1)]), await t.connect()
    await watcher.subscribe(topic)
    await client.publish(topic, b"1", 2)
    await client.publish(topic, b"2", 1)
    message = await watcher.arrival()
    watcher.ack(PUBREC, message.pid)
    await watcher.take(PUBREL, message.pid)
    await watcher.nothing()
    watcher.ack(PUBCOMP, message.pid)
    expect(await watcher.text() == "2", "something else came")


@holds("MQTT5-3.3.4-9", "MQTT5-4.4.0-2")
async def a_refusal_frees_a_place(t):
    topic = t.topic()
    watcher, client = await t.connect(props=[("receive_maximum", 1)]), await t.connect()
    await watcher.subscribe(topic)
    for qos in (2, 1, 2, 1):
        await client.publish(topic, b"x", qos)
    for qos in (2, 1, 2, 1):
        message = await watcher.arrival()
        expect(message.qos == qos, f"came as {message}")
        watcher.ack(PUBREC if qos == 2 else PUBACK, message.pid, 0x97)


@holds("MQTT5-3.3.4-10", "MQTT5-4.9.0-3", "MQTT5-3.3.4-9")
async def all_else_goes_on_when_the_receive_maximum_is_reached(t):
    topic = t.topic()
    watcher, client = await t.connect(props=[("receive_maximum", 1)]), await t.connect()
    await watcher.subscribe(topic)
    for i in range(3):
        await client.publish(topic, b"x", 1)
    held = await watcher.arrival()
    await watcher.ping()
    await watcher.subscribe(topic + "/more")
    await watcher.unsubscribe(topic + "/more")
    await watcher.publish(topic + "/other", b"x", 2)
    await watcher.publish(topic + "/other", b"x", 1)
    await client.publish(topic, b"now", 0)
    # QoS 0 is outside of the quota; a server may send it now, or in its order.
    watcher.ack(PUBACK, held.pid)
    got = [(message.qos, message.payload) for message in await watcher.messages(3)]
    expect(sorted(got) == [(0, b"now"), (1, b"x"), (1, b"x")], f"came as {got}")


@holds("MQTT5-3.3.4-9", "MQTT5-4.4.0-1")
async def a_receive_maximum_holds_for_what_is_sent_again(t):
    name, topic = t.id(), t.topic()
    watcher, client = await t.connect(name, keep=True), await t.connect()
    await watcher.subscribe(topic)
    for i in range(8):
        await client.publish(topic, str(i).encode(), 1)
    for _ in range(8):
        await watcher.arrival()
    watcher.drop()
    watcher = await t.connect(name, keep=True, props=[("receive_maximum", 2)])
    texts = [await watcher.text() for _ in range(8)]
    expect(texts == [str(i) for i in range(8)], f"came as {texts}")
    await watcher.leave()
    await t.forget(name)


@holds("MQTT5-3.3.4-7", "MQTT5-4.13.1-1")
async def a_client_that_exceeds_the_receive_maximum_is_disconnected(t):
    client = await t.connect()
    maximum = client.connack.get("receive_maximum", 65535)
    if maximum > 5000:
        raise NotHere(f"this server's receive maximum is {maximum}")
    topic = t.topic()
    for pid in range(1, maximum + 1):
        client.push(topic, b"x", 2, pid=pid)
    for pid in range(1, maximum + 1):
        await client.take(PUBREC, pid)
    await client.alive()
    client.push(topic, b"x", 2, pid=maximum + 1)
    await client.closed(0x93, told=True)


@holds("MQTT5-3.1.2-24", "MQTT5-3.1.2-25")
async def what_is_too_large_for_a_client_is_dropped_for_it_alone(t):
    topic = t.topic()
    small, large, client = await t.connect(props=[("packet_maximum", 200)]), await t.connect(), await t.connect()
    await small.subscribe(topic)
    await large.subscribe(topic)
    for qos in (0, 1, 2):
        for payload in (b"first", b"x" * 300, b"second"):
            await client.publish(topic, payload, qos)
        expect([await small.text() for _ in range(2)] == ["first", "second"], "not what fits")
        expect([len(await large.text()) for _ in range(3)] == [5, 300, 6], "not all")
    # Properties count too.
    await client.publish(topic, b"small", 1, props=[("user", ("a", "x" * 300))])
    await client.publish(topic, b"third", 1)
    expect(await small.text() == "third", "something else came")


@holds("MQTT5-3.1.2-25", "MQTT5-3.3.4-9")
async def what_is_too_large_takes_no_place_in_the_receive_maximum(t):
    name, topic = t.id(), t.topic()
    props = [("packet_maximum", 200), ("receive_maximum", 2)]
    small, client = await t.connect(name, keep=True, props=props), await t.connect()
    await small.subscribe(topic)
    await small.leave()
    for i in range(5):
        await client.publish(topic, b"x" * 300, 1 + i % 2)
    await client.publish(topic, b"fits", 1)
    small = await t.connect(name, keep=True, props=props)
    expect(await small.text() == "fits", "something else came")
    await small.leave()
    await t.forget(name)


@holds("MQTT5-3.2.2-19", "MQTT5-3.2.2-20", "MQTT5-3.4.2-2", "MQTT5-3.4.2-3", "MQTT5-3.5.2-2", "MQTT5-3.5.2-3", "MQTT5-3.6.2-2",
       "MQTT5-3.6.2-3", "MQTT5-3.7.2-2", "MQTT5-3.7.2-3", "MQTT5-3.9.2-1", "MQTT5-3.9.2-2", "MQTT5-3.11.2-1", "MQTT5-3.11.2-2",
       "MQTT5-3.14.2-3", "MQTT5-3.14.2-4", "MQTT5-3.15.2-2", "MQTT5-3.15.2-3", "MQTT5-3.1.2-24")
async def no_reason_string_or_property_makes_a_packet_too_large_for_a_client(t):
    # The reader measures each packet against the limit. What is asked here is what servers like to explain.
    tight = [("packet_maximum", 64)]
    client = await t.connect(props=tight)
    topic = "c/" + t.name
    await client.publish(topic, b"x", 1)
    await client.publish(topic, b"x", 2)
    client.ack(PUBREL, 4000)
    await client.take(PUBCOMP, 4000)
    client.ack(PUBREC, 4001)
    await client.unsubscribe(topic)
    await client.subscribe(topic)
    await client.alive()
    for data in (wire.packet(15, b""), wire.auth(0x19, [("auth_method", "x")]), wire.publish(5, "a/#", b"x"), wire.connect(5, "x"),
                 wire.publish(5, topic, b"", 0, props=[("alias", 0)]), wire.subscribe(5, 1, [("a#", 0)]), wire.subscribe(5, 1, [("$share/g", 0)])):
        client = await t.connect(props=tight)
        client.send(data)
        await client._until(lambda: True if client.ended or client.packets else None, "an answer", 5)
    for props in ([("auth_method", "no-such-method")], [("receive_maximum", 0)]):
        client = await t.dial()
        client.packet_maximum = 64
        client.send(wire.connect(5, t.id(), props=tight + props))
        await client.closed()


@holds("MQTT5-3.1.2-24")
async def a_client_that_takes_next_to_nothing_is_sent_no_more(t):
    # CONNACK itself may be too large; then the connection just ends.
    for maximum in (1, 4, 8, 16):
        client = await t.dial()
        client.packet_maximum = maximum
        client.send(wire.connect(5, t.id(), user=t.place.user, password=t.place.password, props=[("packet_maximum", maximum)]))
        client.send(wire.packet(wire.PINGREQ))
        await client._until(lambda: True if client.ended or client.packets else None, "CONNACK or the end", 5)


@holds("MQTT5-4.13.1-1")
async def a_packet_larger_than_the_servers_maximum_ends_the_connection(t):
    client = await t.connect()
    maximum = client.connack.get("packet_maximum")
    if not maximum:
        raise NotHere("this server names no maximum packet size")
    if maximum <= 4 << 20:
        topic = t.topic()
        room = maximum - len(wire.publish(5, topic)) - 3
        await client.publish(topic, b"x" * room)
    if maximum >= 268435455 + 5:
        raise NotHere("this server takes all that the protocol can say")
    # The head is enough: it says how much would come.
    client.send(b"\x30" + wire.varint(min(maximum + 1, 268435455)) + b"\0\x01a\0")
    await client.closed(0x95, told=True)


@holds("MQTT5-3.3.2-12")
async def a_server_accepts_every_alias_up_to_its_maximum(t):
    topic = t.topic()
    watcher, client = await t.pair(topic + "/+")
    maximum = client.connack.get("alias_maximum", 0)
    if not maximum:
        raise NotHere("this server takes no topic aliases")
    aliases = sorted({1, 2, maximum // 2 or 1, maximum})
    for alias in aliases:
        await client.publish(f"{topic}/{alias}", b"first", 1, props=[("alias", alias)])
        await client.publish("", b"again", alias % 3, props=[("alias", alias)])
    for alias in aliases:
        for text in (b"first", b"again"):
            message = await watcher.message()
            expect((message.topic, message.payload) == (f"{topic}/{alias}", text), f"came as {message}")
    # An alias may be given to another topic.
    await client.publish(f"{topic}/new", b"moved", 1, props=[("alias", 1)])
    await client.publish("", b"stays", 1, props=[("alias", 1)])
    for _ in range(2):
        expect((await watcher.message()).topic == f"{topic}/new", "another topic")


@holds("MQTT5-3.3.2-8", "MQTT5-3.3.2-9", "MQTT5-4.13.1-1")
async def an_alias_that_cannot_be_ends_the_connection(t):
    maximum = (await t.connect()).connack.get("alias_maximum", 0)
    for alias, name, reasons in ((0, "t", (0x94, 0x82, 0x81)), (maximum + 1, "t", (0x94,)), (65535 if maximum < 65535 else 0, "t", (0x94,)),
                                 (1, "", (0x82, 0x94))):
        client = await t.connect()
        client.send(wire.publish(5, name and t.topic(), b"x", 1, 1, props=[("alias", alias)]))
        await client.closed(*reasons, told=True)


@holds("MQTT5-3.3.2-7")
async def aliases_end_with_their_connection(t):
    name, topic = t.id(), t.topic()
    client = await t.connect(name, keep=True)
    if not client.connack.get("alias_maximum", 0):
        raise NotHere("this server takes no topic aliases")
    await client.publish(topic, b"x", 1, props=[("alias", 1)])
    client.drop()
    client = await t.connect(name, keep=True)
    client.send(wire.publish(5, "", b"x", 1, 1, props=[("alias", 1)]))
    await client.closed(0x82, 0x94)
    await t.forget(name)


@holds("MQTT5-3.1.2-26", "MQTT5-3.3.2-11", "MQTT5-3.3.2-7")
async def a_server_keeps_to_the_alias_maximum_of_a_client(t):
    name, topic = t.id(), t.topic()
    client = await t.connect()
    # The reader resolves the aliases, and sees to it that none is above the maximum or unknown.
    for maximum in (1, 3, 65535):
        watcher = await t.connect(name, keep=True, props=[("alias_maximum", maximum)])
        await watcher.subscribe(topic + "/#")
        names = [f"{topic}/{i % 5}" for i in range(25)]
        for i, to in enumerate(names):
            await client.publish(to, str(i).encode(), i % 3)
        got = sorted([(int(message.payload), message.topic) for message in await watcher.messages(25)])
        expect(got == list(enumerate(names)), f"came as {got}")
        await watcher.leave()
    await t.forget(name)


@holds("MQTT5-3.1.2-27")
async def without_an_alias_maximum_no_alias_comes(t):
    topic = t.topic()
    client = await t.connect()
    for props in ((), [("alias_maximum", 0)]):
        watcher = await t.connect(props=props)
        await watcher.subscribe(topic)
        for i in range(10):
            await client.publish(topic, b"x", i % 3)
        for message in await watcher.messages(10):
            expect(message.get("alias") is None, f"came as {message}")


@holds("MQTT5-3.3.2-12", "MQTT5-3.3.2-17")
async def an_alias_is_the_affair_of_one_connection(t):
    topic = t.topic()
    watcher, client = await t.pair(topic)
    if not client.connack.get("alias_maximum", 0):
        raise NotHere("this server takes no topic aliases")
    other = await t.connect()
    await client.publish(topic, b"1", 1, props=[("alias", 1)])
    await other.publish(topic + "/else", b"x", 1, props=[("alias", 1)])
    await client.publish("", b"2", 2, props=[("alias", 1)])
    for text in (b"1", b"2"):
        message = await watcher.message()
        expect((message.payload, message.get("alias")) == (text, None), f"came as {message}")


@holds("MQTT-4.5.0-1", "MQTT5-4.9.0-3", "MQTT5-3.3.4-10")
async def a_client_that_acknowledges_nothing_disturbs_nobody(t):
    topic = t.topic()
    mute, watcher, client = await t.connect(), await t.connect(), await t.connect()
    await mute.subscribe(topic)
    await watcher.subscribe(topic)
    for i in range(200):
        await client.publish(topic, str(i).encode(), 1 + i % 2)
        expect(await watcher.text() == str(i), "something else came")
    await mute.ping()
    await asyncio.sleep(0.1)
    expect(any(packet.kind == PUBLISH for packet in mute.packets), "it had nothing")
