#!/usr/bin/env python3
"""Server-Sent Events with `requests` and `sseclient-py` (PyPI): python_sse.py http://127.0.0.1:8080"""

import importlib.metadata
import json

import requests
import sseclient

from story import KEPT, LARGE, TOKEN, UNICODE, expect, run, topic

WAIT = 60


class Stream:
    """One stream: its events, and the id of the last one."""

    def __init__(self, url, params=None, last_event_id=None):
        headers = {"Accept": "text/event-stream"}
        if TOKEN:
            headers["Authorization"] = f"Bearer {TOKEN}"
        if last_event_id:
            headers["Last-Event-ID"] = last_event_id
        self.response = requests.get(f"{url}/v1/sse", params=params, headers=headers, stream=True, timeout=WAIT)
        self.response.raise_for_status()
        kind = self.response.headers["Content-Type"]
        expect(kind.startswith("text/event-stream"), f"Content-Type {kind}")
        self.frames = sseclient.SSEClient(self.response).events()
        self.waiting = []
        self.id = last_event_id

    def event(self, type_):
        while True:
            for i, event in enumerate(self.waiting):
                if event["type"] == type_:
                    return self.waiting.pop(i)
            frame = next(self.frames)
            expect(frame.event == "message", f"event: {frame.event}, which onmessage does not hear")
            self.id = frame.id or self.id
            events = json.loads(frame.data)
            self.waiting += events if isinstance(events, list) else [events]

    def records(self, count):
        found = []
        while len(found) < count:
            found += self.event("records")["records"]
        return found

    def drop(self):
        self.response.close()


def story(url, step):
    place, kept = topic("clients/"), topic(KEPT)
    authorization = {"Authorization": f"Bearer {TOKEN}"} if TOKEN else {}

    def publish(to, body, kind="text/plain", **headers):
        response = requests.post(f"{url}/v1/publish/{to}", data=body, headers={"Content-Type": kind, **headers, **authorization}, timeout=WAIT)
        expect(response.status_code == 200, f"HTTP {response.status_code}: {response.text}")
        return response.json()

    step("welcome")
    stream = Stream(url, [("filter", place), ("filter", kept)])
    welcome = stream.event("welcome")
    expect(welcome["secret"] and welcome["keep"] > 0, f"the session will not outlive the stream: {welcome}")
    expect([stream.event("subscribed")["sub"] for _ in range(2)] == [1, 2], "the filters are subscriptions 1 and 2")

    step("publish by POST, receive on the stream")
    receipt = publish(place, "hello", **{"Yizhan-Header-Lang": "en"})
    expect(receipt["type"] == "receipt", f"receipt {receipt}")
    (record,) = stream.records(1)
    expect((record["topic"], record["text"]) == (place, "hello"), f"came as {record}")
    expect({name.lower(): value for name, value in record["headers"].items()} == {"lang": "en"}, f"headers {record['headers']}")

    step("unicode, JSON, bytes, and a large message")
    publish(place, UNICODE.encode(), "text/plain; charset=utf-8")
    publish(place, json.dumps({"a": UNICODE}).encode(), "application/json")
    publish(place, b"\0\xff\x80", "application/octet-stream")
    publish(place, LARGE.encode(), "text/plain; charset=utf-8")
    records = stream.records(4)
    expect(records[0]["text"] == UNICODE and records[1]["data"] == {"a": UNICODE}, "it came changed")
    expect(records[2]["bin"] == "AP+A", f"came as {records[2]}")
    expect(records[3]["text"] == LARGE, "it came changed")

    step("history, and the same Idempotency-Key twice")
    for i in range(5):
        receipt = publish(kept, json.dumps(i), "application/json", **{"Idempotency-Key": f"{kept} {i}"})
        expect(receipt["seq"] == i + 1, f"receipt {receipt}")
    receipt = publish(kept, "4", "application/json", **{"Idempotency-Key": f"{kept} 4"})
    expect(receipt["duplicate"] and receipt["seq"] == 5, f"receipt {receipt}")
    page = requests.get(f"{url}/v1/history/{kept}", params={"before": 5, "limit": 2}, headers=authorization, timeout=WAIT).json()
    expect([record["data"] for record in page["records"]] == [2, 3] and page["more"], f"page {page}")
    expect([record["data"] for record in stream.records(5)] == [0, 1, 2, 3, 4], "not all came")

    step("commands by POST act on the stream's session")
    more = topic("clients/more-")
    session = {"Authorization": f"Session {welcome['session']}:{welcome['secret']}"}
    frame = [{"type": "subscribe", "id": 1, "sub": 7, "filter": more}, {"type": "publish", "id": 2, "topic": more, "text": "by session"}]
    answers = requests.post(f"{url}/v1/send", json=frame, headers=session, timeout=WAIT).json()
    expect([(answer["type"], answer["re"]) for answer in answers] == [("subscribed", 1), ("receipt", 2)], f"answers {answers}")
    expect(stream.records(1)[0]["text"] == "by session", "not delivered on the stream")
    refused = requests.post(f"{url}/v1/send", json=frame[:1], headers=authorization, timeout=WAIT).json()
    expect(refused[0]["code"] == 301, f"without a session: {refused}")

    step("resume after a drop by Last-Event-ID: what came meanwhile, once")
    stream.drop()
    publish(kept, "5", "application/json")
    publish(kept, "6", "application/json")
    stream = Stream(url, [("filter", place), ("filter", kept)], last_event_id=stream.id)
    expect(stream.event("welcome")["session"] == welcome["session"], "another session")
    publish(kept, "7", "application/json")
    expect([record["data"] for record in stream.records(3)] == [5, 6, 7], "not what came meanwhile")
    stream.drop()

    step("without a token or with a bad one: as the rules say")
    bad = requests.get(f"{url}/v1/sse", headers={"Authorization": "Bearer yz_not_a_token"}, timeout=WAIT, stream=True)
    expect(bad.status_code == 401, f"HTTP {bad.status_code}")
    bad.close()


run(f"python sseclient-py {importlib.metadata.version('sseclient-py')}", story)
