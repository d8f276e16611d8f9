"""Messages: sending, history, edits, recalls, reactions, pins, threads, expiry."""

import time

from suite import expect, rule, same, soon

TEXT_BYTES_MAX = 16384


@rule
def numbers_are_dense_and_in_order_for_all(stage):
    ann, bob = stage.persons("ann", "bob")
    group = stage.group(ann, bob)
    seqs = [(ann if n % 3 else bob).send(group, f"m{n}") for n in range(30)]
    same(seqs, list(range(1, 31)), "seqs")
    for person in (ann, bob):
        got = person.messages(group, after=0)
        same([m["seq"] for m in got], seqs, "history")
        same([m["content"]["text"] for m in got], [f"m{n}" for n in range(30)], "order")


@rule
def numbers_stay_dense_when_many_send_at_once(stage):
    ann, bob = stage.persons("ann", "bob")
    group = stage.group(ann, bob)
    sockets = [person.device(stream=False) for person in (ann, bob, ann)]
    asked = [(s, s.command("ask", to="im/send", data={"conversation": group, "content": {"kind": "text", "text": f"{i} {n}"}}))
             for n in range(60) for i, s in enumerate(sockets)]
    seqs = sorted(s.answer(number)["data"]["seq"] for s, number in asked)
    same(seqs, list(range(1, 181)), "seqs")
    got = ann.texts(group, after=0)
    for i in range(3):
        same([t for t in got if t.startswith(f"{i} ")], [f"{i} {n}" for n in range(60)], "order of one sender")


@rule
def the_same_id_is_sent_once(stage):
    ann, bob = stage.persons("ann", "bob")
    first = ann.ask("send", user=bob.user, id="x1", content={"kind": "text", "text": "a"})
    again = ann.ask("send", user=bob.user, id="x1", content={"kind": "text", "text": "a"})
    same((again["seq"], again["at"], again["duplicate"]), (first["seq"], first["at"], True), "again")
    inside = ann.ask("send", user=bob.user, content={"kind": "text", "text": "a", "id": "x1"})
    same((inside["seq"], inside["duplicate"]), (first["seq"], True), "content.id")
    socket = ann.device(stream=False)
    receipt = socket.publish(f"im/c/{first['conversation']}", mid="x1", data={"kind": "text", "text": "a"})
    same((receipt["seq"], receipt["duplicate"]), (first["seq"], True), "mid")
    other = bob.ask("send", conversation=first["conversation"], id="x1", content={"kind": "text", "text": "b"})
    same((other["seq"], other["duplicate"]), (2, False), "another sender's same id")
    same(len(ann.messages(first["conversation"])), 2, "messages")


@rule
def the_same_id_at_once_from_two_devices_is_sent_once(stage):
    ann, bob = stage.persons("ann", "bob")
    group = stage.group(ann, bob)
    one, two = ann.device(stream=False), ann.device(stream=False)
    for n in range(20):
        asked = [(s, s.command("ask", to="im/send", data={"conversation": group, "id": f"r{n}", "content": {"kind": "text", "text": "x"}})) for s in (one, two)]
        told = [s.answer(number)["data"] for s, number in asked]
        same(told[0]["seq"], told[1]["seq"], "one number")
        same(sorted(t["duplicate"] for t in told), [False, True], "duplicate")
    same(len(ann.messages(group)), 20, "messages")


