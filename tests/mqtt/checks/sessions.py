"""Sessions: what stays when a connection ends, and for how long."""

import asyncio

from client import expect
from suite import holds
from wire import PUBCOMP, PUBREC, PUBREL


@holds("MQTT-3.1.2-6", "MQTT-3.2.2-1", "MQTT5-3.1.2-4", "MQTT5-3.1.4-4", "MQTT5-3.2.2-2")
async def a_clean_start_discards_the_session(t):
    name, topic = t.id(), t.topic()
    client = await t.connect(name, keep=True)
    await client.subscribe(topic)
    await client.leave()
    other = await t.connect()
    await other.publish(topic, b"1", 1)
    client = await t.connect(name, clean=True)
    expect(not client.connack.session_present, "the session is present")
    await other.publish(topic, b"2", 1)
    await client.nothing()


@holds("MQTT-3.1.2-4", "MQTT-3.2.2-2", "MQTT-3.2.2-3", "MQTT-4.1.0-1", "MQTT5-3.1.2-5", "MQTT5-3.1.2-6", "MQTT5-3.1.2-23", "MQTT5-3.2.2-3")
async def a_session_goes_on_where_it_was(t):
    name, topic = t.id(), t.topic()
    client = await t.connect(name, keep=True)
    expect(not client.connack.session_present, "a session is present that was never there")
    await client.subscribe(topic)
    await client.leave()
    client = await t.connect(name, keep=True)
    expect(client.connack.session_present, "the session is gone")
    await (await t.connect()).publish(topic, b"x", 1)
    expect(await client.text() == "x", "the subscription is gone")
    await client.leave()
    await t.forget(name)


@holds("MQTT-3.1.2-5", "MQTT-4.5.0-1", "MQTT5-4.5.0-1")
async def messages_wait_for_a_client_that_is_away(t):
    name, topic = t.id(), t.topic()
    client = await t.connect(name, keep=True)
    await client.subscribe(topic + "/#")
    await client.leave()
    other = await t.connect()
    for i in range(30):
        await other.publish(f"{topic}/{i % 3}", str(i).encode(), 1 + i % 2)
    client = await t.connect(name, keep=True)
    got = await client.messages(30)
    for qos in (1, 2):
        texts = [int(message.payload) for message in got if message.qos == qos]
        for level in range(3):
            mine = [i for i in texts if i % 3 == level]
            expect(mine == [i for i in range(30) if i % 3 == level and 1 + i % 2 == qos], f"QoS {qos} came as {texts}")
    await client.nothing()
    await client.leave()
    await t.forget(name)


@holds("MQTT-3.1.2-5", "MQTT5-4.5.0-1")
async def messages_wait_for_a_client_that_vanished(t):
    name, topic = t.id(), t.topic()
    client = await t.connect(name, keep=True)
    await client.subscribe(topic)
    client.drop()
    other = await t.connect()
    for i in range(10):
        await other.publish(topic, str(i).encode(), 2)
    client = await t.connect(name, keep=True)
    expect([await client.text() for _ in range(10)] == [str(i) for i in range(10)], "not all, or not in order")
    await client.leave()
    await t.forget(name)


@holds("MQTT-3.1.2-6")
async def a_clean_session_ends_with_its_connection(t):
    name, topic = t.id(), t.topic()
    client = await t.connect(name)
    await client.subscribe(topic)
    await client.leave()
    client = await t.connect(name, clean=False)
    expect(not client.connack.session_present, "the session is present")
    await (await t.connect()).publish(topic, b"x", 1)
    await client.nothing()
    await client.leave()
    await t.forget(name)


@holds("MQTT5-4.1.0-2")
async def a_session_without_expiry_ends_with_its_connection(t):
    for props in ((), [("session_expiry", 0)]):
        name = t.id()
        await (await t.connect(name, clean=False, props=props)).leave()
        client = await t.connect(name, clean=False)
        expect(not client.connack.session_present, "the session is present")


@holds("MQTT5-4.1.0-2", "MQTT5-3.1.2-23")
async def a_session_expires_when_its_time_is_over_and_not_before(t):
    name, topic = t.id(), t.topic()
    client = await t.connect(name, clean=False, props=[("session_expiry", 2)])
    await client.subscribe(topic)
    await client.leave()
    await asyncio.sleep(0.5)
    client = await t.connect(name, clean=False, props=[("session_expiry", 2)])
    expect(client.connack.session_present, "the session is gone too early")
    await client.leave()
    await (await t.connect()).publish(topic, b"x", 1)
    await asyncio.sleep(4)
    client = await t.connect(name, clean=False)
    expect(not client.connack.session_present, "the session is still there")
    await client.nothing()


@holds("MQTT5-4.1.0-1", "MQTT-4.1.0-2")
async def a_session_lasts_as_long_as_its_connection(t):
    topic = t.topic()
    client = await t.connect(props=[("session_expiry", 1)] if t.v5 else ())
    await client.subscribe(topic)
    await asyncio.sleep(2.5)
    await (await t.connect()).publish(topic, b"x", 2)
    expect(await client.text() == "x", "the subscription is gone")


