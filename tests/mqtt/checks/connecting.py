"""CONNECT and CONNACK: who comes in, as whom, and what is said to the others."""

import asyncio
import struct

import wire
from client import Failed, NotHere, expect
from suite import holds
from wire import CONNACK, PINGREQ, PUBACK, SUBACK

MALFORMED = (0x81, 0x82, 0x80)


async def refused_connect(t, data, reasons=MALFORMED):
    """A CONNECT that breaks the rules: closed, by 3.1.1 without a word."""
    client = await t.dial()
    client.send(data)
    try:
        await client.closed(*reasons, patience=5)
    except Failed as error:
        raise Failed(f"{data[:60].hex(' ')}: {error}") from error
    if t.v5:
        expect(client.connack is None or client.connack.reason >= 0x80, f"accepted: {client.connack}")
    else:
        expect(client.connack is None, f"answered with {client.connack}")


@holds("MQTT-3.1.4-3", "MQTT-3.1.4-4", "MQTT-3.2.0-1", "MQTT-7.1.1-1", "MQTT-7.0.0-2", "MQTT5-3.1.4-5", "MQTT5-3.1.4-4", "MQTT5-3.2.0-1",
       "MQTT5-3.2.2-1", "MQTT5-3.2.2-8", "MQTT5-4.2-1", "MQTT5-2.2.2-1")
async def a_valid_connect_is_acknowledged_before_all_else(t):
    client = await t.dial()
    client.send(wire.connect(t.version, t.id()) if t.place.user is None else
                wire.connect(t.version, t.id(), user=t.place.user, password=t.place.password))
    client.send(wire.packet(PINGREQ))
    answer = await client.take(CONNACK)
    expect(answer.reason == 0 and not answer.session_present, f"answered with {answer}")
    await client.take(wire.PINGRESP)


@holds("MQTT-3.1.0-1", "MQTT-4.8.0-1", "MQTT5-3.1.0-1", "MQTT5-3.14.0-1", "MQTT5-4.13.1-1")
async def the_first_packet_is_connect_or_nothing_follows(t):
    for data in (wire.packet(PINGREQ), wire.publish(t.version, t.topic(), b"x"), wire.subscribe(t.version, 1, [("a", 0)]),
                 wire.disconnect(t.version), wire.ack(t.version, PUBACK, 1)):
        client = await t.dial()
        client.send(data)
        await client.closed()
        expect(not client.packets, f"{data.hex()} was answered with {client.packets}")


@holds("MQTT-3.1.0-2", "MQTT5-3.1.0-2", "MQTT5-3.2.0-2", "MQTT5-4.13.2-1")
async def a_second_connect_ends_the_connection(t):
    name = t.id()
    client = await t.connect(name)
    client.send(wire.connect(t.version, name))
    await client.closed(0x82)


@holds("MQTT-3.1.2-1", "MQTT5-3.1.2-1")
async def a_wrong_protocol_name_is_not_served(t):
    for name in ("MQTX", "mqtt", "", "HTTP/1.1", b"MQT\xff"):
        client = await t.dial()
        client.send(wire.connect(t.version, t.id(), name=name))
        client.send(wire.packet(PINGREQ))
        await client.closed(0x84, *MALFORMED)
        expect(client.connack is None or client.connack.reason, f"{name!r} was served")


@holds("MQTT-3.1.2-2", "MQTT-3.2.2-5")
async def an_old_protocol_level_is_answered_with_1(t):
    for level in (0, 1, 2):
        client = await t.dial()
        client.send(wire.connect(4, t.id(), level=level))
        await client.closed()
        expect(client.connack and client.connack.reason == 1, f"level {level} was answered with {client.connack}")


@holds("MQTT5-3.1.2-2")
async def a_protocol_version_that_is_not_there_is_closed(t):
    for level in (6, 100, 255):
        client = await t.dial()
        # Whether the answer is one of 3.1.1 or of 5.0 nobody can know, so it is read as bytes.
        client._pump.cancel()
        client.send(wire.connect(5, t.id(), level=level))
        said = b""
        while data := await asyncio.wait_for(client.transport.read(), 10):
            said += data
        expect(said in (b"", b"\x20\x02\x00\x01") or said[:1] == b"\x20" and said[3:4] == b"\x84", f"answered with {said.hex()}")


@holds("MQTT-3.1.2-2")
async def a_client_of_3_1_is_served_or_refused_with_1(t):
    client = await t.dial()
    client.send(wire.connect(4, t.id(), name="MQIsdp", level=3))
    answer = await client.take(CONNACK)
    expect(answer.reason in (0, 1), f"answered with {answer}")
    if answer.reason:
        await client.closed()


