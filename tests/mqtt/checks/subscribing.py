"""SUBSCRIBE and UNSUBSCRIBE: filters, options, identifiers, and what matches what."""

import asyncio
import struct

import wire
from client import NotHere, expect
from suite import holds
from wire import PUBACK, PUBCOMP, PUBREC, PUBREL, SUBACK, UNSUBACK


@holds("MQTT-3.8.4-1", "MQTT-3.8.4-2", "MQTT-2.3.1-7", "MQTT5-3.8.4-1", "MQTT5-3.8.4-2", "MQTT5-2.2.1-6")
async def subscribe_is_answered_with_suback_of_its_identifier(t):
    client = await t.connect()
    for pid in (1, 65535, 1234):
        client.send(wire.subscribe(t.version, pid, [(t.topic(), 1)]))
        expect((await client.take(SUBACK)).pid == pid, "another identifier")


@holds("MQTT-3.8.4-4", "MQTT-3.8.4-5", "MQTT-3.9.3-1", "MQTT-3.9.3-2", "MQTT5-3.8.4-5", "MQTT5-3.8.4-6", "MQTT5-3.8.4-7", "MQTT5-3.9.3-1",
       "MQTT5-3.9.3-2")
async def many_filters_are_answered_once_in_their_order(t):
    root = t.topic()
    client, other = await t.connect(), await t.connect()
    levels = [2, 0, 1, 1, 0, 2, 2, 1] * 8
    answer = await client.subscribe(*((f"{root}/{i}", qos) for i, qos in enumerate(levels)))
    expect(answer.reasons == levels, f"granted: {answer.reasons}")
    for i in (0, 7, 63):
        await other.publish(f"{root}/{i}", str(i).encode(), 2)
        message = await client.message()
        expect((message.payload, message.qos) == (str(i).encode(), levels[i]), f"came as {message}")


@holds("MQTT-3.8.4-3", "MQTT5-3.8.4-3")
async def the_same_filter_again_replaces_the_subscription(t):
    topic = t.topic()
    client, other = await t.connect(), await t.connect()
    for qos in (2, 0, 1):
        await client.subscribe(topic, qos=qos)
        await other.publish(topic, b"x", 2)
        expect((await client.message()).qos == qos, "another QoS")
        await client.nothing(grace=0.1)


@holds("MQTT-3.8.4-3", "MQTT5-3.8.4-4")
async def nothing_is_lost_while_a_subscription_is_replaced(t):
    topic = t.topic()
    client, other = await t.pair(topic, qos=1)

    async def flow():
        for i in range(200):
            await other.publish(topic, str(i).encode(), 1)

    flowing = asyncio.ensure_future(flow())
    texts = []

    async def read():
        while not texts or texts[-1] != "199":
            texts.append(await client.text())

    reading = asyncio.ensure_future(read())
    for _ in range(20):
        await client.subscribe(topic, qos=1)
    await flowing
    await reading
    expect(texts == [str(i) for i in range(200)], f"came as {texts[:20]}…, {len(texts)} of 200")


@holds("MQTT-3.8.1-1", "MQTT-3.10.1-1", "MQTT-2.2.2-1", "MQTT5-3.8.1-1", "MQTT5-3.10.1-1", "MQTT5-2.1.3-1")
async def subscribe_and_unsubscribe_with_other_flags_end_the_connection(t):
    for flags in (0, 1, 3, 6, 10, 15):
        client = await t.connect()
        client.send(wire.subscribe(t.version, 1, [(t.topic(), 0)], flags=flags))
        await client.closed(0x81, 0x82)
        client = await t.connect()
        client.send(wire.unsubscribe(t.version, 1, [t.topic()], flags=flags))
        await client.closed(0x81, 0x82)


@holds("MQTT-3.8.3-3", "MQTT-3.10.3-2", "MQTT5-3.8.3-2", "MQTT5-3.10.3-2")
async def subscribe_and_unsubscribe_without_filters_end_the_connection(t):
    for build in (wire.subscribe, wire.unsubscribe):
        client = await t.connect()
        client.send(build(t.version, 1, []))
        await client.closed(0x81, 0x82)


@holds("MQTT-2.3.1-1", "MQTT5-2.2.1-3")
async def the_identifier_0_ends_the_connection(t):
    for data in (wire.subscribe(t.version, 0, [(t.topic(), 0)]), wire.unsubscribe(t.version, 0, [t.topic()]),
                 wire.publish(t.version, t.topic(), b"x", 1, 0), wire.publish(t.version, t.topic(), b"x", 2, 0)):
        client = await t.connect()
        client.send(data)
        await client.closed(0x81, 0x82)


