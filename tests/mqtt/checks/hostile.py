"""What no client should send. The connection ends, or nothing comes of it; all others go on."""

import asyncio
import random

import wire
from client import expect
from suite import holds
from wire import CONNACK, NAMES, PINGREQ, PINGRESP, PUBACK, PUBCOMP, PUBREC, PUBREL


async def witness(t):
    """A pair whose messages go on, whatever others do: call the result to see."""
    topic = t.topic()
    watcher, client = await t.pair(topic)

    async def look():
        for qos in (0, 1, 2):
            text = f"{qos} {random.getrandbits(32)}"
            await client.publish(topic, text.encode(), qos)
            expect(await watcher.text() == text, "something else came")

    await look()
    return look


def built(t, kind, flags=None):
    """A packet of each kind that is right but for its flags."""
    pid, none = b"\0\x01", b"\0" if t.v5 else b""
    body = {wire.CONNECT: wire.connect(t.version, "x")[2:], CONNACK: b"\0\0" + none, wire.PUBLISH: wire.string("a") + none,
            PUBACK: pid, PUBREC: pid, PUBREL: pid, PUBCOMP: pid, wire.SUBSCRIBE: pid + none + wire.string("a") + b"\0",
            wire.SUBACK: pid + none + b"\0", wire.UNSUBSCRIBE: pid + none + wire.string("a"), wire.UNSUBACK: pid + none + (b"\0" if t.v5 else b""),
            PINGREQ: b"", PINGRESP: b"", wire.DISCONNECT: b"", wire.AUTH: b""}[kind]
    return wire.packet(kind, body, flags)


@holds("MQTT-2.2.2-1", "MQTT-2.2.2-2", "MQTT-3.6.1-1", "MQTT-3.14.1-1", "MQTT5-2.1.3-1", "MQTT5-3.6.1-1", "MQTT5-3.14.1-1")
async def reserved_flags_end_the_connection(t):
    for kind in (PUBACK, PUBREC, PUBREL, PUBCOMP, wire.SUBSCRIBE, wire.UNSUBSCRIBE, PINGREQ, wire.DISCONNECT):
        right = wire.FLAGS.get(kind, 0)
        for flags in {right ^ 1, right ^ 2, right ^ 8}:
            client = await t.connect()
            client.send(built(t, kind, flags))
            # A DISCONNECT that was taken as one would end it, too; but not with a reason.
            await client._until(lambda: True if client.ended else None, f"the end after {NAMES[kind]} with flags {flags:04b}", 5)
            await client.closed(0x81, 0x82)


@holds("MQTT-2.2.2-2", "MQTT5-2.1.3-1", "MQTT5-3.1.4-1")
async def a_connect_with_flags_ends_the_connection(t):
    for flags in (1, 2, 4, 8, 15):
        client = await t.dial()
        client.send(wire.packet(wire.CONNECT, wire.connect(t.version, t.id())[2:], flags))
        await client.closed(0x81, 0x82)
        expect(client.connack is None or client.connack.reason, "accepted")


@holds("MQTT-4.8.0-1", "MQTT5-4.13.1-1")
async def what_only_servers_send_ends_the_connection(t):
    for kind in (CONNACK, wire.SUBACK, wire.UNSUBACK, PINGRESP):
        client = await t.connect()
        client.send(built(t, kind))
        await client.closed(0x81, 0x82)
    for first in (0x00, 0x0F) if t.v5 else (0x00, 0x0F, 0xF0):
        client = await t.connect()
        client.send(bytes([first, 0]))
        await client.closed(0x81, 0x82)


@holds("MQTT-4.8.0-1", "MQTT5-4.13.1-1", "MQTT5-1.5.5-1")
async def a_remaining_length_of_five_bytes_ends_the_connection(t):
    for data in (b"\x30\xff\xff\xff\xff\x01", b"\xc0\x80\x80\x80\x80\x00"):
        client = await t.connect()
        client.send(data)
        await client.closed(0x81, 0x82, 0x95)
    client = await t.dial()
    client.send(b"\x10\xff\xff\xff\xff\x01")
    await client.closed()


@holds("MQTT-4.8.0-1", "MQTT5-4.13.1-1")
async def packets_of_a_wrong_length_end_the_connection(t):
    pid = b"\0\x01"
    wrong = [wire.packet(kind, body) for kind in (PUBACK, PUBREC, PUBREL, PUBCOMP) for body in (b"", b"\0")]
    wrong += [wire.packet(PINGREQ, b"x")]
    if t.v5:
        wrong += [wire.packet(PUBACK, pid + b"\0\x05"), wire.packet(PUBREL, pid + b"\0\x02\x26\0"), wire.packet(PUBREC, pid + b"\0\0x"),
                  wire.disconnect(5, 0, b"\x05"), wire.disconnect(5, 0, [("reason", "a"), ("reason", "b")]), wire.disconnect(5, 0, [("alias", 1)])]
    else:
        wrong += [wire.packet(PUBACK, pid + b"\0"), wire.packet(PUBREL, pid + b"\0\0")]
    for data in wrong:
        client = await t.connect()
        client.send(data)
        await client._until(lambda: True if client.ended else None, f"the end after {data.hex(' ')}", 5)
        await client.closed(0x81, 0x82)


