"""The same rules at every door: HTTP, our own protocol, MQTT."""

import json
import threading
import time

import requests

from people import Refused
from suite import NotHere, expect, rule, same, soon

try:
    import paho.mqtt.client as paho
except ImportError:
    paho = None


class Mqtt:
    def __init__(self, person, will=None):
        if paho is None:
            raise NotHere("paho-mqtt is not installed")
        if person.place.server:
            host, port = "127.0.0.1", person.place.server.ports["mqtt"]
        elif person.place.mqtt:
            host, port = person.place.mqtt
        else:
            raise NotHere("where MQTT is spoken was not said (--mqtt)")
        self.heard, self.codes, self.granted = [], {}, {}
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        self.client.username_pw_set(*person.mqtt_login)
        if will:
            self.client.will_set(*will)
        self.client.on_message = lambda _c, _u, m: self.heard.append((m.topic, m.payload, m.retain))
        self.client.on_publish = lambda _c, _u, mid, code, _p: self.codes.__setitem__(mid, code.value)
        self.client.on_subscribe = lambda _c, _u, mid, codes, _p: self.granted.__setitem__(mid, [c.value for c in codes])
        self.connected, self.code = threading.Event(), None
        self.client.on_connect = self._connected
        self.client.connect(host, port)
        self.client.loop_start()
        if not self.connected.wait(10) or self.code.is_failure:
            self.client.loop_stop()
            raise AssertionError(f"MQTT does not connect: {self.code}")

    def _connected(self, _client, _user, _flags, code, _properties):
        self.code = code
        self.connected.set()

    def publish(self, topic, payload, qos=1, retain=False):
        """Gives the reason code."""
        told = self.client.publish(topic, payload, qos, retain)
        soon(lambda: told.mid in self.codes, f"no PUBACK for {topic}")
        return self.codes[told.mid]

    def subscribe(self, filter, qos=1):
        _, mid = self.client.subscribe(filter, qos)
        soon(lambda: mid in self.granted, f"no SUBACK for {filter}")
        return self.granted[mid][0]

    def drop(self):
        """Goes without DISCONNECT."""
        self.client.on_connect = None
        socket = self.client.socket()
        if socket:
            socket.shutdown(2)
        self.client.loop_stop()

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


@rule
def http_and_socket_answer_alike(stage):
    ann, bob = stage.persons("ann", "bob")
    group = stage.group(ann, bob)
    ann.send(group, "x")
    socket = bob.device(stream=False)
    for op, body in (("list", {}), ("history", {"conversation": group}), ("message", {"conversation": group, "seq": 1}), ("members", {"conversation": group}),
                     ("conversation", {"conversation": group}), ("profile", {"user": ann.user}), ("friends", {}), ("blocked", {}), ("changes", {"conversation": group, "after": 0})):
        one, two = bob.ask(op, **body), socket.ask(op, **body)
        for answer in (one, two):
            answer.pop("sync", None)
        same(one, two, op)
    for op, body in (("history", {"conversation": "g000000000000"}), ("hist0ry", {}), ("read", {"conversation": group, "seq": "x"}), ("send", {}), ("update", {"conversation": group, "title": "x"})):
        status, answer = bob.post(op, body)
        try:
            socket.ask(op, **body)
            raise AssertionError(f"{op} was answered")
        except Refused as no:
            same({k: no.body[k] for k in ("code", "reason", "again")}, {k: answer[k] for k in ("code", "reason", "again")}, op)
    url = f"{stage.place.base}/im/v1/list"
    same(requests.post(url, json={}, headers={"Authorization": "Bearer yz_nothing"}).status_code, 401, "a wrong token")
    expect(requests.get(url).status_code in (404, 405), "GET")
    expect(bob.http.post(url, data=b"").status_code == 200, "an empty body")
    expect(bob.http.post(url, data=b"[]").status_code == 400, "a list")
    key = {"Idempotency-Key": stage.name}
    body = {"conversation": group, "content": {"kind": "text", "text": "once"}}
    same(ann.post("send", body, key), ann.post("send", body, key), "the same key")
    same(ann.post("send", {**body, "id": "x"}, key)[0], 422, "the same key, another body")


