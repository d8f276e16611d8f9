"""Groups, channels and chatrooms: who is in, who may what, and how it ends."""

import time

from people import Refused
from suite import expect, rule, same, soon

TEXT = {"kind": "text", "text": "x"}


def members(person, group):
    got, after = [], {}
    while True:
        page = person.ask("members", conversation=group, limit=2, **after)
        got += page["members"]
        if "next" not in page:
            return got
        after = {"after": page["next"]}


@rule
def members_are_listed_by_role_and_name(stage):
    ann, bob, cat, dan = stage.persons("ann", "bob", "cat", "dan")
    group = stage.group(ann, dan, cat, bob)
    ann.ask("role", conversation=group, user=dan.user, role="admin")
    same([(m["user"], m["role"]) for m in members(bob, group)],
         [(ann.user, "owner"), (dan.user, "admin")] + [(p.user, "member") for p in sorted((bob, cat), key=lambda p: p.user)], "members")
    same(bob.entry(group)["members"], 4, "count")
    same([m["user"] for m in bob.ask("members", conversation=group, role="admin")["members"]], [dan.user], "admins")


@rule
def who_left_or_was_removed_or_banned_neither_writes_nor_reads(stage):
    ann, bob, cat, dan = stage.persons("ann", "bob", "cat", "dan")
    group = stage.group(ann, bob, cat, dan, join="open", public=True)
    ann.send(group, "old words")
    ears = {p: p.device() for p in (bob, cat, dan)}
    ears[dan].do("subscribe", sub=9, filter=f"im/c/{group}")
    bob.ask("leave", conversation=group)
    ann.ask("remove", conversation=group, users=[cat.user])
    ann.ask("ban", conversation=group, user=dan.user)
    for person, reason in ((bob, "left"), (cat, "removed"), (dan, "banned")):
        ears[person].event("gone", conversation=group, reason=reason)
        person.refused("send", (610, 613), conversation=group, content=TEXT)
        person.refused("history", (610, 613), conversation=group)
        person.refused("edit", (610, 613), conversation=group, seq=1, content=TEXT)
        try:
            ears[person].publish(f"im/c/{group}", text="x")
            raise AssertionError("published")
        except Refused as no:
            expect(no.code in (610, 613), str(no))
    seq = ann.send(group, "new words")
    time.sleep(0.5)
    same([r for ear in ears.values() for r in ear.records if r.get("seq") == seq and r["topic"] == f"im/c/{group}"], [], "heard after leaving")
    dan.refused("join", 613, conversation=group)
    expect("old words" not in str(dan.post("search", {"text": "old words"})), "found after leaving")
    same([u["user"] for u in ann.ask("banned", conversation=group)["banned"]], [dan.user], "banned")
    got = ann.ask("add", conversation=group, users=[dan.user])
    same((got["added"], got["failed"][0]["user"]), ([], dan.user), "a banned one was added")
    ann.ask("unban", conversation=group, user=dan.user)
    same(dan.ask("join", conversation=group)["joined"], True, "joined")
    bob.ask("join", conversation=group)
    same((ann.entry(group)["members"], bob.texts(group)), (3, ["old words", "new words"]), "back")


@rule
def a_ban_ends_by_itself(stage):
    ann, bob = stage.persons("ann", "bob")
    group = stage.group(ann, bob, join="open", public=True)
    ann.ask("ban", conversation=group, user=bob.user, seconds=1)
    bob.refused("join", 613, conversation=group)
    time.sleep(1.2)
    bob.ask("join", conversation=group)
    ann.ask("mute", conversation=group, user=bob.user, seconds=1)
    bob.refused("send", 612, conversation=group, content=TEXT)
    time.sleep(1.2)
    bob.send(group)


@rule
def an_owner_hands_over_or_dismisses_before_leaving(stage):
    ann, bob = stage.persons("ann", "bob")
    group = stage.group(ann, bob)
    ann.refused("leave", 633, conversation=group)
    bob.refused("transfer", 611, conversation=group, user=bob.user)
    ann.refused("transfer", (610, 620), conversation=group, user="nobody-" + stage.name)
    ann.ask("transfer", conversation=group, user=bob.user)
    same((ann.entry(group)["role"], bob.entry(group)["role"]), ("admin", "owner"), "roles")
    bob.refused("leave", 633, conversation=group)
    ann.ask("leave", conversation=group)
    same(bob.entry(group)["members"], 1, "members")
    bob.ask("leave", conversation=group)
    same(bob.ask("list")["conversations"], [], "list")
    bob.refused("send", (610, 620, 632), conversation=group, content=TEXT)


