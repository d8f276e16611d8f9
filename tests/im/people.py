"""People who ask a server by HTTP and by WebSocket."""

import itertools
import json
import threading
import time

import requests
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

# How long an answer may take, s.
ANSWER_MAX = 30


class Refused(Exception):
    def __init__(self, op, status, body):
        self.op, self.status, self.body = op, status, body
        self.code = body.get("code") if isinstance(body, dict) else None
        super().__init__(f"{op} was refused: {status} {json.dumps(body, ensure_ascii=False)[:400]}")


class Person:
    def __init__(self, place, user, headers=None, auth=None, hello=None):
        self.place, self.user, self.headers, self.auth, self.hello = place, user, headers or {}, auth, hello or {}
        self.http = requests.Session()
        self.http.auth = auth
        self.http.headers.update(self.headers)
        self.sockets = []

    @classmethod
    def guest(cls, place, name):
        return cls(place, f"guest:{name}", auth=(name.encode(), b""), hello={"user": name, "password": ""})

    @classmethod
    def with_token(cls, place, user, token):
        return cls(place, user, headers={"Authorization": f"Bearer {token}"}, hello={"token": token})

    @classmethod
    def account(cls, place, name):
        admin = place.admin
        made = admin.http.post(f"{place.base}/api/v1/accounts", json={"user": name, "password": f"of {name}", "roles": ["user"]})
        if made.status_code != 201:
            raise Refused("accounts", made.status_code, made.json())
        made = admin.http.post(f"{place.base}/api/v1/tokens", json={"name": "check", "user": name})
        person = cls.with_token(place, name, made.json()["token"])
        person.password = f"of {name}"
        return person

    @property
    def mqtt_login(self):
        """User and password for MQTT."""
        return (self.auth[0].decode(), "") if self.auth else (self.user, self.password)

    def post(self, op, body, headers=None, timeout=ANSWER_MAX):
        """Any body, as bytes or as JSON; gives status and what was answered."""
        data = body if isinstance(body, (bytes, str)) else json.dumps(body)
        answer = self.http.post(f"{self.place.base}/im/v1/{op}", data=data.encode() if isinstance(data, str) else data, headers=headers, timeout=timeout)
        try:
            return answer.status_code, answer.json()
        except ValueError:
            return answer.status_code, {"text": answer.text}

    def ask(self, op, /, **body):
        status, answer = self.post(op, body)
        if status != 200:
            raise Refused(op, status, answer)
        return answer

    def refused(self, op, code, /, **body):
        """Asks what is not to be; `code` is one number or several."""
        status, answer = self.post(op, body)
        codes = code if isinstance(code, tuple) else (code,)
        if status == 200:
            raise AssertionError(f"{op} {json.dumps(body, ensure_ascii=False)[:300]} was answered {json.dumps(answer, ensure_ascii=False)[:300]}, not refused with {code}")
        if answer.get("code") not in codes or status >= 500:
            raise AssertionError(f"{op} {json.dumps(body, ensure_ascii=False)[:300]}: {status} {json.dumps(answer, ensure_ascii=False)[:300]} instead of {code}")
        return answer

    def send(self, conversation, text="hi", **more):
        """Says something; gives its number. `conversation` is an id or a person."""
        to = {"user": conversation.user} if isinstance(conversation, Person) else {"conversation": conversation}
        id = {"id": more.pop("id")} if "id" in more else {}
        told = self.ask("send", **to, **id, content={"kind": "text", "text": text, **more})
        # It counts a moment after the answer.
        end = time.monotonic() + 2
        while told["seq"] and time.monotonic() < end and self.ask("conversation", conversation=told["conversation"])["newest"] < told["seq"]:
            time.sleep(0.01)
        return told["seq"]

    def entry(self, conversation):
        return self.ask("conversation", conversation=conversation)

    def messages(self, conversation, **more):
        return self.ask("history", conversation=conversation, limit=200, **more)["messages"]

    def texts(self, conversation, **more):
        return [message.get("content", {}).get("text") for message in self.messages(conversation, **more)]

    def put_file(self, name, data, **query):
        answer = self.http.put(f"{self.place.base}/im/v1/files", params={"name": name, **query}, data=data, timeout=ANSWER_MAX)
        return answer.status_code, answer.json()

    def device(self, device=None, platform="web", attach=True, stream=True):
        socket = Socket(self, device, platform, attach, stream)
        self.sockets.append(socket)
        return socket

    def close(self):
        for socket in self.sockets:
            socket.close()
        self.http.close()