@holds("MQTT-3.8.3-4", "MQTT5-3.8.3-5")
async def reserved_bits_and_qos_3_in_a_subscription_end_the_connection(t):
    for options in (3, 0x40, 0x80, 0xC1) if t.v5 else (3, 4, 8, 0x10, 0x80, 0xFD):
        client = await t.connect()
        client.send(wire.subscribe(t.version, 1, [(t.topic(), options)]))
        await client.closed(0x81, 0x82)


@holds("MQTT5-4.13.1-1")
async def retain_handling_3_is_a_protocol_error(t):
    client = await t.connect()
    client.send(wire.subscribe(5, 1, [(t.topic(), 0x30)]))
    await client.closed(0x82, 0x81)


@holds("MQTT-4.7.1-2", "MQTT-4.7.1-3", "MQTT5-4.7.1-1", "MQTT5-4.7.1-2")
async def a_filter_with_a_wildcard_in_the_wrong_place_is_refused(t):
    for name in ("a#", "#/a", "a/#/b", "a/b#", "+a", "a+", "a/+b", "a/b+/c", "++", "##", "/+#"):
        for build, kind in ((lambda: wire.subscribe(t.version, 1, [(name, 0)]), SUBACK), (lambda: wire.unsubscribe(t.version, 1, [name]), UNSUBACK)):
            client = await t.connect()
            client.send(build())
            await client._until(lambda: True if client.ended or client._first(lambda p: p.kind == kind and
                                all(code >= 0x80 for code in p.reasons)) else None, f"a refusal of {name!r}", 5)


@holds("MQTT-4.7.3-1", "MQTT5-4.7.3-1")
async def an_empty_filter_is_refused(t):
    for build in (lambda: wire.subscribe(t.version, 1, [("", 0)]), lambda: wire.unsubscribe(t.version, 1, [""])):
        client = await t.connect()
        client.send(build())
        await client._until(lambda: True if client.ended or client._first(lambda p: p.kind in (SUBACK, UNSUBACK) and
                            all(code >= 0x80 for code in p.reasons)) else None, "a refusal", 5)


# Which names a filter finds, after MQTT 5, 4.7.1.
MATCHES = [
    ("sport/tennis/player1/#", ["sport/tennis/player1", "sport/tennis/player1/ranking", "sport/tennis/player1/score/wimbledon"]),
    ("sport/#", ["sport", "sport/tennis/player1", "sport/", "sport/tennis", "sport/tennis/player1/ranking", "sport/tennis/player2",
                 "sport/tennis/player1/score/wimbledon"]),
    ("sport/tennis/+", ["sport/tennis/player1", "sport/tennis/player2"]),
    ("sport/+", ["sport/", "sport/tennis"]),
    ("sport/+/player1", ["sport/tennis/player1"]),
    ("+/+", ["sport/", "sport/tennis", "/finance"]),
    ("/+", ["/finance"]),
    ("+", ["sport"]),
    ("+/tennis/#", ["sport/tennis/player1", "sport/tennis", "sport/tennis/player1/ranking", "sport/tennis/player2",
                    "sport/tennis/player1/score/wimbledon"]),
    ("a//b", ["a//b"]), ("a/+/b", ["a//b"]), ("a/b", []), ("sport/Tennis", []), ("sport", ["sport"]), ("+/+/+/+/+", ["sport/tennis/player1/score/wimbledon"]),
]


@holds("MQTT-3.3.2-3", "MQTT-4.7.1-2", "MQTT-4.7.1-3", "MQTT5-3.3.2-3", "MQTT5-4.7.1-1", "MQTT5-4.7.1-2")
async def filters_find_what_they_should(t):
    names = sorted({name for _, found in MATCHES for name in found})
    client = await t.connect()
    # The published names are under a root of this check; where the root is a level, `+` and `#` stay within it.
    root = t.topic() + "/"
    for pattern, found in MATCHES:
        watcher = await t.connect()
        await watcher.subscribe(root + pattern, qos=1)
        for name in names:
            await client.publish(root + name, name.encode(), 1)
        got = [await watcher.text() for _ in found]
        expect(sorted(got) == sorted(found), f"{pattern} found {got}")
        await watcher.nothing(grace=0.05)
        await watcher.leave()


