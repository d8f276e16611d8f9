"""What every MQTT client here does, whichever library carries it: one story, told by MQTT 3.1.1 and by 5.0.

A script gives a `dial(address, version, client_id, ...)` that makes a Wire; the story does the rest:

    mqtt_paho.py mqtt://127.0.0.1:1883 mqtts://localhost:8883 ws://127.0.0.1:8080/mqtt

User and password stand in the address (`mqtt://ann:secret@host`), or nobody has one. MQTT_CA names the file with the
certificates that a server at `mqtts://` or `wss://` is signed by.
"""

import os
import sys
import time
from urllib.parse import unquote, urlsplit

# How long an answer may take, s.
WAIT = 30
# How long what must not come is waited for, s.
GRACE = 0.5
LARGE = bytes(range(256)) * 4096  # 1 MiB
MANY = 1000
UNICODE = "你好，驿站 👋🏽 – ñ, ß"


class Failed(Exception):
    pass


class Refused(Exception):
    """The server did not let the client in. Has the code that it gave."""


def expect(claim, what):
    if not claim:
        raise Failed(what)


class Address:
    def __init__(self, text):
        parts = urlsplit(text)
        self.text, self.scheme, self.host, self.path = text, parts.scheme, parts.hostname, parts.path or "/mqtt"
        self.port = parts.port or {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}[parts.scheme]
        self.user = unquote(parts.username) if parts.username else None
        self.password = unquote(parts.password) if parts.password else None
        self.ca = os.environ.get("MQTT_CA")

    @property
    def tls(self):
        return self.scheme in ("mqtts", "wss")

    @property
    def websocket(self):
        return self.scheme in ("ws", "wss")

    def as_user(self, user, password):
        other = Address(self.text)
        other.user, other.password = user, password
        return other


def run(name, dial, schemes):
    """Tells the story at all addresses that the arguments name and the library can reach; the exit code says whether it is true."""
    addresses = [Address(text) for text in sys.argv[1:]]
    if not addresses:
        sys.exit(f"usage: {sys.argv[0]} mqtt://127.0.0.1:1883 [mqtts://…] [ws://…]")
    failed = False
    for address in addresses:
        if address.scheme not in schemes:
            continue
        for version in (4, 5):
            at = ["the beginning"]

            def step(what):
                at[0] = what
                print(f"  {what}", flush=True)

            title = f"{name} {address.scheme} {'3.1.1' if version == 4 else '5.0'}"
            try:
                story(dial, address, version, step)
            except Exception as error:  # Whatever a library throws, the line says where we were.
                failed = True
                print(f"FAILED {title}: at '{at[0]}': {type(error).__name__}: {error}")
            else:
                print(f"PASSED {title}", flush=True)
    sys.stdout.flush()
    # A library's threads must not keep the script alive.
    os._exit(1 if failed else 0)


class Place:
    """Names that nobody else uses, and clients that are sent home at the end."""

    def __init__(self, dial, address, version):
        self._dial, self.address, self.version = dial, address, version
        self.root = f"clients/{os.getpid()}-{time.time_ns()}"
        self.names = 0
        self.open = []

    def topic(self, under=""):
        self.names += 1
        return f"{self.root}/{self.names}{under}"

    def id(self):
        self.names += 1
        return f"c{os.getpid()}x{time.time_ns() % 10**9}x{self.names}"[:23]

    def dial(self, client_id=None, address=None, keep=False, will=None):
        wire = self._dial(address or self.address, self.version, client_id or self.id(), keep=keep, will=will)
        self.open.append(wire)
        return wire

    def nothing(self, wire):
        message = wire.receive(GRACE)
        expect(message is None, f"came, and should not have: {message}")

    def end(self):
        for wire in self.open:
            wire.leave()


class Message:
    """What a Wire's `receive` gives. `props` has what the library knows of content type, response topic and so on."""

    def __init__(self, topic, payload, qos, retain, props=None):
        self.topic, self.payload, self.qos, self.retain, self.props = topic, bytes(payload), qos, bool(retain), props or {}

    def __repr__(self):
        return f"{self.topic} q{self.qos}{' retained' if self.retain else ''} {self.payload[:40]!r} {self.props or ''}"


def heard(wire):
    message = wire.receive(WAIT)
    expect(message is not None, "the message did not come")
    return message


def story(dial, address, version, step):
    place = Place(dial, address, version)
    try:
        for what, tell in CHAPTERS:
            if version == 5 or tell is not properties:
                step(what)
                tell(place)
    finally:
        place.end()