@rule
def history_pages_both_ways_without_gap_or_double(stage):
    ann, bob = stage.persons("ann", "bob")
    group = stage.group(ann, bob)
    for n in range(23):
        ann.send(group, f"m{n}")
    got, after = [], 0
    while True:
        page = bob.ask("history", conversation=group, after=after, limit=5)
        got += [m["seq"] for m in page["messages"]]
        if page["at_end"]:
            break
        after = page.get("next") or got[-1]
    same(got, list(range(1, 24)), "after")
    got, before = [], None
    while True:
        page = bob.ask("history", conversation=group, limit=5, **({"before": before} if before else {}))
        got = [m["seq"] for m in page["messages"]] + got
        if page["at_end"]:
            break
        before = page.get("next") or got[0]
    same(got, list(range(1, 24)), "before")
    page = bob.ask("history", conversation=group, around=10, limit=7)
    seqs = [m["seq"] for m in page["messages"]]
    expect(10 in seqs and len(seqs) <= 7 and seqs == list(range(seqs[0], seqs[-1] + 1)), f"around: {seqs}")
    for bad in ({"limit": 0}, {"limit": 201}, {"limit": -1}, {"after": 1, "before": 9}, {"after": -1}):
        status, answer = bob.post("history", {"conversation": group, **bad})
        expect(status in (200, 400), f"{bad}: {status} {answer}")


@rule
def every_kind_of_message_is_taken_and_told_as_sent(stage):
    ann, bob = stage.persons("ann", "bob")
    group = stage.group(ann, bob)
    for content in ({"kind": "text", "text": "hi"}, {"kind": "location", "latitude": 1.5, "longitude": -179.9, "name": "x", "address": "y"},
                    {"kind": "card", "user": bob.user}, {"kind": "custom", "type": "order", "data": {"n": [1, None, {"a": "é"}]}}):
        seq = ann.ask("send", conversation=group, content=content)["seq"]
        got = bob.ask("message", conversation=group, seq=seq)["content"]
        same({k: got.get(k) for k in content}, content, content["kind"])


@rule
def content_that_makes_no_sense_is_refused(stage):
    ann, bob = stage.persons("ann", "bob")
    group = stage.group(ann, bob)
    bad = [{}, {"kind": "nothing"}, {"kind": "text"}, {"kind": "text", "text": ""}, {"kind": "text", "text": 7}, {"kind": "text", "text": None},
           {"kind": "text", "text": "x" * (TEXT_BYTES_MAX + 1)}, {"kind": "location"}, {"kind": "location", "latitude": 91, "longitude": 0},
           {"kind": "location", "latitude": 0, "longitude": 181}, {"kind": "card"}, {"kind": "card", "user": ""}, {"kind": "image"},
           {"kind": "image", "file": "0000"}, {"kind": "image", "file": "../../etc/passwd"}, {"kind": "text", "text": "x", "reply": 99},
           {"kind": "text", "text": "x", "thread": 99}, {"kind": "text", "text": "x", "reply": 0}, {"kind": "text", "text": "x", "reply": -1},
           {"kind": "text", "text": "x", "burn_s": -1}, {"kind": "text", "text": "x", "mentions": ["x"] * 51},
           {"kind": "text", "text": "x", "mentions": "bob"}, {"kind": "text", "text": "x", "id": "i" * 129}, {"kind": "text", "text": "x", "whatever": 1},
           {"kind": "text", "text": "x", "priority": "high"}, {"kind": "forward"}, {"kind": "forward", "conversation": group, "seq": 99},
           {"kind": "forward", "conversation": "d000000000000", "seq": 1}, {"kind": "merged", "items": []},
           {"kind": "merged", "title": "x", "items": [{"conversation": group, "seq": 1}] * 101}, {"kind": "voice", "file": "x", "waveform": [101]},
           {"kind": "text", "text": "x", "facts": {"bytes": 1, "type": "x"}}, {"kind": "text", "text": "x", "origin": {"from": "bob", "at": 1, "content": {"kind": "text", "text": "lie"}}},
           {"kind": "forward", "conversation": group, "seq": 1, "origin": {"from": "bob", "at": 1, "content": {"kind": "text", "text": "lie"}}}]
    took = []
    for content in bad:
        status, answer = ann.post("send", {"conversation": group, "content": content})
        if status == 200:
            took.append((content if len(str(content)) < 300 else "long", answer["seq"]))
        else:
            expect(status < 500 and answer["code"] in (600, 601, 603, 611, 620), f"{str(content)[:200]}: {status} {answer}")
    lies = [t for t in took if "lie" in str(ann.ask("message", conversation=group, seq=t[1]))]
    same(lies, [], "what only the server says was taken from a client")
    honest = [t for t in took if "facts" not in str(t) and "origin" not in str(t) and "'priority': 'high'" not in str(t)]
    same(honest, [], "bad content was taken")