@rule
def roles_bound_what_one_may(stage):
    ann, bob, cat, dan = stage.persons("ann", "bob", "cat", "dan")
    group = stage.group(ann, bob, cat, dan)
    ann.ask("role", conversation=group, user=bob.user, role="admin")
    for op, more in (("update", {"title": "x"}), ("remove", {"users": [dan.user]}), ("mute", {"user": dan.user, "seconds": 9}), ("ban", {"user": dan.user}),
                     ("allow", {"user": dan.user}), ("requests", {}), ("banned", {}), ("unlink", {}), ("member", {"user": dan.user, "nick": "x"}),
                     ("role", {"user": cat.user, "role": "admin"}), ("dismiss", {}), ("transfer", {"user": cat.user})):
        status, answer = cat.post(op, {"conversation": group, **more})
        if op == "remove" and status == 200:
            same(answer["removed"], [], "removed by a member")
        else:
            expect(status == 403 and answer["code"] == 611, f"{op} by a member: {status} {answer}")
    for op, more in (("role", {"user": cat.user, "role": "admin"}), ("role", {"user": ann.user, "role": "member"}), ("dismiss", {}), ("transfer", {"user": bob.user}),
                     ("mute", {"user": ann.user, "seconds": 9}), ("ban", {"user": ann.user}), ("member", {"user": ann.user, "nick": "x"})):
        bob.refused(op, 611, conversation=group, **more)
    same(bob.post("remove", {"conversation": group, "users": [ann.user]})[1].get("removed", []), [], "the owner was removed")
    ann.refused("role", (600, 611), conversation=group, user=cat.user, role="owner")
    ann.refused("role", (610, 620), conversation=group, user="nobody", role="admin")
    same([m["user"] for m in members(ann, group)][0], ann.user, "owner")
    same(len(members(ann, group)), 4, "members")


@rule
def muted_ones_are_silent_and_allowed_ones_are_not(stage):
    ann, bob, cat = stage.persons("ann", "bob", "cat")
    group = stage.group(ann, bob, cat)
    ann.ask("mute", conversation=group, user=bob.user, seconds=100)
    bob.refused("send", 612, conversation=group, content=TEXT)
    bob.refused("send", 612, conversation=group, content={"kind": "command", "data": {}})
    expect(bob.entry(group)["muted_until"] > time.time() * 1000, "muted_until")
    ann.ask("mute", conversation=group, user=bob.user, seconds=0)
    bob.send(group)
    ann.ask("update", conversation=group, mute_all=True)
    bob.refused("send", 612, conversation=group, content=TEXT)
    bob.refused("edit", (611, 612), conversation=group, seq=1, content=TEXT)
    ann.ask("allow", conversation=group, user=cat.user)
    cat.send(group)
    ann.send(group)
    ann.ask("allow", conversation=group, user=cat.user, off=True)
    cat.refused("send", 612, conversation=group, content=TEXT)


@rule
def channels_are_read_by_all_and_written_by_few(stage):
    ann, bob, cat = stage.persons("ann", "bob", "cat")
    channel = stage.group(ann, bob, cat, kind="channel")
    expect(channel.startswith("c"), channel)
    ann.send(channel, "news")
    bob.refused("send", (611, 612), conversation=channel, content=TEXT)
    ann.ask("allow", conversation=channel, user=bob.user)
    bob.send(channel)
    same(len(cat.messages(channel)), 2, "read")


@rule
def coming_in_by_request_and_by_link(stage):
    ann, bob, cat, dan = stage.persons("ann", "bob", "cat", "dan")
    group = stage.group(ann, join="request", public=True)
    ear = ann.device()
    same(bob.ask("join", conversation=group, text="me").get("requested"), True, "requested")
    ear.event("request", user=bob.user)
    bob.refused("history", 610, conversation=group)
    same([(r["user"], r["text"]) for r in ann.ask("requests", conversation=group)["requests"]], [(bob.user, "me")], "requests")
    ann.ask("decide", conversation=group, user=bob.user, accept=True)
    bob.send(group)
    ann.refused("decide", (620, 631), conversation=group, user=bob.user, accept=True)
    ann.refused("decide", 620, conversation=group, user=cat.user, accept=True)
    cat.ask("join", conversation=group)
    ann.ask("decide", conversation=group, user=cat.user, accept=False)
    cat.refused("history", 610, conversation=group)
    link = ann.ask("link", conversation=group, uses=1)["link"]
    same(cat.ask("join", link=link)["joined"], True, "by link")
    dan.refused("join", (610, 611, 620, 630), link=link)
    link = ann.ask("link", conversation=group)["link"]
    ann.ask("unlink", conversation=group)
    dan.refused("join", (611, 620, 630), link=link)
    link = ann.ask("link", conversation=group, expires_s=1)["link"]
    time.sleep(1.2)
    dan.refused("join", (611, 620, 630), link=link)
    for bad in ("", "x", link + "x", "\u0000", "x" * 10000, group):
        dan.refused("join", (600, 620, 630), link=bad)
    closed = stage.group(ann)
    dan.refused("join", (610, 611, 620), conversation=closed)