class Socket:
    """One connection by `yizhan.v1.json`: answers are waited for, everything else is gathered."""

    def __init__(self, person, device, platform, attach, stream):
        url = person.place.base.replace("http", "ws", 1) + "/v1/socket"
        self.person = person
        self.open = connect(url, subprotocols=["yizhan.v1.json"], max_size=None, open_timeout=ANSWER_MAX)
        self.numbers = itertools.count(1)
        self.changed = threading.Condition()
        self.answers, self.records, self.events, self.ended = {}, [], [], None
        self.thread = threading.Thread(target=self._listen, daemon=True)
        self.thread.start()
        self.session = self.do("hello", **person.hello, **({"device": device} if device else {}))
        self.attached = None
        if attach:
            self.attached = self.ask("attach", platform=platform, **({"device": device} if device else {}))
            if stream:
                self.do("subscribe", sub=1, filter=self.attached["stream"])

    def _listen(self):
        try:
            for text in self.open:
                told = json.loads(text)
                with self.changed:
                    for event in told if isinstance(told, list) else [told]:
                        if "re" in event:
                            self.answers[event["re"]] = event
                        elif event["type"] == "records":
                            self.records += event["records"]
                        else:
                            self.events.append(event)
                    self.changed.notify_all()
        except (ConnectionClosed, OSError, ValueError) as end:
            self.ended = str(end) or "closed"
        with self.changed:
            self.ended = self.ended or "closed"
            self.changed.notify_all()

    def command(self, kind, /, **more):
        number = next(self.numbers)
        self.open.send(json.dumps({"type": kind, "id": number, **more}))
        return number

    def answer(self, number):
        end = time.monotonic() + ANSWER_MAX
        with self.changed:
            while number not in self.answers:
                left = end - time.monotonic()
                if left <= 0 or self.ended:
                    raise AssertionError(f"no answer to command {number}: {self.ended or 'nothing came'} {self.events[-2:]}")
                self.changed.wait(left)
            answer = self.answers.pop(number)
        if answer["type"] == "error":
            raise Refused("command", 0, answer)
        return answer

    def do(self, kind, /, **more):
        return self.answer(self.command(kind, **more))

    def ask(self, op, /, **data):
        return self.do("ask", to=f"im/{op}", data=data)["data"]

    def publish(self, topic, **more):
        return self.do("publish", topic=topic, **more)

    def heard(self, is_it, seconds=10, what="it"):
        """The first record for which `is_it` holds, there already or to come."""
        end = time.monotonic() + seconds
        at = 0
        with self.changed:
            while True:
                while at < len(self.records):
                    if is_it(self.records[at]):
                        return self.records[at]
                    at += 1
                left = end - time.monotonic()
                if left <= 0 or self.ended:
                    raise AssertionError(f"{self.person.user} did not hear {what}; {self.ended or ''} the last: {json.dumps(self.records[-3:], ensure_ascii=False)[:500]}")
                self.changed.wait(left)

    def event(self, name, seconds=10, **fields):
        return self.heard(lambda r: isinstance(r.get("data"), dict) and r["data"].get("event") == name
                          and all(r["data"].get(k) == v for k, v in fields.items()), seconds, f"the event {name} {fields}")["data"]

    def message(self, conversation, seq):
        return self.heard(lambda r: r["topic"] in (f"im/c/{conversation}", f"im/r/{conversation}") and r.get("seq") == seq, what=f"message {seq}")

    def wait_end(self, seconds=10):
        end = time.monotonic() + seconds
        with self.changed:
            while not self.ended:
                if time.monotonic() > end:
                    raise AssertionError("the connection goes on")
                self.changed.wait(0.5)

    def close(self):
        try:
            self.open.close()
        except (OSError, RuntimeError):
            pass