@holds("MQTT-3.1.2-3", "MQTT5-3.1.2-3")
async def the_reserved_connect_flag_ends_the_connection(t):
    await refused_connect(t, wire.connect(t.version, t.id(), flags=1))


@holds("MQTT-3.1.2-11", "MQTT-3.1.2-13", "MQTT-3.1.2-15", "MQTT5-3.1.2-11", "MQTT5-3.1.2-13")
async def without_a_will_there_is_no_will_qos_and_no_will_retain(t):
    for flags in (0x08, 0x10, 0x20, 0x28):
        await refused_connect(t, wire.connect(t.version, t.id(), flags=flags))


@holds("MQTT-3.1.2-14", "MQTT5-3.1.2-12")
async def a_will_of_qos_3_ends_the_connection(t):
    await refused_connect(t, wire.connect(t.version, t.id(), will=wire.Will(t.topic(), qos=3)))


@holds("MQTT-3.1.2-9", "MQTT5-3.1.2-9")
async def a_will_flag_without_a_will_ends_the_connection(t):
    await refused_connect(t, wire.connect(t.version, t.id(), flags=4))
    tail = (b"\0" if t.v5 else b"") + wire.string(t.topic())
    await refused_connect(t, wire.connect(t.version, t.id(), flags=4, tail=tail))


@holds("MQTT-3.1.2-18", "MQTT-3.1.2-19", "MQTT-3.1.2-20", "MQTT-3.1.2-21", "MQTT5-3.1.2-16", "MQTT5-3.1.2-17", "MQTT5-3.1.2-18",
       "MQTT5-3.1.2-19")
async def user_name_and_password_are_there_when_their_flags_say_so(t):
    for flags, tail in ((0x80, b""), (0xC0, wire.string("ann")), (0, wire.string("ann")), (0x80, wire.string("ann") + wire.string("x"))):
        await refused_connect(t, wire.connect(t.version, t.id(), flags=flags, tail=tail))


@holds("MQTT-3.1.2-22")
async def a_password_needs_a_user_name(t):
    await refused_connect(t, wire.connect(t.version, t.id(), password=b"x"))


@holds("MQTT-3.1.3-1", "MQTT5-3.1.3-1", last=True)
async def all_fields_of_a_connect_are_taken_for_what_they_are(t):
    topic = t.topic()
    watcher = await t.connect()
    await watcher.subscribe(topic)
    will = wire.Will(topic, b"the payload", qos=1, props=[("content_type", "text/x")])
    user, password = (t.place.user, t.place.password) if t.place.user else ("nobody", b"nothing")
    client = await t.dial()
    answer = await t.greet(client, will=will, user=user, password=password)
    expect(answer.reason in (0, 4, 5, 0x86, 0x87), f"answered with {answer}")
    if answer.reason:
        raise NotHere("this server knows its users, and no --user was given")
    client.drop()
    message = await watcher.message()
    expect((message.payload, message.get("content_type")) == (b"the payload", "text/x" if t.v5 else None), f"the will came as {message}")


@holds("MQTT-3.1.3-5", "MQTT5-3.1.3-5")
async def identifiers_of_letters_and_digits_are_accepted(t):
    salt = t.name[:6]
    for name in ("a" + salt[:3], "0123456789" + salt, "ABCDEFGHIJKLMNOPQ" + salt, "abcdefghijklmnopq" + salt, "rstuvwxyz" + salt,
                 "RSTUVWXYZ" + salt):
        await (await t.connect(name)).leave()


@holds("MQTT-3.1.3-9", "MQTT5-3.1.3-8")
async def a_strange_identifier_is_accepted_or_refused_as_such(t):
    for name in ("驿站" + t.name, "+/#" + t.name, " " + t.name, "\x01" + t.name, t.name * 5000, "$SYS/" + t.name):
        client = await t.dial()
        client.send(wire.connect(t.version, name, user=t.place.user, password=t.place.password))
        try:
            answer = await client.take(CONNACK)
        except Failed:
            # A server may also take these bytes for malformed (1.5.3, 1.5.4), or the packet for too large.
            await client.closed()
            continue
        expect(answer.reason in ((0, 0x85, 0x95) if t.v5 else (0, 2)), f"{name[:20]!r} was answered with {answer}")
        if answer.reason:
            await client.closed()


