"""What every client does here, whichever library carries it: one story over WebSocket, one over Server-Sent Events.

A script gives a `dial(url, token)` that makes a Wire; the story does the rest. A kept topic needs a space that keeps:
`--dev` has one at `disk/#`, another is named with YIZHAN_KEPT (for example `rooms/`).
"""

import json
import os
import sys
import time
from urllib.parse import urlsplit

KEPT = os.environ.get("YIZHAN_KEPT", "disk/")
TOKEN = os.environ.get("YIZHAN_TOKEN")
# How long an answer may take, s.
WAIT = 15
UNICODE = "你好，驿站 👋🏽 – ñ, ß, \u0000, \u2028, \U0010ffff"
LARGE = "驿" * 200_000  # 600,000 bytes


class Failed(Exception):
    pass


def expect(claim, what):
    if not claim:
        raise Failed(what)


def run(name, story):
    """Tells a story about the server that the arguments name; the exit code says whether it is true."""
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} http://127.0.0.1:8080")
    url = sys.argv[1].rstrip("/")
    at = ["the beginning"]

    def step(what):
        at[0] = what
        print(f"  {what}", flush=True)

    try:
        story(url, step)
    except Exception as error:  # Whatever a library throws, the line says where we were.
        print(f"FAILED {name}: at '{at[0]}': {type(error).__name__}: {error}")
        sys.exit(1)
    print(f"PASSED {name}")
    sys.exit(0)


def socket_url(url):
    parts = urlsplit(url)
    return f"{'wss' if parts.scheme == 'https' else 'ws'}://{parts.netloc}{parts.path}/v1/socket"


def topic(under):
    return f"{under}clients-{os.getpid()}-{time.time_ns()}"


class Talk:
    """Commands and events over a wire: something with send(text), receive(seconds) -> text, drop(), close()."""

    def __init__(self, wire):
        self.wire = wire
        self.ids = 0
        self.waiting = []

    def ask(self, **command):
        self.ids += 1
        self.wire.send(json.dumps({**command, "id": self.ids}, ensure_ascii=False))
        return self.event(lambda event: event.get("re") == self.ids)

    def event(self, fits):
        """The next event that fits; the others wait for their turn."""
        end = time.monotonic() + WAIT
        while True:
            for i, event in enumerate(self.waiting):
                if fits(event):
                    return self.waiting.pop(i)
            left = end - time.monotonic()
            expect(left > 0, f"the event did not come; waiting: {self.waiting}")
            frame = json.loads(self.wire.receive(left))
            self.waiting += frame if isinstance(frame, list) else [frame]

    def records(self, sub, count):
        """So many records of a subscription, with their numbers."""
        found = []
        while len(found) < count:
            event = self.event(lambda event: event.get("type") in ("records", "missed") and event.get("sub") == sub)
            expect(event["type"] == "records", f"records were lost: {event}")
            found += [(event["n"] + i, record) for i, record in enumerate(event["records"])]
        expect(len(found) == count, f"{len(found)} records instead of {count}")
        return found

    def hello(self, **more):
        answer = self.ask(type="hello", **({"token": TOKEN} if TOKEN else {}), **more)
        expect(answer["type"] == "welcome", f"no welcome but {answer}")
        return answer

    def publish(self, topic, **body):
        answer = self.ask(type="publish", topic=topic, **body)
        expect(answer["type"] == "receipt", f"no receipt but {answer}")
        return answer


