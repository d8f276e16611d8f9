"""Wills: published when they should be, as they should be, and never else."""

import asyncio

import wire
from client import NotHere, expect
from suite import holds
from wire import Will


async def watch(t, *topics):
    watcher = await t.connect()
    await watcher.subscribe(*topics)
    return watcher


@holds("MQTT-3.1.2-8", "MQTT5-3.1.2-7", "MQTT5-3.1.2-8")
async def a_will_is_published_when_a_client_vanishes(t):
    topic = t.topic()
    watcher = await watch(t, topic)
    for qos in (0, 1, 2):
        client = await t.connect(will=Will(topic, f"gone {qos}".encode(), qos))
        client.drop()
        message = await watcher.message()
        expect((message.payload.decode(), message.qos, message.retain) == (f"gone {qos}", qos, False), f"came as {message}")


@holds("MQTT-3.1.2-8", "MQTT5-3.1.2-7")
async def a_will_may_be_empty_or_large(t):
    topic = t.topic()
    watcher = await watch(t, topic)
    for payload in (b"", b"x" * 60000):
        (await t.connect(will=Will(topic, payload, 1))).drop()
        expect((await watcher.message()).payload == payload, "it came changed")


@holds("MQTT-3.14.4-3", "MQTT-3.1.2-10", "MQTT5-3.14.4-3", "MQTT5-3.1.2-10")
async def a_will_is_not_published_after_disconnect(t):
    topic = t.topic()
    watcher = await watch(t, topic)
    await (await t.connect(will=Will(topic, b"gone", 1))).leave()
    if t.v5:
        await (await t.connect(will=Will(topic, b"gone", 1))).leave(0x00)
    await watcher.nothing()


@holds("MQTT5-3.1.2-8")
async def a_client_may_ask_for_its_will_with_disconnect(t):
    topic = t.topic()
    watcher = await watch(t, topic)
    for reason in (0x04, 0x80, 0x82):
        await (await t.connect(will=Will(topic, hex(reason).encode(), 1))).leave(reason)
        expect(await watcher.text() == hex(reason), "something else came")


@holds("MQTT-3.1.2-12", "MQTT5-3.1.2-8")
async def without_a_will_nothing_is_published_at_the_end(t):
    topic = t.topic()
    watcher = await watch(t, topic)
    client = await t.connect()
    await client.publish(topic, b"a word", 1)
    client.drop()
    expect(await watcher.text() == "a word", "something else came")
    await watcher.nothing()


@holds("MQTT-3.1.2-8", "MQTT-3.1.2-24", "MQTT5-3.1.2-8", "MQTT5-3.1.2-22")
async def a_will_is_published_when_a_client_falls_silent(t):
    topic = t.topic()
    watcher = await watch(t, topic)
    client = await t.connect(will=Will(topic, b"silent", 1), keep_alive=1)
    if client.connack.get("server_keep_alive", 1) > 5:
        raise NotHere("this server wants a longer keep alive")
    expect((await watcher.message(patience=8)).payload == b"silent", "something else came")


@holds("MQTT-3.1.2-8", "MQTT5-3.1.2-8")
async def a_will_is_published_when_a_client_breaks_the_protocol(t):
    topic = t.topic()
    watcher = await watch(t, topic)
    client = await t.connect(will=Will(topic, b"broken", 1))
    client.send(wire.publish(t.version, topic, b"x", qos=3, pid=1))
    expect(await watcher.text() == "broken", "something else came")


@holds("MQTT-3.1.2-16", "MQTT5-3.1.2-14")
async def a_will_without_retain_is_not_retained(t):
    topic = t.topic()
    watcher = await watch(t, topic)
    (await t.connect(will=Will(topic, b"gone", 1))).drop()
    await watcher.message()
    await (await watch(t, topic)).nothing()


@holds("MQTT-3.1.2-17", "MQTT5-3.1.2-15")
async def a_will_with_retain_is_retained(t):
    topic = t.retained()
    watcher = await watch(t, topic)
    (await t.connect(will=Will(topic, b"gone", 1, retain=True))).drop()
    await watcher.message()
    message = await (await watch(t, topic)).message()
    expect((message.payload, message.retain) == (b"gone", True), f"came as {message}")


@holds("MQTT-3.1.2-10", "MQTT5-3.1.2-10")
async def a_will_is_published_once(t):
    name, topic = t.id(), t.topic()
    watcher = await watch(t, topic)
    (await t.connect(name, keep=True, will=Will(topic, b"gone", 1))).drop()
    await watcher.message()
    client = await t.connect(name, keep=True)
    client.drop()
    await watcher.nothing()
    await t.forget(name)


@holds("MQTT-3.1.2-8")
async def a_will_is_published_when_another_takes_over(t):
    name, topic = t.id(), t.topic()
    watcher = await watch(t, topic)
    await t.connect(name, will=Will(topic, b"taken", 1))
    await t.connect(name)
    expect(await watcher.text() == "taken", "something else came")