@holds("MQTT-3.1.3-6", "MQTT5-3.1.3-6", "MQTT5-3.1.3-7", "MQTT5-3.2.2-16")
async def a_client_without_identifier_is_given_one_of_its_own(t):
    topic = t.topic()
    first, second = await t.connect(""), await t.connect("")
    await first.subscribe(topic)
    await second.publish(topic, b"x", 1)
    expect((await first.message()).payload == b"x", "the first client's subscription is gone")
    if t.v5:
        names = [client.connack.get("assigned_id") for client in (first, second)]
        expect(all(names) and names[0] != names[1], f"assigned: {names}")
        third = await t.connect(names[1])
        await second.closed(0x8E)
        await third.alive()
        await first.alive()


@holds("MQTT-3.1.3-8", "MQTT-3.2.2-4", "MQTT-3.2.2-5")
async def no_identifier_and_no_clean_session_is_refused_with_2(t):
    client = await t.dial()
    answer = await t.greet(client, "", clean=False)
    expect(answer.reason == 2, f"answered with {answer}")
    await client.closed()


@holds("MQTT5-3.1.3-6", "MQTT5-3.1.3-7")
async def an_assigned_identifier_leads_back_to_its_session(t):
    client = await t.connect("", keep=True)
    name = client.connack.get("assigned_id")
    expect(name, "no identifier was assigned")
    await client.leave()
    again = await t.connect(name, keep=True)
    expect(again.connack.session_present, "the session is gone")
    expect(again.connack.get("assigned_id") is None, "an identifier was assigned to one that has one")
    await again.leave()
    await t.forget(name)