@rule
def one_use_of_a_link_is_for_one_though_many_come_at_once(stage):
    ann = stage.persons("ann")[0]
    people = stage.persons(*"bcdefg")
    group = stage.group(ann)
    link = ann.ask("link", conversation=group, uses=2)["link"]
    sockets = [p.device(stream=False) for p in people]
    asked = [(s, s.command("ask", to="im/join", data={"link": link})) for s in sockets]
    came = 0
    for socket, number in asked:
        try:
            came += socket.answer(number)["data"].get("joined", False)
        except Refused as no:
            expect(no.code < 650, str(no))
    same((came, ann.entry(group)["members"]), (2, 3), "came")


@rule
def fifty_thousand_at_once_are_refused_and_nobody_is_half_in(stage):
    ann, bob = stage.persons("ann", "bob")
    group = stage.group(ann, bob)
    ann.refused("add", 603, conversation=group, users=[f"u{n}" for n in range(50_000)])
    ann.refused("create", 603, kind="group", title="x", members=[f"u{n}" for n in range(50_000)])
    same(ann.entry(group)["members"], 2, "members")
    got = ann.ask("add", conversation=group, users=[bob.user, ann.user, "nobody-" + stage.name, bob.user])
    same(got["added"], [], "added again")
    same(ann.entry(group)["members"], 2, "members")
    for bad in ([], [""], ["a/b"], ["x" * 300], ["$server"], ["\u0000"]):
        status, answer = ann.post("add", {"conversation": group, "users": bad})
        expect(status in (200, 400), f"{bad}: {status} {answer}")
        same(answer.get("added", []), [], "added")
        same(answer.get("invited", []), [], f"invited {bad}")


@rule
def edits_of_a_group_by_two_devices_at_once_both_hold(stage):
    ann, bob = stage.persons("ann", "bob")
    group = stage.group(ann, bob)
    ann.ask("role", conversation=group, user=bob.user, role="admin")
    version = ann.entry(group)["version"]
    one, two = ann.device(stream=False), bob.device(stream=False)
    asked = []
    for n in range(40):
        asked.append((one, one.command("ask", to="im/update", data={"conversation": group, "title": f"t{n}", "attributes": {f"a{n % 20}": n}})))
        asked.append((two, two.command("ask", to="im/update", data={"conversation": group, "about": f"b{n}", "attributes": {f"b{n % 20}": n}})))
    for socket, number in asked:
        socket.answer(number)
    got = ann.entry(group)
    same((got["title"], got["info"]["about"], len(got["info"]["attributes"])), ("t39", "b39", 40), "both")
    same(got["version"], version + 80, "versions")


@rule
def titles_and_the_rest_are_bounded(stage):
    ann = stage.persons("ann")[0]
    group = stage.group(ann)
    for bad in ({"title": ""}, {"title": "x" * 129}, {"title": "a\nb"}, {"title": "a\u0000"}, {"about": "x" * 1025}, {"announcement": "x" * 8193},
                {"handle": "Ab"}, {"handle": "a b"}, {"handle": "1ab"}, {"handle": "a" * 33}, {"join": "maybe"}, {"attributes": {"": 1}},
                {"attributes": {"x": "y" * 9000}}, {"avatar": "x" * 513}):
        ann.refused("update", (600, 603), conversation=group, **bad)
        ann.refused("create", (600, 603), **{"kind": "group", "title": "x", **bad}) if "announcement" not in bad else None
    ann.refused("create", (600, 611), kind="direct", title="x")
    same(len(ann.ask("list")["conversations"]), 1, "half-made groups")
    for good in ("周末 🏔️", "שלום \u202eabc", "a/b+c#d%e", "𝕏" * 32):
        same(ann.ask("update", conversation=group, title=good)["title"], good, "title")