def websocket_story(dial, deflates):
    """`dial(url)` makes a wire, with `deflate` on it: whether permessage-deflate was agreed on, which `deflates` expects."""

    def story(url, step):
        place, kept = topic("clients/"), topic(KEPT)
        address = socket_url(url)

        step("welcome")
        wire = dial(address)
        talk = Talk(wire)
        welcome = talk.hello(keep=60, device="check")
        expect(welcome["heartbeat"] > 0 and welcome["limits"]["frame"] >= 65536, f"limits {welcome}")

        step("permessage-deflate: " + ("agreed on" if deflates else "not asked for, not used"))
        expect(wire.deflate == deflates, f"negotiated: {wire.deflate}")

        step("subscribe, publish, receive")
        for sub, filter_ in ((1, place), (2, kept)):
            answer = talk.ask(type="subscribe", sub=sub, filter=filter_)
            expect(answer["type"] == "subscribed" and answer["sub"] == sub, f"not subscribed but {answer}")
        talk.publish(place, text="hello")
        ((n, record),) = talk.records(1, 1)
        expect((n, record["topic"], record["text"]) == (1, place, "hello"), f"came as {record}")

        step("JSON, bytes, headers, nothing")
        talk.publish(place, data={"a": [1, None, "ü"]}, headers={"lang": "de"})
        talk.publish(place, bin="AP+A")
        talk.publish(place)
        records = [record for _, record in talk.records(1, 3)]
        expect(records[0]["data"] == {"a": [1, None, "ü"]} and records[0]["headers"] == {"lang": "de"}, f"came as {records[0]}")
        expect(records[1]["bin"] == "AP+A", f"came as {records[1]}")
        expect(not {"data", "text", "bin"} & set(records[2]), f"came as {records[2]}")

        step("unicode")
        talk.publish(place, text=UNICODE)
        expect(talk.records(1, 1)[0][1]["text"] == UNICODE, "it came changed")

        step("a large message")
        talk.publish(place, text=LARGE)
        expect(talk.records(1, 1)[0][1]["text"] == LARGE, "it came changed")

        step("several commands in one frame, answered in order")
        wire.send(json.dumps([{"type": "ping", "id": 1000 + i} for i in range(20)]))
        order = [talk.event(lambda event: event.get("type") == "pong" and "re" in event)["re"] for _ in range(20)]
        expect(order == list(range(1000, 1020)), f"answered as {order}")

        step("history, and the same message id twice")
        for i in range(5):
            receipt = talk.publish(kept, data=i, mid=f"{kept} {i}")
            expect(receipt["seq"] == i + 1 and not receipt["duplicate"], f"receipt {receipt}")
        again = talk.publish(kept, data=4, mid=f"{kept} 4")
        expect(again["seq"] == 5 and again["duplicate"], f"receipt {again}")
        page = talk.ask(type="history", topic=kept, before=5, limit=2)
        expect([record["data"] for record in page["records"]] == [2, 3] and page["more"], f"page {page}")
        seen = talk.records(2, 5)

        step("resume after a drop: what came meanwhile, once")
        wire.drop()
        other = Talk(dial(address))
        other.hello()
        other.publish(kept, data=5)
        other.publish(kept, data=6)
        other.publish(place, text="meanwhile")
        wire = dial(address)
        talk = Talk(wire)
        have = [{"sub": 1, "n": 6}, {"sub": 2, "n": seen[-1][0], "pos": [seen[-1][1]["pos"]]}]
        welcome = talk.hello(keep=60, resume={"session": welcome["session"], "secret": welcome["secret"], "have": have})
        expect(welcome["resumed"], "the session did not go on")
        expect([sub["missed"] for sub in sorted(welcome["subs"], key=lambda sub: sub["sub"])] == [0, 0], f"lost: {welcome['subs']}")
        expect([(n, record["data"]) for n, record in talk.records(2, 2)] == [(6, 5), (7, 6)], "not what came meanwhile")
        expect([(n, record["text"]) for n, record in talk.records(1, 1)] == [(7, "meanwhile")], "not what came meanwhile")
        other.publish(kept, data=7)
        expect([record["data"] for _, record in talk.records(2, 1)] == [7], "something came twice")

        step("a refusal with its number, and the connection stays")
        refused = talk.ask(type="publish", topic="clients/#", text="x")
        expect(refused["type"] == "error" and refused["code"] in (110, 111) and refused["again"] == "never", f"refused with {refused}")
        expect(talk.ask(type="ping")["type"] == "pong", "no pong")

        step("unsubscribe, goodbye")
        expect(talk.ask(type="unsubscribe", sub=1)["type"] == "ok", "not ok")
        wire.send('{"type":"bye"}')
        code = wire.closed()
        expect(code == 1000, f"closed with {code}")
        other.wire.close()

    return story