@holds("MQTT-1.5.3-1", "MQTT-3.1.3-4", "MQTT-3.1.3-10", "MQTT-3.1.3-11", "MQTT5-1.5.4-1", "MQTT5-3.1.3-4", "MQTT5-3.1.3-11", "MQTT5-3.1.3-12")
async def what_is_not_utf8_in_connect_ends_the_connection(t):
    for wrong in (b"\xff\xfe", b"a\xc3(", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80", b"x\xe9"):
        await refused_connect(t, wire.connect(t.version, wrong), (*MALFORMED, 0x85))
        await refused_connect(t, wire.connect(t.version, t.id(), will=wire.Will(wrong)), (*MALFORMED, 0x90))
        await refused_connect(t, wire.connect(t.version, t.id(), user=wrong), (*MALFORMED, 0x86, 0x87))


@holds("MQTT-1.5.3-2", "MQTT5-1.5.4-2")
async def a_null_character_in_connect_ends_the_connection(t):
    await refused_connect(t, wire.connect(t.version, "a\0b"), (*MALFORMED, 0x85))
    await refused_connect(t, wire.connect(t.version, t.id(), will=wire.Will("a\0b")), (*MALFORMED, 0x90))
    await refused_connect(t, wire.connect(t.version, t.id(), user="a\0b"), (*MALFORMED, 0x86, 0x87))


@holds("MQTT-3.1.4-1", "MQTT-3.1.3-3", "MQTT-3.2.2-6", "MQTT5-3.1.4-1", "MQTT5-3.1.3-3")
async def a_connect_that_is_cut_or_too_long_ends_the_connection(t):
    head = wire.string("MQTT") + bytes([t.version, 2]) + struct.pack(">H", 60) + (b"\0" if t.v5 else b"")
    for body in (b"", head[:3], head[:6], head[:7], head[:9], head, head + b"\0", head + b"\0\x05abc", head + wire.string(t.id()) + b"x"):
        await refused_connect(t, wire.packet(wire.CONNECT, body))


@holds("MQTT-3.1.4-5")
async def what_follows_a_refused_connect_is_not_processed(t):
    topic = t.topic()
    watcher = await t.connect()
    await watcher.subscribe(topic)
    client = await t.dial()
    client.send(wire.connect(4, "", clean=False) + wire.publish(4, topic, b"x") + wire.publish(4, topic, b"x", 1, 1))
    await client.closed()
    expect(client.connack and client.connack.reason == 2, f"answered with {client.connack}")
    await watcher.nothing()


@holds("MQTT5-3.1.4-6", "MQTT5-3.1.4-2")
async def what_follows_a_connect_that_is_not_allowed_is_not_processed(t):
    topic = t.topic()
    watcher = await t.connect()
    await watcher.subscribe(topic)
    client = await t.dial()
    client.send(wire.connect(5, t.id(), props=[("auth_method", "no-such-method")]) + wire.publish(5, topic, b"x"))
    await client.closed(0x8C, 0x87)
    await watcher.nothing()


@holds("MQTT-3.1.4-4", "MQTT5-3.1.4-5")
async def what_is_sent_right_after_connect_is_processed(t):
    topic = t.topic()
    client = await t.dial()
    client.send(wire.connect(t.version, t.id(), user=t.place.user, password=t.place.password)
                + wire.subscribe(t.version, 1, [(topic, 1)]) + wire.publish(t.version, topic, b"early", 1, 2))
    expect((await client.take(CONNACK)).reason == 0, "refused")
    await client.take(SUBACK, 1)
    await client.take(PUBACK, 2)
    expect(await client.text() == "early", "something else came")


@holds("MQTT5-3.1.4-1", "MQTT5-4.13.1-1")
async def a_connect_with_wrong_properties_is_refused(t):
    for pairs in ([("session_expiry", 1), ("session_expiry", 1)], [("receive_maximum", 0)], [("packet_maximum", 0)], [("request_problem", 2)],
                  [("request_response", 2)], [("receive_maximum", 5), ("receive_maximum", 5)], [("auth_data", b"x")], [("alias", 1)],
                  [("will_delay", 1)], [("server_keep_alive", 5)], b"\x02\x7f\x00", b"\x05\x11\0\0\0", b"\x09\x11\0\0\0\x01", b"\xff\xff\xff\xff\x01"):
        await refused_connect(t, wire.connect(5, t.id(), props=pairs))


@holds("MQTT5-3.1.4-1")
async def a_will_with_wrong_properties_is_refused(t):
    for pairs in ([("session_expiry", 1)], [("will_delay", 1), ("will_delay", 2)], [("alias", 1)], [("alias_maximum", 1)],
                  [("response_topic", "a/#")], [("content_type", b"\xff")]):
        await refused_connect(t, wire.connect(5, t.id(), will=wire.Will(t.topic(), props=pairs)), (*MALFORMED, 0x90))


@holds("MQTT5-3.1.2-8", "MQTT-3.1.4-1")
async def a_will_topic_is_a_topic(t):
    for topic in ("a/+", "#", "a/#/b", ""):
        client = await t.dial()
        client.send(wire.connect(t.version, t.id(), will=wire.Will(topic)))
        await client.closed(0x90, *MALFORMED)
        expect(client.connack is None or client.connack.reason, f"a will to {topic!r} was accepted")


@holds("MQTT-3.1.4-2", "MQTT-3.1.3-2", "MQTT5-3.1.4-3", "MQTT5-3.1.3-2")
async def a_client_under_the_same_identifier_takes_over(t):
    name, topic = t.id(), t.topic()
    first = await t.connect(name, keep=True)
    await first.subscribe(topic)
    second = await t.connect(name, keep=True)
    await first.closed(0x8E, told=True)
    expect(second.connack.session_present, "the session did not go on")
    await (await t.connect()).publish(topic, b"x", 1)
    expect(await second.text() == "x", "the subscription is gone")
    await second.leave()
    await t.forget(name)


@holds("MQTT-3.1.4-2", "MQTT5-3.1.4-3")
async def a_name_is_handed_on_many_times_at_once_and_one_is_left(t):
    name = t.id()
    many = await asyncio.gather(*(t.connect(name) for _ in range(12)), return_exceptions=True)
    clients = [client for client in many if not isinstance(client, Exception)]
    wrong = [error for error in many if isinstance(error, Exception) and not isinstance(error, (Failed, OSError))]
    expect(not wrong, f"{wrong}")
    for _ in range(200):
        open_ = [client for client in clients if not client.ended]
        if len(open_) <= 1:
            break
        await asyncio.sleep(0.05)
    expect(len(open_) == 1, f"{len(open_)} of {len(clients)} are still connected")
    await open_[0].alive()


@holds("MQTT-3.1.2-24", "MQTT5-3.1.2-22", "MQTT5-3.2.2-22")
async def a_client_that_is_silent_for_one_and_a_half_keep_alives_is_disconnected(t):
    client = await t.dial()
    answer = await t.greet(client, keep_alive=2)
    keep = answer.get("server_keep_alive", 2)
    if keep > 10:
        raise NotHere(f"this server wants a keep alive of {keep} s")
    began = asyncio.get_running_loop().time()
    await client.closed(0x8D, patience=keep * 1.5 + 5)
    took = asyncio.get_running_loop().time() - began
    expect(took >= keep, f"disconnected after {took:.1f} s")
    expect(took <= keep * 1.5 + 3, f"disconnected after {took:.1f} s")


@holds("MQTT-3.1.2-24", "MQTT5-3.1.2-22")
async def whatever_a_client_sends_keeps_it_alive(t):
    topic = t.topic()
    client = await t.connect(keep_alive=2)
    for _ in range(2):
        for say in (lambda: client.publish(topic, b"x", 1), client.ping, lambda: client.subscribe(topic, qos=0)):
            await asyncio.sleep(0.9)
            await say()
    expect(not client.ended, "the connection ended")


@holds("MQTT-3.1.2-24", "MQTT5-3.1.2-22")
async def what_is_sent_to_a_client_does_not_keep_it_alive(t):
    topic = t.topic()
    client = await t.connect(keep_alive=1)
    if client.connack.get("server_keep_alive", 1) > 5:
        raise NotHere("this server wants a longer keep alive")
    await client.subscribe(topic, qos=0)
    other = await t.connect()
    for _ in range(60):
        if client.ended:
            break
        await other.publish(topic, b"x")
        await asyncio.sleep(0.1)
    await client.closed(0x8D, patience=1)


@holds("MQTT-3.1.2-24", "MQTT5-3.1.2-22")
async def a_keep_alive_of_0_means_no_limit(t):
    client = await t.connect(keep_alive=0)
    if client.connack.get("server_keep_alive"):
        raise NotHere("this server wants a keep alive")
    await asyncio.sleep(4)
    await client.alive()


@holds("MQTT-3.12.4-1", "MQTT5-3.12.4-1")
async def every_ping_is_answered(t):
    client = await t.connect()
    client.send(wire.packet(PINGREQ) * 50)
    for _ in range(50):
        await client.take(wire.PINGRESP)
    await client.nothing(wire.PINGRESP, 0.1)


@holds("MQTT5-3.2.2-9", "MQTT5-3.2.2-10", "MQTT5-3.2.2-12", "MQTT5-3.2.2-13")
async def what_a_server_cannot_do_it_says_and_refuses(t):
    client = await t.connect()
    highest, retains = client.connack.get("maximum_qos", 2), client.connack.get("retain_available", 1)
    await client.subscribe(t.topic(), t.topic(), qos=2)
    for qos in range(3):
        for retain in (False, True):
            other = await t.dial()
            answer = await t.greet(other, will=wire.Will(t.topic(), b"", qos, retain))
            if qos > highest or retain and not retains:
                expect(answer.reason in (0x9B, 0x9A), f"answered with {answer}")
                await other.closed()
            else:
                expect(answer.reason == 0, f"a will of QoS {qos}{', retained,' if retain else ''} was refused: {answer}")
                await other.leave()
    if highest == 2:
        await client.publish(t.topic(), b"x", 2)
    if retains:
        await client.publish(t.topic(), b"", 1, retain=True)


@holds("MQTT5-3.1.2-28")
async def response_information_comes_only_to_those_who_want_it(t):
    for props in ((), [("request_response", 0)]):
        client = await t.connect(props=props)
        expect(client.connack.get("response_information") is None, "it came unasked")
    wanted = (await t.connect(props=[("request_response", 1)])).connack.get("response_information")
    if wanted:
        client = await t.connect()
        await client.subscribe(wanted.rstrip("/") + "/x")


@holds("MQTT5-3.1.2-29")
async def without_problem_information_only_codes_come(t):
    topic = t.topic()
    client = await t.connect(props=[("request_problem", 0)])
    # The reader sees to it that none of these answers has properties.
    await client.publish(topic, b"x", 1)
    await client.publish(topic, b"x", 2)
    await client.subscribe(topic, "$share/g/" + topic)
    await client.unsubscribe(topic, t.topic())
    client.ack(wire.PUBREL, 999)
    await client.take(wire.PUBCOMP, 999)
    client.ack(wire.PUBREC, 998)
    await client.alive()


@holds("MQTT5-4.12.0-6", last=True)
async def a_user_name_or_password_that_is_wrong_is_refused(t):
    if t.place.user is None:
        raise NotHere("no --user was given")
    for user, password in ((t.place.user, "wrong"), ("nobody" + t.name, t.place.password)):
        client = await t.dial()
        answer = await t.greet(client, user=user, password=password)
        expect(answer.reason in (0x86, 0x87), f"answered with {answer}")
        await client.closed()


@holds("MQTT-3.2.2-5", "MQTT-3.2.2-4", last=True)
async def a_user_name_or_password_that_is_wrong_is_refused_with_4_or_5(t):
    if t.place.user is None:
        raise NotHere("no --user was given")
    for user, password in ((t.place.user, "wrong"), ("nobody" + t.name, t.place.password)):
        client = await t.dial()
        answer = await t.greet(client, user=user, password=password)
        expect(answer.reason in (4, 5), f"answered with {answer}")
        await client.closed()
