"""Bad input: every operation with random JSON, deep JSON, huge and odd strings."""

import json
import string
import time

import requests

from suite import NotHere, expect, rule, same

ODD = ["", "\u0000", "‮abc‬", "🏔" * 10, "x" * 70_000, "../..", "a/b", "#", "+", "%00", "\ud7ff", "\ufffe", "null", "g" * 26, "-1", "9" * 30, "$server", "guest:", "im/c/x", "\r\n", " ", "ａ", "İ"]
NUMBERS = [0, -1, 1, 2**31, 2**53, 2**63, 2**64, 1.5, 1e308, -0.0, 10**40]


def operations(stage):
    """Names and the shapes of questions, as the server's own document says."""
    document = stage.person().http.get(f"{stage.place.base}/im/v1/openapi.json").json()
    schemas = document["components"]["schemas"]

    def resolved(schema):
        while "$ref" in schema:
            schema = schemas[schema["$ref"].rpartition("/")[2]]
        return schema

    found = {}
    for path, methods in document["paths"].items():
        op = path.partition("/im/v1/")[2]
        body = methods.get("post", {}).get("requestBody", {}).get("content", {}).get("application/json")
        if op and "{" not in op and body:
            found[op] = resolved(body["schema"])
    expect(len(found) > 60, f"only {len(found)} operations are in the document")
    return found, resolved


class Fuzz:
    def __init__(self, random, resolved, known):
        self.random, self.resolved, self.known = random, resolved, known

    def junk(self, depth=0):
        r = self.random.random()
        if depth < 3 and r < 0.15:
            return [self.junk(depth + 1) for _ in range(self.random.randrange(4))]
        if depth < 3 and r < 0.3:
            return {self.random.choice(["a", "kind", "text", "\u0000", ""]): self.junk(depth + 1) for _ in range(self.random.randrange(4))}
        return self.random.choice([None, True, False, *NUMBERS, *ODD])

    def of(self, name, schema, depth=0):
        """A value of the shape, mostly, with things in it that are known."""
        if self.random.random() < 0.12 or depth > 6:
            return self.junk()
        if self.known.get(name) and self.random.random() < 0.8:
            return self.random.choice(self.known[name])
        schema = self.resolved(schema)
        for key in ("anyOf", "oneOf"):
            if key in schema:
                return self.of(name, self.random.choice(schema[key]), depth + 1)
        if "allOf" in schema:
            return self.of(name, schema["allOf"][0], depth + 1)
        if "enum" in schema:
            return self.random.choice(schema["enum"])
        if "const" in schema:
            return schema["const"]
        kind = schema.get("type")
        kind = self.random.choice(kind) if isinstance(kind, list) else kind
        if kind == "object" or "properties" in schema:
            value = {k: self.of(k, s, depth + 1) for k, s in schema.get("properties", {}).items()
                     if k in schema.get("required", ()) and self.random.random() < 0.97 or self.random.random() < 0.3}
            if self.random.random() < 0.03:
                value[self.random.choice(ODD)] = 1
            if not schema.get("properties"):
                value = {self.random.choice(["a", "b", *ODD]): self.junk() for _ in range(self.random.randrange(4))}
            return value
        if kind == "array":
            return [self.of(name.rstrip("s"), schema.get("items", {}), depth + 1) for _ in range(self.random.choice([0, 1, 1, 2, 3, 60]))]
        if kind == "integer":
            return self.random.choice([0, 1, 2, 3, 5, 100, *([self.random.choice(NUMBERS)] if self.random.random() < 0.3 else [])])
        if kind == "number":
            return self.random.choice([0.5, 1, -3, *NUMBERS])
        if kind == "boolean":
            return self.random.random() < 0.5
        if kind == "string":
            return self.random.choice(["hello world", "你好 world", *ODD])
        return self.junk()