@rule
def what_is_sent_to_nowhere_is_refused(stage):
    ann, bob = stage.persons("ann", "bob")
    text = {"kind": "text", "text": "x"}
    for where in ("", "g", "d0", "g000000000000", "zzz", "../x", "g%2F", "G000000000000", "im/c/x", "g" * 5000, "g00000\u0000000000"):
        ann.refused("send", (600, 610, 620), conversation=where, content=text)
    ann.refused("send", (600, 620), user="nobody-at-all-" + stage.name, content=text)
    ann.refused("send", 600, content=text)
    ann.refused("send", 600, conversation="x", user=bob.user, content=text)
    ann.refused("hist0ry", 602)


@rule
def edits_are_of_ones_own_and_keep_what_was(stage):
    ann, bob = stage.persons("ann", "bob")
    group = stage.group(ann, bob)
    seq = ann.send(group, "one")
    edit = {"conversation": group, "seq": seq}
    bob.refused("edit", 611, **edit, content={"kind": "text", "text": "lie"})
    ann.refused("edit", (600, 601, 611), **edit, content={"kind": "card", "user": bob.user})
    ann.refused("edit", 620, conversation=group, seq=99, content={"kind": "text", "text": "x"})
    ear = bob.device()
    for n, text in enumerate(("two", "three"), 1):
        same(ann.ask("edit", **edit, content={"kind": "text", "text": text})["edited"]["count"], n, "count")
    ear.event("edit", message_seq=seq)
    got = bob.ask("message", **edit)
    same((got["content"]["text"], got["edited"]["count"], got["from"]), ("three", 2, ann.user), "after edits")
    same([e["content"]["text"] for e in bob.ask("edits", **edit)["edits"]], ["one", "two", "three"], "edits")
    same(ann.entry(group)["newest"], 1, "an edit is no message")
    ann.ask("recall", **edit)
    ann.refused("edit", (620, 630, 631), **edit, content={"kind": "text", "text": "back"})
    got = bob.post("edits", edit)
    expect("one" not in str(got) and "two" not in str(got) and "three" not in str(got), f"edits of what was recalled: {got}")


@rule
def recall_takes_the_words_for_everybody(stage):
    ann, bob, cat = stage.persons("ann", "bob", "cat")
    group = stage.group(ann, bob, cat)
    seq = bob.send(group, "secretword")
    cat.refused("recall", 611, conversation=group, seq=seq)
    reply = cat.send(group, "re", reply=seq)
    ear = cat.device()
    bob.ask("recall", conversation=group, seq=seq)
    ear.event("recall", message_seq=seq, by=bob.user)
    for person in (ann, bob, cat):
        got = person.ask("message", conversation=group, seq=seq)
        expect("content" not in got and got["recalled"]["by"] == bob.user, f"{got}")
        expect("secretword" not in str(person.messages(group)) and "secretword" not in str(person.ask("changes", conversation=group, after=0)), "the words")
        expect("secretword" not in str(person.ask("search", text="secretword")), "found")
    for op, more in (("react", {"emoji": "👍"}), ("pin", {})):
        status, answer = ann.post(op, {"conversation": group, "seq": seq, **more})
        expect(status != 200 and status < 500, f"{op} of a recalled one: {status} {answer}")
    status, answer = ann.post("send", {"conversation": group, "content": {"kind": "forward", "conversation": group, "seq": seq}})
    expect(status in (400, 403, 404, 409, 410), f"forward of a recalled one: {status} {answer}")
    # Admins may always.
    ann.ask("recall", conversation=group, seq=reply)
    same(ann.ask("message", conversation=group, seq=reply)["recalled"]["by"], ann.user, "by")
    status, answer = ann.post("recall", {"conversation": group, "seq": reply})
    expect(status in (200, 409), f"twice: {status} {answer}")


