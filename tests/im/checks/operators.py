"""What operators do: words, silence, reports, acting for others, broadcast, import, export, erasure."""

import time

from people import Refused
from suite import expect, rule, same, soon

TEXT = {"kind": "text", "text": "x"}


def stored(server, secrets):
    """Which of these words, by their name, stand in which files of the data folder."""
    found = {}
    for path in sorted(server.data.rglob("*")):
        try:
            data = path.read_bytes() if path.is_file() else b""
        except OSError:
            continue
        for what, words in secrets.items():
            if words.encode() in data:
                found.setdefault(what, []).append(str(path.relative_to(server.data)))
    return found


@rule
def nobody_but_admins_uses_admin_operations(stage):
    ann = stage.persons("ann")[0]
    for op, body in (("words", {}), ("set_words", {"refuse": []}), ("silence", {"user": ann.user, "seconds": 1}), ("silenced", {}), ("reports", {}),
                     ("report", {"id": "x", "verdict": "settled"}), ("as", {"user": ann.user, "op": "list"}), ("users", {}), ("conversations", {}),
                     ("broadcast", {"from": ann.user, "id": "x", "content": TEXT}), ("stats", {}), ("export", {"user": ann.user}),
                     ("erase", {"user": "nobody"}), ("import", {"lines": []}), ("webhooks", {}), ("replay", {"webhook": "x", "since": 0})):
        status, answer = ann.post(f"admin/{op}", body)
        expect(status in (401, 403), f"{op}: {status} {answer}")
    socket = ann.device(stream=False)
    try:
        socket.ask("admin/stats")
        raise AssertionError("told")
    except Refused as no:
        expect(no.code in (611, 210), str(no))


@rule
def silenced_ones_say_nothing_anywhere_until_it_ends(stage):
    admin = stage.admin
    ann, bob = stage.persons("ann", "bob")
    group = stage.group(ann, bob)
    direct = ann.ask("open", user=bob.user)["id"]
    admin.ask("admin/silence", user=ann.user, seconds=2)
    expect(ann.user in [u["user"] for u in admin.ask("admin/silenced")["users"]], "silenced")
    for where in (group, direct):
        ann.refused("send", (611, 612), conversation=where, content=TEXT)
    ann.refused("send", (611, 612), conversation=group, content={"kind": "command", "data": 1})
    try:
        ann.device(stream=False).publish(f"im/c/{group}", text="x")
        raise AssertionError("published")
    except Refused as no:
        expect(no.code in (611, 612), str(no))
    soon(lambda: ann.post("send", {"conversation": group, "content": TEXT})[0] == 200, "it does not end")
    expect(ann.user not in [u["user"] for u in admin.ask("admin/silenced")["users"]], "still silenced")
    admin.refused("admin/silence", 620, user="nobody-" + stage.name, seconds=9)


