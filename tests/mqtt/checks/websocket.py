"""MQTT over WebSocket (chapter 6 of both standards)."""

import wire
from client import NotHere, WebSocket, expect
from suite import holds
from wire import CONNACK, PINGREQ, PINGRESP


@holds("MQTT-6.0.0-4", "MQTT5-6.0.0-4")
async def the_server_chooses_the_subprotocol_mqtt(t):
    client = await t.dial(WebSocket)
    expect(client.transport.protocol == "mqtt", f"it chose {client.transport.protocol}")


@holds("MQTT-6.0.0-1", "MQTT5-6.0.0-1")
async def all_is_as_over_tcp(t):
    topic = t.topic()
    client, other = await t.connect(transport=WebSocket), await t.connect()
    await client.subscribe(topic)
    for qos in (0, 1, 2):
        for payload in (b"", b"short", b"x" * 100_000):
            await other.publish(topic, payload, qos)
            message = await client.message()
            expect((message.payload, message.qos) == (payload, qos), f"came as {message}")
            await client.publish(topic, payload, qos)
            expect((await client.message()).payload == payload, "it came changed")


@holds("MQTT-6.0.0-1", "MQTT5-6.0.0-1")
async def a_packet_of_a_megabyte_fits_into_one_frame(t):
    topic = t.topic()
    watcher, client = await t.connect(), await t.connect(transport=WebSocket)
    await watcher.subscribe(topic)
    if client.connack.get("packet_maximum", 1 << 28) < 1_100_000:
        raise NotHere("this server takes no such packets")
    await client.publish(topic, b"x" * (1 << 20), 1)
    expect(len((await watcher.message()).payload) == 1 << 20, "it came changed")


@holds("MQTT-6.0.0-1", "MQTT5-6.0.0-1")
async def a_text_frame_ends_the_connection(t):
    client = await t.connect(transport=WebSocket)
    client.transport.frame(wire.packet(PINGREQ), opcode=1)
    await client.closed()
    client = await t.dial(WebSocket)
    client.transport.frame(b"hello", opcode=1)
    await client.closed()


@holds("MQTT-6.0.0-2", "MQTT5-6.0.0-2")
async def a_frame_may_hold_many_packets_or_parts_of_one(t):
    topic = t.topic()
    client = await t.dial(WebSocket)
    data = wire.connect(t.version, t.id(), user=t.place.user, password=t.place.password) + wire.subscribe(t.version, 1, [(topic, 1)])
    data += wire.publish(t.version, topic, b"one", 1, 2) + wire.packet(PINGREQ)
    client.send(data)
    await client.take(CONNACK)
    expect(await client.text() == "one", "something else came")
    await client.take(PINGRESP)
    data = wire.publish(t.version, topic, b"two", 1, 3) + wire.packet(PINGREQ)
    for byte in data:
        client.send(bytes([byte]))
    expect(await client.text() == "two", "something else came")
    await client.take(PINGRESP)
    data = wire.publish(t.version, topic, b"three", 1, 4) + wire.packet(PINGREQ)
    client.transport.frame(data[:5], final=False)
    client.transport.frame(b"now", opcode=9)
    client.transport.frame(data[5:9], opcode=0, final=False)
    client.transport.frame(data[9:], opcode=0)
    expect(await client.text() == "three", "something else came")
    await client.take(PINGRESP)


@holds("MQTT-6.0.0-1", "MQTT-3.1.2-8", "MQTT5-6.0.0-1", "MQTT5-3.1.2-8")
async def a_will_is_published_when_a_websocket_breaks(t):
    topic = t.topic()
    watcher = await t.connect()
    await watcher.subscribe(topic)
    for how in ("drop", "close frame"):
        client = await t.connect(transport=WebSocket, will=wire.Will(topic, how.encode(), 1))
        if how == "drop":
            client.drop()
        else:
            client.transport.frame(b"\x03\xe8", opcode=8)
        expect(await watcher.text() == how, "something else came")


@holds("MQTT-3.1.4-2", "MQTT5-3.1.4-3")
async def a_session_moves_between_tcp_and_websocket(t):
    name, topic = t.id(), t.topic()
    first = await t.connect(name, transport=WebSocket, keep=True)
    await first.subscribe(topic)
    second = await t.connect(name, keep=True)
    await first.closed(0x8E)
    expect(second.connack.session_present, "the session did not go on")
    await second.leave()
    await (await t.connect()).publish(topic, b"x", 1)
    third = await t.connect(name, transport=WebSocket, keep=True)
    expect(await third.text() == "x", "something else came")
    await third.leave()
    await t.forget(name)