@rule
def recalled_ones_do_not_count_as_unread(stage):
    ann, bob = stage.persons("ann", "bob")
    group = stage.group(ann, bob)
    seqs = [ann.send(group, f"m{n}", mentions=[bob.user] if n == 1 else []) for n in range(4)]
    same((bob.entry(group)["unread"], bob.entry(group)["mentions"]), (4, 1), "before")
    ann.ask("recall", conversation=group, seq=seqs[1])
    ann.ask("recall", conversation=group, seq=seqs[3])
    same((bob.entry(group)["unread"], bob.entry(group)["mentions"]), (2, 0), "after")
    same(bob.ask("list")["unread"], 2, "in all")
    same(bob.ask("read", conversation=group, seq=1)["unread"], 1, "after reading one")


@rule
def deleting_is_for_oneself(stage):
    ann, bob = stage.persons("ann", "bob")
    group = stage.group(ann, bob)
    for n in range(3):
        ann.send(group, f"m{n}")
    ear = bob.device()
    bob.ask("delete", conversation=group, seqs=[2])
    ear.event("delete", conversation=group)
    same([m["seq"] for m in bob.messages(group)], [1, 3], "bob")
    same([m["seq"] for m in ann.messages(group)], [1, 2, 3], "ann")
    bob.refused("delete", (600, 603), conversation=group, seqs=list(range(1, 1002)))
    bob.refused("message", 620, conversation=group, seq=2)
    bob.ask("clear", conversation=group)
    same(bob.messages(group), [], "cleared")
    entry = bob.entry(group)
    same((entry["unread"], entry.get("last")), (0, None), "cleared entry")
    same(len(ann.messages(group)), 3, "ann")
    ann.send(group, "new")
    same((bob.texts(group), bob.entry(group)["unread"]), (["new"], 1), "after")


@rule
def reactions_are_one_of_each_person_and_emoji(stage):
    ann, bob = stage.persons("ann", "bob")
    group = stage.group(ann, bob)
    seq = ann.send(group)
    one = {"conversation": group, "seq": seq}
    same(ann.ask("react", **one, emoji="👍")["count"], 1, "one")
    same(bob.ask("react", **one, emoji="👍")["count"], 2, "two")
    same(bob.ask("react", **one, emoji="👍")["count"], 2, "again")
    same(bob.ask("react", **one, emoji="🏳️‍🌈")["count"], 1, "another")
    got = {r["emoji"]: r for r in ann.ask("message", **one)["reactions"]}
    same((got["👍"]["count"], got["👍"]["mine"], got["🏳️‍🌈"]["mine"]), (2, True, False), "shown")
    same(bob.ask("react", **one, emoji="👍", off=True)["count"], 1, "off")
    same(bob.ask("react", **one, emoji="👍", off=True)["count"], 1, "off again")
    for emoji in ("", "x" * 33, "\u0000", "a\nb"):
        status, answer = bob.post("react", {**one, "emoji": emoji})
        expect(status == 400, f"{emoji!r}: {status} {answer}")
    bob.refused("react", 620, conversation=group, seq=99, emoji="x")
    for n in range(300):
        status, answer = bob.post("react", {**one, "emoji": f"e{n}"})
        if status != 200:
            break
    expect(status in (400, 409, 429) and n > 5, f"300 different emoji on one message: {status} {answer}")


@rule
def pins_are_for_admins_in_groups_and_the_last_comes_first(stage):
    ann, bob = stage.persons("ann", "bob")
    group = stage.group(ann, bob)
    seqs = [ann.send(group, f"m{n}") for n in range(3)]
    bob.refused("pin", 611, conversation=group, seq=1)
    for seq in (2, 1, 3):
        ann.ask("pin", conversation=group, seq=seq)
    same([m["seq"] for m in bob.ask("pins", conversation=group)["messages"]], [3, 1, 2], "pins")
    ann.ask("pin", conversation=group, seq=1, off=True)
    same([m["seq"] for m in bob.ask("pins", conversation=group)["messages"]], [3, 2], "pins")
    ann.refused("pin", 620, conversation=group, seq=99)
    direct = ann.ask("send", user=bob.user, content={"kind": "text", "text": "x"})
    bob.ask("pin", conversation=direct["conversation"], seq=direct["seq"])
    same(seqs, [1, 2, 3], "seqs")