@rule(alone=True)
def random_questions_break_nothing(stage):
    people = stage.persons("ann", "bob", "cat")
    ops, resolved = operations(stage)
    groups = [stage.group(people[0], *people[1:]), people[0].ask("open", user=people[1].user)["id"], stage.group(people[1], people[0], kind="channel"),
              people[0].ask("create", kind="room", title="r")["id"]]
    for group in groups[:2]:
        for n in range(5):
            people[0].send(group, f"m{n}")
    known = {"conversation": groups, "user": [p.user for p in people], "users": [[p.user for p in people]], "seq": [1, 2, 3, 5, 99], "from": [p.user for p in people]}
    random = stage.random
    fuzz = Fuzz(random, resolved, known)
    actors = list(people)
    try:
        actors.append(stage.admin)
    except NotHere:
        pass
    skip = {"logout_others", "admin/silence", "admin/set_words", "admin/erase"} | ({op for op in ops if op.startswith("admin/")} if not stage.place.server else set())
    names = sorted(set(ops) - skip)
    took, refused, slow, bad = {}, {}, [], {}
    end = time.monotonic() + stage.place.fuzz_seconds
    count = 0
    while time.monotonic() < end or count < len(names):
        op = names[count] if count < len(names) else random.choice(names)
        count += 1
        body = fuzz.of("", ops[op])
        text = json.dumps(body)
        began = time.monotonic()
        actor = random.choice(actors)
        try:
            status, answer = actor.post(op, text)
        except requests.ConnectionError:
            # A connection may end behind a refusal that came before its whole question was read; a new one is answered.
            status, answer = actor.post(op, text)
        spent = time.monotonic() - began
        if spent > 3:
            slow.append((op, round(spent, 1), text[:300]))
        if status >= 500 and answer.get("code") != 641 or status not in (200, 201) and not {"code", "reason", "again"} <= set(answer):
            bad.setdefault((op, status, answer.get("code")), f"{op} {text[:700]}: {status} {str(answer)[:300]}")
        (took if status in (200, 201) else refused).setdefault(op, []).append(1)
    expect(not bad, lambda: f"{len(bad)} of {count} went wrong:\n  " + "\n  ".join(bad.values()))
    same(slow, [], "slow answers")
    for person in people:
        person.ask("list")
    expect(len(took) > len(names) * 0.5 or stage.place.fuzz_seconds < 20, f"only {len(took)} of {len(names)} operations ever took a question")


@rule
def deep_and_broken_json_is_refused(stage):
    ann, bob = stage.persons("ann", "bob")
    group = stage.group(ann, bob)
    deep = "[" * 100_000
    for text in (deep, "{\"a\":" * 50_000, deep + "]" * 100_000, '{"conversation":"' + group + '","content":{"kind":"custom","type":"x","data":' + "[" * 5000 + "]" * 5000 + "}}",
                 "{", '{"a":1}}', "nul", '"x"', "7", '{"conversation":"\\ud800"}', '{"conversation":"x","conversation":"y"}', "\ufeff{}", "{}{}", b"\xff\xfe", b"{\"a\":\"\xff\"}"):
        status, answer = ann.post("send", text)
        expect(status == 400 and answer.get("code") in (100, 600, 601), f"{text[:60]!r}: {status} {str(answer)[:200]}")
    # As deep as the server takes it, it must give it back.
    for depth in (20, 60, 100, 120, 126):
        data = json.loads("[" * depth + "]" * depth)
        status, answer = ann.post("send", {"conversation": group, "content": {"kind": "custom", "type": "x", "data": data}})
        expect(status in (200, 400), f"{depth}: {status} {answer}")
        if status == 200:
            same(bob.ask("message", conversation=group, seq=answer["seq"])["content"]["data"], data, f"depth {depth}")
    same(bob.ask("list")["conversations"][0]["newest"], ann.entry(group)["newest"], "list")
    bob.messages(group)
    status, answer = ann.post("send", json.dumps({"conversation": group, "content": {"kind": "text", "text": "x" * 2_000_000}}))
    expect(status in (400, 413), f"2 MB: {status}")
    status, answer = ann.post("send", {"conversation": group, "content": {"kind": "custom", "type": "x", "data": "y" * 900_000}})
    expect(status in (400, 413), f"900 kB of data: {status} {str(answer)[:200]}")


