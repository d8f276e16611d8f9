"""Shared subscriptions (MQTT 5, 4.8.2)."""

import asyncio

import wire
from client import expect
from suite import holds
from wire import PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, SUBACK


async def members(t, count, topic, group=None, qos=2, **more):
    group = group or t.name
    clients = [await t.connect(**more) for _ in range(count)]
    for client in clients:
        await client.subscribe(f"$share/{group}/{topic}", qos=qos)
    return clients


async def collect(clients, count):
    """What so many messages brought each client."""
    got = [[] for _ in clients]

    async def read(i):
        while True:
            got[i].append(await clients[i].message(patience=60))

    reading = [asyncio.ensure_future(read(i)) for i in range(len(clients))]
    for _ in range(500):
        if sum(map(len, got)) >= count:
            break
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.2)
    for task in reading:
        task.cancel()
    await asyncio.gather(*reading, return_exceptions=True)
    return got


@holds("MQTT5-4.8.2-1", "MQTT5-4.8.2-2")
async def each_message_goes_to_one_member(t):
    topic = t.topic()
    group = await members(t, 3, topic)
    client = await t.connect()
    for i in range(60):
        await client.publish(topic, str(i).encode(), i % 3)
    got = await collect(group, 60)
    texts = sorted(int(message.payload) for one in got for message in one)
    expect(texts == list(range(60)), f"{len(texts)} of 60 came, {len(set(texts))} different ones")
    expect(all(got), f"one member had nothing: {list(map(len, got))}")


@holds("MQTT5-4.8.2-1", "MQTT5-4.5.0-1")
async def every_group_and_every_subscriber_of_its_own_has_every_message(t):
    topic = t.topic()
    one, two = await members(t, 1, topic, "one" + t.name), await members(t, 1, topic, "two" + t.name)
    alone = await t.connect()
    await alone.subscribe(topic)
    # This one is in a group and on its own, too.
    both = one[0]
    await both.subscribe(topic.rpartition("/")[0] + "/+")
    client = await t.connect()
    for i in range(10):
        await client.publish(topic, str(i).encode(), 1)
    for watcher in (two[0], alone):
        expect([await watcher.text() for _ in range(10)] == [str(i) for i in range(10)], "not all, or not in order")
        await watcher.nothing(grace=0.1)
    texts = [await both.text() for _ in range(20)]
    expect(sorted(texts) == sorted([str(i) for i in range(10)] * 2), f"came as {texts}")


@holds("MQTT5-4.8.2-1", "MQTT5-3.3.2-3")
async def a_shared_filter_may_have_wildcards(t):
    root = t.topic()
    group = await members(t, 2, root + "/+/x")
    client = await t.connect()
    for i in range(20):
        await client.publish(f"{root}/{i}/x", str(i).encode(), 1)
        await client.publish(f"{root}/{i}/y", b"not this", 1)
    got = await collect(group, 20)
    expect(sorted(int(message.payload) for one in got for message in one) == list(range(20)), f"came as {got}")


@holds("MQTT5-4.8.2-2", "MQTT5-4.8.2-1")
async def a_shared_filter_without_a_name_or_a_filter_is_refused(t):
    for name in ("$share//a", "$share/g+/a", "$share/g#/a", "$share/+/a", "$share/#", "$share/g", "$share/g/", "$share/"):
        client = await t.connect()
        client.send(wire.subscribe(5, 1, [(name, 0)]))
        await client._until(lambda: True if client.ended or client._first(lambda p: p.kind == SUBACK and p.reasons[0] >= 0x80) else None,
                            f"a refusal of {name}", 5)


@holds("MQTT5-3.8.3-4")
async def no_local_on_a_shared_subscription_is_a_protocol_error(t):
    client = await t.connect()
    client.send(wire.subscribe(5, 1, [(f"$share/g/{t.topic()}", 4)]))
    await client.closed(0x82)


@holds("MQTT5-4.8.2-3")
async def a_member_has_messages_at_the_qos_that_it_was_granted(t):
    topic = t.topic()
    low, high = (await members(t, 1, topic, qos=0)) + (await members(t, 1, topic, qos=1))
    client = await t.connect()
    for _ in range(20):
        await client.publish(topic, b"x", 2)
    got = await collect([low, high], 20)
    expect(all(message.qos == 0 for message in got[0]) and all(message.qos == 1 for message in got[1]), f"came as {got}")
    expect(sum(map(len, got)) == 20, f"{list(map(len, got))} came")