@rule
def threads_count_and_are_read_alone(stage):
    ann, bob = stage.persons("ann", "bob")
    group = stage.group(ann, bob)
    root = ann.send(group, "root")
    ann.send(group, "else")
    inside = [bob.send(group, f"t{n}", thread=root) for n in range(3)]
    got = ann.ask("message", conversation=group, seq=root)["thread"]
    same((got["count"], got["newest"]), (3, inside[-1]), "thread")
    texts = [m["content"]["text"] for m in ann.messages(group, thread=root) if m["seq"] != root]
    same(texts, ["t0", "t1", "t2"], "read alone")


@rule
def forwarded_ones_say_what_they_were(stage):
    ann, bob, cat = stage.persons("ann", "bob", "cat")
    private = stage.group(ann, bob)
    seqs = [bob.send(private, "first"), ann.send(private, "second")]
    to = stage.group(ann, cat)
    one = ann.ask("send", conversation=to, content={"kind": "forward", "conversation": private, "seq": seqs[0]})["seq"]
    got = cat.ask("message", conversation=to, seq=one)["content"]["origin"]
    same((got["from"], got["content"]["text"]), (bob.user, "first"), "origin")
    many = ann.ask("send", conversation=to, content={"kind": "merged", "title": "both", "items": [{"conversation": private, "seq": s} for s in seqs]})["seq"]
    items = cat.ask("message", conversation=to, seq=many)["content"]["items"]
    same([i["origin"]["content"]["text"] for i in items], ["first", "second"], "items")
    cat.refused("send", (610, 620), conversation=to, content={"kind": "forward", "conversation": private, "seq": 1})
    cat.refused("send", (610, 620), conversation=to, content={"kind": "merged", "title": "x", "items": [{"conversation": private, "seq": 1}]})


@rule
def commands_are_told_and_not_kept(stage):
    ann, bob = stage.persons("ann", "bob")
    group = stage.group(ann, bob)
    ear = bob.device()
    told = ann.ask("send", conversation=group, content={"kind": "command", "data": {"do": "x"}})
    same(told["seq"], 0, "seq")
    ear.event("command", **{"from": ann.user})
    same((bob.messages(group), bob.entry(group)["unread"]), ([], 0), "kept")


@rule
def expired_and_burnt_ones_are_gone(stage):
    ann, bob = stage.persons("ann", "bob")
    group = stage.group(ann, bob)
    expiring = ann.send(group, "soon away", expires_s=1)
    burning = ann.send(group, "read and away", burn_s=1)
    stays = ann.send(group, "stays")
    time.sleep(1.5)
    soon(lambda: "soon away" not in str(bob.messages(group)), "it did not expire", 15)
    expect("read and away" in str(bob.messages(group)), "burnt before it was read")
    bob.ask("read", conversation=group, seq=stays)
    soon(lambda: "read and away" not in str(bob.messages(group)) and "read and away" not in str(ann.messages(group)), "it did not burn", 20)
    expect("stays" in str(bob.messages(group)), "stays")
    same((expiring, burning), (1, 2), "seqs")