@rule
def handles_are_one_groups_each(stage):
    ann, bob = stage.persons("ann", "bob")
    handle = "h" + stage.name
    one = stage.group(ann, handle=handle, public=True)
    bob.refused("create", 631, kind="group", title="x", handle=handle)
    two = stage.group(bob, public=True)
    bob.refused("update", 631, conversation=two, handle=handle)
    same(bob.ask("discover", text=handle)["conversations"][0]["id"], one, "found")
    ann.ask("update", conversation=one, handle=handle + "b")
    bob.ask("update", conversation=two, handle=handle)
    same(ann.ask("discover", text=handle)["conversations"][0]["id"], two, "found")
    ann.ask("dismiss", conversation=one)
    same([c["id"] for c in bob.ask("discover", text=handle + "b")["conversations"]], [], "dismissed and found")


@rule
def a_dismissed_group_is_gone_for_all(stage):
    ann, bob = stage.persons("ann", "bob")
    group = stage.group(ann, bob)
    ann.send(group)
    ear = bob.device()
    bob.refused("dismiss", 611, conversation=group)
    ann.ask("dismiss", conversation=group)
    ear.event("gone", conversation=group, reason="dismissed")
    for person in (ann, bob):
        person.refused("send", (610, 620, 632), conversation=group, content=TEXT)
        same(person.ask("list")["conversations"], [], "list")
    ann.refused("add", (610, 620, 632), conversation=group, users=[bob.user])
    ann.refused("dismiss", (610, 620, 632), conversation=group)


@rule
def who_comes_later_sees_what_the_group_says(stage):
    ann, bob, cat = stage.persons("ann", "bob", "cat")
    group = stage.group(ann, history="joined")
    ann.send(group, "before")
    ann.ask("add", conversation=group, users=[bob.user])
    after = ann.send(group, "after")
    same(bob.texts(group), ["after"], "bob")
    same(bob.entry(group)["unread"], 1, "unread")
    bob.refused("message", 620, conversation=group, seq=1)
    for op, more in (("react", {"seq": 1, "emoji": "x"}), ("edits", {"seq": 1}), ("receipts", {"seq": 1})):
        bob.refused(op, (611, 620), conversation=group, **more)
    to = stage.group(bob)
    bob.refused("send", (610, 611, 620), conversation=to, content={"kind": "forward", "conversation": group, "seq": 1})
    expect("before" not in str(bob.ask("search", text="before")), "found")
    ann.ask("edit", conversation=group, seq=1, content={"kind": "text", "text": "before edited"})
    expect("before" not in str(bob.ask("changes", conversation=group, after=0)), "changes tell what was before")
    ann.ask("pin", conversation=group, seq=1)
    same(bob.ask("pins", conversation=group)["messages"], [], "pins tell")
    seq = ann.send(group, "a reply", reply=1)
    expect("before" not in str(bob.ask("message", conversation=group, seq=seq)), "a reply tells")
    same(after, 2, "seq")
    # Leaving and coming again does not open what was said meanwhile.
    bob.ask("leave", conversation=group)
    ann.send(group, "meanwhile")
    ann.ask("add", conversation=group, users=[bob.user])
    expect("meanwhile" not in bob.texts(group), "meanwhile")


@rule
def nicknames_and_attributes_of_members(stage):
    ann, bob = stage.persons("ann", "bob")
    group = stage.group(ann, bob)
    same(bob.ask("member", conversation=group, nick="Bobby", attributes={"team": 1})["nick"], "Bobby", "own")
    ann.ask("member", conversation=group, user=bob.user, attributes={"team": None, "x": [1]})
    got = next(m for m in members(ann, group) if m["user"] == bob.user)
    same((got["nick"], got["attributes"]), ("Bobby", {"x": [1]}), "member")
    bob.ask("member", conversation=group, nick="")
    expect("nick" not in next(m for m in members(ann, group) if m["user"] == bob.user), "nick")
    bob.refused("member", (600, 603), conversation=group, nick="x" * 129)


@rule
def direct_conversations_are_of_two(stage):
    ann, bob, cat = stage.persons("ann", "bob", "cat")
    entry = ann.ask("open", user=bob.user)
    same((entry["kind"], entry["peer"]), ("direct", bob.user), "entry")
    same(bob.ask("open", user=ann.user)["id"], entry["id"], "one for both")
    c = {"conversation": entry["id"]}
    for op, more in (("add", {"users": [cat.user]}), ("remove", {"users": [bob.user]}), ("update", {"title": "x"}), ("dismiss", {}), ("transfer", {"user": bob.user}),
                     ("link", {}), ("role", {"user": bob.user, "role": "admin"}), ("ban", {"user": bob.user}), ("mute", {"user": bob.user, "seconds": 9}), ("leave", {})):
        status, answer = ann.post(op, {**c, **more})
        expect(status in (400, 403, 409) or answer.get("added") == [] or answer.get("removed") == [], f"{op}: {status} {answer}")
    same(ann.entry(entry["id"])["members"], 2, "members")
    status, answer = ann.post("open", {"user": ann.user})
    expect(status in (200, 400, 403), f"with oneself: {status} {answer}")