@rule
def odd_words_come_back_as_they_were(stage):
    ann, bob = stage.persons("ann", "bob")
    group = stage.group(ann, bob)
    for text in ("‮evil‬", "🏔️👨‍👩‍👧‍👦", "שלום", "a\tb\nc", "\u200b\u200dx", "﷽" * 100, "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢", "\\u0000", "</script>", "%00%2F", "\ufffd", "𠜎𠜱", "a\u2028b"):
        seq = ann.send(group, text)
        same(bob.ask("message", conversation=group, seq=seq)["content"]["text"], text, "text")
    status, answer = ann.post("send", {"conversation": group, "content": {"kind": "text", "text": "a\u0000b"}})
    if status == 200:
        same(bob.ask("message", conversation=group, seq=answer["seq"])["content"]["text"], "a\u0000b", "NUL")


@rule
def marks_of_search_are_utf16_and_queries_are_words(stage):
    ann, bob = stage.persons("ann", "bob")
    group = stage.group(ann, bob)
    word = "needle" + "".join(c for c in stage.name if c in string.ascii_letters)
    ann.send(group, f"🏔🏔 前 {word} 后 🏔")
    ann.send(group, "我们明天去北京天安门")

    def found(text, **more):
        end = time.monotonic() + 3
        while True:
            got = bob.ask("search", text=text, conversation=group, **more)
            if got["hits"] or time.monotonic() > end:
                return got["hits"]
            time.sleep(0.05)

    hit = found(word)[0]
    units = hit["snippet"].encode("utf-16-le")
    same([units[a * 2:b * 2].decode("utf-16-le") for a, b in hit["marks"]], [word], "marks")
    same(len(found("北京")), 1, "Chinese")
    same(len(found("天安门")), 1, "Chinese")
    for odd in ("\"", "(", "AND OR", "*", "~", "field:x", "\\", "\u0000", "🏔", "‮", "-", "'; drop table", "(" * 500, "x " * 500, "[a TO z]", "?", "/x/"):
        status, answer = bob.post("search", {"text": odd})
        expect(status in (200, 400), f"{odd!r}: {status} {answer}")
    bob.refused("search", (600, 603), text="x" * 1025)
    status, answer = bob.post("search", {"text": word, "before": "garbage"})
    expect(status in (200, 400), f"{answer}")


@rule
def names_and_cursors_longer_than_any_key_are_refused(stage):
    ann = stage.persons("ann")[0]
    group = stage.group(ann, join="request")
    long = "x" * 70_000
    asked = [(ann, op, body) for op, body in (
        ("decide", {"conversation": group, "user": long, "accept": True}), ("profile", {"user": long}), ("open", {"user": long}), ("find", {"handle": long}),
        ("conversation", {"conversation": long}), ("list", {"after": long}), ("list", {"since": long}), ("members", {"conversation": group, "after": long}),
        ("join", {"link": long}), ("block", {"user": long}), ("role", {"conversation": group, "user": long, "role": "admin"}), ("file", {"file": long}),
        ("discover", {"after": long}), ("shared_files", {"conversation": group, "before": long}), ("search", {"text": "x", "before": long}))]
    try:
        asked += [(stage.admin, op, body) for op, body in (("admin/users", {"after": long}), ("admin/reports", {"after": long}), ("admin/conversations", {"after": long}),
                                                            ("admin/export", {"user": long}), ("admin/export", {"user": ann.user, "after": long}), ("admin/silence", {"user": long, "seconds": 1}))]
    except NotHere:
        pass
    wrong = [(op, status, str(answer)[:150]) for person, op, body in asked for status, answer in [person.post(op, body)] if status >= 500]
    same(wrong, [], "failed")