@rule(alone=True)
def words_of_the_lists_are_refused_replaced_and_flagged(stage):
    admin = stage.admin
    ann, bob = stage.persons("ann", "bob")
    group = stage.group(ann, bob)
    before = admin.ask("admin/words")
    n = stage.name
    try:
        admin.ask("admin/set_words", refuse=[f"refuse{n}", f"赌博{n}"], replace=[f"darn{n}"], flag=[f"flag{n}"])
        for text in (f"a refuse{n} b", f"REFUSE{n}", f"那赌博{n}吗"):
            ann.refused("send", 615, conversation=group, content={"kind": "text", "text": text})
        seq = ann.send(group, f"oh darn{n} it")
        text = bob.ask("message", conversation=group, seq=seq)["content"]["text"]
        expect(f"darn{n}" not in text and "*" in text and text.startswith("oh ") and text.endswith(" it"), text)
        ann.refused("edit", 615, conversation=group, seq=seq, content={"kind": "text", "text": f"refuse{n}"})
        ann.ask("edit", conversation=group, seq=seq, content={"kind": "text", "text": f"x darn{n}"})
        expect(f"darn{n}" not in str(bob.messages(group)), "an edit brought it in")
        try:
            ann.device(stream=False).publish(f"im/c/{group}", text=f"refuse{n}")
            raise AssertionError("published")
        except Refused as no:
            same(no.code, 615, "code")
        status, answer = ann.post("send", {"conversation": group, "content": {"kind": "location", "latitude": 0, "longitude": 0, "name": f"refuse{n}"}})
        place = status
        flagged = ann.send(group, f"flag{n}")

        def reports():
            got, after = [], {}
            while True:
                page = admin.ask("admin/reports", state="open", limit=200, **after)
                got += page["reports"]
                if "next" not in page:
                    return [r for r in got if r.get("conversation") == group]
                after = {"after": page["next"]}

        got = soon(reports, "flagged words were not reported")[0]
        same((got["by"], got["reason"], got["seq"]), ("$server", "words", flagged), "report")
        for bad in ([""], ["x" * 10000], [7], "x", [None]):
            status, answer = admin.post("admin/set_words", {"refuse": bad})
            expect(status in (200, 400), f"{str(bad)[:80]}: {status} {answer}")
            if status == 200:
                bob.send(group, "an ordinary message")
        same(admin.ask("admin/words")["replace"], [f"darn{n}"], "a list that was not named is as it was")
        expect(place in (200, 400, 403), "place")
    finally:
        admin.ask("admin/set_words", **before)


@rule
def reports_are_queued_and_closed_once(stage):
    admin = stage.admin
    ann, bob = stage.persons("ann", "bob")
    group = stage.group(ann, bob)
    seq = ann.send(group, "bad thing")
    id = bob.ask("report", conversation=group, seq=seq, reason="abuse", text="look")["report"]

    def queue(state):
        got, after = {}, {}
        while True:
            page = admin.ask("admin/reports", state=state, limit=50, **after)
            got.update({r["id"]: r for r in page["reports"]})
            if "next" not in page:
                return got
            after = {"after": page["next"]}

    got = queue("open")[id]
    same((got["by"], got["reason"], got["text"], got["message"]["content"]["text"]), (bob.user, "abuse", "look", "bad thing"), "report")
    admin.ask("admin/report", id=id, verdict="settled", note="done")
    expect(id not in queue("open"), "still open")
    same(queue("closed")[id]["verdict"], "settled", "verdict")
    status, answer = admin.post("admin/report", {"id": id, "verdict": "dismissed"})
    expect(status in (200, 404, 409), f"twice: {status} {answer}")
    same(queue("closed")[id]["verdict"], "settled" if status != 200 else "dismissed", "verdict")
    admin.refused("admin/report", 620, id="nothing", verdict="settled")
    bob.refused("report", (610, 620), conversation=group, seq=99, reason="spam")
    bob.refused("report", 600, reason="spam")
    bob.refused("report", 600, conversation=group, seq=seq, reason="whatever")
    bob.refused("report", 600, conversation=group, seq=seq, reason="spam", text="x" * 2001)


@rule
def an_admin_acts_for_anybody_but_not_as_an_admin(stage):
    admin = stage.admin
    ann, bob = stage.persons("ann", "bob")
    told = admin.ask("admin/as", user=ann.user, op="send", data={"user": bob.user, "content": TEXT})["data"]
    same(bob.messages(told["conversation"])[0]["from"], ann.user, "from")
    for op in ("admin/stats", "admin/as", "/admin/stats", "nothing", ""):
        admin.refused("admin/as", (600, 602, 611), user=ann.user, op=op, data={})
    admin.refused("admin/as", (600, 620), user="nobody-" + stage.name, op="list", data={})


