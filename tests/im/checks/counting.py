"""Unread, mentions, cursors and receipts."""

from suite import expect, rule, same, soon


@rule
def sending_reads_only_where_nothing_of_others_was_before(stage):
    ann, bob = stage.persons("ann", "bob")
    group = stage.group(ann, bob)
    ann.send(group)
    ann.send(group)
    same((ann.entry(group)["read"], ann.entry(group)["unread"]), (2, 0), "own only")
    bob.send(group)
    ann.send(group)
    same((ann.entry(group)["unread"], ann.entry(group)["read"]), (1, 2), "ann answered without reading")
    same((bob.entry(group)["unread"], bob.entry(group)["read"]), (3, 0), "bob")


@rule
def cursors_never_go_back(stage):
    ann, bob = stage.persons("ann", "bob")
    group = stage.group(ann, bob)
    for n in range(10):
        ann.send(group)
    one, two = bob.device("one"), bob.device("two")
    last = 0
    for seq in (3, 1, 7, 2, 7, 5, 9, 4):
        got = (one if seq % 2 else two).ask("read", conversation=group, seq=seq)["read"]
        expect(got >= last, f"read {got} after {last}")
        last = got
        same(got, max(last, seq), "read")
    same(bob.entry(group)["unread"], 1, "unread")
    bob.refused("read", 620, conversation=group, seq=1000)
    bob.ask("read", conversation=group, seq=10)
    one.ask("delivered", cursors={group: 8})
    one.ask("delivered", cursors={group: 2})
    got = next(c for c in ann.entry(group)["cursors"] if c["user"] == bob.user)
    same((got["read"], got["delivered"]), (10, 10), "what others see")
    for bad in (-1, "3", 1.5, None, 2**64):
        bob.refused("read", 600, conversation=group, seq=bad)
    ann.send(group)
    same(bob.entry(group)["unread"], 1, "a cursor beyond the end was kept")


@rule
def all_devices_see_what_one_read(stage):
    ann, bob = stage.persons("ann", "bob")
    group = stage.group(ann, bob)
    phone, pad = bob.device("phone", "ios"), bob.device("pad", "ios")
    sender = ann.device()
    seq = ann.send(group)
    for ear in (phone, pad):
        ear.message(group, seq)
    phone.ask("delivered", cursors={group: seq})
    sender.heard(lambda r: r["topic"].endswith("/live") and any(c["user"] == bob.user and c["delivered"] == seq for c in r["data"].get("cursors", [])), what="delivered")
    phone.ask("read", conversation=group, seq=seq)
    pad.event("read", conversation=group, read=seq, unread=0)
    sender.heard(lambda r: r["topic"].endswith("/live") and any(c["user"] == bob.user and c["read"] == seq for c in r["data"].get("cursors", [])), what="read")


@rule
def receipts_say_who_read_and_who_did_not(stage):
    people = stage.persons(*"abcdef")
    ann, rest = people[0], people[1:]
    group = stage.group(ann, *rest)
    seq = ann.send(group)
    for person in rest[:2]:
        person.ask("read", conversation=group, seq=seq)
    rest[2].device("x").ask("delivered", cursors={group: seq})
    got = ann.ask("receipts", conversation=group, seq=seq, which="read")
    same((got["read"], got["delivered"], got["members"], got["users"]), (2, 3, 5, sorted(p.user for p in rest[:2])), "read")
    same(ann.ask("receipts", conversation=group, seq=seq, which="delivered")["users"], [rest[2].user], "delivered")
    same(ann.ask("receipts", conversation=group, seq=seq, which="unread")["users"], sorted(p.user for p in rest[2:]), "unread")
    got, after = [], {}
    while True:
        page = ann.ask("receipts", conversation=group, seq=seq, which="unread", limit=1, **after)
        got += page["users"]
        if "next" not in page:
            break
        after = {"after": page["next"]}
    same(got, sorted(p.user for p in rest[2:]), "by pages")
    ann.refused("receipts", 620, conversation=group, seq=99)


@rule
def mentions_count_once_and_only_for_who_is_meant(stage):
    ann, bob, cat = stage.persons("ann", "bob", "cat")
    group = stage.group(ann, bob, cat)
    ann.send(group, "x", mentions=[bob.user, bob.user], mention_all=True)
    ann.send(group, "x", mentions=[bob.user, ann.user])
    same([p.entry(group)["mentions"] for p in (ann, bob, cat)], [0, 2, 1], "mentions")
    bob.ask("read", conversation=group, seq=1)
    same(bob.entry(group)["mentions"], 1, "after reading")
    ann.ask("update", conversation=group, mention_all="admins")
    bob.refused("send", 611, conversation=group, content={"kind": "text", "text": "x", "mention_all": True})