@holds("MQTT5-3.14.2-1", "MQTT5-3.4.2-1", "MQTT5-3.6.2-1", "MQTT5-4.13.1-1")
async def reason_codes_that_do_not_exist_are_survived(t):
    look = await witness(t)
    for data in (wire.disconnect(5, 0x03), wire.disconnect(5, 0xFF), wire.ack(5, PUBACK, 1, 0x55), wire.ack(5, PUBREL, 1, 0x77),
                 wire.ack(5, PUBREC, 1, 0x01), wire.ack(5, PUBCOMP, 1, 0x10)):
        client = await t.connect()
        client.send(data)
        await client.flushed()
    await look()


@holds("MQTT-4.8.0-1", "MQTT5-4.13.1-1", "MQTT5-2.2.1-5")
async def acknowledgements_that_nobody_asked_for_are_survived(t):
    look = await witness(t)
    for kind in (PUBACK, PUBREC, PUBREL, PUBCOMP):
        for pid in (1, 65535, 0):
            client = await t.connect()
            client.send(wire.ack(t.version, kind, pid))
            client.send(wire.packet(PINGREQ))
            await client._until(lambda: True if client.ended or client._first(lambda p: p.kind == PINGRESP) else None, "an answer or the end")
            if not client.ended:
                await client.publish(t.topic(), b"x", 2)
    await look()


@holds("MQTT-4.3.3-1", "MQTT5-4.13.1-1", "MQTT5-4.3.3-3")
async def an_acknowledgement_of_the_wrong_kind_loses_no_other_message(t):
    name, topic = t.id(), t.topic()
    client, other = await t.connect(name, keep=True), await t.connect()
    await client.subscribe(topic)
    await other.publish(topic, b"1", 2)
    await other.publish(topic, b"2", 1)
    first, second = await client.arrival(), await client.arrival()
    client.send(wire.ack(t.version, PUBACK, first.pid) + wire.ack(t.version, PUBREC, second.pid) + wire.ack(t.version, PUBCOMP, first.pid))
    await client.flushed()
    await asyncio.sleep(0.3)
    client.drop()
    client = await t.connect(name, keep=True)
    await other.publish(topic, b"3", 1)
    while (await client.take(wire.PUBLISH)).payload != b"3":
        pass
    await t.forget(name)


@holds("MQTT-4.8.0-1", "MQTT5-4.13.1-1")
async def garbage_before_connect_is_survived(t):
    look = await witness(t)
    chance = random.Random(7)
    for _ in range(60):
        client = await t.dial()
        client.violation = None
        client._pump.cancel()
        client.send(chance.randbytes(chance.randrange(1, 400)))
        await client.flushed()
        client.drop()
    for text in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200), b"SSH-2.0-x\r\n"):
        client = await t.dial()
        client.send(text)
        if text[0] >> 4 != 1:
            await client.closed()
    await look()


@holds("MQTT-4.8.0-1", "MQTT5-4.13.1-1")
async def garbage_after_connect_is_survived(t):
    look = await witness(t)
    chance = random.Random(8)
    for _ in range(60):
        client = await t.connect()
        client.send(chance.randbytes(chance.randrange(1, 400)))
        await client.flushed()
        client.drop()
    await look()