@rule
def a_broadcast_comes_once_though_it_is_sent_twice(stage):
    admin = stage.admin
    shop, ann, bob = stage.persons("shop", "ann", "bob")
    for person in (ann, bob):
        person.ask("set_profile", attributes={"segment": stage.name})
    told = admin.ask("admin/broadcast", **{"from": shop.user}, id="b" + stage.name, content={"kind": "text", "text": "sale"}, users=[ann.user, bob.user, "nobody-" + stage.name])
    same((told["sent"], [f["user"] for f in told["failed"]]), (2, ["nobody-" + stage.name]), "told")
    admin.ask("admin/broadcast", **{"from": shop.user}, id="b" + stage.name, content={"kind": "text", "text": "sale"}, users=[ann.user, bob.user])
    after = {}
    sent = 0
    while True:
        told = admin.ask("admin/broadcast", **{"from": shop.user}, id="c" + stage.name, content={"kind": "text", "text": "segment"}, attributes={"segment": stage.name}, **after)
        sent += told["sent"]
        if "next" not in told:
            break
        after = {"after": told["next"]}
    same(sent, 2, "segment")
    for person in (ann, bob):
        same(person.texts(person.ask("open", user=shop.user)["id"]), ["sale", "segment"], person.user)
        same(person.ask("list")["unread"], 2, "unread")


@rule
def lines_that_are_imported_twice_are_there_once(stage):
    admin = stage.admin
    ann, bob = stage.persons("ann", "bob")
    n = stage.name
    lines = [{"type": "user", "user": ann.user, "name": "Ann I."},
             {"type": "conversation", "id": f"old{n}", "kind": "group", "title": "Old", "owner": ann.user, "members": [bob.user]},
             {"type": "message", "id": f"m1{n}", "conversation": f"old{n}", "from": bob.user, "at": 1500000000000, "content": {"kind": "text", "text": f"ancient{n}"}},
             {"type": "message", "id": f"m2{n}", "to": bob.user, "from": ann.user, "at": 1500000000001, "content": {"kind": "text", "text": "direct"}},
             {"type": "message", "id": f"m3{n}", "conversation": "nowhere", "from": bob.user, "at": 1, "content": TEXT},
             {"type": "message", "id": f"m4{n}", "conversation": f"old{n}", "from": bob.user, "at": 1, "content": {"kind": "text", "text": ""}}]
    told = admin.ask("admin/import", lines=lines)
    same((told["taken"], [f["line"] for f in told["failed"]]), (4, [4, 5]), "told")
    admin.ask("admin/import", lines=lines)
    listed = {e["kind"]: e for e in bob.ask("list")["conversations"]}
    same(sorted(listed), ["direct", "group"], "list")
    group = listed["group"]["id"]
    got = bob.messages(group)
    same([(m["content"]["text"], m["at"], m["from"]) for m in got], [(f"ancient{n}", 1500000000000, bob.user)], "group")
    same([m["at"] for m in ann.messages(listed["direct"]["id"])], [1500000000001], "direct")
    same(ann.ask("profile")["name"], "Ann I.", "name")
    soon(lambda: ann.ask("search", text=f"ancient{n}")["total"] == 1, "not found")
    ann.send(group, "new")
    same([m["seq"] for m in bob.messages(group)], [1, 2], "seqs")
    admin.refused("admin/import", 603, lines=[{"type": "user", "user": "x"}] * 1001)


@rule
def everything_of_a_person_is_exported(stage):
    admin = stage.admin
    ann, bob = stage.persons("ann", "bob")
    group = stage.group(bob, ann)
    words = [ann.send(group, f"mine {n}") and f"mine {n}" for n in range(5)]
    bob.send(group, "not mine")
    ann.send(bob, "direct one")
    got, after, first = [], {}, None
    while True:
        page = admin.ask("admin/export", user=ann.user, **after)
        first = first or page
        got += page["messages"]
        if "next" not in page:
            break
        after = {"after": page["next"]}
    same(sorted(m["content"]["text"] for m in got), sorted([*words, "direct one"]), "messages")
    expect(group in str(first["memberships"]) and first["person"], f"first page: {str(first)[:300]}")
    admin.refused("admin/export", 620, user="nobody-" + stage.name)


