"""Retained messages: stored, sent, replaced, cleared."""

import asyncio

from client import expect
from suite import holds


async def fresh(t, *filters, **more):
    """A new subscriber."""
    client = await t.connect()
    await client.subscribe(*filters, **more)
    return client


@holds("MQTT-3.3.1-5", "MQTT-3.3.1-6", "MQTT-3.3.1-8", "MQTT5-3.3.1-5", "MQTT5-3.3.1-9")
async def a_retained_message_is_sent_to_who_subscribes_later(t):
    client = await t.connect()
    for qos in (0, 1, 2):
        topic = t.retained()
        await client.publish(topic, b"kept", qos, retain=True)
        message = await (await fresh(t, topic)).message()
        expect((message.payload, message.qos, message.retain, message.dup) == (b"kept", qos, True, False), f"came as {message}")


@holds("MQTT-3.3.1-5", "MQTT-3.3.1-7", "MQTT5-3.3.1-5")
async def the_last_retained_message_is_the_one(t):
    topic = t.retained()
    watcher, client = await t.pair(topic)
    for i, qos in enumerate((2, 0, 1, 0)):
        await client.publish(topic, str(i).encode(), qos, retain=True)
        # Nothing says when a message of QoS 0 is taken but that somebody hears it.
        await watcher.message()
        reader = await fresh(t, topic)
        message = await reader.message()
        expect((message.payload, message.qos) == (str(i).encode(), qos), f"came as {message}")
        await reader.nothing(grace=0.1)


@holds("MQTT-3.3.1-9", "MQTT5-3.3.1-12")
async def an_established_subscription_gets_messages_without_the_flag(t):
    topic = t.retained()
    watcher, client = await t.pair(topic)
    await client.publish(topic, b"kept", 1, retain=True)
    expect(not (await watcher.message()).retain, "the flag is set")
    await client.publish(topic, b"not kept", 1)
    expect(not (await watcher.message()).retain, "the flag is set")


@holds("MQTT5-3.3.1-13")
async def retain_as_published_leaves_the_flag_as_it_was(t):
    topic = t.retained()
    watcher, client = await t.pair(topic, options=0x08)
    for retain in (True, False, True):
        await client.publish(topic, b"x", 1, retain=retain)
        expect((await watcher.message()).retain == retain, "the flag is another")


@holds("MQTT-3.3.1-10", "MQTT-3.3.1-11", "MQTT5-3.3.1-6", "MQTT5-3.3.1-7")
async def an_empty_retained_message_is_delivered_and_clears_the_topic(t):
    topic = t.retained()
    watcher, client = await t.pair(topic)
    for qos in (0, 1, 2):
        await client.publish(topic, b"kept", qos, retain=True)
        await client.publish(topic, b"", qos, retain=True)
        expect([await watcher.text() for _ in range(2)] == ["kept", ""], "not delivered as usual")
        await (await fresh(t, topic)).nothing(grace=0.2)


@holds("MQTT-3.3.1-11", "MQTT5-3.3.1-7")
async def clearing_what_was_never_there_stores_nothing(t):
    topic = t.retained()
    await (await t.connect()).publish(topic, b"", 1, retain=True)
    await (await fresh(t, topic)).nothing()


@holds("MQTT-3.3.1-12", "MQTT5-3.3.1-8")
async def a_message_without_retain_changes_nothing_that_is_retained(t):
    topic, bare = t.retained(), t.topic()
    client = await t.connect()
    await client.publish(topic, b"kept", 1, retain=True)
    await client.publish(topic, b"passes", 1)
    await client.publish(topic, b"", 1)
    await client.publish(bare, b"passes", 1)
    reader = await fresh(t, topic, bare)
    expect(await reader.text() == "kept", "something else came")
    await reader.nothing()


@holds("MQTT-3.3.1-6", "MQTT5-3.3.1-9")
async def wildcards_find_all_that_is_retained(t):
    root = t.topic()
    client = await t.connect()
    names = ["a", "b", "a/x", "a/y", "b/x/deep"]
    for name in names:
        t._retained.add(f"{root}/{name}")
        await client.publish(f"{root}/{name}", name.encode(), 1, retain=True)
    for pattern, found in (("#", names), ("+", ["a", "b"]), ("+/x", ["a/x"]), ("a/#", ["a", "a/x", "a/y"]), ("b/+/deep", ["b/x/deep"]), ("c/#", [])):
        reader = await fresh(t, f"{root}/{pattern}")
        got = sorted([await reader.text() for _ in found])
        expect(got == sorted(found), f"{pattern} found {got}")
        await reader.nothing(grace=0.2)


@holds("MQTT-3.8.4-3", "MQTT5-3.8.4-4", "MQTT5-3.3.1-9")
async def subscribing_again_sends_retained_messages_again(t):
    topic = t.retained()
    await (await t.connect()).publish(topic, b"kept", 1, retain=True)
    reader = await t.connect()
    for _ in range(3):
        await reader.subscribe(topic)
        message = await reader.message()
        expect((message.payload, message.retain) == (b"kept", True), f"came as {message}")
    await reader.nothing()