@rule
def a_member_chats_by_mqtt_and_a_stranger_does_not(stage):
    ann, bob, eve = stage.persons("ann", "bob", "eve")
    group = stage.group(ann, bob)
    topic = f"im/c/{group}"
    member, stranger = Mqtt(bob), Mqtt(eve)
    try:
        ear = ann.device()
        expect(member.subscribe(topic) < 128, "a member's SUBSCRIBE")
        for filter in ("#", "im/#", "im/c/+", topic, f"{topic}/#", "+/+/+", f"$share/x/{topic}", f"im/u/{ann.user}"):
            stranger.subscribe(filter)
        same(member.publish(topic, "from a device"), 0, "plain text")
        ear.message(group, 1)
        same(member.publish(topic, json.dumps({"kind": "text", "text": "as JSON", "id": "m1"})), 0, "JSON")
        same(member.publish(topic, json.dumps({"kind": "text", "text": "as JSON", "id": "m1"})), 0, "again")
        same(ann.texts(group), ["from a device", "as JSON"], "history")
        seq = ann.send(group, "to devices")
        soon(lambda: any(b"to devices" in payload for _, payload, _ in member.heard), "a member does not hear")
        for payload in ("x", json.dumps({"kind": "text", "text": "x"}), ""):
            expect(stranger.publish(topic, payload) >= 128, "a stranger's message was taken")
        for under in ("events", "live", "x", "events/x"):
            expect(member.publish(f"{topic}/{under}", '{"event":"recall","message_seq":1}') >= 128, f"published to {under}")
        expect(member.publish(f"im/u/{ann.user}", "{}") >= 128, "published to another's stream")
        expect(member.publish(f"im/u/{bob.user}", "{}") >= 128, "published to one's own stream")
        for payload in (b"\xff\xfe\x00", "x" * 20000, '{"kind":"nothing"}', '{"kind":"text"}', json.dumps({"kind": "text", "text": "x", "origin": 1})):
            expect(member.publish(topic, payload) >= 128, f"taken: {payload[:40]}")
        member.publish(topic, "retained?", retain=True)
        late = Mqtt(eve)
        late.subscribe("im/#")
        late.subscribe(topic)
        time.sleep(0.7)
        same([t for t, _, _ in stranger.heard + late.heard if group in t or ann.user in t], [], "a stranger heard")
        expect(len(ann.texts(group)) <= 4 and ann.entry(group)["newest"] == len(ann.texts(group)), "history")
        late.close()
        newest = ann.entry(group)["newest"]
        ann.ask("remove", conversation=group, users=[bob.user])
        expect(member.publish(topic, "after removal") >= 128, "published after removal")
        count = len(member.heard)
        ann.send(group, "not for those who left")
        time.sleep(0.7)
        same([p for _, p, _ in member.heard[count:] if b"not for" in p], [], "heard after removal")
        same((seq, ann.entry(group)["newest"]), (3, newest + 1), "numbers")
    finally:
        member.close()
        stranger.close()


@rule
def wills_and_retained_messages_follow_the_rules_too(stage):
    ann, bob, eve = stage.persons("ann", "bob", "eve")
    group = stage.group(ann, bob)
    topic = f"im/c/{group}"
    for person, text in ((eve, "a stranger's will"), (bob, "a member's will"), (bob, "a retained will")):
        try:
            Mqtt(person, will=(topic, text, 1, "retained" in text)).drop()
        except AssertionError as no:
            # A server may take no wills to conversations at all.
            expect("does not connect" in str(no), str(no))
    time.sleep(0.7)
    expect(set(ann.texts(group)) <= {"a member's will", "a retained will"}, f"history: {ann.texts(group)}")
    ear = Mqtt(bob)
    ear.subscribe(topic)
    time.sleep(0.5)
    same(ear.heard, [], "given as retained")
    ear.close()


@rule
def what_is_published_at_the_socket_follows_the_rules_too(stage):
    ann, bob = stage.persons("ann", "bob")
    group = stage.group(ann, bob)
    socket = ann.device(stream=False)
    same(socket.publish(f"im/c/{group}", text="x", mid="m")["seq"], 1, "seq")
    same(socket.publish(f"im/c/{group}", data={"kind": "text", "text": "y", "mentions": [bob.user]})["seq"], 2, "seq")
    same((bob.entry(group)["unread"], bob.entry(group)["mentions"]), (2, 1), "counted")
    for more in ({"data": {"kind": "text", "text": "x", "burn_s": -1}}, {"data": 7}, {"bin": "//8="}, {}, {"text": ""}, {"data": {"kind": "text", "text": "x", "id": "other"}, "mid": "one"} ):
        status = "taken"
        try:
            socket.publish(f"im/c/{group}", **more)
        except Refused as no:
            status = no.code
        expect(status == "taken" and "id" in str(more) or status != "taken", f"{more}: {status}")
    for more in ({"key": "k", "text": "keyed"}, {"text": "later", "delay": 1}, {"text": "soon gone", "expires": 1}, {"text": "h", "headers": {"im-x": "1", "burn": "1"}}):
        try:
            socket.publish(f"im/c/{group}", **more)
        except Refused as no:
            expect(no.code < 700, str(no))
    time.sleep(2.2)
    newest = bob.entry(group)["newest"]
    got = bob.messages(group)
    expect([m["seq"] for m in got][-1:] <= [newest], "seqs")
    ann.send(group, "last")
    same(bob.entry(group)["newest"], newest + 1, "numbers go on")