@holds("MQTT-4.8.0-1", "MQTT5-4.13.1-1")
async def packets_with_a_bit_turned_are_survived(t):
    look = await witness(t)
    chance = random.Random(9)
    topic = t.topic()
    good = [wire.publish(t.version, topic, b"hello", 1, 1), wire.publish(t.version, topic, b"hello", 2, 2), wire.subscribe(t.version, 3, [(topic, 1)]),
            wire.unsubscribe(t.version, 4, [topic]), wire.ack(t.version, PUBREL, 2), wire.packet(PINGREQ)]
    if t.v5:
        good.append(wire.publish(5, topic, b"x", 1, 5, props=[("user", ("a", "b")), ("message_expiry", 9), ("correlation_data", b"abc")]))
    for _ in range(80):
        data = bytearray(chance.choice(good))
        for _ in range(chance.randrange(1, 3)):
            # The retain flag and the topic stay, so that nothing is left behind on the server.
            at = chance.randrange(8 * len(data))
            if at != 0 and not (topic.encode() in bytes(data) and 8 * 4 <= at < 8 * (4 + len(topic))):
                data[at // 8] ^= 1 << at % 8
        client = await t.connect()
        client.send(bytes(data))
        await client.flushed()
        client.drop()
    await look()


@holds("MQTT-4.8.0-1", "MQTT5-4.13.1-1")
async def a_packet_that_is_never_finished_holds_nobody_up(t):
    look = await witness(t)
    for data in (b"\x10", b"\x10\xff\xff\xff\x7f", wire.connect(t.version, t.id())[:9]):
        (await t.dial()).send(data)
    for data in (b"\x30\x80", b"\x32\xff\x7f\0\x05abc", wire.publish(t.version, t.topic(), b"x" * 1000, 1, 1)[:500]):
        (await t.connect()).send(data)
    await look()


@holds("MQTT-7.1.1-1", "MQTT5-4.2-1")
async def packets_may_come_byte_by_byte(t):
    topic = t.topic()
    client = await t.dial()
    data = wire.connect(t.version, t.id(), user=t.place.user, password=t.place.password) + wire.subscribe(t.version, 1, [(topic, 2)])
    data += wire.publish(t.version, topic, b"drop by drop", 2, 2) + wire.ack(t.version, PUBREL, 2)
    for byte in data:
        client.send(bytes([byte]))
        await client.flushed()
        await asyncio.sleep(0.003)
    await client.take(CONNACK)
    expect(await client.text() == "drop by drop", "something else came")
    await client.take(PUBCOMP, 2)


@holds("MQTT-4.5.0-1", "MQTT5-4.5.0-1")
async def a_client_that_never_reads_holds_nobody_up(t):
    topic = t.topic()
    deaf, watcher, client = await t.connect(), await t.connect(), await t.connect()
    for one in (deaf, watcher):
        await one.subscribe(topic, qos=0)
    deaf._pump.cancel()
    deaf.transport.reader._transport.pause_reading()
    payload = b"x" * 50000
    for i in range(200):
        client.push(topic, payload, 0)
        await client.flushed()
        expect(len((await watcher.message(patience=20)).payload) == 50000, "something else came")
    await client.alive()
    look = await witness(t)
    await look()


@holds("MQTT-4.8.0-1", "MQTT5-4.13.1-1")
async def many_who_connect_and_say_nothing_hold_nobody_up(t):
    look = await witness(t)
    for _ in range(150):
        await t.dial()
    await look()


@holds("MQTT-4.8.0-1", "MQTT5-4.13.1-1")
async def deep_and_long_names_are_taken_or_refused(t):
    look = await witness(t)
    for name in ("/" * 1000, "a/" * 20000 + "a", "x" * 65535, "+/" * 200 + "#", "驿" * 21845):
        client = await t.connect()
        client.send(wire.subscribe(t.version, 1, [(name, 0)]) + wire.packet(PINGREQ))
        await client._until(lambda: True if client.ended or client._first(lambda p: p.kind == PINGRESP) else None, "an answer or the end")
        if "+" not in name:
            client = await t.connect()
            client.send(wire.publish(t.version, name, b"x", 0) + wire.packet(PINGREQ))
            await client._until(lambda: True if client.ended or client._first(lambda p: p.kind == PINGRESP) else None, "an answer or the end")
    await look()


@holds("MQTT-3.14.4-3", "MQTT5-3.14.4-2", "MQTT5-3.14.4-1")
async def nothing_is_processed_after_disconnect(t):
    topic = t.topic()
    watcher, client = await t.pair(topic)
    client.send(wire.publish(t.version, topic, b"before", 0) + wire.disconnect(t.version) + wire.publish(t.version, topic, b"after", 0)
                + wire.publish(t.version, topic, b"after", 1, 1))
    expect(await watcher.text() == "before", "something else came")
    await watcher.nothing()
    await client.closed()
    expect(not client.packets, f"{client.packets}")


@holds("MQTT5-3.14.4-1", "MQTT5-3.14.4-2", "MQTT5-3.14.2-1", "MQTT5-3.14.2-2", "MQTT5-3.14.0-1")
async def a_server_that_says_disconnect_closes_and_says_no_more(t):
    # The reader sees to it that nothing follows, and that no session expiry is in it.
    for data in (wire.connect(5, "x"), wire.publish(5, t.topic(), b"x", 3, 1), wire.packet(CONNACK, b"\0\0\0"), wire.auth(0x19)):
        client = await t.connect()
        client.send(data + wire.packet(PINGREQ) * 3)
        await client.closed(0x81, 0x82, 0x8C, 0x87)


@holds("MQTT-3.1.3-2", "MQTT5-3.1.3-2")
async def many_clients_come_and_go_and_all_are_served(t):
    topic = t.topic()
    watcher, _ = await t.pair(topic + "/#")

    async def visit(i):
        client = await t.connect()
        await client.publish(f"{topic}/{i}", str(i).encode(), i % 3)
        await client.leave() if i % 2 else client.drop()

    for first in range(0, 120, 20):
        await asyncio.gather(*(visit(i) for i in range(first, first + 20)))
    got = sorted([int(await watcher.text()) for _ in range(120)])
    expect(got == list(range(120)), f"{len(set(got))} of 120 came")