@holds("MQTT5-3.3.1-10")
async def retain_handling_1_sends_them_only_to_a_new_subscription(t):
    topic = t.retained()
    await (await t.connect()).publish(topic, b"kept", 1, retain=True)
    reader = await fresh(t, topic, options=0x10)
    expect(await reader.text() == "kept", "something else came")
    await reader.subscribe(topic, options=0x10)
    await reader.nothing()
    await reader.unsubscribe(topic)
    await reader.subscribe(topic, options=0x10)
    expect(await reader.text() == "kept", "something else came")


@holds("MQTT5-3.3.1-10")
async def retain_handling_1_knows_the_subscriptions_of_a_session(t):
    topic, name = t.retained(), t.id()
    await (await t.connect()).publish(topic, b"kept", 1, retain=True)
    reader = await t.connect(name, keep=True)
    await reader.subscribe(topic, options=0x20)
    await reader.leave()
    reader = await t.connect(name, keep=True)
    await reader.subscribe(topic, options=0x10)
    await reader.nothing()
    await reader.leave()
    await t.forget(name)


@holds("MQTT5-3.3.1-11")
async def retain_handling_2_sends_none(t):
    topic = t.retained()
    client = await t.connect()
    await client.publish(topic, b"kept", 1, retain=True)
    reader = await fresh(t, topic, options=0x20)
    await reader.nothing()
    await client.publish(topic, b"live", 1)
    expect(await reader.text() == "live", "something else came")


@holds("MQTT-3.8.4-6", "MQTT5-3.8.4-8")
async def a_retained_message_comes_with_the_lower_qos(t):
    topic = t.retained()
    await (await t.connect()).publish(topic, b"kept", 2, retain=True)
    for qos in (0, 1, 2):
        expect((await (await fresh(t, topic, qos=qos)).message()).qos == qos, "another QoS")


@holds("MQTT-3.8.4-4", "MQTT5-3.8.4-5")
async def a_message_under_two_filters_is_sent_for_each_or_once(t):
    topic = t.retained()
    await (await t.connect()).publish(topic, b"kept", 1, retain=True)
    reader = await fresh(t, topic, topic + "/#")
    expect(await reader.text() == "kept", "something else came")
    await asyncio.sleep(0.2)
    await reader.ping()
    rest = [message.payload for message in reader.packets]
    expect(rest in ([], [b"kept"]), f"then came {rest}")


@holds("MQTT5-3.3.2-4", "MQTT5-3.3.2-15", "MQTT5-3.3.2-16", "MQTT5-3.3.2-17", "MQTT5-3.3.2-18", "MQTT5-3.3.2-20")
async def a_retained_message_has_its_properties(t):
    topic = t.retained()
    props = [("payload_format", 1), ("content_type", "text/x"), ("response_topic", "r/t"), ("correlation_data", b"\1\0"),
             ("user", ("b", "1")), ("user", ("a", "2")), ("user", ("b", "1"))]
    await (await t.connect()).publish(topic, b"kept", 1, retain=True, props=props)
    message = await (await fresh(t, topic)).message()
    expect(sorted(message.props, key=str) == sorted(props, key=str), f"came as {message}")
    expect(message.all("user") == [("b", "1"), ("a", "2"), ("b", "1")], f"came as {message}")


@holds("MQTT5-3.3.2-5", "MQTT5-3.3.2-6")
async def a_retained_message_expires(t):
    topic, longer = t.retained(), t.retained()
    client = await t.connect()
    await client.publish(topic, b"short", 1, retain=True, props=[("message_expiry", 1)])
    await client.publish(longer, b"long", 1, retain=True, props=[("message_expiry", 60)])
    await asyncio.sleep(2.5)
    reader = await fresh(t, topic, longer)
    message = await reader.message()
    expect(message.payload == b"long" and 50 <= message.get("message_expiry", 0) <= 58, f"came as {message}")
    await reader.nothing()


@holds("MQTT5-3.3.4-3", "MQTT5-3.3.1-9")
async def a_retained_message_has_the_identifier_of_the_new_subscription(t):
    topic = t.retained()
    await (await t.connect()).publish(topic, b"kept", 1, retain=True)
    reader = await fresh(t, topic, props=[("subscription_id", 42)])
    message = await reader.message()
    expect(message.all("subscription_id") == [42], f"came as {message}")


@holds("MQTT5-4.8.2-1")
async def a_shared_subscription_is_sent_nothing_retained(t):
    topic = t.retained()
    client = await t.connect()
    await client.publish(topic, b"kept", 1, retain=True)
    reader = await fresh(t, f"$share/{t.name}/{topic}")
    await reader.nothing()
    await client.publish(topic, b"live", 1, retain=True)
    message = await reader.message()
    expect((message.payload, message.retain) == (b"live", False), f"came as {message}")