@holds("MQTT-3.3.2-3", "MQTT5-3.3.2-3")
async def wildcards_alone_find_everything(t):
    topic = t.topic()
    watcher, client = await t.pair("#", qos=0)
    await client.publish(topic, b"x", 1)
    await watcher._until(lambda: watcher._first(lambda p: p.topic == topic), "the message")
    await watcher.unsubscribe("#")
    await watcher.subscribe("+/+/+", qos=0)
    await client.publish(topic, b"x", 1)
    await watcher._until(lambda: watcher._first(lambda p: p.topic == topic), "the message")


@holds("MQTT-4.7.2-1", "MQTT5-4.7.2-1")
async def wildcards_at_the_beginning_do_not_find_names_that_begin_with_a_dollar(t):
    watcher, client = await t.connect(), await t.connect()
    await watcher.subscribe("#", "+/#", f"+/{t.name}", f"+/{t.name}/+", qos=0)
    for name in (f"$SYS/{t.name}", f"$conform/{t.name}", f"$conform/{t.name}/x", f"$/{t.name}"):
        if client.ended:
            client = await t.connect()
        # A server may refuse such names: it is their delivery that would be wrong.
        client.send(wire.publish(t.version, name, b"x", 0))
        await client.flushed()
    await asyncio.sleep(0.5)
    await watcher.ping()
    came = [packet for packet in watcher.packets if packet.topic and packet.topic.startswith("$")]
    expect(not came, f"{came}")


@holds("MQTT-4.7.3-4", "MQTT-1.5.3-3", "MQTT5-4.7.3-4", "MQTT5-1.5.4-3")
async def names_are_taken_as_they_are(t):
    root = t.topic()
    # Each pair looks alike and is not the same: case, composition, spaces, slashes, a byte order mark, width.
    pairs = [("Level", "level"), ("\u00fc", "u\u0308"), ("x", "x "), ("x", "x/"), ("x/y", "x//y"), ("x", "\ufeffx"), ("a", "\uff41"),
             ("x", "./x"), ("x", "%78"), ("\u2126", "\u03a9")]
    client = await t.connect()
    for one, two in pairs:
        watcher = await t.connect()
        await watcher.subscribe(f"{root}/{one}")
        await client.publish(f"{root}/{two}", b"not this", 1)
        await client.publish(f"{root}/{one}", b"this", 1)
        message = await watcher.message()
        expect((message.topic, message.payload) == (f"{root}/{one}", b"this"), f"{one!r} found {message}")
        await watcher.leave()
        watcher = await t.connect()
        await watcher.subscribe(f"{root}/{two}")
        await client.publish(f"{root}/{two}", b"this", 1)
        message = await watcher.message()
        expect((message.topic, message.payload) == (f"{root}/{two}", b"this"), f"{two!r} found {message}")
        await watcher.leave()


@holds("MQTT-3.3.2-1", "MQTT5-3.3.2-1", "MQTT5-4.7.3-4")
async def names_may_have_any_letters(t):
    for under in ("驿站/你好", "👋🏽", "with space", "\u0001", "a=b;c,d", "$dollar", "\U0010ffff", "\u200b"):
        topic = t.topic(under)
        watcher, client = await t.connect(), await t.connect()
        client.send(wire.subscribe(t.version, 1, [(topic, 1)]))
        answer = await client._until(lambda: client._first(lambda p: p.kind == SUBACK) or client.ended or None, "SUBACK")
        if answer is True or answer.reasons[0] >= 0x80:
            # Control characters and non-characters may be refused (1.5.4).
            expect(under in ("\u0001", "\U0010ffff"), f"{under!r} was refused")
            continue
        await watcher.publish(topic, b"x", 1)
        message = await client.message()
        expect(message.topic == topic, f"came as {message}")


@holds("MQTT-3.3.5-1", "MQTT5-3.3.4-2")
async def overlapping_subscriptions_respect_the_highest_qos(t):
    topic = t.topic()
    watcher, client = await t.connect(), await t.connect()
    await watcher.subscribe((topic, 0), (topic + "/#", 2), (topic.rpartition("/")[0] + "/+", 1))
    await client.publish(topic, b"x", 2)
    first = await watcher.message()
    await asyncio.sleep(0.3)
    await watcher.ping()
    levels = [first.qos]
    while any(packet.kind == wire.PUBLISH for packet in watcher.packets):
        levels.append((await watcher.message()).qos)
    expect(max(levels) == 2 and len(levels) in (1, 3), f"came at {levels}")