@rule
def changes_are_numbered_densely_and_told_live_with_the_same_number(stage):
    ann, bob = stage.persons("ann", "bob")
    group = stage.group(ann, bob)
    ear = bob.device()
    for n in range(4):
        seq = ann.send(group, f"m{n}")
        ann.ask("react", conversation=group, seq=seq, emoji="x")
        ann.ask("edit", conversation=group, seq=seq, content={"kind": "text", "text": "e"})
    ann.ask("update", conversation=group, title="other")
    ann.ask("pin", conversation=group, seq=1)
    ear.event("pin", message_seq=1)
    got, after = [], 0
    while True:
        page = bob.ask("changes", conversation=group, after=after, limit=3)
        got += page["events"]
        if page["at_end"]:
            break
        after = page.get("next") or got[-1]["seq"]
    seqs = [e["seq"] for e in got]
    same(seqs, list(range(1, len(seqs) + 1)), "dense")
    same(bob.entry(group)["changed"], seqs[-1], "changed")
    for e in got[-4:]:
        live = ear.heard(lambda r, e=e: r["topic"] == f"im/c/{group}/events" and r.get("seq") == e["seq"], what=f"event {e['seq']}")
        same(live["data"]["event"], e["event"], "live event")


@rule
def a_stranger_reads_nothing_and_does_nothing(stage):
    ann, bob, eve = stage.persons("ann", "bob", "eve")
    direct = ann.ask("send", user=bob.user, content={"kind": "text", "text": "between us"})["conversation"]
    for where in (direct, stage.group(ann, bob)):
        if where != direct:
            ann.send(where, "between us")
        c = {"conversation": where}
        for op, more in (("send", {"content": {"kind": "text", "text": "x"}}), ("history", {}), ("message", {"seq": 1}), ("changes", {"after": 0}),
                         ("edit", {"seq": 1, "content": {"kind": "text", "text": "x"}}), ("edits", {"seq": 1}), ("recall", {"seq": 1}),
                         ("delete", {"seqs": [1]}), ("react", {"seq": 1, "emoji": "x"}), ("pin", {"seq": 1}), ("pins", {}), ("read", {"seq": 1}),
                         ("receipts", {"seq": 1}), ("typing", {"on": True}), ("members", {}), ("add", {"users": [eve.user]}),
                         ("remove", {"users": [bob.user]}), ("update", {"title": "x"}), ("conversation", {}), ("settings", {"pinned": True}), ("clear", {}),
                         ("link", {}), ("requests", {}), ("banned", {}), ("mute", {"user": bob.user, "seconds": 9}), ("ban", {"user": bob.user}),
                         ("transfer", {"user": eve.user}), ("dismiss", {}), ("role", {"user": eve.user, "role": "admin"}), ("leave", {}),
                         ("allow", {"user": eve.user}), ("member", {"nick": "x"}), ("shared_files", {}), ("unlink", {}), ("join", {}),
                         ("search", {"text": "between"}), ("report", {"seq": 1, "reason": "spam"})):
            status, answer = eve.post(op, {**c, **more})
            expect(status in (400, 403, 404, 409), f"{op}: {status} {str(answer)[:300]}")
            expect("between us" not in str(answer), f"{op} tells")
    same(eve.ask("list")["conversations"], [], "eve's list")
    eve.ask("delivered", cursors={direct: 1})
    ear = eve.device()
    for topic in (f"im/c/{direct}", f"im/c/{direct}/events", f"im/c/{direct}/live"):
        status = None
        try:
            ear.publish(topic, text="x")
            status = "taken"
        except Exception as no:
            expect("was refused" in str(no), str(no))
        same(status, None, f"published to {topic}")
        for command, more in (("history", {"topic": topic}), ("subscribe", {"sub": 5, "filter": topic, "last": 10})):
            try:
                told = ear.do(command, **more)
            except Exception as no:
                expect("was refused" in str(no), str(no))
                continue
            time.sleep(0.3)
            expect("between us" not in str(told) + str(ear.records), f"{command} of {topic}")
    ear.do("subscribe", sub=6, filter="im/#")
    try:
        ear.do("subscribe", sub=7, filter=f"im/u/{ann.user}")
    except Exception as no:
        expect("was refused" in str(no), str(no))
    ann.device()
    ann.send(direct, "between us again")
    ann.ask("typing", conversation=direct, on=True)
    bob.ask("read", conversation=direct, seq=2)
    time.sleep(0.7)
    same([r for r in ear.records if direct in r["topic"] or "between us" in str(r)], [], "heard by a stranger")