def publish_and_subscribe(place):
    listener, speaker = place.dial(), place.dial()
    root = place.topic()
    listener.subscribe(f"{root}/+/state", 2)
    listener.subscribe(f"{root}/all/#", 1)
    for qos in (0, 1, 2):
        speaker.publish(f"{root}/lamp/state", f"{UNICODE} {qos}".encode(), qos)
        message = heard(listener)
        expect((message.topic, message.payload.decode(), message.qos, message.retain) == (f"{root}/lamp/state", f"{UNICODE} {qos}", qos, False),
               f"came as {message}")
        speaker.publish(f"{root}/all/of/it", b"", qos)
        message = heard(listener)
        expect((message.payload, message.qos) == (b"", min(qos, 1)), f"came as {message}")
    speaker.publish(f"{root}/lamp/other", b"x", 1)
    place.nothing(listener)
    listener.unsubscribe(f"{root}/+/state")
    speaker.publish(f"{root}/lamp/state", b"x", 1)
    place.nothing(listener)


def retained(place):
    speaker = place.dial()
    topic = place.topic()
    speaker.publish(topic, b"first", 1, retain=True)
    speaker.publish(topic, b"kept", 1, retain=True)
    listener = place.dial()
    listener.subscribe(topic, 1)
    message = heard(listener)
    expect((message.payload, message.retain) == (b"kept", True), f"came as {message}")
    speaker.publish(topic, b"", 1, retain=True)
    message = heard(listener)
    expect((message.payload, message.retain) == (b"", False), f"came as {message}")
    late = place.dial()
    late.subscribe(topic, 1)
    place.nothing(late)


def will(place):
    listener = place.dial()
    topic = place.topic()
    listener.subscribe(topic, 1)
    place.dial(will=(topic, b"gone", 1)).drop()
    message = heard(listener)
    expect((message.payload, message.qos) == (b"gone", 1), f"came as {message}")
    place.dial(will=(topic, b"gone", 1)).leave()
    place.nothing(listener)


def session(place):
    name, topic = place.id(), place.topic()
    listener, speaker = place.dial(name, keep=True), place.dial()
    expect(not listener.session_present, "a session is present that was never there")
    listener.subscribe(topic, 2)
    listener.leave()
    for i in range(20):
        speaker.publish(topic, str(i).encode(), 1 + i % 2)
    listener = place.dial(name, keep=True)
    expect(listener.session_present, "the session is gone")
    texts = [int(heard(listener).payload) for _ in range(20)]
    for qos in (0, 1):
        mine = [i for i in texts if i % 2 == qos]
        expect(mine == list(range(qos, 20, 2)), f"came as {texts}")
    place.nothing(listener)
    listener.leave()
    fresh = place.dial(name)
    expect(not fresh.session_present, "a clean start found a session")


def properties(place):
    server, asker = place.dial(), place.dial()
    questions, answers = place.topic(), place.topic()
    server.subscribe(questions, 1)
    asker.subscribe(answers, 1)
    asker.publish(questions, b"2+2", 1, props={"response_topic": answers, "correlation_data": b"\0\x07", "content_type": "text/plain",
                                               "user": [("b", "1"), ("a", "2"), ("b", "1")]})
    question = heard(server)
    expect((question.props.get("response_topic"), question.props.get("correlation_data"), question.props.get("content_type"),
            question.props.get("user")) == (answers, b"\0\x07", "text/plain", [("b", "1"), ("a", "2"), ("b", "1")]), f"came as {question}")
    server.publish(question.props["response_topic"], b"4", 1, props={"correlation_data": question.props["correlation_data"]})
    answer = heard(asker)
    expect((answer.payload, answer.props.get("correlation_data")) == (b"4", b"\0\x07"), f"came as {answer}")


def wrong_password(place):
    try:
        place.dial(address=place.address.as_user(place.address.user or "nobody", "a wrong password"))
    except Refused as refused:
        expect(refused.args[0] in ((4, 5) if place.version == 4 else (0x86, 0x87)), f"refused with {refused.args[0]}")
    else:
        expect(place.address.user is None, "a wrong password was accepted")


def large(place):
    listener, speaker = place.dial(), place.dial()
    topic = place.topic()
    listener.subscribe(topic, 2)
    for qos in (0, 1, 2):
        speaker.publish(topic, LARGE, qos)
        expect(heard(listener).payload == LARGE, "it came changed")


def many(place):
    listener, speaker = place.dial(), place.dial()
    topic = place.topic()
    listener.subscribe(topic, 1)
    speaker.publish_many(topic, [str(i).encode() for i in range(MANY)], 1)
    texts = [int(heard(listener).payload) for _ in range(MANY)]
    expect(texts == list(range(MANY)), f"came as {texts[:20]}…")


CHAPTERS = [
    ("publish and subscribe, QoS 0, 1, 2, wildcards", publish_and_subscribe),
    ("retained messages", retained),
    ("a will", will),
    ("a session that goes on", session),
    ("request and answer, properties", properties),
    ("a message of 1 MiB", large),
    (f"{MANY} messages in order", many),
    ("a wrong password", wrong_password),
]