@rule
def chatrooms_have_listeners_values_and_rules(stage):
    ann, bob = stage.persons("ann", "bob")
    room = ann.ask("create", kind="room", title="r")["id"]
    expect(room.startswith("r"), room)
    ear = bob.device()
    ear.do("subscribe", sub=2, filter=f"im/r/{room}")
    ear.do("subscribe", sub=3, filter=f"im/r/{room}/live")
    ann.ask("send", conversation=room, content={"kind": "text", "text": "hello room"})
    ear.heard(lambda r: r["topic"] == f"im/r/{room}" and r["data"].get("text") == "hello room", what="the room")
    same(bob.ask("room_set", conversation=room, key="score", value=1)["changed"], True, "set")
    same(ann.ask("room_set", conversation=room, key="score", value=1)["changed"], False, "set again")
    bob.post("room_set", {"conversation": room, "key": "score", "value": 2, "new": True})
    same(bob.ask("room", conversation=room)["values"][0]["value"], 1, "new")
    ear.event("value", key="score")
    bob.refused("room_set", (600, 603), conversation=room, key="big", value="x" * 3000)
    bob.refused("room_set", (600, 603), conversation=room, key="", value=1)
    got = bob.ask("room", conversation=room)
    expect(got["listeners"] >= 1 and got["role"] == "member" and got["values"][0]["key"] == "score", f"{got}")
    ann.ask("mute", conversation=room, user=bob.user, seconds=100)
    bob.refused("send", 612, conversation=room, content=TEXT)
    ann.ask("mute", conversation=room, user=bob.user, seconds=0)
    ann.ask("update", conversation=room, mute_all=True)
    bob.refused("send", 612, conversation=room, content=TEXT)
    ann.send(room)
    ann.ask("update", conversation=room, mute_all=False)
    bob.refused("update", 611, conversation=room, title="x")
    ann.ask("ban", conversation=room, user=bob.user)
    bob.refused("send", (610, 613), conversation=room, content=TEXT)
    bob.refused("room_set", (610, 613), conversation=room, key="x", value=1)
    ann.send(room, "not for the banned")
    time.sleep(0.5)
    expect("not for the banned" not in str(ear.records), "a banned listener hears on")
    ann.ask("dismiss", conversation=room)
    ann.refused("send", (620, 632), conversation=room, content=TEXT)


@rule
def a_flooded_chatroom_thins_out_ordinary_words_first(stage):
    ann, bob = stage.persons("ann", "bob")
    room = ann.ask("create", kind="room", title="flood")["id"]
    socket, owner = bob.device(stream=False), ann.device(stream=False)
    asked = [(socket, p, socket.command("ask", to="im/send", data={"conversation": room, "content": {"kind": "text", "text": "x", "priority": p}}))
             for _ in range(500) for p in ("low", "normal")]
    asked += [(owner, "high", owner.command("ask", to="im/send", data={"conversation": room, "content": {"kind": "text", "text": "x", "priority": "high"}})) for _ in range(20)]
    lost = {"low": 0, "normal": 0, "high": 0}
    for s, p, number in asked:
        try:
            s.answer(number)
        except Refused as no:
            same(no.code, 640, f"{p}")
            expect(isinstance(no.body["again"], (int, float)), f"{no.body}")
            lost[p] += 1
    expect(lost["low"] > lost["normal"] > 0 and lost["high"] == 0, f"{lost}")


@rule
def the_events_of_a_group_tell_what_happened(stage):
    ann, bob, cat = stage.persons("ann", "bob", "cat")
    group = stage.group(ann, bob, join="open", public=True)
    cat.ask("join", conversation=group)
    ann.ask("role", conversation=group, user=bob.user, role="admin")
    ann.ask("mute", conversation=group, user=cat.user, seconds=50)
    ann.ask("update", conversation=group, announcement="read me")
    cat.ask("leave", conversation=group)
    ann.ask("remove", conversation=group, users=[bob.user])

    def told():
        got = [e["event"] for e in ann.ask("changes", conversation=group, after=0)["events"]]
        return got if got.count("members") >= 3 else None

    got = soon(told, "the events did not come")
    expect({"role", "mute", "info", "members"} <= set(got), f"{got}")
