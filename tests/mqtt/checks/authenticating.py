"""Enhanced authentication (MQTT 5, 4.12), rightly and wrongly used."""

import base64
import hashlib
import hmac
import os

import wire
from client import NotHere, expect
from suite import holds
from wire import AUTH, CONNACK


@holds("MQTT5-4.12.0-1", "MQTT5-3.1.4-2", "MQTT5-3.2.2-6", "MQTT5-3.2.2-7", "MQTT5-4.13.2-1")
async def an_unknown_authentication_method_is_refused(t):
    for props in ([("auth_method", "no-such-method")], [("auth_method", "no-such-method"), ("auth_data", b"\0\1")], [("auth_method", "")]):
        client = await t.dial()
        client.send(wire.connect(5, t.id(), props=props))
        await client.closed(0x8C, 0x87)


@holds("MQTT5-4.12.0-6")
async def without_a_method_no_auth_comes_and_connack_names_none(t):
    client = await t.connect()
    expect(client.connack.get("auth_method") is None and client.connack.get("auth_data") is None, f"{client.connack}")
    await client.nothing(AUTH)


@holds("MQTT5-4.12.0-7", "MQTT5-4.13.1-1")
async def auth_without_a_method_ends_the_connection(t):
    for data in (wire.auth(0x19, [("auth_method", "SCRAM-SHA-256")]), wire.auth(0x18, [("auth_method", "x")]), wire.auth(0x00), wire.packet(AUTH, b"")):
        client = await t.connect()
        client.send(data)
        await client.closed(0x82, 0x81, 0x8C, 0x87)


@holds("MQTT5-3.15.1-1")
async def auth_with_reserved_flags_ends_the_connection(t):
    for flags in (1, 2, 8):
        client = await t.connect()
        client.send(wire.auth(0x19, [("auth_method", "x")], flags))
        await client.closed(0x81, 0x82)


@holds("MQTT-2.2.2-2", "MQTT-4.8.0-1")
async def there_is_no_auth_in_3_1_1(t):
    client = await t.connect()
    client.send(wire.auth(0x19, [("auth_method", "x")]))
    await client.closed()


@holds("MQTT5-4.12.0-7", "MQTT5-3.1.0-1")
async def auth_is_no_first_packet(t):
    client = await t.dial()
    client.send(wire.auth(0x18, [("auth_method", "SCRAM-SHA-256")]))
    await client.closed()
    expect(not client.packets, f"answered with {client.packets}")


# SCRAM-SHA-256 (RFC 5802, RFC 7677), as far as a client goes.


class Scram:
    method = "SCRAM-SHA-256"

    def __init__(self, user, password):
        self.password = password.encode()
        self.nonce = base64.b64encode(os.urandom(18)).decode()
        self.bare = f"n={user.replace('=', '=3D').replace(',', '=2C')},r={self.nonce}"

    def first(self):
        return ("n,," + self.bare).encode()

    def final(self, challenge):
        said = dict(part.split("=", 1) for part in challenge.decode().split(","))
        expect(said["r"].startswith(self.nonce) and len(said["r"]) > len(self.nonce), f"the nonce is {said['r']}")
        salted = hashlib.pbkdf2_hmac("sha256", self.password, base64.b64decode(said["s"]), int(said["i"]))
        bare = f"c=biws,r={said['r']}"
        message = f"{self.bare},{challenge.decode()},{bare}".encode()
        key = hmac.digest(salted, b"Client Key", "sha256")
        signature = hmac.digest(hashlib.sha256(key).digest(), message, "sha256")
        proof = bytes(a ^ b for a, b in zip(key, signature))
        self.server = base64.b64encode(hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), message, "sha256")).decode()
        return f"{bare},p={base64.b64encode(proof).decode()}".encode()

    def verify(self, data):
        expect(data == f"v={self.server}".encode(), f"the server's proof is {data}")


def props(data, method=Scram.method):
    return [("auth_method", method), ("auth_data", data)]