@rule
def marked_unread_drafts_pins_and_hiding_are_ones_own_on_all_devices(stage):
    ann, bob = stage.persons("ann", "bob")
    group = stage.group(ann, bob)
    other = stage.group(ann, bob)
    ann.send(group)
    ann.send(other)
    ear = bob.device()
    bob.ask("settings", conversation=group, pinned=True, draft="dear", marked_unread=True, notify="mentions")
    entry = ear.event("entry")["entry"]
    same((entry["draft"], entry["marked_unread"], entry["notify"], "pinned_at" in entry), ("dear", True, "mentions", True), "told")
    same(bob.ask("list")["conversations"][0]["id"], group, "pinned first")
    expect("draft" not in ann.entry(group) and "pinned_at" not in ann.entry(group), "others see")
    bob.ask("settings", conversation=group, draft="", pinned=False, marked_unread=False, hidden=True)
    entry = bob.entry(group)
    same([k for k in ("draft", "pinned_at", "marked_unread") if k in entry], [], "taken away")
    hidden = [e for e in bob.ask("list")["conversations"] if e["id"] == group]
    expect(not hidden or hidden[0].get("hidden"), f"hidden: {hidden}")
    ann.send(group)
    expect(not bob.entry(group).get("hidden"), "hidden though something was said")
    bob.refused("settings", 600, conversation=group, draft="x" * 20000)


@rule
def muted_conversations_are_left_out_of_the_sum(stage):
    ann, bob = stage.persons("ann", "bob")
    one, two = stage.group(ann, bob), stage.group(ann, bob)
    ann.send(one)
    ann.send(two)
    bob.ask("settings", conversation=one, notify="none")
    got = bob.ask("list")
    same(got["unread"], 1, "sum")
    same(sum(e["unread"] for e in got["conversations"]), 2, "each")
    ann.send(one, "x", mentions=[bob.user])
    same(bob.ask("list")["mentions"], 1, "mentions count")


@rule
def the_list_pages_and_says_what_changed_and_what_is_gone(stage):
    ann, bob = stage.persons("ann", "bob")
    groups = [stage.group(ann, bob) for _ in range(7)]
    for n, group in enumerate(groups):
        ann.send(group, f"m{n}")
    # A message counts a moment after its sender had the answer.
    soon(lambda: bob.ask("list")["unread"] == 7, "unread")
    got, after = [], {}
    while True:
        page = bob.ask("list", limit=3, **after)
        got += [e["id"] for e in page["conversations"]]
        if "next" not in page:
            break
        after = {"after": page["next"]}
    same(got, groups[::-1], "by pages, newest first")
    whole = bob.ask("list")
    same(whole["unread"], 7, "unread")
    sync = whole["sync"]
    ann.send(groups[2], "new")
    ann.ask("react", conversation=groups[4], seq=1, emoji="x")
    ann.ask("remove", conversation=groups[5], users=[bob.user])
    bob.ask("leave", conversation=groups[6])
    changed = bob.ask("list", since=sync)
    ids = {e["id"] for e in changed["conversations"]}
    expect({groups[2], groups[4]} <= ids, f"changed: {ids}")
    same(ids & {groups[5], groups[6]}, set(), "still listed")
    same(set(changed.get("gone", [])), {groups[5], groups[6]}, "gone")
    expect(not ids & {groups[0]} or len(ids) < 6, "all were given")
    for bad in ("", "x", "-1", "9" * 400, "\u0000"):
        status, answer = bob.post("list", {"since": bad})
        expect(status in (200, 400), f"since {bad!r}: {status} {answer}")
        status, answer = bob.post("list", {"after": bad})
        expect(status in (200, 400), f"after {bad!r}: {status} {answer}")


@rule
def typing_is_told_to_others_and_not_kept(stage):
    ann, bob = stage.persons("ann", "bob")
    group = stage.group(ann, bob)
    ear = bob.device()
    soon(lambda: (ann.ask("typing", conversation=group, on=True), ear.event("typing", user=ann.user))[1], "not told")
    same(bob.messages(group), [], "kept")