@holds("MQTT5-3.3.4-3", "MQTT5-3.3.4-4", "MQTT5-3.3.4-5")
async def messages_have_the_identifiers_of_the_subscriptions_that_match(t):
    topic = t.topic()
    watcher, client = await t.connect(), await t.connect()
    await watcher.subscribe(topic, props=[("subscription_id", 1)])
    await watcher.subscribe(topic + "/#", props=[("subscription_id", 268435455)])
    await watcher.subscribe(topic + "/+")
    await watcher.subscribe(topic + "/none", props=[("subscription_id", 3)])
    await client.publish(topic, b"x", 1)
    found = (await watcher.message()).all("subscription_id")
    if len(found) == 1:
        found += (await watcher.message()).all("subscription_id")
    expect(sorted(found) == [1, 268435455], f"identifiers {found}")
    await watcher.nothing(grace=0.2)
    await client.publish(topic + "/x", b"x", 1)
    found = (await watcher.message()).all("subscription_id")
    await asyncio.sleep(0.2)
    await watcher.ping()
    found += [i for packet in watcher.packets for i in packet.all("subscription_id")]
    expect(found == [268435455], f"identifiers {found}")


@holds("MQTT5-3.8.4-3", "MQTT5-3.3.4-3")
async def a_new_subscription_identifier_replaces_the_old_one(t):
    topic = t.topic()
    watcher, client = await t.connect(), await t.connect()
    for props, found in (([("subscription_id", 7)], [7]), ([("subscription_id", 8)], [8]), ([], [])):
        await watcher.subscribe(topic, props=props)
        await client.publish(topic, b"x", 1)
        message = await watcher.message()
        expect(message.all("subscription_id") == found, f"came as {message}")


@holds("MQTT5-4.13.1-1")
async def a_subscription_identifier_of_0_or_two_of_them_are_protocol_errors(t):
    for props in ([("subscription_id", 0)], [("subscription_id", 1), ("subscription_id", 2)], [("alias", 1)], [("session_expiry", 1)]):
        client = await t.connect()
        client.send(wire.subscribe(5, 1, [(t.topic(), 0)], props))
        await client.closed(0x82, 0x81)


@holds("MQTT5-3.8.3-3")
async def no_local_keeps_ones_own_messages_away(t):
    topic = t.topic()
    client, other = await t.connect(), await t.connect()
    await client.subscribe(topic, options=4)
    await other.subscribe(topic)
    for qos in (0, 1, 2):
        await client.publish(topic, b"own", qos)
        expect(await other.text() == "own", "something else came")
    await client.nothing()
    await other.publish(topic, b"another's", 1)
    expect(await client.text() == "another's", "something else came")


@holds("MQTT5-3.8.3-3")
async def no_local_holds_in_a_session_that_goes_on(t):
    name, topic = t.id(), t.topic()
    client = await t.connect(name, keep=True)
    await client.subscribe(topic, options=4)
    await client.leave()
    client = await t.connect(name, keep=True)
    await client.publish(topic, b"own", 1)
    await client.nothing()
    await client.leave()
    await t.forget(name)


@holds("MQTT-3.10.4-4", "MQTT-3.10.4-5", "MQTT-3.10.4-6", "MQTT-2.3.1-7", "MQTT5-3.10.4-4", "MQTT5-3.10.4-5", "MQTT5-3.10.4-6", "MQTT5-3.11.3-1",
       "MQTT5-3.11.3-2", "MQTT5-2.2.1-6")
async def unsubscribe_is_answered_once_whatever_there_was(t):
    client = await t.connect()
    there, never = t.topic(), t.topic()
    await client.subscribe(there)
    client.send(wire.unsubscribe(t.version, 4321, [never, there, never]))
    answer = await client.take(UNSUBACK)
    expect(answer.pid == 4321, f"answered with {answer}")
    if t.v5:
        expect(answer.reasons in ([0x11, 0, 0x11], [0, 0, 0]), f"answered with {answer}")
    await client.nothing(UNSUBACK, 0.1)


@holds("MQTT5-3.11.3-2")
async def unsubscribe_says_when_there_was_no_subscription(t):
    client = await t.connect()
    expect((await client.unsubscribe(t.topic())).reasons == [0x11], "it says another thing")