async def begin(t, password=None, client_id=None):
    """CONNECT with SCRAM, up to the server's challenge."""
    if t.place.user is None:
        raise NotHere("no --user was given")
    scram = Scram(t.place.user, t.place.password if password is None else password)
    client = await t.dial()
    client.send(wire.connect(5, client_id or t.id(), props=props(scram.first())))
    await client._until(lambda: True if client.packets or client.ended else None, "an answer")
    if client.connack and client.connack.reason == 0x8C:
        raise NotHere("this server has no SCRAM-SHA-256")
    challenge = await client.take(AUTH)
    expect(challenge.reason == 0x18 and challenge.get("auth_method") == Scram.method, f"came as {challenge}")
    return scram, client, challenge


async def scrammed(t):
    scram, client, challenge = await begin(t)
    client.send(wire.auth(0x18, props(scram.final(challenge.get("auth_data")))))
    answer = await client.take(CONNACK)
    expect(answer.reason == 0 and answer.get("auth_method") == Scram.method, f"answered with {answer}")
    scram.verify(answer.get("auth_data"))
    return client


@holds("MQTT5-4.12.0-2", "MQTT5-4.12.0-5", "MQTT5-3.15.2-1")
async def scram_lets_a_client_in(t):
    client = await scrammed(t)
    topic = t.topic()
    await client.subscribe(topic)
    await client.publish(topic, b"x", 1)
    expect(await client.text() == "x", "something else came")


@holds("MQTT5-4.12.0-4", last=True)
async def scram_with_a_wrong_password_is_refused(t):
    scram, client, challenge = await begin(t, "wrong")
    client.send(wire.auth(0x18, props(scram.final(challenge.get("auth_data")))))
    await client.closed(0x87, 0x86)
    expect(client.connack is None or client.connack.reason >= 0x80, f"answered with {client.connack}")


@holds("MQTT5-4.12.0-4", "MQTT5-4.12.0-5", last=True)
async def scram_that_is_garbled_is_refused(t):
    for data in (wire.auth(0x18, props(b"")), wire.auth(0x18, props(b"c=biws,r=x,p=AAAA")), wire.auth(0x18, props(b"\xff" * 40)),
                 wire.auth(0x18, [("auth_method", "PLAIN"), ("auth_data", b"x")]), wire.auth(0x19, props(b"x")), wire.auth(0x00, props(b"x")),
                 wire.publish(5, "a", b"x"), wire.packet(12)):
        _, client, _ = await begin(t)
        client.send(data)
        await client.closed(0x87, 0x86, 0x8C, 0x82, 0x81)
        expect(client.connack is None or client.connack.reason >= 0x80, f"answered with {client.connack}")


@holds("MQTT5-4.12.1-1", "MQTT5-3.15.2-1")
async def a_client_may_prove_itself_again(t):
    client = await scrammed(t)
    for _ in range(2):
        scram = Scram(t.place.user, t.place.password)
        client.send(wire.auth(0x19, props(scram.first())))
        challenge = await client.take(AUTH)
        expect(challenge.reason == 0x18, f"came as {challenge}")
        # Meanwhile all goes on.
        await client.publish(t.topic(), b"x", 1)
        client.send(wire.auth(0x18, props(scram.final(challenge.get("auth_data")))))
        answer = await client.take(AUTH)
        expect(answer.reason == 0 and answer.get("auth_method") == Scram.method, f"came as {answer}")
        scram.verify(answer.get("auth_data"))
    await client.alive()


@holds("MQTT5-4.12.1-1", "MQTT5-4.12.1-2", last=True)
async def a_client_that_fails_to_prove_itself_again_is_disconnected(t):
    client = await scrammed(t)
    scram = Scram(t.place.user, "wrong")
    client.send(wire.auth(0x19, props(scram.first())))
    challenge = await client.take(AUTH)
    client.send(wire.auth(0x18, props(scram.final(challenge.get("auth_data")))))
    await client.closed(0x87, 0x86, 0x80)
    client = await scrammed(t)
    client.send(wire.auth(0x19, props(b"x", "PLAIN")))
    await client.closed(0x82, 0x8C, 0x87, 0x80)