@holds("MQTT5-3.1.2-8")
async def a_will_without_delay_is_published_when_another_takes_over(t):
    for clean in (False, True):
        name, topic = t.id(), t.topic()
        watcher = await watch(t, topic)
        await t.connect(name, keep=True, will=Will(topic, b"taken", 1))
        await t.connect(name, keep=True, clean=clean)
        expect(await watcher.text() == "taken", "something else came")
        await t.forget(name)


@holds("MQTT5-3.1.3-9")
async def a_delayed_will_is_not_published_when_its_client_takes_over(t):
    name, topic = t.id(), t.topic()
    watcher = await watch(t, topic)
    await t.connect(name, keep=True, will=Will(topic, b"gone", 1, props=[("will_delay", 1)]))
    await t.connect(name, keep=True)
    await watcher.nothing(grace=2.5)
    await t.forget(name)


@holds("MQTT5-3.1.2-8")
async def a_delayed_will_waits(t):
    name, topic = t.id(), t.topic()
    watcher = await watch(t, topic)
    client = await t.connect(name, keep=True, will=Will(topic, b"gone", 1, props=[("will_delay", 2)]))
    client.drop()
    await watcher.nothing(grace=1)
    expect(await watcher.text() == "gone", "something else came")
    await t.forget(name)


@holds("MQTT5-3.1.3-9", "MQTT5-3.1.2-8")
async def a_client_that_is_back_in_time_keeps_its_will_from_being_published(t):
    name, topic = t.id(), t.topic()
    watcher = await watch(t, topic)
    client = await t.connect(name, keep=True, will=Will(topic, b"gone", 1, props=[("will_delay", 1)]))
    client.drop()
    client = await t.connect(name, keep=True)
    await watcher.nothing(grace=2.5)
    await client.leave()
    await t.forget(name)


@holds("MQTT5-3.1.2-8")
async def a_delayed_will_is_published_when_its_session_ends_first(t):
    topic = t.topic()
    watcher = await watch(t, topic)
    for props in ([], [("session_expiry", 1)]):
        client = await t.connect(props=props, will=Will(topic, b"gone", 1, props=[("will_delay", 60)]))
        client.drop()
        expect(await watcher.text() == "gone", "something else came")


@holds("MQTT5-3.1.2-8")
async def a_delayed_will_is_published_when_a_clean_start_ends_its_session(t):
    name, topic = t.id(), t.topic()
    watcher = await watch(t, topic)
    client = await t.connect(name, keep=True, will=Will(topic, b"gone", 1, props=[("will_delay", 60)]))
    client.drop()
    await t.connect(name, clean=True)
    expect(await watcher.text() == "gone", "something else came")


@holds("MQTT5-3.14.4-3")
async def disconnect_discards_a_delayed_will(t):
    name, topic = t.id(), t.topic()
    watcher = await watch(t, topic)
    client = await t.connect(name, keep=True, will=Will(topic, b"gone", 1, props=[("will_delay", 1)]))
    await client.leave(0)
    await watcher.nothing(grace=2.5)
    await t.forget(name)


@holds("MQTT5-3.1.3-10", "MQTT5-3.1.2-9", "MQTT5-3.3.2-4", "MQTT5-3.3.2-15", "MQTT5-3.3.2-16", "MQTT5-3.3.2-17", "MQTT5-3.3.2-20")
async def a_will_has_its_properties_and_user_properties_keep_their_order(t):
    topic = t.topic()
    watcher = await watch(t, topic)
    user = [("user", pair) for pair in (("b", "2"), ("a", "1"), ("b", "2"), ("", ""), ("ü", "驿"))]
    props = [("payload_format", 1), ("message_expiry", 60), ("content_type", "text/plain"), ("response_topic", "answers/here"),
             ("correlation_data", b"\0\xff"), *user]
    (await t.connect(will=Will(topic, b"gone", 1, props=props))).drop()
    message = await watcher.message()
    expect([("user", pair) for pair in message.all("user")] == user, f"came as {message}")
    for name, value in props[2:5]:
        expect(message.get(name) == value, f"{name} came as {message.get(name)!r}")
    expect(message.get("payload_format") == 1 and 55 <= message.get("message_expiry", 0) <= 60, f"came as {message}")


@holds("MQTT-3.1.2-8", "MQTT5-3.1.2-8")
async def a_will_reaches_those_who_are_away(t):
    name, topic = t.id(), t.topic()
    watcher = await t.connect(name, keep=True)
    await watcher.subscribe(topic)
    await watcher.leave()
    (await t.connect(will=Will(topic, b"gone", 2))).drop()
    await asyncio.sleep(0.3)
    watcher = await t.connect(name, keep=True)
    expect(await watcher.text() == "gone", "something else came")
    await watcher.leave()
    await t.forget(name)