@holds("MQTT-3.10.4-1", "MQTT-3.10.4-2", "MQTT5-3.10.4-1", "MQTT5-3.10.4-2")
async def unsubscribe_ends_just_the_filter_it_names(t):
    topic = t.topic()
    watcher, client = await t.connect(), await t.connect()
    await watcher.subscribe(topic)
    await watcher.unsubscribe(topic + "/#", "#", topic.upper(), topic + "/", topic[:-1] + "+", "+/+/+")
    await client.publish(topic, b"still", 1)
    expect(await watcher.text() == "still", "something else came")
    await watcher.subscribe(topic.rpartition("/")[0] + "/+")
    await watcher.unsubscribe(topic)
    await client.publish(topic, b"by the other", 1)
    expect(await watcher.text() == "by the other", "something else came")
    await watcher.unsubscribe(topic.rpartition("/")[0] + "/+")
    await client.publish(topic, b"never", 2)
    await watcher.nothing()


@holds("MQTT-3.10.4-3", "MQTT5-3.10.4-3")
async def what_has_begun_is_finished_after_unsubscribe(t):
    topic = t.topic()
    name = t.id()
    watcher, client = await t.connect(name, keep=True), await t.connect()
    await watcher.subscribe(topic)
    await client.publish(topic, b"1", 1)
    await client.publish(topic, b"2", 2)
    first, second = await watcher.arrival(), await watcher.arrival()
    await watcher.unsubscribe(topic)
    watcher.ack(PUBREC, second.pid)
    await watcher.take(PUBREL, second.pid)
    watcher.drop()
    watcher = await t.connect(name, keep=True)
    again = await watcher.arrival()
    expect((again.pid, again.payload, again.dup) == (first.pid, b"1", True), f"came as {again}")
    await watcher.take(PUBREL, second.pid)
    watcher.ack(PUBACK, first.pid)
    watcher.ack(PUBCOMP, second.pid)
    await watcher.alive()
    await watcher.leave()
    await t.forget(name)


@holds("MQTT-1.5.3-1", "MQTT-1.5.3-2", "MQTT-3.8.3-1", "MQTT-3.10.3-1", "MQTT-4.7.3-2", "MQTT5-1.5.4-1", "MQTT5-1.5.4-2", "MQTT5-3.8.3-1",
       "MQTT5-3.10.3-1", "MQTT5-4.7.3-2")
async def a_filter_that_is_not_utf8_ends_the_connection(t):
    for wrong in (b"\xff", b"a/\xed\xa0\x80", b"a\x00b", b"\xc0\x80", b"\xf8\x88\x80\x80\x80", b"a/\xe9"):
        for build in (lambda: wire.subscribe(t.version, 1, [(wrong, 0)]), lambda: wire.unsubscribe(t.version, 1, [wrong])):
            client = await t.connect()
            client.send(build())
            await client.closed(0x81, 0x82, 0x8F)


@holds("MQTT-4.8.0-1", "MQTT5-4.13.1-1")
async def a_subscribe_that_is_cut_or_too_long_ends_the_connection(t):
    none = b"\0" if t.v5 else b""
    head = struct.pack(">H", 1) + none
    for kind in (wire.SUBSCRIBE, wire.UNSUBSCRIBE):
        for body in (b"", b"\0", head[:2] if t.v5 else b"\0\1\0", head + b"\0\x09a/b", head + b"\0", head + wire.string("a") + b"\0\0"):
            client = await t.connect()
            client.send(wire.packet(kind, body))
            await client.closed(0x81, 0x82, 0x8F)


@holds("MQTT-3.3.2-3", "MQTT5-3.3.2-3")
async def very_many_subscriptions_of_one_client_work(t):
    root = t.topic()
    client, other = await t.connect(), await t.connect()
    for first in range(0, 600, 100):
        await client.subscribe(*(f"{root}/{i}" for i in range(first, first + 100)), qos=1)
    for i in (0, 299, 599):
        await other.publish(f"{root}/{i}", str(i).encode(), 1)
        expect(await client.text() == str(i), "something else came")
    await client.unsubscribe(*(f"{root}/{i}" for i in range(300)))
    await other.publish(f"{root}/299", b"x", 1)
    await other.publish(f"{root}/300", b"300", 1)
    expect(await client.text() == "300", "something else came")


@holds("MQTT5-3.2.2-10", "MQTT5-3.8.4-7")
async def what_connack_says_of_subscriptions_is_so(t):
    client = await t.connect()
    said = client.connack
    topic = t.topic()
    for name, filter_, props in (("wildcards_available", topic + "/#", ()), ("shared_available", f"$share/g/{topic}", ()),
                                 ("ids_available", topic, [("subscription_id", 1)])):
        if said.get(name, 1):
            await client.subscribe(filter_, props=props)
    if not all(said.get(name, 1) for name in ("wildcards_available", "shared_available", "ids_available")):
        raise NotHere("this server does not offer all kinds of subscriptions")