@holds("MQTT5-4.8.2-1", "MQTT5-3.10.4-2")
async def a_member_that_leaves_has_no_more(t):
    topic = t.topic()
    first, second, third = await members(t, 3, topic)
    client = await t.connect()
    await first.unsubscribe(f"$share/{t.name}/{topic}")
    await second.leave()
    for i in range(20):
        await client.publish(topic, str(i).encode(), 1)
    expect([await third.text() for _ in range(20)] == [str(i) for i in range(20)], "not all, or not in order")
    await first.nothing()
    await third.unsubscribe(f"$share/{t.name}/{topic}")
    await client.publish(topic, b"to nobody", 1)
    await third.nothing()


@holds("MQTT5-4.8.2-1")
async def a_member_that_is_away_does_not_hold_messages_back(t):
    topic, name = t.topic(), t.id()
    away = await t.connect(name, keep=True)
    await away.subscribe(f"$share/{t.name}/{topic}")
    here = (await members(t, 1, topic))[0]
    await away.leave()
    client = await t.connect()
    for i in range(20):
        await client.publish(topic, str(i).encode(), 1)
    expect([await here.text() for _ in range(20)] == [str(i) for i in range(20)], "not all, or not in order")
    await t.forget(name)


@holds("MQTT5-4.8.2-1")
async def qos_1_that_a_dead_member_did_not_acknowledge_goes_to_another(t):
    topic = t.topic()
    first, second = await members(t, 2, topic, qos=1)
    client = await t.connect()
    for i in range(10):
        await client.publish(topic, str(i).encode(), 1)
    await asyncio.sleep(0.3)
    # The first acknowledges nothing and dies with its session; the second answers all that it has.
    held = {message.payload for message in first.packets if message.kind == PUBLISH}
    expect(held, "the first member had nothing")
    first.drop()
    got = [await second.message() for _ in range(10)]
    expect({int(message.payload) for message in got} == set(range(10)), f"came as {got}")


@holds("MQTT5-4.8.2-4")
async def a_qos_2_delivery_to_a_member_is_completed_when_it_is_back(t):
    topic, name = t.topic(), t.id()
    first = await t.connect(name, keep=True)
    await first.subscribe(f"$share/{t.name}/{topic}", qos=2)
    client = await t.connect()
    await client.publish(topic, b"1", 2)
    await client.publish(topic, b"2", 2)
    one, two = await first.arrival(), await first.arrival()
    first.ack(PUBREC, one.pid)
    await first.take(PUBREL, one.pid)
    other = (await members(t, 1, topic))[0]
    first.drop()
    await other.nothing()
    first = await t.connect(name, keep=True)
    await first.take(PUBREL, one.pid)
    first.ack(PUBCOMP, one.pid)
    again = await first.message()
    expect((again.payload, again.pid, again.dup) == (b"2", two.pid, True), f"came as {again}")
    await other.nothing()
    await first.leave()
    await t.forget(name)


@holds("MQTT5-4.8.2-5")
async def a_qos_2_delivery_of_a_session_that_ended_goes_to_nobody_else(t):
    topic = t.topic()
    first = (await members(t, 1, topic))[0]
    client = await t.connect()
    await client.publish(topic, b"1", 2)
    await client.publish(topic, b"2", 2)
    one, _ = await first.arrival(), await first.arrival()
    first.ack(PUBREC, one.pid)
    await first.take(PUBREL, one.pid)
    other = (await members(t, 1, topic))[0]
    first.drop()
    await other.nothing()


@holds("MQTT5-4.8.2-6", "MQTT5-4.4.0-2")
async def what_a_member_refuses_goes_to_nobody_else(t):
    topic = t.topic()
    group = await members(t, 2, topic)
    client = await t.connect()
    for qos in (1, 2):
        await client.publish(topic, b"x", qos)
        for _ in range(100):
            if group[0].packets or group[1].packets:
                break
            await asyncio.sleep(0.02)
        member = group[0] if group[0].packets else group[1]
        message = await member.arrival()
        member.ack(PUBACK if qos == 1 else PUBREC, message.pid, 0x83)
        for one in group:
            await one.nothing(grace=0.2)


@holds("MQTT5-4.8.2-1", "MQTT5-3.3.4-3")
async def a_shared_subscription_may_have_an_identifier(t):
    topic = t.topic()
    client = await t.connect()
    await client.subscribe(f"$share/{t.name}/{topic}", props=[("subscription_id", 9)])
    await client.publish(topic, b"x", 1)
    message = await client.message()
    expect((message.topic, message.all("subscription_id")) == (topic, [9]), f"came as {message}")