@rule
def who_is_erased_is_gone_for_others_and_they_keep_the_rest(stage):
    admin = stage.admin
    ann, bob = stage.persons("ann", "bob")
    secret = "erasesecret" + stage.name
    ann.ask("set_profile", name="Name" + secret, handle="e" + stage.name)
    group = stage.group(bob, ann)
    owned = stage.group(ann, bob)
    ann.send(group, secret)
    bob.send(group, "stays")
    bob.send(group, "quotes", reply=1)
    other = stage.group(bob)
    fseq = bob.ask("send", conversation=other, content={"kind": "forward", "conversation": group, "seq": 1})["seq"]
    direct = ann.ask("send", user=bob.user, content={"kind": "text", "text": secret})["conversation"]
    ann.ask("react", conversation=group, seq=2, emoji="👍")
    told = admin.ask("admin/erase", user=ann.user)
    expect(told["messages"] >= 2, f"{told}")
    expect(secret not in str(bob.messages(group)) + str(bob.messages(direct)), "the words")
    expect(secret not in str(bob.post("profile", {"user": ann.user})), "the profile")
    # What bob forwarded stays his.
    soon(lambda: [h["message"]["from"] for h in bob.ask("search", text=secret)["hits"]] in ([], [bob.user]), lambda: f"found: {bob.ask('search', text=secret)}")
    same([m["user"] for m in bob.ask("members", conversation=group)["members"]], [bob.user], "members")
    entry = bob.post("conversation", {"conversation": owned})
    expect(entry[0] in (403, 404, 409, 410) or entry[1]["info"].get("owner") == bob.user, f"a group without an owner: {entry}")
    same(bob.texts(group)[1:], ["stays", "quotes"], "the rest")
    expect(ann.user not in str(bob.ask("message", conversation=group, seq=2).get("reactions", "")), "the reaction")
    stage.group(bob, handle="e" + stage.name, public=True)
    same(bob.ask("message", conversation=other, seq=fseq)["from"], bob.user, "the copy")


@rule(alone=True)
def words_that_are_taken_back_are_gone_from_the_disk(stage):
    server, admin = stage.server, stage.admin
    ann, bob = stage.persons("ann", "bob")
    n = stage.name
    secrets = {what: f"{what}secret{n}" for what in ("recalled", "burnt", "expired", "erased", "edited", "draft", "nameof")}
    group = stage.group(bob, ann)
    ann.ask("set_profile", name=secrets["nameof"])
    ann.ask("settings", conversation=group, draft=secrets["draft"])
    a = ann.send(group, secrets["recalled"])
    ann.send(group, secrets["burnt"], burn_s=1)
    ann.send(group, secrets["expired"], expires_s=1)
    ann.send(group, secrets["erased"])
    e = ann.send(group, "first words")
    ann.ask("edit", conversation=group, seq=e, content={"kind": "text", "text": secrets["edited"]})
    last = bob.send(group, "end")
    soon(lambda: "recalled" in stored(server, secrets), "what was sent is not on disk in clear: this check sees nothing")
    bob.ask("search", text=secrets["recalled"])
    ann.ask("recall", conversation=group, seq=a)
    bob.ask("read", conversation=group, seq=last)
    soon(lambda: secrets["burnt"] not in str(bob.messages(group)), "not burnt", 20)
    soon(lambda: secrets["expired"] not in str(bob.messages(group)), "not expired", 20)
    admin.ask("admin/erase", user=ann.user)
    # Rows that are removed leave their bytes in the table's own log until it is compacted (docs/operations/moderation.md).
    rows = ("edited", "draft", "nameof")

    def left():
        found = stored(server, secrets)
        return {what: files for what, files in found.items() if what not in rows or any(not f.startswith("tables/") for f in files)}

    end = time.monotonic() + 12
    while left() and time.monotonic() < end:
        time.sleep(0.5)
    server.again()
    time.sleep(2)
    same(left(), {}, "on disk still, after a restart, too")