@holds("MQTT5-3.1.2-23", "MQTT5-4.1.0-2")
async def disconnect_may_change_how_long_a_session_lasts(t):
    name = t.id()
    client = await t.connect(name, keep=True)
    await client.leave(0, [("session_expiry", 0)])
    client = await t.connect(name, clean=False, props=[("session_expiry", 1)])
    expect(not client.connack.session_present, "DISCONNECT ended it, and it is present")
    await client.leave(0, [("session_expiry", 300)])
    await asyncio.sleep(2.5)
    client = await t.connect(name, clean=False)
    expect(client.connack.session_present, "DISCONNECT made it longer, and it is gone")
    await client.leave()
    await t.forget(name)


@holds("MQTT5-4.13.1-1")
async def disconnect_may_not_bring_a_session_to_life(t):
    name = t.id()
    client = await t.connect(name, clean=False)
    await client.leave(0, [("session_expiry", 300)])
    await client.closed(0x82)
    client = await t.connect(name, clean=False)
    expect(not client.connack.session_present, "the session is present")


@holds("MQTT5-3.1.2-23")
async def the_longest_expiry_is_accepted(t):
    name = t.id()
    await (await t.connect(name, clean=False, props=[("session_expiry", 0xFFFFFFFF)])).leave()
    client = await t.connect(name, clean=False, props=[("session_expiry", 1)])
    expect(client.connack.session_present, "the session is gone")
    await client.leave()
    await t.forget(name)


@holds("MQTT5-3.1.2-5")
async def a_clean_start_may_begin_a_session_that_stays(t):
    name, topic = t.id(), t.topic()
    client = await t.connect(name, clean=True, props=[("session_expiry", 300)])
    await client.subscribe(topic)
    await client.leave()
    client = await t.connect(name, keep=True)
    expect(client.connack.session_present, "the session is gone")
    await client.leave()
    await t.forget(name)


@holds("MQTT-3.1.2-4", "MQTT5-3.1.2-5")
async def subscriptions_keep_their_options_in_a_session(t):
    name, low, high = t.id(), t.topic(), t.topic()
    client = await t.connect(name, keep=True)
    await client.subscribe((low, 0), (high, 2))
    await client.subscribe((low, 1))
    await client.unsubscribe(high)
    if t.v5:
        await client.subscribe((high, 1 | 8), props=[("subscription_id", 77)])
    else:
        await client.subscribe((high, 1))
    await client.leave()
    client = await t.connect(name, keep=True)
    other = await t.connect()
    await other.publish(low, b"low", 2)
    message = await client.message()
    expect((message.payload, message.qos) == (b"low", 1), f"came as {message}")
    await other.publish(high, b"high", 2, retain=True)
    message = await client.message()
    await other.publish(high, b"", retain=True)
    expect((message.payload, message.qos) == (b"high", 1), f"came as {message}")
    if t.v5:
        expect(message.retain and message.all("subscription_id") == [77], f"came as {message}")
    await client.leave()
    await t.forget(name)


@holds("MQTT-3.1.2-4", "MQTT-4.3.3-2", "MQTT5-3.1.2-5", "MQTT5-4.3.3-10")
async def a_message_half_received_is_finished_in_the_next_connection(t):
    name, topic = t.id(), t.topic()
    watcher = await t.connect()
    await watcher.subscribe(topic)
    client = await t.connect(name, keep=True)
    client.push(topic, b"once", 2, pid=7)
    await client.take(PUBREC, 7)
    client.drop()
    client = await t.connect(name, keep=True)
    client.push(topic, b"once", 2, pid=7, dup=True)
    await client.take(PUBREC, 7)
    client.ack(PUBREL, 7)
    await client.take(PUBCOMP, 7)
    expect(await watcher.text() == "once", "something else came")
    await watcher.nothing()
    await client.leave()
    await t.forget(name)


@holds("MQTT-4.3.3-2", "MQTT5-4.3.3-11")
async def a_release_alone_is_enough_in_the_next_connection(t):
    name, topic = t.id(), t.topic()
    watcher = await t.connect()
    await watcher.subscribe(topic)
    client = await t.connect(name, keep=True)
    client.push(topic, b"once", 2, pid=9)
    await client.take(PUBREC, 9)
    client.drop()
    client = await t.connect(name, keep=True)
    client.ack(PUBREL, 9)
    expect((await client.take(PUBCOMP, 9)).reason == 0, "the server forgot it")
    expect(await watcher.text() == "once", "something else came")
    await watcher.nothing()
    await client.leave()
    await t.forget(name)


@holds("MQTT-3.1.2-7", "MQTT5-4.1.0-2")
async def retained_messages_outlive_the_session_of_their_publisher(t):
    topic = t.retained()
    client = await t.connect()
    await client.publish(topic, b"stays", 1, retain=True)
    await client.leave()
    reader = await t.connect()
    await reader.subscribe(topic)
    expect(await reader.text() == "stays", "something else came")
